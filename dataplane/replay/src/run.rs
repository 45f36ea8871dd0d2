//! A replay from its captures to its end.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::num::NonZeroU8;

use sekisho_engine::helper::{Helper, HelperCounts, Refusal, Stop};
use sekisho_engine::policy::Ruleset;
use sekisho_engine::reason::{Kind, Reason};
use sekisho_engine::session::room::Budgets;
use sekisho_engine::time::{Duration, Instant};
use sekisho_engine::{Evidence, HijackSign, Rewrite};
use thiserror::Error;

use crate::capture::{Capture, CaptureError};
use crate::journal::{Arrival, Held, Journal, Lines};
use crate::merge::Merged;
use crate::pcap;
use crate::simulation::{Decision, Happening, START, Simulation, since_start};
use crate::summary::{HelperFigures, RuleHits, Summary};

/// A policy to deploy on the way.
#[derive(Clone, Debug)]
pub struct Deploy {
    /// When, counted from the first frame.
    pub at: Duration,
    /// Its name, as verdict lines give it.
    pub name: String,
    /// The policy.
    pub ruleset: Ruleset,
}

/// Where what happens is written; what nobody asked for is not.
#[derive(Default)]
pub struct Outputs<'w> {
    /// Verdict lines.
    pub verdicts: Option<Box<dyn Write + 'w>>,
    /// Frames that leave by the LAN port.
    pub lan: Option<Box<dyn Write + 'w>>,
    /// Frames that leave by the WAN port.
    pub wan: Option<Box<dyn Write + 'w>>,
}

/// What to replay.
#[derive(Debug)]
pub struct Job<'a> {
    /// The policy at the start.
    pub ruleset: Ruleset,
    /// Frames that arrive on each port, LAN first.
    pub captures: [Option<Capture<'a>>; 2],
    /// Policies to deploy; at one moment in the order given. One that is due after the last frame is not deployed.
    pub deploys: Vec<Deploy>,
    /// How many engines share the work. The result is the same for any number.
    pub workers: NonZeroU8,
    /// How many sessions each engine can hold.
    pub sessions_max: u32,
    /// What each class of sessions may hold when room is short.
    pub budgets: Budgets,
    /// How long before the first frame the appliance started (`inspection.grace`); `None`: long ago.
    pub started: Option<Duration>,
}

impl Job<'_> {
    /// More engines than this are refused: steering knows 128.
    pub const WORKERS_MAX: u8 = 128;
    /// Sessions that an engine holds if nobody says otherwise.
    pub const SESSIONS_MAX: u32 = 1_000_000;
}

/// Why a replay did not come to its end.
#[derive(Debug, Error)]
pub enum Error {
    /// A capture is damaged.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// What happened could not be written down.
    #[error("cannot write what happened")]
    Write(#[from] io::Error),
}

/// Replays `job`. Whatever is written before an error remains.
pub fn run(job: Job<'_>, outputs: Outputs<'_>) -> Result<Summary, Error> {
    let mut deploys = job.deploys;
    deploys.sort_by_key(|deploy| deploy.at);
    let mut replay = Replay {
        simulation: Simulation::new(job.ruleset, job.workers, job.sessions_max, job.started),
        journal: outputs.open()?,
        summary: Summary::default(),
        held: HashMap::new(),
    };
    replay.simulation.set_budgets(job.budgets);
    let mut deploys = deploys.into_iter().peekable();
    let mut merged = Merged::new(job.captures);
    let outcome = loop {
        let (time, port, frame) = match merged.next_frame() {
            Ok(Some(next)) => next,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        if replay.summary.frames == 0 {
            // Time zero is the time stamp of the first frame, at which `time` is zero.
            replay.journal.zero_ns = frame.time_ns;
        }
        while let Some(deploy) = deploys.next_if(|deploy| deploy.at <= time) {
            replay.pass(START + deploy.at)?;
            replay.deploy(deploy)?;
        }
        replay.pass(START + time)?;
        replay.frame(Arrival { index: replay.summary.frames, time, port }, &frame.bytes, frame.wire_len)?;
    };
    replay.simulation.finish();
    replay.write_happened()?;
    replay.journal.flush()?;
    outcome?;
    Ok(replay.finish(merged.went_back()))
}

impl<'w> Outputs<'w> {
    fn open(self) -> io::Result<Journal<'w>> {
        let capture = |out: Option<Box<dyn Write + 'w>>| out.map(pcap::Writer::new).transpose();
        Ok(Journal {
            lines: self.verdicts.map(Lines::new),
            captures: [capture(self.lan)?, capture(self.wan)?],
            zero_ns: 0,
        })
    }
}

/// A replay under way.
struct Replay<'w> {
    simulation: Simulation,
    journal: Journal<'w>,
    summary: Summary,
    /// Frames that wait for what becomes of them, by number: as many as an engine holds at the most.
    held: HashMap<u64, HeldFrame>,
}

