//! What happened, written down in order: verdict lines, and captures of what left by each port.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::IpAddr;

use sekisho_engine::port::Port;
use sekisho_engine::protect::blocks::BlockCause;
use sekisho_engine::reason::Reason;
use sekisho_engine::time::Duration;

use crate::pcap;
use crate::simulation::{Decision, SessionNumber};

/// A frame as its verdict line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its number among all frames, from 0.
    pub index: u64,
    /// When it arrived, counted from the first frame.
    pub time: Duration,
    /// Where.
    pub port: Port,
}

/// Stands for a line that has its place but not yet its text.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a line that is never settled holds up all that follow"]
pub struct Held(u64);

/// Verdict lines in the order of their places. A frame's verdict may come later than what happens meanwhile (a fragment
/// awaits the rest): its line is held, and so are those that follow, until it is settled.
pub struct Lines<'w> {
    out: Box<dyn Write + 'w>,
    /// Lines from the first that is held on; `None` is held.
    waiting: VecDeque<Option<String>>,
    /// Lines that were written, which is the number of the first in `waiting`.
    written: u64,
    scratch: String,
}

impl<'w> Lines<'w> {
    /// Lines that go to `out`.
    pub fn new(out: impl Write + 'w) -> Self {
        Self { out: Box::new(out), waiting: VecDeque::new(), written: 0, scratch: String::new() }
    }

    /// The verdict on a frame; `rule` is the name of the rule that decided.
    pub fn verdict(&mut self, arrival: Arrival, decision: Decision, rule: Option<&str>) -> io::Result<()> {
        self.scratch.clear();
        verdict_line(&mut self.scratch, arrival, decision, rule);
        self.push()
    }

    /// Holds the place for the verdict on a frame.
    pub fn hold(&mut self) -> Held {
        self.waiting.push_back(None);
        Held(self.written + self.waiting.len() as u64 - 1)
    }

    /// The verdict on a frame whose place was held.
    pub fn settle(
        &mut self,
        Held(number): Held,
        arrival: Arrival,
        decision: Decision,
        rule: Option<&str>,
    ) -> io::Result<()> {
        let mut line = String::new();
        verdict_line(&mut line, arrival, decision, rule);
        let place = usize::try_from(number - self.written).ok();
        if let Some(held) = place.and_then(|place| self.waiting.get_mut(place)) {
            *held = Some(line);
        }
        while let Some(Some(line)) = self.waiting.front() {
            self.out.write_all(line.as_bytes())?;
            self.waiting.pop_front();
            self.written += 1;
        }
        Ok(())
    }

