//! An environment for tests: normal pages, no PCI, its own log level.

#![allow(dead_code, clippy::unwrap_used, reason = "helpers of tests, of which each file uses a part")]

use sekisho_dpdk::{
    Device, DeviceSpec, Eal, EalConfig, Hugepages, PacketPool, PoolConfig, Port, PortConfig, Started,
};

pub(crate) fn config() -> EalConfig {
    EalConfig {
        file_prefix: "dpdk-test".into(),
        hugepages: Hugepages::Off,
        memory_mib: 64,
        ..EalConfig::default()
    }
}

pub(crate) fn eal() -> Eal {
    Eal::start(&config()).unwrap()
}

pub(crate) fn pool(eal: &Eal, config: &PoolConfig) -> PacketPool {
    PacketPool::new(eal, config).unwrap()
}

pub(crate) fn open(eal: &Eal, device: &str, config: &PortConfig, pool: &PacketPool) -> Started {
    let device = Device::open(eal, &DeviceSpec::parse(device).unwrap()).unwrap();
    Port::configure(device, config, pool).unwrap()
}
