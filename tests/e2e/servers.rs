//! Real servers for the hosts of a lab.

use std::process::Command;

use sekisho_tests::repo;
use sekisho_tests::{Namespace, Running};

/// A server, and the folder with what it needs.
pub(crate) struct Server {
    _process: Running,
    _folder: tempfile::TempDir,
}

/// nginx, which serves one megabyte at `/` of the address, IPv4 or bracketed IPv6.
pub(crate) fn http(namespace: &Namespace, address: &str) -> Server {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().display();
    std::fs::write(folder.path().join("index.html"), vec![b'x'; 1 << 20]).expect("a page is written");
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {path}/{kind};"))
        .concat();
    let config = format!(
        "user root; daemon off; master_process off; pid {path}/pid; error_log stderr; events {{}}
         http {{ access_log off; {temporary} server {{ listen {address}:80; root {path}; }} }}"
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, config).expect("a configuration is written");
    let line = format!("nginx -e stderr -c {}", file.display());
    Server { _process: namespace.serve(&line, "tcp", 80), _folder: folder }
}

/// dnsmasq, which knows `www.example` as 203.0.113.80 and has a long text for `long.example`.
pub(crate) fn dns(namespace: &Namespace, address: &str) -> Server {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let long = ["a-text-that-fills-its-record"; 8].join(",");
    let line = format!(
        "dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root --bind-interfaces \
         --listen-address={address} --address=/www.example/203.0.113.80 --txt-record=long.example,{long} \
         --pid-file={}/pid --log-facility=-",
        folder.path().display()
    );
    Server { _process: namespace.serve(&line, "tcp", 53), _folder: folder }
}

/// chronyd as a server of time. It does not touch the clock of this machine.
pub(crate) fn ntp(namespace: &Namespace) -> Server {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = format!("local stratum 1\nallow all\ncmdport 0\npidfile {}/pid\n", folder.path().display());
    let file = folder.path().join("chrony.conf");
    std::fs::write(&file, config).expect("a configuration is written");
    let line = format!("{} -x -d -u root -f {}", chronyd(), file.display());
    Server { _process: namespace.serve(&line, "udp", 123), _folder: folder }
}

/// chronyd: the installed one, or the one that `scripts/install-deps` unpacked.
pub(crate) fn chronyd() -> String {
    let installed = Command::new("chronyd").arg("--version").output();
    if installed.is_ok() {
        return "chronyd".to_owned();
    }
    let unpacked = repo::top().join("target/tools/usr/sbin/chronyd");
    assert!(unpacked.is_file(), "chronyd is missing: scripts/install-deps --tests");
    unpacked.display().to_string()
}
