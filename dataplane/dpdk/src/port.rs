//! Ports: configured to what the device can, started, and closed when the last user goes.

use std::sync::Arc;

use sekisho_dpdk_sys as sys;

use crate::burst::Burst;
use crate::device::{Device, DeviceInfo, OpenPort};
use crate::eal::Eal;
use crate::errno::{Errno, check};
use crate::kernel::Interface;
use crate::link::{Carrier, Link};
use crate::log::{Listener, Said};
use crate::note::Note;
use crate::pool::PacketPool;
use crate::queue::{RxQueue, TxQueue};
use crate::rss::{self, Rss};
use crate::stats::{self, Stats, Xstat};

/// What is wanted of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// Receive queues; fewer are taken where the device has fewer. Default: 1.
    pub rx_queues: u16,
    /// Transmit queues; as above. Default: 1.
    pub tx_queues: u16,
    /// Packets that wait in a receive queue, fitted to the device's limits. Default: 1024.
    pub rx_descriptors: u16,
    /// Packets that wait in a transmit queue; as above. Default: 1024.
    pub tx_descriptors: u16,
    /// Bytes of payload of the largest frame, without Ethernet header and VLAN tags. Default: 1500.
    pub mtu: u16,
    /// Receive frames for other stations too. Default: true.
    pub promiscuous: bool,
    /// Let the device check checksums of received packets where it can. Default: true.
    pub rx_checksum: bool,
}

impl Default for PortConfig {
    fn default() -> Self {
        Self {
            rx_queues: 1,
            tx_queues: 1,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            mtu: 1500,
            promiscuous: true,
            rx_checksum: true,
        }
    }
}

/// What the device really took.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// Receive queues.
    pub rx_queues: u16,
    /// Transmit queues.
    pub tx_queues: u16,
    /// Packets that wait in a receive queue.
    pub rx_descriptors: u16,
    /// Packets that wait in a transmit queue.
    pub tx_descriptors: u16,
    /// Bytes of payload of the largest frame, as asked for or less.
    pub mtu: u16,
    /// How received flows are spread over the queues.
    pub rss: Rss,
    /// Packets longer than a buffer arrive in several segments.
    pub scatter: bool,
    /// Packets of several segments can be sent.
    pub multi_segment: bool,
    /// Packets carry the hash by which the queue was chosen.
    pub rss_hash: bool,
    /// Packets carry what the device found of their IPv4 header's checksum.
    pub checksum_l3: bool,
    /// Packets carry what the device found of their TCP or UDP checksum.
    pub checksum_l4: bool,
    /// Frames for other stations are received.
    pub promiscuous: bool,
    /// All that differs from what was asked for: for the log.
    pub notes: Vec<Note>,
}

/// Why a port does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// No queue was asked for, or the device has none.
    #[error("{device}: no port without a queue each way: {asked} were asked for, the device has {has}")]
    NoQueue {
        /// The device.
        device: String,
        /// Asked for, the smaller of both directions.
        asked: u16,
        /// What the device has, the smaller of both directions.
        has: u16,
    },
    /// The device refuses every configuration, the plainest included.
    #[error("{device}: the device refuses to be configured. {said}")]
    Configure {
        /// The device.
        device: String,
        /// The last lines of DPDK's log.
        said: Said,
        /// The driver's error number.
        #[source]
        source: Errno,
    },
    /// A queue was refused.
    #[error(
        "{device}: the {direction} queue {queue} cannot be set up: the pool's buffers of {data_room} bytes may be too \
         small for the device, or the memory too little. {said}"
    )]
    Queue {
        /// The device.
        device: String,
        /// "receive" or "transmit".
        direction: &'static str,
        /// The queue.
        queue: u16,
        /// Bytes per buffer of the pool.
        data_room: u16,
        /// The last lines of DPDK's log.
        said: Said,
        /// The driver's error number.
        #[source]
        source: Errno,
    },
    /// The device does not start.
    #[error("{device}: the device does not start. {said}")]
    Start {
        /// The device.
        device: String,
        /// The last lines of DPDK's log.
        said: Said,
        /// The driver's error number.
        #[source]
        source: Errno,
    },
    /// The interface behind the device.
    #[error(
        "{device}: the interface {interface} cannot be read or brought up: it needs CAP_NET_ADMIN, or root"
    )]
    Interface {
        /// The device.
        device: String,
        /// The interface.
        interface: String,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// A question that the driver does not answer.
    #[error("{device}: the driver does not tell its {what}")]
    Unanswered {
        /// The device.
        device: String,
        /// The question.
        what: &'static str,
        /// The driver's error number.
        #[source]
        source: Errno,
    },
    /// The link cannot be switched.
    #[error("{device}: the link cannot be switched {}", if *.up { "on" } else { "off" })]
    Switch {
        /// The device.
        device: String,
        /// On or off.
        up: bool,
        /// The driver's error number.
        #[source]
        source: Errno,
    },
}

