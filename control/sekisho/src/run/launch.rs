//! From the appliance file to running workers: environment, pool, ports, queues, threads.

use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context as _;
use crossbeam::channel::{Sender, bounded};
use crossbeam::queue::ArrayQueue;
use sekisho_dpdk::{
    Clock, Device, DeviceSpec, Eal, EalConfig, Lcore, LcoreError, LogLevel, Mbuf, PacketPool, PoolConfig,
    PortConfig, Started, data_room, socket_of,
};
use sekisho_engine::counters::RuleHits;
use sekisho_engine::flow::HashSecret;
use sekisho_engine::fragment::FRAMES_MAX;
use sekisho_engine::policy::Policy;
use sekisho_engine::port::Port;
use sekisho_engine::session::room::Budgets;
use sekisho_engine::time::Instant;
use sekisho_engine::{Config, Engine, Running, Shared};
use sekisho_policy::appliance::{Appliance, PortConfig as PortSettings, SessionBudgets};
use sekisho_policy::words::{Hugepages, Poll};
use sekisho_worker::shared::{Handoff, Switch, WorkerShared};
use sekisho_worker::{BURST_MAX, PollMode, Worker, WorkerConfig};

use crate::failure::Failure;
use crate::run::cores::Cores;
use crate::run::dpdk_io::{Departure, DpdkIo, RELAY_FRAMES, Relay, Side};
use crate::run::fleet::Fleet;
use crate::run::ports::{ControlledPort, Ports};
use crate::run::privileges;

/// Frames that wait for the worker that owns their session.
const HANDOFF_FRAMES: u16 = 1024;
/// Events of a worker that wait for control.
const EVENTS_MAX: usize = 16_384;
/// Buffers that each thread keeps for itself.
const POOL_CACHE: u32 = 256;
/// Frames that a worker has in hand: the batch, what leaves by each port, frames of its own.
const IN_HAND: u32 = 5 * 64;
const _: () = assert!(BURST_MAX <= 64);
/// Frames that a worker holds until their datagrams are whole.
const HELD: u32 = 2048;
const _: () = assert!(HELD as usize == FRAMES_MAX);
/// Memory of the environment beside the pool: queues and drivers.
const EAL_MIB: u32 = 64;
/// Ethernet header with two VLAN tags.
const FRAME_HEADER: usize = 14 + 8;
/// The payload of a frame where neither the appliance file nor an interface says anything.
const MTU: u16 = 1500;

/// What carries the packets.
pub(crate) struct Dataplane {
    pub(crate) eal: Eal,
    pub(crate) fleet: Fleet,
    pub(crate) ports: Ports,
    pub(crate) threads: Vec<JoinHandle<()>>,
    /// Hits of the first policy's rules, by worker.
    pub(crate) hits: Vec<Arc<RuleHits>>,
    /// The moment that is the engines' zero.
    pub(crate) zero: std::time::Instant,
}

/// Starts the environment, the ports and the workers, with `policy` in force.
pub(crate) fn start(
    appliance: &Appliance,
    cores: &Cores,
    policy: &Arc<Policy>,
) -> Result<Dataplane, Failure> {
    let workers = u16::try_from(cores.workers.len()).context("too many workers")?;
    let wanted = [
        Wanted::of(appliance, Port::Lan, &appliance.lan, workers)?,
        Wanted::of(appliance, Port::Wan, &appliance.wan, workers)?,
    ];
    let pool = pool_for(&wanted, workers);
    let eal = Eal::start(&EalConfig {
        file_prefix: "sekisho".into(),
        hugepages: match appliance.hugepages {
            Hugepages::Auto => sekisho_dpdk::Hugepages::Auto,
            Hugepages::Required => sekisho_dpdk::Hugepages::Required,
            Hugepages::Off => sekisho_dpdk::Hugepages::Off,
        },
        memory_mib: pool.memory_mib() + EAL_MIB,
        main_cores: cores.control.clone(),
        devices: wanted.iter().map(|one| one.spec.clone()).collect(),
        extra_args: appliance.eal.clone(),
        log: Arc::new(log_dpdk),
        ..EalConfig::default()
    })
    .context("DPDK does not start")?;
    let zero = (std::time::Instant::now(), Clock::new(&eal).now_ns());
    eal.notes().iter().for_each(|note| tracing::warn!("{note}"));

    let (started, pool) = open(&eal, &wanted, pool)?;
    let ports = Ports(
        [Port::Lan, Port::Wan]
            .into_iter()
            .zip(&started)
            .map(|(which, started)| ControlledPort::new(which, started.port.clone(), workers))
            .collect(),
    );
    say_ports(&ports, cores);
    let sides = deal(started, workers, &pool);
    let spawning = Spawning { appliance, policy, eal: &eal, pool, zero_nanos: zero.1, workers };
    let (fleet, hits, threads) = spawning.all(cores, sides)?;
    Ok(Dataplane { eal, fleet, ports, threads, hits, zero: zero.0 })
}

