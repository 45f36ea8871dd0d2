//! Raw frames on a network interface: what a test sends there is on the wire, and what comes from the wire it receives.
//!
//! socat carries them between the interface and a pair of datagram sockets, a datagram a frame.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use crate::process::Running;
use crate::wait;

/// The frames of an interface. Dropping it lets go of the interface.
#[derive(Debug)]
pub struct Wire {
    socket: UnixDatagram,
    _carrier: Running,
    _folder: tempfile::TempDir,
}

impl Wire {
    /// The wire of `interface`, in the network namespace of that name or in this one.
    ///
    /// # Panics
    ///
    /// When there is no such interface.
    #[must_use]
    pub fn on(namespace: Option<&str>, interface: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (own, other) = (folder.path().join("test"), folder.path().join("wire"));
        let socket = UnixDatagram::bind(&own).expect("a socket for frames");
        let between = format!("UNIX-SENDTO:{},bind={}", own.display(), other.display());
        let mut command = match namespace {
            None => Command::new("socat"),
            Some(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name, "socat"]);
                command
            }
        };
        command.args(["-b", "65536", &format!("INTERFACE:{interface}"), &between]);
        let mut carrier = Running::start(&command);
        wait::until(Duration::from_secs(10), "socat carries frames", || {
            assert!(carrier.ended().is_none(), "socat: {}", carrier.output());
            socket.connect(&other).is_ok()
        });
        Self { socket, _carrier: carrier, _folder: folder }
    }

    /// Sends a frame.
    ///
    /// # Panics
    ///
    /// When the carrier is gone.
    pub fn send(&self, frame: &[u8]) {
        self.socket.send(frame).expect("the carrier takes frames");
    }

    /// A frame that comes within `limit`.
    ///
    /// # Panics
    ///
    /// When the carrier is gone.
    #[must_use]
    pub fn receive(&self, limit: Duration) -> Option<Vec<u8>> {
        let mut room = vec![0; 65_536];
        self.socket.set_read_timeout(Some(limit)).expect("a limit that is not zero");
        match self.socket.recv(&mut room) {
            Ok(len) => {
                room.truncate(len);
                Some(room)
            }
            Err(fault)
                if matches!(
                    fault.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted
                ) =>
            {
                None
            }
            Err(fault) => panic!("the carrier: {fault}"),
        }
    }
}
