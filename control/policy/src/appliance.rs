//! The appliance file: what needs a restart to change.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::diagnostic::{Diagnostics, Place, Report, quoted};
use crate::keys::appliance::{APPLIANCE, METRICS, SOCKET, metrics};
use crate::load::read_text;
use crate::shape::Shape;
use crate::words::{Hugepages, Poll, Word};
use crate::yaml::{self, Node};

/// An appliance file has a page of text.
const BYTES_MAX: u64 = 1 << 20;

/// An appliance file without faults, defaults filled in, paths relative to the working directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Appliance {
    /// The file, as the user named it.
    pub file: String,
    /// The protected side.
    pub lan: PortConfig,
    /// The world.
    pub wan: PortConfig,
    /// The worker threads.
    pub workers: Workers,
    /// Whether packets and sessions lie in huge pages.
    pub hugepages: Hugepages,
    /// Sessions that the table holds, all workers together.
    pub sessions_capacity: u32,
    /// What each class of sessions may hold of it.
    pub budgets: SessionBudgets,
    /// The policy file.
    pub policy: PathBuf,
    /// The Unix socket by which the appliance is spoken to.
    pub socket: PathBuf,
    /// The group of the system whose members may ask, and change nothing.
    pub read_group: Option<Group>,
    /// The group of the system whose members may change things.
    pub admin_group: Option<Group>,
    /// Where Prometheus finds the metrics, port 0 for any; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// The file that gets the flow log; `None`: no flow log.
    pub log_file: Option<PathBuf>,
    /// Further arguments for DPDK's environment.
    pub eal: Vec<String>,
    /// What a worker does when nothing arrives.
    pub poll: Poll,
    /// Whether a port is taken down while the link of the other is down.
    pub link_state_propagation: bool,
}

/// What each class of sessions may hold, in percent of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SessionBudgets {
    /// Handshakes that are not done, when room is short: 1 to 99.
    pub half_open: u8,
    /// Packets that nobody answered, when room is short: 1 to 99, both together 100 at the most.
    pub one_way: u8,
    /// All others, before no session begins any more: 1 to 100.
    pub established: u8,
    /// Whether the timeouts of the former shorten while the table fills.
    pub adaptive_timeouts: bool,
}

/// A group of the system, and where the file names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub place: Place,
}

/// One port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortConfig {
    /// A PCI address, or a DPDK virtual device with its arguments.
    pub device: String,
    /// The largest payload of a frame; `None`: as the device has it.
    pub mtu: Option<u16>,
    /// Receive queues; `None`: as many as workers, if the device has them.
    pub queues: Option<u16>,
    /// Slots of each receive queue.
    pub rx_descriptors: u16,
    /// Slots of each transmit queue.
    pub tx_descriptors: u16,
    /// Whether the port takes frames for other addresses than its own.
    pub promiscuous: bool,
}

/// The worker threads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Workers {
    /// This many, on cores that the appliance picks.
    Count(u16),
    /// One on each of these cores.
    Cores(Vec<u16>),
}

impl Workers {
    /// How many there are.
    pub fn count(&self) -> usize {
        match self {
            Self::Count(count) => usize::from(*count),
            Self::Cores(cores) => cores.len(),
        }
    }
}

/// Reads and checks the appliance file at `path`. The policy it names is not read.
pub fn load(path: &Path) -> Result<Appliance, Diagnostics> {
    let text = read_text(path, BYTES_MAX)?;
    load_str(&path.display().to_string(), &text, path.parent().unwrap_or(Path::new("")))
}

/// Checks an appliance file given as text. Relative paths in it are looked for in `directory`.
pub fn load_str(name: &str, text: &str, directory: &Path) -> Result<Appliance, Diagnostics> {
    let mut report = Report::new(name);
    let Some(root) = yaml::parse(text, &mut report) else {
        return Err(report.finish());
    };
    Shape::Object(&APPLIANCE).check(&root, "the appliance file", &mut report);
    check_devices(&root, &mut report);
    check_cores(&root, &mut report);
    check_budgets(&root, &mut report);
    refuse_unbuilt(&root, &mut report);
    let appliance = decode(&root, name, directory);
    let (errors, _) = report.into_parts();
    match appliance {
        Some(appliance) if errors.is_empty() => Ok(appliance),
        _ => Err(errors),
    }
}