/// What is wanted of a port.
struct Wanted {
    which: Port,
    spec: DeviceSpec,
    config: PortConfig,
}

impl Wanted {
    fn of(appliance: &Appliance, which: Port, port: &PortSettings, workers: u16) -> Result<Self, Failure> {
        let spec = DeviceSpec::parse(&port.device).map_err(|error| {
            Failure::Input(format!("{}:1:1: ports.{which}.device: {error}", appliance.file))
        })?;
        let rx_queues = port.queues.unwrap_or(workers);
        let mtu = port.mtu.or_else(|| interface_mtu(spec.arg("iface")?)).unwrap_or(MTU);
        let config = PortConfig {
            rx_queues,
            tx_queues: workers,
            rx_descriptors: port.rx_descriptors,
            tx_descriptors: port.tx_descriptors,
            mtu,
            promiscuous: port.promiscuous,
            ..PortConfig::default()
        };
        Ok(Self { which, spec: spec.prepared_for(rx_queues, mtu), config })
    }
}

/// What the kernel's interface has, where the device sits on one.
fn interface_mtu(interface: &str) -> Option<u16> {
    let mtu = std::fs::read_to_string(format!("/sys/class/net/{interface}/mtu")).ok()?;
    mtu.trim().parse().ok()
}

/// Buffers for every place where a packet can be at once.
fn pool_for(wanted: &[Wanted; 2], workers: u16) -> PoolConfig {
    let in_devices: u32 = wanted
        .iter()
        .map(|one| {
            let config = &one.config;
            u32::from(config.rx_queues) * u32::from(config.rx_descriptors)
                + u32::from(config.tx_queues) * u32::from(config.tx_descriptors)
        })
        .sum();
    // Single frames and those of whole datagrams each have a ring.
    let shared = if workers > 1 { 2 * u32::from(HANDOFF_FRAMES) + u32::from(RELAY_FRAMES) } else { 0 };
    let of_a_worker = IN_HAND + POOL_CACHE * 3 / 2 + shared;
    let in_use = in_devices + (u32::from(workers) + 1) * of_a_worker + u32::from(workers) * HELD;
    let size = in_use.next_power_of_two() - 1;
    let data_room = wanted.iter().map(|one| data_room(&one.spec)).max().unwrap_or(2048);
    PoolConfig { size, cache: POOL_CACHE, data_room, socket: None }
}

fn open(eal: &Eal, wanted: &[Wanted; 2], pool: PoolConfig) -> Result<([Started; 2], PacketPool), Failure> {
    let [lan, wan] = wanted;
    let opened = |one: &Wanted| {
        Device::open(eal, &one.spec).with_context(|| format!("port {} cannot be opened", one.which))
    };
    let devices = (opened(lan)?, opened(wan)?);
    let pool = PoolConfig { socket: devices.0.info().socket, ..pool };
    let pool = PacketPool::new(eal, &pool).context("no packet pool")?;
    let configured = |one: &Wanted, device| {
        sekisho_dpdk::Port::configure(device, &one.config, &pool)
            .with_context(|| format!("port {} does not start", one.which))
    };
    Ok(([configured(lan, devices.0)?, configured(wan, devices.1)?], pool))
}