/// A frame that is held.
struct HeldFrame {
    arrival: Arrival,
    bytes: Vec<u8>,
    wire_len: usize,
    /// The place of its verdict.
    line: Option<Held>,
}

impl Replay<'_> {
    /// Lets time pass to `until`; timers fire on the way.
    fn pass(&mut self, until: Instant) -> io::Result<()> {
        while self.simulation.step(until) {
            self.write_happened()?;
        }
        Ok(())
    }

    fn deploy(&mut self, deploy: Deploy) -> io::Result<()> {
        self.simulation.deploy(deploy.ruleset);
        self.summary.deploys += 1;
        match &mut self.journal.lines {
            Some(lines) => lines.deployed(since_start(self.simulation.now()), &deploy.name),
            None => Ok(()),
        }
    }

    fn frame(&mut self, arrival: Arrival, bytes: &[u8], wire_len: usize) -> io::Result<()> {
        let decision = self.simulation.inspect(arrival.index, arrival.port, bytes, wire_len);
        self.summary.frames += 1;
        self.summary.duration_ns = arrival.time.as_nanos();
        match decision {
            Some(decision) => {
                let rewrite = self.simulation.rewrite();
                self.settle(arrival, bytes, wire_len, None, decision, rewrite.as_ref())?;
            }
            None => {
                let line = self.journal.lines.as_mut().map(Lines::hold);
                let held = HeldFrame { arrival, bytes: bytes.to_vec(), wire_len, line };
                self.held.insert(arrival.index, held);
            }
        }
        self.write_happened()
    }

    /// It is known what becomes of a frame; `line` is the place of its verdict if that was held.
    fn settle(
        &mut self,
        arrival: Arrival,
        bytes: &[u8],
        wire_len: usize,
        line: Option<Held>,
        decision: Decision,
        rewrite: Option<&Rewrite>,
    ) -> io::Result<()> {
        if decision.is_forward() {
            self.summary.forwarded += 1;
            let now = since_start(self.simulation.now());
            match rewrite {
                None => self.journal.leave(now, arrival.port.other(), bytes, wire_len)?,
                Some(rewrite) => {
                    let mut bytes = bytes.to_vec();
                    rewrite.apply(&mut bytes);
                    self.journal.leave(now, arrival.port.other(), &bytes, wire_len)?;
                }
            }
        } else {
            self.summary.dropped += 1;
        }
        let Some(lines) = &mut self.journal.lines else { return Ok(()) };
        let rule = decision.rule.map(|rule| &*self.simulation.policy().rule(rule).name);
        match line {
            Some(line) => lines.settle(line, arrival, decision, rule),
            None => lines.verdict(arrival, decision, rule),
        }
    }

    fn write_happened(&mut self) -> io::Result<()> {
        let time = since_start(self.simulation.now());
        let happened: Vec<_> = self.simulation.happened().collect();
        for happening in happened {
            match happening {
                Happening::Settled { frame, decision, rewrite } => {
                    if let Some(held) = self.held.remove(&frame) {
                        let HeldFrame { arrival, bytes, wire_len, line } = held;
                        self.settle(arrival, &bytes, wire_len, line, decision, rewrite.as_deref())?;
                    }
                }
                Happening::Ended { session, reason } => {
                    if let Some(lines) = &mut self.journal.lines {
                        lines.ended(time, session, reason)?;
                    }
                }
                Happening::Blocked { source, cause, span } => {
                    self.summary.blocked += 1;
                    if let Some(lines) = &mut self.journal.lines {
                        lines.blocked(time, source, cause, span)?;
                    }
                }
                Happening::Sent(frame) => {
                    self.summary.sent += 1;
                    self.journal.leave(time, frame.port, frame.bytes(), frame.bytes().len())?;
                    if let Some(lines) = &mut self.journal.lines {
                        lines.sent(time, frame.port, frame.reason)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(self, went_back: [u64; 2]) -> Summary {
        let Self { simulation, mut summary, .. } = self;
        let counted = Reason::ALL.iter().map(|reason| (reason.name(), simulation.count(*reason)));
        summary.reasons = counted.filter(|(_, count)| *count > 0).collect();
        summary.suspicious = simulation.suspicious();
        let one_sided = Evidence::ALL.map(|evidence| (evidence.name(), simulation.one_sided(evidence)));
        summary.one_sided = one_sided.into_iter().filter(|(_, count)| *count > 0).collect();
        let hijack = HijackSign::ALL.map(|sign| (sign.name(), simulation.hijack(sign)));
        summary.hijack = hijack.into_iter().filter(|(_, count)| *count > 0).collect();
        summary.sessions_begun = simulation.sessions_begun();
        summary.sessions_live = simulation.sessions_live();
        summary.rules = simulation.hits().into_iter().map(|(rule, hits)| RuleHits { rule, hits }).collect();
        summary.rules.sort_by(|a, b| a.rule.cmp(&b.rule));
        summary.helpers = helpers(&simulation);
        summary.went_back = went_back;
        summary.table_was_full = [Reason::TableFull, Reason::BudgetFull, Reason::EndEvicted]
            .iter()
            .any(|reason| simulation.count(*reason) > 0);
        debug_assert_eq!(
            summary.frames,
            Reason::ALL
                .iter()
                .filter(|reason| matches!(reason.kind(), Kind::Forward | Kind::Drop))
                .map(|reason| simulation.count(*reason))
                .sum::<u64>(),
            "every frame is counted under one reason"
        );
        summary
    }
}

/// The figures of all helpers that had anything to do.
fn helpers(simulation: &Simulation) -> BTreeMap<&'static str, HelperFigures> {
    let open = simulation.expectations().open(simulation.now());
    let figures = |helper: Helper| {
        let sum = |of: &dyn Fn(&HelperCounts) -> u64| simulation.count_of_helper(helper, of);
        let stopped =
            Stop::ALL.iter().map(|cause| (cause.name(), sum(&|counts| counts.stopped(*cause).get())));
        let refused =
            Refusal::ALL.iter().map(|cause| (cause.name(), sum(&|counts| counts.refused(*cause).get())));
        HelperFigures {
            followed: sum(&|counts| counts.followed.get()),
            following: sum(&|counts| counts.following.get()),
            not_followed: stopped.filter(|(_, count)| *count > 0).collect(),
            opened: sum(&|counts| counts.opened.get()),
            used: sum(&|counts| counts.used.get()),
            withdrawn: sum(&|counts| counts.withdrawn.get()),
            expired: simulation.expired(helper),
            open: open[helper.index()],
            refused: refused.filter(|(_, count)| *count > 0).collect(),
        }
    };
    let all = Helper::ALL.into_iter().map(|helper| (helper.name(), figures(helper)));
    all.filter(|(_, figures)| *figures != HelperFigures::default()).collect()
}

impl Journal<'_> {
    fn flush(&mut self) -> io::Result<()> {
        if let Some(lines) = &mut self.lines {
            lines.flush()?;
        }
        self.captures.iter_mut().flatten().try_for_each(pcap::Writer::flush)
    }
}

impl std::fmt::Debug for Outputs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_asked = |out: &Option<_>| out.is_some();
        f.debug_struct("Outputs")
            .field("verdicts", &is_asked(&self.verdicts))
            .field("lan", &is_asked(&self.lan))
            .field("wan", &is_asked(&self.wan))
            .finish()
    }
}
