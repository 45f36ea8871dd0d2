//! A safe, owned view of DPDK: environment, devices, pools, bursts, ports, queues.
//!
//! What it is: [`Eal`] is DPDK's environment, started once per process. [`Device::open`] finds the port of exactly the
//! device that was named; [`Port::configure`] gets out of it what it can and says what it really took. Packets lie in
//! a [`PacketPool`], arrive from an [`RxQueue`] into a [`Burst`], and leave by a [`TxQueue`]; each packet has one owner
//! at any time, and what nobody sent is freed when its owner goes.
//!
//! What it is not: it knows nothing of what the packets mean, starts no thread, and does not log; what differs from
//! what was asked for comes back as [`Note`]s.
//!
//! Queues are `Send` and not `Sync` and want `&mut`: one thread per queue, by type. Nothing on the way of a packet
//! allocates, locks or waits.
//!
//! ```no_run
//! use sekisho_dpdk::{Burst, Device, DeviceSpec, Eal, EalConfig, Hugepages, Lcore, PacketPool, PoolConfig, Port};
//! use sekisho_dpdk::{PortConfig, data_room};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let spec = DeviceSpec::parse("net_af_packet0,iface=eth1")?.prepared_for(1, 1500);
//! let pool = PoolConfig { data_room: data_room(&spec), ..PoolConfig::default() };
//! let eal = Eal::start(&EalConfig {
//!     file_prefix: "example".into(),
//!     hugepages: Hugepages::Auto,
//!     memory_mib: pool.memory_mib() + 64,
//!     devices: vec![spec.clone()],
//!     ..EalConfig::default()
//! })?;
//! let device = Device::open(&eal, &spec)?;
//! let pool = PacketPool::new(&eal, &PoolConfig { socket: device.info().socket, ..pool })?;
//! let mut started = Port::configure(device, &PortConfig::default(), &pool)?;
//! for note in eal.notes().iter().chain(&started.port.taken().notes) {
//!     eprintln!("{note}");
//! }
//!
//! let (mut rx, mut tx) = (started.rx.remove(0), started.tx.remove(0));
//! let worker = std::thread::spawn(move || {
//!     let _lcore = Lcore::enter(&eal, Some(1))?;
//!     let (mut received, mut sent) = (Burst::new(&eal), Burst::new(&eal));
//!     loop {
//!         rx.receive(&mut received);
//!         for place in 0..received.len() {
//!             received.prefetch(place + 1);
//!             if received.data_mut(place).len() >= 60 {
//!                 received.move_to(place, &mut sent);
//!             }
//!         }
//!         received.clear(); // what was not moved, in bulk
//!         tx.send(&mut sent);
//!         sent.clear(); // what the device did not take
//!     }
//!     # #[allow(unreachable_code)]
//!     Ok::<(), sekisho_dpdk::LcoreError>(())
//! });
//! # worker.join().ok();
//! # Ok(())
//! # }
//! ```

mod burst;
pub mod clock;
mod device;
mod eal;
mod errno;
mod host;
mod kernel;
mod large;
mod lcore;
mod link;
mod log;
mod mbuf;
mod memory;
mod note;
mod pool;
mod port;
mod queue;
mod rss;
mod stats;

pub use burst::{BURST_MAX, Burst};
pub use clock::Clock;
pub use device::{Device, DeviceError, DeviceInfo, DeviceSpec, data_room};
pub use eal::{Eal, EalConfig, EalError, ErrandError};
pub use errno::Errno;
pub use large::LargeOnHugePages;
pub use lcore::{Lcore, LcoreError, cores_open, socket_of};
pub use link::Link;
pub use log::{LogLevel, LogSink, Said, to_stderr};
pub use mbuf::{Checksum, Mbuf, Packet, PacketMut, Segments};
pub use memory::{Hugepages, PageSize, PageSizes};
pub use note::Note;
pub use pool::{HEADROOM, PacketPool, PoolConfig, PoolError};
pub use port::{Port, PortConfig, PortError, Started, Taken};
pub use queue::{RxQueue, TxQueue};
pub use rss::{Rss, SymmetricBy};
pub use stats::{Stats, Xstat};
