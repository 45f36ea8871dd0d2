//! Devices by name: what the operator wrote, whether the host has it, and how it is opened.

use std::ffi::{CStr, CString};
use std::fmt;
use std::str::FromStr;

use sekisho_dpdk_sys as sys;

use crate::eal::Eal;
use crate::errno::{Errno, check};
use crate::kernel::{self, DriverBinding};
use crate::log::{Listener, Said};
use crate::pool::HEADROOM;

/// A device as DPDK names it: a PCI address, or a virtual device with its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeviceSpec {
    pci: bool,
    name: String,
    /// `key=value` or a bare word, in the order given.
    args: Vec<String>,
}

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The text names no device.
    #[error(
        "{text:?} is not a device: {why}. Write a PCI address such as 0000:03:00.1, or a virtual device such as \
         net_af_packet0,iface=eth1"
    )]
    Syntax {
        /// What was written.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No such PCI device.
    #[error("there is no PCI device {address}: `lspci -D` lists those there are")]
    MissingPci {
        /// Its address.
        address: String,
    },
    /// The kernel has the device.
    #[error(
        "the PCI device {address} is bound to the kernel's driver {driver}{}: give it to DPDK with \
         `dpdk-devbind.py -b vfio-pci {address}` (its interface disappears from the kernel)",
        interfaces_text(.interfaces)
    )]
    KernelDriver {
        /// Its address.
        address: String,
        /// The kernel's driver.
        driver: String,
        /// The interfaces that the kernel has made of it.
        interfaces: Vec<String>,
    },
    /// Nobody has the device.
    #[error(
        "the PCI device {address} is bound to no driver: give it to DPDK with `modprobe vfio-pci` and \
         `dpdk-devbind.py -b vfio-pci {address}`"
    )]
    NoDriver {
        /// Its address.
        address: String,
    },
    /// A permission is missing.
    #[error("{device} needs {what}, which this process may not have: {remedy}")]
    Permission {
        /// The device.
        device: String,
        /// What was refused.
        what: &'static str,
        /// How to get it.
        remedy: &'static str,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// The interface that a virtual device is to use does not exist.
    #[error("{device}: there is no interface {interface:?} in this network namespace: {}", interfaces_known(.known))]
    MissingInterface {
        /// The device.
        device: String,
        /// The interface.
        interface: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// An argument that the driver cannot do without.
    #[error("{device} needs the argument {argument}: write {example}")]
    MissingArgument {
        /// The device.
        device: String,
        /// The argument.
        argument: &'static str,
        /// A whole device with it.
        example: String,
    },
    /// No driver answers to the name.
    #[error("no driver of DPDK answers to {device:?}: {}", drivers_text(.device, .known))]
    UnknownDriver {
        /// The device.
        device: String,
        /// The drivers for virtual network devices that are installed.
        known: Vec<String>,
    },
    /// The device is open already.
    #[error("the device {device} is open already: two ports cannot share one")]
    OpenAlready {
        /// The device.
        device: String,
    },
    /// The driver refused the device.
    #[error("the device {device} cannot be opened. {said}")]
    Probe {
        /// The device.
        device: String,
        /// The last lines of DPDK's log.
        said: Said,
        /// The driver's error number.
        #[source]
        source: Errno,
    },
    /// The driver took the device and made no network port of it.
    #[error("the device {device} has no network port: it is of another kind. {said}")]
    NoPort {
        /// The device.
        device: String,
        /// The last lines of DPDK's log.
        said: Said,
    },
}

fn interfaces_text(interfaces: &[String]) -> String {
    if interfaces.is_empty() { String::new() } else { format!(" (interface {})", interfaces.join(", ")) }
}

fn interfaces_known(known: &[String]) -> String {
    if known.is_empty() { "there are none".to_owned() } else { format!("there are {}", known.join(", ")) }
}

fn drivers_text(device: &str, known: &[String]) -> String {
    if kernel::interface_exists(device) {
        return format!("it is an interface of the kernel: write net_af_packet0,iface={device}");
    }
    if known.is_empty() {
        return "no drivers are installed: on Debian, apt-get install dpdk".to_owned();
    }
    format!("the drivers installed for virtual devices are {}; a number follows the name", known.join(", "))
}

impl DeviceSpec {
    /// Reads what an operator wrote.
    pub fn parse(text: &str) -> Result<Self, DeviceError> {
        let wrong = |why| Err(DeviceError::Syntax { text: text.to_owned(), why });
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '"') {
            return wrong("it holds a space, a quote or a control character");
        }
        let mut parts = text.split(',').map(str::to_owned);
        let name = parts.next().unwrap_or_default();
        let args: Vec<String> = parts.collect();
        if name.is_empty() {
            return wrong("it is empty");
        }
        if args.iter().any(|arg| arg.is_empty() || arg.starts_with('=')) {
            return wrong("an argument between the commas is empty");
        }
        if let Some(name) = pci_address(&name) {
            return Ok(Self { pci: true, name, args });
        }
        if name.contains(':') {
            return wrong("a PCI address is domain:bus:device.function in hexadecimal digits");
        }
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || name.len() > 63 {
            return wrong("a virtual device's name begins with its driver's and has 63 characters at most");
        }
        Ok(Self { pci: false, name, args })
    }

    /// Whether it is a PCI device.
    pub fn is_pci(&self) -> bool {
        self.pci
    }

    /// The name without the arguments.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of an argument; empty for a bare word.
    pub fn arg(&self, key: &str) -> Option<&str> {
        self.args.iter().find_map(|arg| match arg.split_once('=') {
            Some((name, value)) => (name == key).then_some(value),
            None => (arg == key).then_some(""),
        })
    }

    /// Adds `key=value` unless the operator gave the argument.
    #[must_use]
    pub fn with_default(mut self, key: &str, value: impl fmt::Display) -> Self {
        if self.arg(key).is_none() {
            self.args.push(format!("{key}={value}"));
        }
        self
    }

    /// Adds what a virtual device must be told when it is made and a PCI device is told later: the number of its
    /// queues, and the size of the largest frame. What the operator gave stays.
    #[must_use]
    pub fn prepared_for(self, queues: u16, mtu: u16) -> Self {
        match self.driver() {
            "net_af_packet" => {
                let frame = af_packet_frame(mtu);
                let size = self.arg("framesz").and_then(|size| size.parse().ok()).unwrap_or(frame);
                self.with_default("qpairs", queues)
                    .with_default("framesz", frame)
                    .with_default("blocksz", size.max(4096))
            }
            "net_af_xdp" => self.with_default("queue_count", queues),
            "net_virtio_user" => self.with_default("queues", queues),
            _ => self,
        }
    }

    /// The driver's name: that of a virtual device without what sets it apart from others.
    pub fn driver(&self) -> &str {
        const KNOWN: &[&str] = &["net_af_packet", "net_af_xdp", "net_virtio_user", "net_pcap"];
        KNOWN
            .iter()
            .find(|known| !self.pci && self.name.starts_with(*known))
            .map_or_else(|| self.name.trim_end_matches(|c: char| c.is_ascii_digit()), |&known| known)
    }

    /// What can be known of the device before DPDK is asked.
    pub fn check_host(&self) -> Result<(), DeviceError> {
        if self.pci { check_pci(&self.name) } else { self.check_virtual() }
    }

    fn check_virtual(&self) -> Result<(), DeviceError> {
        let device = || self.to_string();
        let driver = self.driver();
        if matches!(driver, "net_af_packet" | "net_af_xdp") && self.arg("iface").is_none_or(str::is_empty) {
            let example = format!("{},iface=eth1", self.name);
            return Err(DeviceError::MissingArgument { device: device(), argument: "iface", example });
        }
        // Other drivers make the interface that they are told.
        if matches!(driver, "net_af_packet" | "net_af_xdp" | "net_pcap") {
            for key in ["iface", "rx_iface", "rx_iface_in", "tx_iface"] {
                let Some(interface) = self.arg(key).filter(|name| !kernel::interface_exists(name)) else {
                    continue;
                };
                let (interface, known) = (interface.to_owned(), kernel::interfaces());
                return Err(DeviceError::MissingInterface { device: device(), interface, known });
            }
        }
        if driver == "net_af_packet" {
            kernel::raw_socket_allowed().map_err(|source| DeviceError::Permission {
                device: device(),
                what: "a raw packet socket",
                remedy: "run as root or with the capability CAP_NET_RAW",
                source,
            })?;
        }
        Ok(())
    }
}