/// `None` only where the shape was wrong, which has been reported.
fn decode(root: &Node, name: &str, directory: &Path) -> Option<Appliance> {
    let text = |key: &str| root.get(key).and_then(Node::text);
    let ports = root.get("ports")?;
    let workers = match root.get("workers") {
        Some(node) => match node.integer() {
            Some(count) => Workers::Count(u16::try_from(count).ok()?),
            None => Workers::Cores(
                node.items().iter().map(|core| u16::try_from(core.integer()?).ok()).collect::<Option<_>>()?,
            ),
        },
        None => Workers::Count(1),
    };
    let hugepages = root.get("memory").and_then(|node| node.get("hugepages")).and_then(Node::text);
    let capacity = root.get("sessions").and_then(|node| node.get("capacity")).and_then(Node::integer);
    let group = |key: &str| {
        let node = root.get("access")?.get(key)?;
        Some(Group { name: node.text()?.to_owned(), place: node.place })
    };
    let log_file = root.get("logs").and_then(|node| node.get("file")).and_then(Node::text);
    Some(Appliance {
        file: name.to_owned(),
        lan: port(ports.get("lan")?)?,
        wan: port(ports.get("wan")?)?,
        workers,
        hugepages: hugepages.and_then(Hugepages::find).unwrap_or_default(),
        budgets: budgets(root)?,
        read_group: group("read_group"),
        admin_group: group("admin_group"),
        sessions_capacity: capacity.map_or(Some(1_000_000), |capacity| u32::try_from(capacity).ok())?,
        policy: directory.join(text("policy")?),
        socket: directory.join(text("socket").unwrap_or(SOCKET)),
        metrics: metrics(text("metrics").unwrap_or(METRICS)).ok()?,
        log_file: log_file.map(|file| directory.join(file)),
        eal: root.get("eal").map_or(Some(Vec::new()), |node| {
            node.items().iter().map(|item| item.text().map(str::to_owned)).collect()
        })?,
        poll: text("poll").and_then(Poll::find).unwrap_or_default(),
        link_state_propagation: root.get("link_state_propagation").and_then(Node::flag).unwrap_or_default(),
    })
}

fn port(node: &Node) -> Option<PortConfig> {
    let number = |key: &str| node.get(key).and_then(Node::integer).map(u16::try_from).transpose().ok();
    Some(PortConfig {
        device: node.get("device")?.text()?.to_owned(),
        mtu: number("mtu")?,
        queues: number("queues")?,
        rx_descriptors: number("rx_descriptors")?.unwrap_or(1024),
        tx_descriptors: number("tx_descriptors")?.unwrap_or(1024),
        promiscuous: node.get("promiscuous").and_then(Node::flag).unwrap_or(true),
    })
}

/// Both ports cannot be one device: DPDK knows a virtual device by its name before the first comma.
fn check_devices(root: &Node, report: &mut Report) {
    let device = |port: &str| root.get("ports")?.get(port)?.get("device");
    let (Some(lan), Some(wan)) = (device("lan"), device("wan")) else { return };
    let name = |node: &Node| node.text().map(|text| text.split(',').next().unwrap_or(text).to_owned());
    if let (Some(first), Some(second)) = (name(lan), name(wan))
        && first == second
    {
        let message = format!("the ports lan and wan both name the device {}", quoted(&first));
        report.error(wan.place, message, "give each port its own, such as net_af_packet0 and net_af_packet1");
    }
}