fn say_ports(ports: &Ports, cores: &Cores) {
    for port in &ports.0 {
        let taken = port.device.taken();
        tracing::info!(
            "port {}: {} ({}), MTU {}, queues {} in, {} out; steering: {}; TCP and UDP checksums: {}",
            port.which,
            port.device.device(),
            port.device.info().driver,
            taken.mtu,
            taken.rx_queues,
            taken.tx_queues,
            port.steering,
            if taken.checksum_l4 { "by the device" } else { "by the workers" }
        );
        taken.notes.iter().for_each(|note| tracing::warn!("{note}"));
        let Some(node) = port.device.info().socket else { continue };
        for core in cores.workers.iter().filter(|core| socket_of(**core).is_some_and(|own| own != node)) {
            tracing::warn!(
                "core {core} is on another memory node than port {}, which is on {node}: a core there is faster",
                port.which
            );
        }
    }
}

/// Deals the queues out to the workers.
fn deal(started: [Started; 2], workers: u16, pool: &PacketPool) -> Vec<[Side; 2]> {
    let [lan, wan] = started.map(|started| deal_port(started, usize::from(workers), pool));
    lan.into_iter().zip(wan).map(|(lan, wan)| [lan, wan]).collect()
}

/// Receive queues go round; a worker without a transmit queue relays to one that has one.
fn deal_port(started: Started, workers: usize, pool: &PacketPool) -> Vec<Side> {
    let taken = started.port.taken();
    let room = if taken.multi_segment { usize::MAX } else { usize::from(pool.config().data_room) };
    let frame_max = (usize::from(taken.mtu) + FRAME_HEADER).min(room);
    let mut arrivals: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    for (number, queue) in started.rx.into_iter().enumerate() {
        arrivals[number % workers].push(queue);
    }
    let queues = started.tx.len();
    let relays: Vec<Relay> = (0..queues).map(|_| Arc::new(ArrayQueue::new(RELAY_FRAMES.into()))).collect();
    let mut tx = started.tx.into_iter();
    let sides = arrivals.into_iter().enumerate().map(|(worker, arrivals)| {
        let relay = Arc::clone(&relays[worker % queues]);
        let departure = match tx.next() {
            Some(queue) => Departure::Own { queue, relayed: (queues < workers).then_some(relay) },
            None => Departure::Relayed(relay),
        };
        Side { arrivals, departure, frame_max }
    });
    sides.collect()
}

/// What all workers are made with.
struct Spawning<'a> {
    appliance: &'a Appliance,
    policy: &'a Arc<Policy>,
    eal: &'a Eal,
    pool: PacketPool,
    zero_nanos: u64,
    workers: u16,
}

type Spawned = (Fleet, Vec<Arc<RuleHits>>, Vec<JoinHandle<()>>);

impl Spawning<'_> {
    fn all(&self, cores: &Cores, sides: Vec<[Side; 2]>) -> Result<Spawned, Failure> {
        let switch = Arc::new(Switch::default());
        switch.generation.store(self.policy.generation, std::sync::atomic::Ordering::Release);
        let handoff = Handoff::new(self.workers, HANDOFF_FRAMES.into());
        let secret = random()?;
        let shared = Shared::new(self.appliance.sessions_capacity, secret);
        let mut fleet = Fleet { switch, shared, workers: Vec::new() };
        let (mut hits, mut threads) = (Vec::new(), Vec::new());
        for (number, (core, sides)) in (0..).zip(cores.workers.iter().zip(sides)) {
            let running = Running::new(Arc::clone(self.policy));
            hits.push(Arc::clone(&running.hits));
            let seed = Seed {
                number,
                core: *core,
                eal: self.eal.clone(),
                io: DpdkIo::new(self.eal, self.zero_nanos, sides, self.pool.clone()),
                engine: Config {
                    worker: u8::try_from(number).context("too many workers")?,
                    capacity: share(self.appliance.sessions_capacity, self.workers),
                    secret,
                    report_all_sessions: false,
                },
                budgets: budgets(&self.appliance.budgets),
                poll: match self.appliance.poll {
                    Poll::Busy => PollMode::Busy,
                    Poll::Adaptive => PollMode::Adaptive,
                },
                running,
                shared: fleet.shared.clone(),
                switch: Arc::clone(&fleet.switch),
                handoff: handoff.clone(),
            };
            match seed.start() {
                Ok((shared, thread)) => {
                    threads.push(thread);
                    fleet.workers.push(shared);
                }
                Err(error) => {
                    fleet.stop();
                    threads.into_iter().for_each(|thread: JoinHandle<()>| drop(thread.join()));
                    return Err(error.context(format!("worker {number} does not start")).into());
                }
            }
        }
        Ok((fleet, hits, threads))
    }
}