    /// A frame of the appliance's own left by `port`.
    pub fn sent(&mut self, time: Duration, port: Port, reason: Reason) -> io::Result<()> {
        self.scratch.clear();
        self.scratch.push_str(r#"{"event":"send","time":"#);
        seconds(&mut self.scratch, time);
        let _ = writeln!(self.scratch, r#","port":"{port}","reason":"{reason}"}}"#);
        self.push()
    }

    /// A session ended.
    pub fn ended(&mut self, time: Duration, session: SessionNumber, reason: Reason) -> io::Result<()> {
        self.scratch.clear();
        self.scratch.push_str(r#"{"event":"session-end","time":"#);
        seconds(&mut self.scratch, time);
        let _ = writeln!(self.scratch, r#","session":{session},"reason":"{reason}"}}"#);
        self.push()
    }

    /// A source was put on the block list.
    pub fn blocked(
        &mut self,
        time: Duration,
        source: IpAddr,
        cause: BlockCause,
        span: Duration,
    ) -> io::Result<()> {
        self.scratch.clear();
        self.scratch.push_str(r#"{"event":"block","time":"#);
        seconds(&mut self.scratch, time);
        let _ = write!(self.scratch, r#","source":"{source}","reason":"{}","until":"#, cause.name());
        seconds(&mut self.scratch, Duration::from_nanos(time.as_nanos().saturating_add(span.as_nanos())));
        self.scratch.push_str("}\n");
        self.push()
    }

    /// A policy was deployed.
    pub fn deployed(&mut self, time: Duration, policy: &str) -> io::Result<()> {
        self.scratch.clear();
        self.scratch.push_str(r#"{"event":"deploy","time":"#);
        seconds(&mut self.scratch, time);
        self.scratch.push_str(r#","policy":"#);
        text(&mut self.scratch, policy);
        self.scratch.push_str("}\n");
        self.push()
    }

    /// Writes out what is buffered.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The line in `scratch` has its turn.
    fn push(&mut self) -> io::Result<()> {
        if !self.waiting.is_empty() {
            self.waiting.push_back(Some(self.scratch.clone()));
            return Ok(());
        }
        self.written += 1;
        self.out.write_all(self.scratch.as_bytes())
    }
}

impl std::fmt::Debug for Lines<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines")
            .field("written", &self.written)
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

fn verdict_line(line: &mut String, arrival: Arrival, decision: Decision, rule: Option<&str>) {
    let Arrival { index, time, port } = arrival;
    let verdict = if decision.is_forward() { "forward" } else { "drop" };
    let _ = write!(line, r#"{{"index":{index},"time":"#);
    seconds(line, time);
    let _ = write!(line, r#","port":"{port}","verdict":"{verdict}","reason":"{}""#, decision.reason);
    if let Some(rule) = rule {
        line.push_str(r#","rule":"#);
        text(line, rule);
    }
    if let Some(session) = decision.session {
        let _ = write!(line, r#","session":{session}"#);
    }
    line.push_str("}\n");
}

/// Seconds with nine decimals: exact, unlike a floating point number.
fn seconds(line: &mut String, time: Duration) {
    let (secs, nanos) = (time.as_nanos() / 1_000_000_000, time.as_nanos() % 1_000_000_000);
    let _ = write!(line, "{secs}.{nanos:09}");
}

/// A JSON string.
fn text(line: &mut String, text: &str) {
    line.push_str(&serde_json::Value::from(text).to_string());
}

/// Everything that is written during a replay.
#[derive(Debug, Default)]
pub struct Journal<'w> {
    /// Verdict lines.
    pub lines: Option<Lines<'w>>,
    /// Captures of what leaves by each port, LAN first.
    pub captures: [Option<pcap::Writer<Box<dyn Write + 'w>>>; 2],
    /// The time stamp of the first frame, in nanoseconds since 1970.
    pub zero_ns: u64,
}

impl Journal<'_> {
    /// A frame of `wire_len` bytes, of which `bytes` are there, leaves by `port`.
    pub fn leave(&mut self, time: Duration, port: Port, bytes: &[u8], wire_len: usize) -> io::Result<()> {
        match &mut self.captures[port.index()] {
            Some(capture) => capture.write(self.zero_ns.saturating_add(time.as_nanos()), bytes, wire_len),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(index: u64) -> Arrival {
        Arrival { index, time: Duration::from_nanos(index * 40_000), port: Port::Lan }
    }

    fn decision(reason: Reason) -> Decision {
        Decision { reason, rule: None, session: Some(7) }
    }

    fn written(write: impl FnOnce(&mut Lines<'_>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut Lines::new(&mut out)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_have_the_shape_of_the_contract() {
        let text = written(|lines| {
            lines.verdict(arrival(0), decision(Reason::SessionNew), Some("lan-out"))?;
            let drop = Decision { session: None, ..decision(Reason::TcpNoSession) };
            lines.verdict(Arrival { port: Port::Wan, ..arrival(1) }, drop, None)?;
            lines.sent(Duration::from_nanos(40_000), Port::Wan, Reason::SendReset)?;
            lines.ended(Duration::from_secs(3600), 1, Reason::EndIdle)?;
            lines.deployed(Duration::from_millis(12_500), "b \"2\".yaml")?;
            let source = "198.51.100.7".parse().unwrap();
            lines.blocked(Duration::from_millis(250), source, BlockCause::PortScan, Duration::from_secs(300))
        });
        let expected = [
            r#"{"index":0,"time":0.000000000,"port":"lan","verdict":"forward","reason":"session-new","rule":"lan-out","session":7}"#,
            r#"{"index":1,"time":0.000040000,"port":"wan","verdict":"drop","reason":"tcp-no-session"}"#,
            r#"{"event":"send","time":0.000040000,"port":"wan","reason":"reject-tcp-reset"}"#,
            r#"{"event":"session-end","time":3600.000000000,"session":1,"reason":"idle-timeout"}"#,
            r#"{"event":"deploy","time":12.500000000,"policy":"b \"2\".yaml"}"#,
            r#"{"event":"block","time":0.250000000,"source":"198.51.100.7","reason":"port-scan","until":300.250000000}"#,
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_line_that_is_held_keeps_its_place() {
        let text = written(|lines| {
            lines.verdict(arrival(0), decision(Reason::Session), None)?;
            let first = lines.hold();
            lines.ended(Duration::ZERO, 7, Reason::EndIdle)?;
            let second = lines.hold();
            lines.verdict(arrival(3), decision(Reason::Session), None)?;
            lines.settle(second, arrival(2), decision(Reason::Fragment), None)?;
            assert_eq!(lines.waiting.len(), 4);
            lines.settle(first, arrival(1), decision(Reason::Session), None)?;
            assert_eq!((lines.waiting.len(), lines.written), (0, 5));
            lines.verdict(arrival(4), decision(Reason::Session), None)
        });
        let heads: Vec<_> = text.lines().map(|line| &line[..10]).collect();
        assert_eq!(
            heads,
            [
                r#"{"index":0"#,
                r#"{"index":1"#,
                r#"{"event":""#,
                r#"{"index":2"#,
                r#"{"index":3"#,
                r#"{"index":4"#
            ]
        );
    }
}