/// The size of a slot of the kernel's packet ring for frames of this MTU: with Ethernet header, two tags, and the
/// ring's own header of 66 bytes at most. A power of two, so that slots fill their blocks.
fn af_packet_frame(mtu: u16) -> u32 {
    (u32::from(mtu) + 14 + 8 + 66).next_power_of_two().max(2048)
}

fn check_pci(address: &str) -> Result<(), DeviceError> {
    let address = address.to_owned();
    match kernel::pci_driver(&address) {
        DriverBinding::NoDevice => Err(DeviceError::MissingPci { address }),
        DriverBinding::None => Err(DeviceError::NoDriver { address }),
        DriverBinding::Kernel { driver, interfaces } => {
            Err(DeviceError::KernelDriver { address, driver, interfaces })
        }
        DriverBinding::Vfio => kernel::vfio_allowed().map_err(|source| DeviceError::Permission {
            device: address,
            what: "access to /dev/vfio/vfio",
            remedy: "load the module vfio-pci, and run as root or give this user the group's file under /dev/vfio",
            source,
        }),
        DriverBinding::Usable => Ok(()),
    }
}

/// The address with its domain, if the text is one.
fn pci_address(text: &str) -> Option<String> {
    let hex = |part: &str, digits: std::ops::RangeInclusive<usize>| {
        digits.contains(&part.len()) && part.chars().all(|c| c.is_ascii_hexdigit())
    };
    let (rest, function) = text.rsplit_once('.')?;
    let mut parts = rest.split(':').collect::<Vec<_>>();
    if parts.len() == 2 {
        parts.insert(0, "0000");
    }
    let [domain, bus, device] = parts[..] else { return None };
    let function_valid = function.len() == 1 && function.chars().all(|c| ('0'..='7').contains(&c));
    let valid = hex(domain, 4..=8) && hex(bus, 2..=2) && hex(device, 2..=2) && function_valid;
    valid.then(|| format!("{domain}:{bus}:{device}.{function}").to_ascii_lowercase())
}