/// Frees what a queue of `net_af_packet` has received before its port is used.
///
/// The driver opens its socket for all interfaces and binds it to its own only afterwards: what arrives anywhere on
/// the machine in between is in the ring, and must not pass for a frame of this port.
fn discard_strays(queue: &mut RxQueue, eal: &Eal) {
    // No ring has more slots than this; an interface under load is not waited for.
    const STRAYS_MAX: usize = 65_536;
    let mut burst = Burst::new(eal);
    let mut found = 0;
    while found < STRAYS_MAX && queue.receive(&mut burst) > 0 {
        found += burst.len();
        burst.clear();
    }
}

/// A running port: its link, its figures. The queues carry the packets.
#[derive(Clone, Debug)]
pub struct Port {
    running: Arc<Running>,
    info: Arc<DeviceInfo>,
    taken: Arc<Taken>,
}

/// A port with its queues, as [`Port::configure`] returns them.
#[derive(Debug)]
pub struct Started {
    /// The port.
    pub port: Port,
    /// Its receive queues, each to be moved into its thread.
    pub rx: Vec<RxQueue>,
    /// Its transmit queues.
    pub tx: Vec<TxQueue>,
}

/// A port that runs: stopped and closed when the last of its users is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    device: String,
    carrier: Carrier,
    port: OpenPort,
}

impl Running {
    pub(crate) fn port_id(&self) -> u16 {
        self.port.id
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.carrier.restore();
        // SAFETY: FFI; a started port, whose queues are gone, for each of them holds this value.
        unsafe { sys::rte_eth_dev_stop(self.port.id) };
    }
}

impl Port {
    /// Configures a device to what it can of what is wanted, and starts it. Packets are received into `pool`.
    pub fn configure(device: Device, config: &PortConfig, pool: &PacketPool) -> Result<Started, PortError> {
        let listener = Listener::start();
        let setup = Setup { device: &device, config, pool, listener: &listener };
        let mut taken = setup.configure()?;
        let port = device.port.id;
        let name = device.spec().to_string();
        let interface = device.info().interface.as_deref().map(Interface::new);
        let mut carrier = Carrier::new(port, &device.info().driver, interface);
        if let Some(interface) = carrier.bring_up().map_err(|(interface, source)| PortError::Interface {
            device: name.clone(),
            interface,
            source,
        })? {
            taken.notes.push(Note::BroughtUp { device: name.clone(), interface });
        }
        // SAFETY: FFI; configured above with all its queues.
        let started = check(unsafe { sys::rte_eth_dev_start(port) });
        started.map_err(|source| PortError::Start { device: name.clone(), said: listener.said(), source })?;
        let info = Arc::new(device.info().clone());
        if config.promiscuous {
            match carrier.promiscuous() {
                Ok(()) => taken.promiscuous = true,
                Err(source) => taken.notes.push(Note::NotPromiscuous { device: name.clone(), source }),
            }
        }
        let raw = device.raw;
        let running = Arc::new(Running { device: name.clone(), carrier, port: device.port });

        taken.rss =
            rss::settle(port, &name, &raw, &info.driver, &taken.rss, taken.rx_queues, &mut taken.notes);
        let mut rx: Vec<_> = (0..taken.rx_queues).map(|queue| RxQueue::new(&running, queue)).collect();
        if info.driver == "net_af_packet" {
            rx.iter_mut().for_each(|queue| discard_strays(queue, &running.port.eal));
        }
        let tx =
            (0..taken.tx_queues).map(|queue| TxQueue::new(&running, queue, !taken.multi_segment)).collect();
        Ok(Started { port: Port { running, info, taken: Arc::new(taken) }, rx, tx })
    }

