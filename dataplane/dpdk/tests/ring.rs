//! The environment, ports and queues on virtual devices: no NIC, no hugepages, no root. Each test is a process of its
//! own under nextest; DPDK starts once per process.

mod support;

use sekisho_dpdk::{Burst, Eal, EalError, PoolConfig, PortConfig};
use support::{eal, open, pool};

#[test]
fn the_environment_starts_once() {
    let eal = eal();
    assert!(!eal.uses_hugepages());
    assert!(matches!(Eal::start(&support::config()), Err(EalError::StartedBefore)));
    drop(eal);
    assert!(
        matches!(Eal::start(&support::config()), Err(EalError::StartedBefore)),
        "not after its end either"
    );
}

#[test]
fn packets_come_back_from_a_ring_whole_and_every_buffer_returns() {
    let eal = eal();
    let pool = pool(&eal, &PoolConfig { size: 1023, cache: 0, ..PoolConfig::default() });
    let mut started = open(&eal, "net_ring0", &PortConfig::default(), &pool);
    let (mut rx, mut tx) = (started.rx.remove(0), started.tx.remove(0));
    let (mut out, mut back) = (Burst::new(&eal), Burst::new(&eal));
    for round in 0..100u8 {
        for number in 0..32u8 {
            assert!(out.push_frame(&pool, &[round ^ number; 60]));
        }
        assert_eq!(tx.send(&mut out), 32);
        assert!(out.is_empty());
        assert_eq!(pool.in_use(), 32);
        assert_eq!(rx.receive(&mut back), 32);
        for number in 0..32u8 {
            assert_eq!(back.data(usize::from(number)), [round ^ number; 60]);
        }
        back.clear();
        assert_eq!(pool.in_use(), 0, "round {round}");
    }
    let stats = started.port.stats().unwrap();
    assert_eq!((stats.rx_packets, stats.tx_packets), (3200, 3200));
}
