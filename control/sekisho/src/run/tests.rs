//! An appliance without devices: the real control over real workers on queues in memory.

use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use etherparse::PacketBuilder;
use jiff::Timestamp;
use sekisho_engine::flow::HashSecret;
use sekisho_engine::policy::Policy;
use sekisho_engine::port::Port;
use sekisho_engine::time::Instant;
use sekisho_engine::{Config, Engine, Running, Shared};
use sekisho_worker::memory::MemoryIo;
use sekisho_worker::shared::{Handoff, Switch, WorkerShared};
use sekisho_worker::{PollMode, Worker, WorkerConfig};

use crate::run::control::{Control, Parts};
use crate::run::fleet::Fleet;
use crate::run::flow_log::FlowLog;
use crate::run::policy::{self, InForce, Keys, Source};
use crate::run::ports::Ports;
use crate::run::status::About;

/// LAN hosts may speak to the world; everything is logged.
pub(crate) const OPEN: &str = "\
version: 1
defaults: {log: all}
inspection: {tcp_window: off, fragments: drop}
zones: {lan: {port: lan}, wan: {port: wan}}
rules: [{name: lan-out, from: lan, to: wan, action: allow}]
";

/// A policy given as text.
pub(crate) fn source(text: &str) -> Source {
    Source::Text { name: "p.yaml".into(), text: text.into(), directory: ".".into() }
}

/// Workers, not started yet, with frames that wait for the first of them on the LAN port.
pub(crate) struct Shop {
    pub(crate) fleet: Fleet,
    pub(crate) workers: Vec<Worker<MemoryIo>>,
    hits: Vec<Arc<sekisho_engine::counters::RuleHits>>,
}

/// Workers with `policy` in force, each with room for `capacity` sessions.
pub(crate) fn shop(policy: &Arc<Policy>, workers: u16, capacity: u32, frames: Vec<Vec<u8>>) -> Shop {
    let switch = Arc::new(Switch::default());
    let handoff = Handoff::new(workers, 4096);
    let mut frames = Some(frames);
    let secret = HashSecret([1, 2, 3, 4]);
    let fleet = Fleet { switch, shared: Shared::new(capacity, secret), workers: Vec::new() };
    let mut shop = Shop { fleet, workers: Vec::new(), hits: Vec::new() };
    for worker in 0..workers {
        let running = Running::new(Arc::clone(policy));
        shop.hits.push(Arc::clone(&running.hits));
        let config =
            Config { worker: worker.try_into().unwrap(), capacity, secret, report_all_sessions: false };
        let engine = Engine::sharing(shop.fleet.shared.clone(), config, running, Instant::ZERO);
        let shared = Arc::new(WorkerShared::new(engine.counters(), capacity, 1 << 16));
        shop.fleet.workers.push(Arc::clone(&shared));
        let mut io = MemoryIo::default();
        io.arriving[Port::Lan.index()].extend(frames.take().unwrap_or_default());
        let config = WorkerConfig { worker, poll: PollMode::Adaptive };
        let switch = Arc::clone(&shop.fleet.switch);
        shop.workers.push(Worker::new(config, io, engine, switch, shared, handoff.clone()));
    }
    shop
}

/// An appliance whose workers run; they stop when it is dropped.
pub(crate) struct Appliance {
    pub(crate) control: Rc<Control>,
    threads: Vec<JoinHandle<MemoryIo>>,
}

impl Appliance {
    /// Starts it with this policy, and lets `frames` arrive on its LAN port.
    pub(crate) fn start(text: &str, workers: u16, frames: Vec<Vec<u8>>, log: Option<FlowLog>) -> Self {
        let capacity = u32::try_from(frames.len()).unwrap() + 1024;
        let keys = Keys::default();
        let ready = policy::prepare(&source(text), 1, &keys, None).unwrap();
        let shop = shop(&ready.policy, workers, capacity, frames);
        let threads =
            shop.workers.into_iter().map(|worker| std::thread::spawn(move || worker.run())).collect();
        let control = Control::new(Parts {
            about: About {
                started: Timestamp::now(),
                dpdk: "no DPDK".into(),
                hugepages: false,
                appliance_file: "a.yaml".into(),
                metrics: None,
                log_file: log.is_some().then(|| "flows.jsonl".into()),
                cores: (0..usize::from(workers)).collect(),
            },
            fleet: shop.fleet,
            ports: Ports::default(),
            in_force: InForce::first(&ready, shop.hits, Timestamp::now()),
            log,
            keys,
            started: std::time::Instant::now(),
            policy_directory: "/".into(),
        });
        Self { control, threads }
    }

    /// Waits until the workers have done `done`.
    pub(crate) async fn until(&self, done: impl Fn(&Control) -> bool) {
        for _ in 0..100_000 {
            if done(&self.control) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_micros(100)).await;
        }
        panic!("the workers did not get there in ten seconds");
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        self.control.fleet.stop();
        self.threads.drain(..).for_each(|thread| drop(thread.join().unwrap()));
    }
}

/// A UDP datagram of the `number`th host of 10.0.0.0/8.
pub(crate) fn datagram(number: u32) -> Vec<u8> {
    let [_, b, c, d] = number.to_be_bytes();
    let builder =
        PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, b, c, d], [203, 0, 113, 53], 64).udp(4_000, 53);
    let mut frame = Vec::new();
    builder.write(&mut frame, b"question").unwrap();
    frame
}

/// A TCP segment with no flags but ACK, which belongs to no session.
pub(crate) fn stray() -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([10, 0, 0, 1], [203, 0, 113, 80], 64)
        .tcp(40_000, 443, 1, 1000)
        .ack(1);
    let mut frame = Vec::new();
    builder.write(&mut frame, b"").unwrap();
    frame
}