    /// What the device has.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// What it really took.
    pub fn taken(&self) -> &Taken {
        &self.taken
    }

    /// The device as it was named.
    pub fn device(&self) -> &str {
        &self.running.device
    }

    /// The number by which DPDK knows the port.
    pub fn id(&self) -> u16 {
        self.running.port.id
    }

    /// Its Ethernet address.
    pub fn mac(&self) -> [u8; 6] {
        self.info.mac
    }

    /// The environment it runs in.
    pub fn eal(&self) -> &Eal {
        &self.running.port.eal
    }

    /// State and speed of the link, now.
    pub fn link(&self) -> Result<Link, PortError> {
        self.running.carrier.link().map_err(|source| self.unanswered("link", source))
    }

    /// Switches the link on or off, so that the other end of the cable sees it. It is on again when the port closes.
    pub fn set_link(&self, up: bool) -> Result<(), PortError> {
        let device = || self.running.device.clone();
        self.running.carrier.set(up).map_err(|source| PortError::Switch { device: device(), up, source })
    }

    /// The counters that every device has.
    pub fn stats(&self) -> Result<Stats, PortError> {
        stats::basic(self.id()).map_err(|source| self.unanswered("counters", source))
    }

    /// The device's own counters by name; empty where it has none.
    pub fn xstats(&self) -> Result<Vec<Xstat>, PortError> {
        stats::extended(self.id()).map_err(|source| self.unanswered("own counters", source))
    }

    fn unanswered(&self, what: &'static str, source: Errno) -> PortError {
        PortError::Unanswered { device: self.running.device.clone(), what, source }
    }
}

/// Room beside the payload for two VLAN tags.
const TAGS: u16 = 8;
/// Ethernet header with two tags.
const FRAME_HEADER: u16 = 14 + TAGS;

/// The steps from an open device to one that can start.
struct Setup<'a> {
    device: &'a Device,
    config: &'a PortConfig,
    pool: &'a PacketPool,
    listener: &'a Listener,
}

