//! The two ports, as control sees them: what they are, their links, the devices' own figures.

use std::cell::Cell;

use sekisho_api as api;
use sekisho_dpdk::{Rss, SymmetricBy};
use sekisho_engine::port::Port;

use crate::run::convert;

/// Both ports, LAN first; none in tests without devices.
#[derive(Debug, Default)]
pub(crate) struct Ports(pub(crate) Vec<ControlledPort>);

/// A port that runs.
#[derive(Debug)]
pub(crate) struct ControlledPort {
    pub(crate) which: Port,
    pub(crate) device: sekisho_dpdk::Port,
    /// How frames reach the worker that owns their session.
    pub(crate) steering: &'static str,
    /// Whether it is held down because the other port's link is down.
    pub(crate) held_down: Cell<bool>,
}

impl ControlledPort {
    pub(crate) fn new(which: Port, device: sekisho_dpdk::Port, workers: u16) -> Self {
        let taken = device.taken();
        let steering = steering(workers, taken.rx_queues, taken.rss);
        Self { which, device, steering, held_down: Cell::new(false) }
    }

    pub(crate) fn status(&self) -> api::PortStatus {
        let taken = self.device.taken();
        let link = self.device.link().ok();
        api::PortStatus {
            port: convert::port_name(self.which),
            device: self.device.device().to_owned(),
            driver: self.device.info().driver.clone(),
            mac: mac_text(self.device.mac()),
            link: link.map(|link| api::Link {
                up: link.up,
                speed_mbps: link.speed_mbps,
                full_duplex: link.full_duplex,
            }),
            held_down: self.held_down.get(),
            mtu: taken.mtu,
            rx_queues: taken.rx_queues,
            tx_queues: taken.tx_queues,
            steering: self.steering.to_owned(),
            notes: taken.notes.iter().map(ToString::to_string).collect(),
        }
    }
}

fn steering(workers: u16, queues: u16, rss: Rss) -> &'static str {
    match (workers, queues, rss) {
        (1, ..) => "one worker",
        (_, 1, _) => "one queue: its worker hands frames over to their owners",
        (_, _, Rss::Symmetric { how: SymmetricBy::Function | SymmetricBy::Key }) => {
            "the device, by a symmetric hash; the rest is handed over"
        }
        (_, _, Rss::Symmetric { how: SymmetricBy::Kernel }) => {
            "the kernel spreads frames; workers hand them over to their owners"
        }
        (_, _, Rss::Asymmetric | Rss::None) => {
            "the device spreads frames; workers hand them over to their owners"
        }
    }
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
