//! What the kernel knows of interfaces and PCI devices.

use std::ffi::{CStr, CString};
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use crate::errno::Errno;

/// Who drives a PCI device.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DriverBinding {
    /// There is no such device.
    NoDevice,
    /// Nobody.
    None,
    /// VFIO: DPDK's through /dev/vfio.
    Vfio,
    /// Another driver that DPDK works with.
    Usable,
    /// The kernel, for itself.
    Kernel { driver: String, interfaces: Vec<String> },
}

/// Drivers of the kernel under which DPDK works: those that only hand the device over, and those of NVIDIA and
/// Microsoft, which share the device with DPDK.
const USABLE: &[&str] = &["uio_pci_generic", "igb_uio", "mlx4_core", "mlx5_core", "mana"];

pub(crate) fn pci_driver(address: &str) -> DriverBinding {
    pci_driver_under(Path::new("/sys/bus/pci/devices"), address)
}

fn pci_driver_under(devices: &Path, address: &str) -> DriverBinding {
    let device = devices.join(address);
    if !device.exists() {
        return DriverBinding::NoDevice;
    }
    let Ok(link) = fs::read_link(device.join("driver")) else {
        return DriverBinding::None;
    };
    let driver = link.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match driver.as_str() {
        "vfio-pci" => DriverBinding::Vfio,
        name if USABLE.contains(&name) => DriverBinding::Usable,
        _ => DriverBinding::Kernel { driver, interfaces: names_in(&device.join("net")) },
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

pub(crate) fn vfio_allowed() -> Result<(), Errno> {
    let opened = fs::OpenOptions::new().read(true).write(true).open("/dev/vfio/vfio");
    opened.map(|_| ()).map_err(|error| Errno::of(error.raw_os_error().unwrap_or(libc::EACCES)))
}

/// Whether this network namespace has the interface. Not asked of /sys, which shows that of whoever mounted it.
pub(crate) fn interface_exists(name: &str) -> bool {
    let Ok(name) = CString::new(name) else { return false };
    // SAFETY: FFI; a string that ends with a zero.
    unsafe { libc::if_nametoindex(name.as_ptr()) != 0 }
}

pub(crate) fn interface_of(index: u32) -> Option<String> {
    let mut name = [0; libc::IF_NAMESIZE];
    // SAFETY: FFI; a place of the size that the call wants.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr()) };
    if found.is_null() {
        return None;
    }
    // SAFETY: the call ended the name with a zero within the place.
    Some(unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned())
}

/// The interfaces of this network namespace but the loopback, in the kernel's order.
pub(crate) fn interfaces() -> Vec<String> {
    // SAFETY: FFI; returns an array that ends with index 0, or null.
    let all = unsafe { libc::if_nameindex() };
    if all.is_null() {
        return Vec::new();
    }
    let mut names = Vec::new();
    let mut at = all;
    loop {
        // SAFETY: within the array: the loop ends at its last element.
        let entry = unsafe { &*at };
        if entry.if_index == 0 || entry.if_name.is_null() {
            break;
        }
        // SAFETY: the name of an element before the last ends with a zero.
        names.push(unsafe { CStr::from_ptr(entry.if_name) }.to_string_lossy().into_owned());
        // SAFETY: the last element is not reached yet.
        at = unsafe { at.add(1) };
    }
    // SAFETY: FFI; what if_nameindex returned, freed once; the names were copied.
    unsafe { libc::if_freenameindex(all) };
    names.retain(|name| name != "lo");
    names
}

pub(crate) fn raw_socket_allowed() -> Result<(), Errno> {
    socket(libc::AF_PACKET, libc::SOCK_RAW).map(|_| ())
}

fn socket(family: i32, kind: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: FFI; no precondition. Protocol 0: nothing is received on it.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(Errno::last_os());
    }
    // SAFETY: a descriptor just made, which nobody else closes.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An interface of the kernel, by its name in this network namespace.
#[derive(Clone, Debug)]
pub(crate) struct Interface {
    name: String,
}

/// What the kernel says of an interface's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InterfaceLink {
    /// The operator wants it up.
    pub(crate) up: bool,
    /// It is up and has a carrier.
    pub(crate) running: bool,
    pub(crate) speed_mbps: Option<u32>,
    pub(crate) full_duplex: bool,
}

/// The kernel's `struct ethtool_cmd`.
#[repr(C)]
#[derive(Default)]
struct EthtoolCmd {
    cmd: u32,
    supported: u32,
    advertising: u32,
    speed: u16,
    duplex: u8,
    port: u8,
    phy_address: u8,
    transceiver: u8,
    autoneg: u8,
    mdio_support: u8,
    maxtxpkt: u32,
    maxrxpkt: u32,
    speed_hi: u16,
    eth_tp_mdix: u8,
    eth_tp_mdix_ctrl: u8,
    lp_advertising: u32,
    reserved: [u32; 2],
}

const _: () = assert!(size_of::<EthtoolCmd>() == 44);

const ETHTOOL_GSET: u32 = 1;
const DUPLEX_FULL: u8 = 1;

impl Interface {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn link(&self) -> Result<InterfaceLink, Errno> {
        let flags = self.flags()?;
        let has = |flag: i32| i32::from(flags) & flag != 0;
        let ethtool = self.ethtool();
        let speed = ethtool.as_ref().map(|cmd| u32::from(cmd.speed_hi) << 16 | u32::from(cmd.speed));
        Ok(InterfaceLink {
            up: has(libc::IFF_UP),
            running: has(libc::IFF_UP) && has(libc::IFF_RUNNING),
            speed_mbps: speed.filter(|&speed| speed != 0 && speed != u32::MAX && speed != 0xffff),
            full_duplex: ethtool.is_none_or(|cmd| cmd.duplex == DUPLEX_FULL),
        })
    }

    pub(crate) fn set_up(&self, up: bool) -> Result<(), Errno> {
        let mut request = self.request()?;
        let flags = i32::from(self.flags()?);
        let flags = if up { flags | libc::IFF_UP } else { flags & !libc::IFF_UP };
        // The kernel's flags fill 16 bits exactly: their sign means nothing.
        #[expect(clippy::cast_possible_truncation, reason = "read as 16 bits, and only one of them changed")]
        let flags = flags as i16;
        request.ifr_ifru.ifru_flags = flags;
        self.ioctl(libc::SIOCSIFFLAGS, &mut request)
    }

    /// Receives frames for other stations for as long as the returned socket is open: the kernel takes it back when
    /// the process ends, however it ends, which a flag of the interface would outlive.
    pub(crate) fn promiscuous(&self) -> Result<OwnedFd, Errno> {
        let name = CString::new(self.name.as_str()).map_err(|_| Errno::of(libc::ENODEV))?;
        // SAFETY: FFI; a string that ends with a zero.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        let request = libc::packet_mreq {
            mr_ifindex: i32::try_from(index).map_err(|_| Errno::of(libc::ENODEV))?,
            mr_type: u16::try_from(libc::PACKET_MR_PROMISC).map_err(|_| Errno::of(libc::EINVAL))?,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        let socket = socket(libc::AF_PACKET, libc::SOCK_RAW)?;
        let length = libc::socklen_t::try_from(size_of_val(&request)).map_err(|_| Errno::of(libc::EINVAL))?;
        // SAFETY: FFI; an open socket and a request of the length passed.
        let code = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_ADD_MEMBERSHIP,
                (&raw const request).cast(),
                length,
            )
        };
        if code < 0 { Err(Errno::last_os()) } else { Ok(socket) }
    }

    pub(crate) fn mtu(&self) -> Result<u32, Errno> {
        let mut request = self.request()?;
        self.ioctl(libc::SIOCGIFMTU, &mut request)?;
        // SAFETY: the call answered in this member of the union.
        let mtu = unsafe { request.ifr_ifru.ifru_mtu };
        Ok(u32::try_from(mtu).unwrap_or(0))
    }

    fn flags(&self) -> Result<i16, Errno> {
        let mut request = self.request()?;
        self.ioctl(libc::SIOCGIFFLAGS, &mut request)?;
        // SAFETY: the call answered in this member of the union.
        Ok(unsafe { request.ifr_ifru.ifru_flags })
    }

    /// `None` where the driver has no such figures.
    fn ethtool(&self) -> Option<EthtoolCmd> {
        const SIOCETHTOOL: libc::c_ulong = 0x8946;
        let mut cmd = EthtoolCmd { cmd: ETHTOOL_GSET, ..EthtoolCmd::default() };
        let mut request = self.request().ok()?;
        request.ifr_ifru.ifru_data = (&raw mut cmd).cast();
        self.ioctl(SIOCETHTOOL, &mut request).ok()?;
        Some(cmd)
    }

    fn request(&self) -> Result<libc::ifreq, Errno> {
        // SAFETY: all-zero is a valid ifreq.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        if self.name.len() >= request.ifr_name.len() {
            return Err(Errno::of(libc::ENODEV));
        }
        for (to, from) in request.ifr_name.iter_mut().zip(self.name.bytes()) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        Ok(request)
    }

    fn ioctl(&self, call: libc::c_ulong, request: &mut libc::ifreq) -> Result<(), Errno> {
        let socket = socket(libc::AF_INET, libc::SOCK_DGRAM)?;
        // SAFETY: FFI; the calls made here take an ifreq; one whose data is a pointer has it point at a live place.
        let code = unsafe { libc::ioctl(socket.as_raw_fd(), call as _, std::ptr::from_mut(request)) };
        if code < 0 { Err(Errno::last_os()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn bus_with(address: &str, driver: Option<&str>, interface: Option<&str>) -> tempfile::TempDir {
        let bus = tempfile::tempdir().unwrap();
        let device = bus.path().join(address);
        fs::create_dir(&device).unwrap();
        if let Some(driver) = driver {
            symlink(format!("../../../bus/pci/drivers/{driver}"), device.join("driver")).unwrap();
        }
        if let Some(interface) = interface {
            fs::create_dir_all(device.join("net").join(interface)).unwrap();
        }
        bus
    }

    #[test]
    fn the_driver_of_a_pci_device_is_told_apart() {
        let address = "0000:03:00.1";
        let of = |driver, interface| pci_driver_under(bus_with(address, driver, interface).path(), address);
        assert_eq!(of(Some("vfio-pci"), None), DriverBinding::Vfio);
        assert_eq!(of(Some("mlx5_core"), Some("ens1")), DriverBinding::Usable);
        assert_eq!(of(None, None), DriverBinding::None);
        let kernel = DriverBinding::Kernel { driver: "ixgbe".into(), interfaces: vec!["ens1f1".into()] };
        assert_eq!(of(Some("ixgbe"), Some("ens1f1")), kernel);
        let bus = bus_with(address, None, None);
        assert_eq!(pci_driver_under(bus.path(), "0000:04:00.0"), DriverBinding::NoDevice);
    }

    #[test]
    fn the_loopback_is_an_interface_and_has_a_link() {
        assert!(interface_exists("lo"));
        assert!(!interface_exists("no-such-if"));
        assert!(!interfaces().contains(&"lo".to_owned()));
        let lo = Interface::new("lo");
        assert!(lo.mtu().unwrap() >= 1500);
        let link = lo.link().unwrap();
        assert_eq!(link.running, link.up);
        assert_eq!(Interface::new("no-such-if").link().unwrap_err().code(), libc::ENODEV);
    }
}