fn check_cores(root: &Node, report: &mut Report) {
    let Some(workers) = root.get("workers") else { return };
    let mut seen = Vec::new();
    for item in workers.items() {
        let Some(core) = item.integer() else { continue };
        if seen.contains(&core) {
            let message = format!("workers: the core {core} stands twice");
            report.error(item.place, message, "one worker a core: name another core, or leave it out");
        }
        seen.push(core);
    }
}

/// The budgets; of two classes of which only one has its own the other has the rest.
fn budgets(root: &Node) -> Option<SessionBudgets> {
    let sessions = root.get("sessions");
    let percent = |key: &str| {
        let written = sessions.and_then(|node| node.get(key)).and_then(Node::integer);
        written.map(u8::try_from).transpose().ok()
    };
    let (half_open, one_way) = match (percent("half_open")?, percent("one_way")?) {
        (None, None) => (50, 50),
        (Some(half_open), None) => (half_open, 100_u8.saturating_sub(half_open)),
        (None, Some(one_way)) => (100_u8.saturating_sub(one_way), one_way),
        (Some(half_open), Some(one_way)) => (half_open, one_way),
    };
    let adaptive = sessions.and_then(|node| node.get("adaptive_timeouts")).and_then(Node::flag);
    Some(SessionBudgets {
        half_open,
        one_way,
        established: percent("established")?.unwrap_or(100),
        adaptive_timeouts: adaptive.unwrap_or(true),
    })
}

fn check_budgets(root: &Node, report: &mut Report) {
    let percent =
        |key: &str| Some((root.get("sessions")?.get(key)?.place, root.get("sessions")?.get(key)?.integer()?));
    if let (Some((_, half_open)), Some((place, one_way))) = (percent("half_open"), percent("one_way"))
        && half_open + one_way > 100
    {
        let message = format!("half_open: {half_open} and one_way: {one_way} are more than all of the table");
        report.error(place, message, "let them be 100 together at the most, or leave one of them out");
    }
}