/// Sessions of one worker's table: its share, and an eighth more where there are several, for the hash that deals
/// sessions out is not perfectly even.
fn share(capacity: u32, workers: u16) -> u32 {
    let workers = u32::from(workers.max(1));
    let even = capacity.div_ceil(workers);
    if workers == 1 { even } else { even + even / 8 }
}

/// What the appliance file says of the classes of sessions, in the engine's terms.
const fn budgets(settings: &SessionBudgets) -> Budgets {
    let SessionBudgets { half_open, one_way, established, adaptive_timeouts } = *settings;
    Budgets { half_open, one_way, established, adaptive_timeouts }
}

/// Random words from the kernel.
pub(crate) fn random() -> anyhow::Result<HashSecret> {
    let mut bytes = [0; 32];
    let mut filled = 0;
    while filled < bytes.len() {
        let got = rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty());
        filled += got.context("the kernel has no random numbers")?;
    }
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    Ok(HashSecret(words))
}

/// What a worker's thread needs to become a worker.
struct Seed {
    number: u16,
    core: usize,
    eal: Eal,
    io: DpdkIo,
    engine: Config,
    budgets: Budgets,
    poll: PollMode,
    running: Running,
    shared: Shared,
    switch: Arc<Switch>,
    handoff: Handoff<Mbuf>,
}

type Born = Result<Arc<WorkerShared>, LcoreError>;

impl Seed {
    /// Starts the thread, and waits until it is on its core and has its memory.
    fn start(self) -> anyhow::Result<(Arc<WorkerShared>, JoinHandle<()>)> {
        let (born, waiting) = bounded(1);
        let name = format!("worker-{}", self.number);
        let thread = std::thread::Builder::new().name(name).spawn(move || self.work(&born))?;
        match waiting.recv() {
            Ok(shared) => Ok((shared?, thread)),
            Err(_) => anyhow::bail!("its thread ended at once"),
        }
    }

    fn work(self, born: &Sender<Born>) {
        let lcore = match Lcore::enter(&self.eal, Some(self.core)) {
            Ok(lcore) => lcore,
            Err(error) => return drop(born.send(Err(error))),
        };
        // Made here, so that its memory is of this core's node.
        let capacity = self.engine.capacity;
        let mut engine = Engine::sharing(self.shared, self.engine, self.running, Instant::ZERO);
        engine.set_started(Instant::ZERO);
        engine.set_budgets(self.budgets);
        let shared = Arc::new(WorkerShared::new(engine.counters(), capacity, EVENTS_MAX));
        let config = WorkerConfig { worker: self.number, poll: self.poll };
        let worker = Worker::new(config, self.io, engine, self.switch, Arc::clone(&shared), self.handoff);
        privileges::settle();
        if born.send(Ok(shared)).is_ok() {
            // What is left in the queues is freed while the thread is still known to the environment.
            drop(worker.run());
        }
        drop(lcore);
    }
}

fn log_dpdk(level: LogLevel, line: &str) {
    match level {
        LogLevel::Error => tracing::error!(target: "dpdk", "{line}"),
        LogLevel::Warning => tracing::warn!(target: "dpdk", "{line}"),
        LogLevel::Notice => tracing::info!(target: "dpdk", "{line}"),
        LogLevel::Info | LogLevel::Debug => tracing::debug!(target: "dpdk", "{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_has_exactly_what_was_asked_for_and_more_have_some_to_spare() {
        assert_eq!(share(1_000_000, 1), 1_000_000);
        assert_eq!(share(1_000_000, 4), 281_250);
        assert!(share(64, 64) >= 1);
    }

    #[test]
    fn secrets_differ() {
        assert_ne!(random().unwrap().0, random().unwrap().0);
    }
}
