use super::*;
use crate::run::tests::{Appliance, OPEN, stray};
use sekisho_engine::time::{Duration, Instant};

fn one(port: Port, net: u8, packets: u64, age_secs: u64) -> Seen {
    let prefix = OneSidedPrefix {
        port,
        address: [192, 0, net, 0].into(),
        len: 24,
        counts: [packets, 0, 0, 0],
        last: Instant::ZERO,
    };
    Seen { prefix, age: Duration::from_secs(age_secs) }
}

#[test]
fn what_workers_saw_of_a_prefix_is_one_entry() {
    let all = vec![
        one(Port::Wan, 1, 5, 9),
        one(Port::Lan, 1, 2, 1),
        one(Port::Wan, 1, 7, 3),
        one(Port::Wan, 2, 9, 0),
    ];
    let merged: Vec<_> = merged(all)
        .iter()
        .map(|one| (one.prefix.port, one.prefix.address.to_string(), one.prefix.total(), one.age))
        .collect();
    assert_eq!(
        merged,
        [
            (Port::Wan, "192.0.1.0".into(), 12, Duration::from_secs(3)),
            (Port::Wan, "192.0.2.0".into(), 9, Duration::ZERO),
            (Port::Lan, "192.0.1.0".into(), 2, Duration::from_secs(1)),
        ]
    );
}

#[test]
fn the_log_tells_each_once_and_only_a_few_at_a_time() {
    let mut told = HashSet::new();
    let seen: Vec<_> = (0..8).map(|net| one(Port::Wan, net, 100 + u64::from(net), 0)).collect();
    let mut some = seen.clone();
    some.push(one(Port::Wan, 99, 99, 0));
    assert_eq!(new_ones(&some, &mut told).len(), TOLD_AT_A_TIME);
    assert_eq!(new_ones(&some, &mut told).len(), 8 - TOLD_AT_A_TIME);
    assert_eq!(new_ones(&some, &mut told).len(), 0, "told already, or too few packets");
    told.extend((0..2000u32).map(|net| (Port::Lan, std::net::Ipv4Addr::from_bits(net).into())));
    assert_eq!(new_ones(&[one(Port::Wan, 200, 1000, 0)], &mut told).len(), 0, "enough is enough");
}

#[tokio::test]
async fn prefixes_are_listed_with_their_evidence() {
    let appliance = Appliance::start(OPEN, 2, vec![stray(), stray()], None);
    appliance.until(|control| sum(control, Evidence::Midstream) == 2).await;
    let listed = list(&appliance.control).await.unwrap();
    let [one] = &listed.prefixes[..] else { panic!("{listed:?}") };
    assert_eq!(
        (one.prefix.to_string().as_str(), one.from, one.packets),
        ("10.0.0.0/24", api::PortName::Lan, 2)
    );
    let of = |evidence: &[api::EvidenceCount]| {
        evidence.iter().map(|one| (one.evidence.clone(), one.count)).collect::<Vec<_>>()
    };
    let expected = [0, 2, 0, 0];
    let named: Vec<_> = Evidence::ALL.iter().map(|kind| kind.name().to_owned()).zip(expected).collect();
    assert_eq!((of(&one.evidence), of(&listed.evidence)), (named.clone(), named));
}
