//! Real servers for the hosts of a lab.

use std::process::Command;

use sekisho_tests::process::{must, text};
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

/// An SSH server, and the key that it lets in.
pub(crate) struct Ssh {
    _process: Running,
    folder: tempfile::TempDir,
}

/// sshd on port 22 of the address, IPv4 or bracketed IPv6. Its keys are its own, and so is all that it needs of this
/// machine's `/run` and accounts: it sees others in their place.
pub(crate) fn ssh(namespace: &Namespace, address: &str) -> Ssh {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().display();
    for key in ["host", "user"] {
        must(
            Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(folder.path().join(key)),
        );
    }
    let public = |key: &str| {
        std::fs::read_to_string(folder.path().join(format!("{key}.pub")))
            .expect("ssh-keygen writes both halves")
    };
    let config = format!(
        "ListenAddress {address}:22\nHostKey {path}/host\nAuthorizedKeysFile {path}/user.pub\nStrictModes no\n\
         UsePAM no\nPermitRootLogin prohibit-password\nPidFile none\nMaxStartups 1000\nLoginGraceTime 60\n"
    );
    // An account that is locked here lets nobody in, with whatever key.
    let script = format!(
        "set -e\nmount -t tmpfs none /run\nmkdir -m 755 /run/sshd\nmount --bind {path}/shadow /etc/shadow\n\
         exec \"$(command -v sshd || echo /usr/sbin/sshd)\" -D -e -f {path}/sshd_config\n"
    );
    let files = [
        ("known", format!("* {}", public("host"))),
        ("shadow", "root:*:19000::::::\n".to_owned()),
        ("sshd_config", config),
        ("start", script),
    ];
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).expect("a file is written");
    }
    let line = format!("unshare --mount sh {path}/start");
    Ssh { _process: namespace.serve(&line, "tcp", 22), folder }
}

impl Ssh {
    /// Logs in from `client` by key, and has a megabyte sent.
    pub(crate) fn is_used_by(&self, client: &Namespace, address: &str) {
        let path = self.folder.path().display();
        let line = format!(
            "ssh -F none -i {path}/user -o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile={path}/known \
             -o ConnectTimeout=30 root@{address} head -c 1048576 /dev/zero"
        );
        let got = client.run(&line);
        let len = got.stdout.len();
        assert!(got.status.success() && len == 1 << 20, "{address}: {len} bytes, {}", text(&got.stderr));
    }
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