impl FromStr for DeviceSpec {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        Self::parse(text)
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.args.iter().try_for_each(|arg| write!(f, ",{arg}"))
    }
}

/// An open device, not yet configured: says what it has. Closed when dropped.
#[derive(Debug)]
pub struct Device {
    spec: DeviceSpec,
    info: DeviceInfo,
    pub(crate) raw: sys::shim_port_info,
    pub(crate) port: OpenPort,
}

/// What a device has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its driver.
    pub driver: String,
    /// Its memory node.
    pub socket: Option<u32>,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Receive queues it can have.
    pub rx_queues_max: u16,
    /// Transmit queues it can have.
    pub tx_queues_max: u16,
    /// Whether it takes packets longer than one buffer in pieces.
    pub scatter: bool,
    /// Whether it spreads flows over its queues.
    pub rss: bool,
    /// The kernel's interface that it is, or sits on.
    pub interface: Option<String>,
}

/// A port that is to be closed, and the environment it needs until then.
#[derive(Debug)]
pub(crate) struct OpenPort {
    pub(crate) id: u16,
    pub(crate) eal: Eal,
}

impl Device {
    /// Opens a device; the port of exactly this device is found by its name.
    pub fn open(eal: &Eal, spec: &DeviceSpec) -> Result<Self, DeviceError> {
        spec.check_host()?;
        let device = || spec.to_string();
        // A device string without zero bytes: the parser refuses control characters.
        let devargs = CString::new(device()).unwrap_or_default();
        let name = CString::new(spec.name()).unwrap_or_default();
        let listener = Listener::start();
        // SAFETY: FFI; a string that ends with a zero, copied by the callee; EAL is started.
        if unsafe { sys::shim_devargs_known(devargs.as_ptr()) } == 0 {
            return Err(DeviceError::UnknownDriver {
                device: spec.name().to_owned(),
                known: drivers_installed(),
            });
        }
        // A device on EAL's list of allowed ones was found when EAL started; a virtual device must be new.
        let id = match port_of(&name) {
            Some(_) if !spec.is_pci() => return Err(DeviceError::OpenAlready { device: device() }),
            Some(id) => id,
            None => {
                probe(spec, &devargs, &listener)?;
                port_of(&name)
                    .ok_or_else(|| DeviceError::NoPort { device: device(), said: listener.said() })?
            }
        };
        if !register(id) {
            return Err(DeviceError::OpenAlready { device: device() });
        }
        let port = OpenPort { id, eal: eal.clone() };
        let raw = port_info(id).map_err(|source| DeviceError::Probe {
            device: device(),
            said: listener.said(),
            source,
        })?;
        let info = DeviceInfo::of(&raw, spec);
        Ok(Self { spec: spec.clone(), info, raw, port })
    }

    /// As it was named.
    pub fn spec(&self) -> &DeviceSpec {
        &self.spec
    }

    /// What it has.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }
}

/// The bytes that a pool's buffers need for this device, known before it is opened, so that memory can be reckoned.
/// Longer frames take several buffers, except where the driver insists on one.
pub fn data_room(spec: &DeviceSpec) -> u16 {
    const USUAL: u32 = 2048;
    let room = match spec.driver() {
        // A whole slot of the kernel's ring must fit.
        "net_af_packet" => spec.arg("framesz").and_then(|size| size.parse().ok()).unwrap_or(USUAL),
        _ => USUAL,
    };
    let most = u32::from(u16::MAX - HEADROOM);
    u16::try_from(room.clamp(USUAL, most)).unwrap_or(u16::MAX - HEADROOM)
}