impl Setup<'_> {
    fn name(&self) -> String {
        self.device.spec().to_string()
    }

    fn configure(&self) -> Result<Taken, PortError> {
        let mut notes = Vec::new();
        let (rx_queues, tx_queues) = self.queue_counts(&mut notes)?;
        let mtu_wanted = self.mtu_possible(&mut notes);
        let offloads = self.offloads(mtu_wanted, &mut notes);
        let conf = sys::shim_port_conf { rx_queues, tx_queues, offloads, ..sys::shim_port_conf::default() };
        let (conf, rss) = self.apply(conf, mtu_wanted, &mut notes)?;
        let (rx_descriptors, tx_descriptors) = self.queues(&conf)?;
        let has = |offload| conf.offloads & offload != 0;
        Ok(Taken {
            rx_queues,
            tx_queues,
            rx_descriptors,
            tx_descriptors,
            mtu: self.mtu_taken(&conf, mtu_wanted),
            rss,
            scatter: has(sys::SHIM_RX_SCATTER),
            multi_segment: self.sends_segments(),
            rss_hash: has(sys::SHIM_RX_HASH),
            checksum_l3: has(sys::SHIM_RX_CHECKSUM_IP),
            checksum_l4: has(sys::SHIM_RX_CHECKSUM_L4),
            promiscuous: false,
            notes,
        })
    }

    fn queue_counts(&self, notes: &mut Vec<Note>) -> Result<(u16, u16), PortError> {
        let (raw, config) = (&self.device.raw, self.config);
        let asked = config.rx_queues.min(config.tx_queues);
        let has = raw.max_rx_queues.min(raw.max_tx_queues);
        if asked == 0 || has == 0 {
            return Err(PortError::NoQueue { device: self.name(), asked, has });
        }
        let mut take = |direction, asked: u16, has: u16| {
            let taken = asked.min(has);
            if taken < asked {
                notes.push(Note::FewerQueues { device: self.name(), direction, asked, taken });
            }
            taken
        };
        let rx = take("receive", config.rx_queues, raw.max_rx_queues);
        Ok((rx, take("transmit", config.tx_queues, raw.max_tx_queues)))
    }

    /// The MTU that interface, slots and buffers allow.
    fn mtu_possible(&self, notes: &mut Vec<Note>) -> u16 {
        let asked = self.config.mtu;
        let mut limits: Vec<(u16, String)> = Vec::new();
        let info = self.device.info();
        if let (true, Some(name)) = (Carrier::is_the_kernels(&info.driver), &info.interface) {
            // The interface is the administrator's: its MTU is read, not changed.
            let mtu =
                Interface::new(name).mtu().ok().and_then(|mtu| u16::try_from(mtu).ok()).unwrap_or(u16::MAX);
            limits.push((mtu, format!("that is the interface's: ip link set {name} mtu {asked}")));
        }
        if info.driver == "net_af_packet" {
            let slot =
                self.device.spec().arg("framesz").and_then(|size| size.parse().ok()).unwrap_or(2048u32);
            let room =
                u16::try_from(slot.saturating_sub(66)).unwrap_or(u16::MAX).saturating_sub(FRAME_HEADER);
            limits.push((
                room,
                "longer frames do not fit the ring's slots: raise framesz and blocksz".to_owned(),
            ));
        }
        let room = self.pool.config().data_room;
        if self.device.spec().is_pci() && !info.scatter && self.device.raw.max_rx_pktlen > u32::from(room) {
            let why =
                "longer frames do not fit the pool's buffers, and the device cannot split them".to_owned();
            limits.push((room.saturating_sub(FRAME_HEADER), why));
        }
        match limits.into_iter().min_by_key(|limit| limit.0) {
            Some((taken, why)) if taken < asked => {
                notes.push(Note::LowerMtu { device: self.name(), asked, taken, why });
                taken
            }
            _ => asked,
        }
    }

    fn offloads(&self, mtu: u16, notes: &mut Vec<Note>) -> u32 {
        let (can, room) = (self.device.raw.offloads, self.pool.config().data_room);
        let mut wanted = sys::SHIM_RX_HASH | sys::SHIM_TX_MULTI_SEGMENT;
        // A virtual machine's host leaves checksums out when told that they are looked at: frames would travel on
        // with wrong ones.
        if self.config.rx_checksum && !self.device.info().driver.starts_with("net_virtio") {
            wanted |= sys::SHIM_RX_CHECKSUM_IP | sys::SHIM_RX_CHECKSUM_L4;
        }
        // Scattered reception is slower on most devices: only where frames need it.
        if u32::from(mtu) + u32::from(FRAME_HEADER) > u32::from(room) {
            wanted |= sys::SHIM_RX_SCATTER;
        }
        if !self.sends_segments() {
            notes.push(Note::NoMultiSegment { device: self.name() });
        }
        can & wanted
    }

    fn sends_segments(&self) -> bool {
        // These do, without saying so.
        let silent = matches!(self.device.info().driver.as_str(), "net_pcap" | "net_null");
        silent || self.device.raw.offloads & sys::SHIM_TX_MULTI_SEGMENT != 0
    }

    /// The first of ever plainer configurations that the device accepts.
    fn apply(
        &self,
        base: sys::shim_port_conf,
        mtu: u16,
        notes: &mut Vec<Note>,
    ) -> Result<(sys::shim_port_conf, Rss), PortError> {
        let mut refused = Errno::of(libc::EINVAL);
        for (rss, spread) in rss::variants(&self.device.raw, base.rx_queues) {
            for mtu_frame in self.mtu_variants(mtu) {
                let conf = sys::shim_port_conf { mtu: mtu_frame, ..rss.apply(base) };
                // SAFETY: FFI; an open, stopped port and a valid configuration.
                match check(unsafe { sys::shim_port_configure(self.device.port.id, &raw const conf) }) {
                    Ok(_) => {
                        if mtu_frame != 0 && mtu_frame < u32::from(mtu) + u32::from(TAGS) {
                            notes.push(Note::NoTagRoom { device: self.name() });
                        }
                        if mtu_frame == 0 && !self.leaves_mtu_alone() {
                            self.note_mtu(mtu, notes);
                        }
                        return Ok((conf, spread));
                    }
                    Err(errno) => refused = errno,
                }
            }
        }
        let (device, said) = (self.name(), self.listener.said());
        Err(PortError::Configure { device, said, source: refused })
    }

    /// With room for two tags, without, as the driver likes it (0).
    fn mtu_variants(&self, mtu: u16) -> Vec<u32> {
        if self.leaves_mtu_alone() {
            return vec![0];
        }
        let tagged = u32::from(mtu) + u32::from(TAGS);
        let mut variants = vec![tagged, u32::from(mtu), 0];
        // Asking for more than a device says it has is noise in the log and nothing else.
        variants.retain(|&mtu| mtu <= mtu_max(&self.device.raw));
        variants
    }

    fn leaves_mtu_alone(&self) -> bool {
        Carrier::is_the_kernels(&self.device.info().driver)
    }

    fn note_mtu(&self, asked: u16, notes: &mut Vec<Note>) {
        let taken = port_mtu(self.device.port.id).unwrap_or(1500);
        if taken < asked {
            let why = "the device refuses more".to_owned();
            notes.push(Note::LowerMtu { device: self.name(), asked, taken, why });
        }
    }

    fn mtu_taken(&self, conf: &sys::shim_port_conf, wanted: u16) -> u16 {
        if conf.mtu != 0 || self.leaves_mtu_alone() {
            return wanted;
        }
        port_mtu(self.device.port.id).map_or(wanted, |mtu| mtu.min(wanted))
    }

    fn queues(&self, conf: &sys::shim_port_conf) -> Result<(u16, u16), PortError> {
        let id = self.device.port.id;
        let (mut rx, mut tx) = (self.config.rx_descriptors, self.config.tx_descriptors);
        // SAFETY: FFI; two valid places. What the driver cannot fit it says when the queue is set up.
        unsafe { sys::shim_descriptors_adjust(id, &raw mut rx, &raw mut tx) };
        let socket = self.device.raw.socket;
        let failed = |direction, queue, source| PortError::Queue {
            device: self.name(),
            direction,
            queue,
            data_room: self.pool.config().data_room,
            said: self.listener.said(),
            source,
        };
        for queue in 0..conf.rx_queues {
            // SAFETY: FFI; a configured port, a queue it was configured with, and a pool that the environment keeps.
            let code = unsafe { sys::shim_rx_queue_setup(id, queue, rx, socket, self.pool.as_ptr()) };
            check(code).map_err(|source| failed("receive", queue, source))?;
        }
        for queue in 0..conf.tx_queues {
            // SAFETY: FFI; as above.
            let code = unsafe { sys::shim_tx_queue_setup(id, queue, tx, socket) };
            check(code).map_err(|source| failed("transmit", queue, source))?;
        }
        Ok((rx, tx))
    }
}

/// The largest MTU that DPDK accepts for the device.
fn mtu_max(raw: &sys::shim_port_info) -> u32 {
    let told = raw.max_mtu != u16::MAX && raw.max_rx_pktlen > u32::from(raw.max_mtu);
    // Ethernet header and checksum, where the driver does not tell what it adds.
    let overhead = if told { raw.max_rx_pktlen - u32::from(raw.max_mtu) } else { 18 };
    raw.max_rx_pktlen.saturating_sub(overhead).min(u32::from(raw.max_mtu))
}

fn port_mtu(id: u16) -> Option<u16> {
    let mut mtu = 0;
    // SAFETY: FFI; a valid place.
    let code = unsafe { sys::rte_eth_dev_get_mtu(id, &raw mut mtu) };
    (code == 0).then_some(mtu)
}