/// Sinks of logs that the language has and nothing writes to yet.
fn refuse_unbuilt(root: &Node, report: &mut Report) {
    for key in ["syslog", "ipfix"] {
        if let Some(node) = root.get("logs").and_then(|logs| logs.get(key)) {
            report.error(
                node.place,
                format!("logs.{key} is not built yet"),
                "write to a file: logs: {file: PATH}",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "version: 1\nports: {lan: {device: a}, wan: {device: b}}\npolicy: p.yaml\n";

    fn read(text: &str) -> Result<Appliance, String> {
        load_str("a.yaml", text, Path::new("/etc/sekisho")).map_err(|faults| faults.to_string())
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let appliance = read(SMALL).unwrap();
        assert_eq!(appliance.workers, Workers::Count(1));
        assert_eq!(appliance.sessions_capacity, 1_000_000);
        assert_eq!(appliance.socket, Path::new("/run/sekisho/sekisho.sock"));
        assert_eq!(appliance.policy, Path::new("/etc/sekisho/p.yaml"));
        assert_eq!(appliance.metrics, Some("127.0.0.1:9469".parse().unwrap()));
        assert_eq!((appliance.poll, appliance.hugepages), (Poll::Busy, Hugepages::Auto));
        assert!(appliance.lan.promiscuous && appliance.log_file.is_none() && appliance.eal.is_empty());
        assert_eq!((appliance.read_group, appliance.admin_group), (None, None));
        let half = SessionBudgets { half_open: 50, one_way: 50, established: 100, adaptive_timeouts: true };
        assert_eq!(appliance.budgets, half);
    }

    #[test]
    fn of_two_budgets_the_one_left_out_is_the_rest() {
        let of = |sessions: &str| read(&format!("{SMALL}sessions: {sessions}\n")).map(|read| read.budgets);
        let percents =
            |sessions: &str| of(sessions).map(|of| (of.half_open, of.one_way, of.established)).unwrap();
        assert_eq!(percents("{half_open: 30}"), (30, 70, 100));
        assert_eq!(percents("{one_way: 99, established: 90}"), (1, 99, 90));
        assert_eq!(percents("{half_open: 10, one_way: 20}"), (10, 20, 100));
        assert!(!of("{adaptive_timeouts: false}").unwrap().adaptive_timeouts);
        let told = of("{half_open: 60, one_way: 50}").unwrap_err();
        assert!(told.contains("a.yaml:4:36: half_open: 60 and one_way: 50 are more than all"), "{told}");
        for wrong in ["{half_open: 0}", "{one_way: 100}", "{established: 101}", "{half_open: 1.5}"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn groups_are_named_with_their_place() {
        let appliance =
            read(&format!("{SMALL}access: {{read_group: monitor, admin_group: net-ops}}\n")).unwrap();
        assert_eq!(appliance.read_group.map(|group| group.name).as_deref(), Some("monitor"));
        let admin = appliance.admin_group.unwrap();
        assert_eq!((admin.name.as_str(), admin.place.line), ("net-ops", 4));
        let told = read(&format!("{SMALL}access: {{read_group: \"a b\"}}\n")).unwrap_err();
        assert!(told.contains("is no name of a group"), "{told}");
        assert!(read(&format!("{SMALL}access: {{}}\n")).is_err());
    }

    #[test]
    fn what_is_said_is_read() {
        let appliance = read(
            "version: 1\nworkers: [2, 3]\npolicy: /p.yaml\nmetrics: off\npoll: adaptive\nsocket: s\n\
             memory: {hugepages: off}\nsessions: {capacity: 64}\nlogs: {file: flows.jsonl}\n\
             eal: [\"-d\", x.so]\nlink_state_propagation: true\n\
             ports:\n  lan: {device: a, mtu: 9000, queues: 2, rx_descriptors: 512, promiscuous: false}\n  wan: {device: b}\n",
        )
        .unwrap();
        assert_eq!(appliance.workers, Workers::Cores(vec![2, 3]));
        assert_eq!(
            (appliance.metrics, appliance.poll, appliance.hugepages),
            (None, Poll::Adaptive, Hugepages::Off)
        );
        assert_eq!(
            (appliance.lan.mtu, appliance.lan.queues, appliance.lan.rx_descriptors),
            (Some(9000), Some(2), 512)
        );
        assert_eq!(appliance.log_file.as_deref(), Some(Path::new("/etc/sekisho/flows.jsonl")));
        assert_eq!(
            (appliance.socket.as_path(), appliance.policy.as_path()),
            (Path::new("/etc/sekisho/s"), Path::new("/p.yaml"))
        );
        assert!(!appliance.lan.promiscuous && appliance.link_state_propagation);
    }

    #[test]
    fn all_faults_at_once() {
        let told = read(
            "version: 2\nports:\n  lan: {device: net_tap0}\n  wan: {device: \"net_tap0,iface=x\", mtu: 20000}\n\
             workers: [1, 1, 5000]\nmetrics: localhost\nlogs: {syslog: local}\npoll: lazy\neal: [1]\nplicy: x\n",
        )
        .unwrap_err();
        for wanted in [
            "a.yaml:1:10: version: 2 is out of range",
            "a.yaml:4:17: the ports lan and wan both name the device \"net_tap0\"",
            "a.yaml:4:42: mtu: 20000 is out of range",
            "a.yaml:5:14: workers: the core 1 stands twice",
            "a.yaml:5:17: workers: 5000 is out of range",
            "a.yaml:6:10: \"localhost\" is no address with a port",
            "a.yaml:7:16: logs.syslog is not built yet",
            "a.yaml:8:7: poll: \"lazy\" is not busy or adaptive",
            "a.yaml:9:7: eal: the number 1 stands here; put it in quotes",
            "a.yaml:10:1: the appliance file has no key \"plicy\"; did you mean \"policy\"?",
            "a.yaml:1:1: the appliance file lacks its \"policy\"",
        ] {
            assert!(told.contains(wanted), "{wanted}\n{told}");
        }
        assert_eq!(told.lines().count(), 11, "{told}");
    }
}