fn probe(spec: &DeviceSpec, devargs: &CStr, listener: &Listener) -> Result<(), DeviceError> {
    // SAFETY: FFI; a string that ends with a zero, copied by the callee; EAL is started.
    let known = unsafe { sys::shim_devargs_known(devargs.as_ptr()) } == 1;
    if !known {
        return Err(DeviceError::UnknownDriver {
            device: spec.name().to_owned(),
            known: drivers_installed(),
        });
    }
    // SAFETY: FFI; as above.
    let code = unsafe { sys::rte_dev_probe(devargs.as_ptr()) };
    match check(code) {
        Ok(_) => Ok(()),
        Err(errno) if errno.code() == libc::EEXIST => {
            Err(DeviceError::OpenAlready { device: spec.to_string() })
        }
        Err(source) => Err(DeviceError::Probe { device: spec.to_string(), said: listener.said(), source }),
    }
}

fn port_of(name: &CStr) -> Option<u16> {
    let mut id = 0;
    // SAFETY: FFI; a string that ends with a zero and a valid place; EAL is started.
    let code = unsafe { sys::shim_port_of(name.as_ptr(), &raw mut id) };
    (code == 0).then_some(id)
}

pub(crate) fn port_info(id: u16) -> Result<sys::shim_port_info, Errno> {
    let mut info = sys::shim_port_info::default();
    // SAFETY: FFI; a valid place; an unknown port is an error, not undefined.
    check(unsafe { sys::shim_port_info(id, &raw mut info) })?;
    Ok(info)
}

impl DeviceInfo {
    fn of(raw: &sys::shim_port_info, spec: &DeviceSpec) -> Self {
        // SAFETY: the shim ends the text with a zero within the array.
        let driver = unsafe { CStr::from_ptr(raw.driver.as_ptr()) }.to_string_lossy().into_owned();
        let by_index = (raw.if_index != 0).then(|| kernel::interface_of(raw.if_index)).flatten();
        Self {
            interface: by_index
                .or_else(|| spec.arg("iface").filter(|_| driver != "net_tap").map(str::to_owned)),
            driver,
            socket: u32::try_from(raw.socket).ok(),
            mac: raw.mac,
            rx_queues_max: raw.max_rx_queues,
            tx_queues_max: raw.max_tx_queues,
            scatter: raw.offloads & sys::SHIM_RX_SCATTER != 0,
            rss: raw.has_rss != 0,
        }
    }
}

/// The drivers of virtual network devices among EAL's plugins, by the names of their files.
fn drivers_installed() -> Vec<String> {
    const VIRTUAL: &[&str] =
        &["af_packet", "af_xdp", "memif", "null", "pcap", "ring", "tap", "vhost", "virtio", "bond"];
    let folders = ["/usr/lib", "/usr/local/lib", "/usr/lib64", "/usr/local/lib64"];
    let roots = folders.iter().flat_map(|root| {
        let nested = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
        std::iter::once(root.into()).chain(nested).map(|path: std::path::PathBuf| path.join("dpdk"))
    });
    let plugins = roots.flat_map(|dpdk| std::fs::read_dir(dpdk).into_iter().flatten().flatten());
    let files = plugins.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten().flatten());
    let mut names: Vec<String> = files
        .filter_map(|file| {
            let file = file.file_name();
            let name = file.to_str()?.strip_prefix("librte_net_")?.strip_suffix(".so")?;
            VIRTUAL.contains(&name).then(|| match name {
                "virtio" => "net_virtio_user".to_owned(),
                "bond" => "net_bonding".to_owned(),
                "vhost" => "net_vhost".to_owned(),
                name => format!("net_{name}"),
            })
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Ports that this process has open: a port has one owner.
static OPEN: std::sync::Mutex<Vec<u16>> = std::sync::Mutex::new(Vec::new());

fn register(id: u16) -> bool {
    let mut open = OPEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let new = !open.contains(&id);
    if new {
        open.push(id);
    }
    new
}

impl Drop for OpenPort {
    fn drop(&mut self) {
        // SAFETY: FFI; the port is stopped (its users are gone before this value is), and closed once, because a
        // port has one OpenPort.
        unsafe { sys::shim_port_remove(self.id) };
        OPEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner).retain(|&id| id != self.id);
    }
}
