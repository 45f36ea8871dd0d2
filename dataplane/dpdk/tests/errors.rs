//! What an operator gets wrong, and whether the message says what to do. Every expectation is about the text: it is
//! what there is to go by on a console at night.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print, its helpers too")]

mod support;

use std::error::Error;

use sekisho_dpdk::{
    Device, DeviceError, DeviceSpec, Eal, EalConfig, EalError, Hugepages, Lcore, PacketPool, PageSizes,
    PoolConfig, PoolError, Port, PortConfig, PortError,
};
use support::{config, eal, pool};

/// The message with its causes, as it is printed.
fn text(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    println!("{text}");
    text
}

fn spec(text: &str) -> DeviceSpec {
    DeviceSpec::parse(text).unwrap()
}

#[track_caller]
fn says(error: &dyn Error, parts: &[&str]) {
    let text = text(error);
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

#[test]
fn too_few_hugepages_tell_how_many_and_how() {
    let config = EalConfig { hugepages: Hugepages::Required, memory_mib: 4_000_000, ..config() };
    let error = Eal::start(&config).unwrap_err();
    assert!(matches!(error, EalError::TooFewHugepages { needed_mib: 4_000_000, .. }));
    says(&error, &["4000000 MiB", "echo 20000", "nr_hugepages", "free"]);
    // Nothing was started: with what is there, it does start.
    eal();
}

#[test]
fn auto_does_without_hugepages_and_says_so() {
    // In normal pages only reserved, not taken.
    let config = EalConfig { hugepages: Hugepages::Auto, memory_mib: 4096, ..config() };
    if PageSizes::now().free_mib() >= 4096 {
        println!("SKIPPED: this machine has 4 GiB of free hugepages, so that they would be used");
        return;
    }
    let eal = Eal::start(&config).unwrap();
    assert!(!eal.uses_hugepages());
    says(&eal.notes()[0], &["no hugepages", "4096 MiB are needed"]);
}

#[test]
fn a_core_that_is_not_there() {
    let error = Eal::start(&EalConfig { main_cores: vec![1000], ..config() }).unwrap_err();
    says(&error, &["core 1000", "open to this process"]);
    let eal = eal();
    says(&Lcore::enter(&eal, Some(1000)).unwrap_err(), &["core 1000", "name one of them"]);
}

#[test]
fn an_argument_that_eal_does_not_know() {
    let error = Eal::start(&EalConfig { extra_args: vec!["--no-such".into()], ..config() }).unwrap_err();
    assert!(matches!(error, EalError::Start { .. }));
    says(&error, &["--no-such", "does not start"]);
    assert!(matches!(Eal::start(&config()), Err(EalError::StartedBefore)), "EAL has no second try");
}

#[test]
fn a_pci_device_that_is_not_there() {
    let devices = vec![spec("0000:fe:1f.7")];
    let error = Eal::start(&EalConfig { devices, ..config() }).unwrap_err();
    says(&error, &["no PCI device 0000:fe:1f.7", "lspci"]);
}

#[test]
fn a_pci_device_that_the_kernel_has() {
    let devices = std::fs::read_dir("/sys/bus/pci/devices").into_iter().flatten().flatten();
    let bound = devices.filter_map(|device| {
        let driver = std::fs::read_link(device.path().join("driver")).ok()?;
        Some((device.file_name().into_string().ok()?, driver.file_name()?.to_str()?.to_owned()))
    });
    let mut kernel =
        bound.filter(|(_, driver)| !["vfio-pci", "mlx5_core", "mlx4_core", "mana"].contains(&&driver[..]));
    let Some((address, driver)) = kernel.next() else {
        println!("SKIPPED: the kernel drives no PCI device on this machine");
        return;
    };
    let devices = vec![spec(&address)];
    let error = Eal::start(&EalConfig { devices, ..config() }).unwrap_err();
    says(&error, &[&address, &driver, &format!("dpdk-devbind.py -b vfio-pci {address}")]);
}

#[test]
fn an_interface_that_is_not_there() {
    let eal = eal();
    for device in ["net_af_packet0,iface=no-such", "net_af_xdp0,iface=no-such", "net_pcap0,iface=no-such"] {
        let error = Device::open(&eal, &spec(device)).unwrap_err();
        assert!(matches!(error, DeviceError::MissingInterface { .. }), "{error}");
        says(&error, &["no interface \"no-such\"", "network namespace"]);
    }
    says(&Device::open(&eal, &spec("net_af_packet0")).unwrap_err(), &["iface", "net_af_packet0,iface=eth1"]);
}

#[test]
fn a_driver_that_is_not_there() {
    let eal = eal();
    let error = Device::open(&eal, &spec("net_nosuch0")).unwrap_err();
    says(&error, &["no driver", "net_nosuch0", "net_af_packet", "net_ring"]);
    says(
        &Device::open(&eal, &spec("lo")).unwrap_err(),
        &["interface of the kernel", "net_af_packet0,iface=lo"],
    );
}

#[test]
fn a_device_whose_driver_refuses_its_arguments() {
    let eal = eal();
    let error = Device::open(&eal, &spec("net_pcap0,rx_pcap=/no/such/file.pcap")).unwrap_err();
    says(&error, &["net_pcap0", "DPDK said", "/no/such/file.pcap"]);
    // It can be tried again.
    let error = Device::open(&eal, &spec("net_pcap0,rx_pcap=/no/such/file.pcap")).unwrap_err();
    assert!(matches!(error, DeviceError::Probe { .. }), "{error}");
}

#[test]
fn a_device_is_open_once() {
    let eal = eal();
    let first = Device::open(&eal, &spec("net_null0")).unwrap();
    let error = Device::open(&eal, &spec("net_null0,size=128")).unwrap_err();
    assert!(matches!(error, DeviceError::OpenAlready { .. }), "{error}");
    drop(first);
    Device::open(&eal, &spec("net_null0")).unwrap();
}

#[test]
fn a_pool_larger_than_the_memory() {
    let eal = eal();
    let error = PacketPool::new(&eal, &PoolConfig { size: 1_000_000, ..PoolConfig::default() }).unwrap_err();
    assert!(matches!(error, PoolError::Memory { .. }), "{error}");
    says(&error, &["1000000 packet buffers", "MiB", "more memory"]);
    let size = |config| matches!(PacketPool::new(&eal, &config), Err(PoolError::Size { .. }));
    assert!(size(PoolConfig { size: 0, ..PoolConfig::default() }));
    assert!(size(PoolConfig { size: 100, cache: 90, ..PoolConfig::default() }));
    assert!(size(PoolConfig { cache: 513, ..PoolConfig::default() }));
    assert!(size(PoolConfig { data_room: u16::MAX, ..PoolConfig::default() }));
}

#[test]
fn a_port_without_queues() {
    let eal = eal();
    let pool = pool(&eal, &PoolConfig { size: 1023, ..PoolConfig::default() });
    let device = Device::open(&eal, &spec("net_null0")).unwrap();
    let error =
        Port::configure(device, &PortConfig { rx_queues: 0, ..PortConfig::default() }, &pool).unwrap_err();
    assert!(matches!(error, PortError::NoQueue { .. }));
    says(&error, &["net_null0", "0 were asked for"]);
}

#[test]
fn what_is_no_device_at_all() {
    for wrong in
        ["", "eth 0", "net_ring0,", "net_ring0,=1", "0000:03:00", "0000:zz:00.1", "03:00.9", "-net", "0"]
    {
        let error = DeviceSpec::parse(wrong).unwrap_err();
        says(&error, &["is not a device", "0000:03:00.1", "net_af_packet0,iface=eth1"]);
    }
}
