//! The link of a port: by the driver, or by the kernel where the port sits on one of its interfaces.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use sekisho_dpdk_sys as sys;

use crate::errno::{Errno, check};
use crate::kernel::Interface;

/// State and speed of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The other end is there.
    pub up: bool,
    /// Megabits per second, where known.
    pub speed_mbps: Option<u32>,
    /// Both directions at once.
    pub full_duplex: bool,
}

/// Where to ask for the link, and to switch it.
#[derive(Debug)]
pub(crate) struct Carrier {
    port: u16,
    /// The kernel's interface, for drivers that know no more of the link than that they were started.
    interface: Option<Interface>,
    switched_off: AtomicBool,
    /// Open: the interface receives frames for other stations.
    promiscuous: Option<OwnedFd>,
}

impl Carrier {
    /// Whether a driver leaves link and MTU to the kernel's interface it sits on.
    pub(crate) fn is_the_kernels(driver: &str) -> bool {
        matches!(driver, "net_af_packet" | "net_af_xdp" | "net_pcap")
    }

    pub(crate) fn new(port: u16, driver: &str, interface: Option<Interface>) -> Self {
        let interface = interface.filter(|_| Self::is_the_kernels(driver));
        Self { port, interface, switched_off: AtomicBool::new(false), promiscuous: None }
    }

    /// Brings the kernel's interface up if it is down, and names it then; other drivers do so when they start.
    pub(crate) fn bring_up(&self) -> Result<Option<String>, (String, Errno)> {
        let Some(interface) = &self.interface else { return Ok(None) };
        let name = || interface.name().to_owned();
        if interface.link().map_err(|errno| (name(), errno))?.up {
            return Ok(None);
        }
        interface.set_up(true).map_err(|errno| (name(), errno))?;
        Ok(Some(name()))
    }

    /// Receives frames for other stations, from here on; called on a started port.
    pub(crate) fn promiscuous(&mut self) -> Result<(), Errno> {
        if let Some(interface) = &self.interface {
            self.promiscuous = Some(interface.promiscuous()?);
            return Ok(());
        }
        // SAFETY: FFI; an open port.
        check(unsafe { sys::rte_eth_promiscuous_enable(self.port) }).map(|_| ())
    }

    pub(crate) fn link(&self) -> Result<Link, Errno> {
        if let Some(interface) = &self.interface {
            let link = interface.link()?;
            return Ok(Link { up: link.running, speed_mbps: link.speed_mbps, full_duplex: link.full_duplex });
        }
        let mut link = sys::shim_link::default();
        // SAFETY: FFI; a valid place; the port is open as long as this value.
        check(unsafe { sys::shim_link_get(self.port, &raw mut link) })?;
        let speed_mbps =
            Some(link.speed_mbps).filter(|&speed| link.up != 0 && speed != 0 && speed != u32::MAX);
        Ok(Link { up: link.up != 0, speed_mbps, full_duplex: link.full_duplex != 0 })
    }

    pub(crate) fn set(&self, up: bool) -> Result<(), Errno> {
        if let Some(interface) = &self.interface {
            interface.set_up(up)?;
        } else if up {
            // SAFETY: FFI; a started port.
            check(unsafe { sys::rte_eth_dev_set_link_up(self.port) })?;
        } else {
            // SAFETY: FFI; a started port.
            check(unsafe { sys::rte_eth_dev_set_link_down(self.port) })?;
        }
        self.switched_off.store(!up, Ordering::Relaxed);
        Ok(())
    }

    /// Leaves the link as it was found.
    pub(crate) fn restore(&self) {
        if self.switched_off.load(Ordering::Relaxed) {
            // The interface may be gone: then there is nothing to restore.
            let _ = self.set(true);
        }
    }
}
