//! The figures, as a line of JSON in a file once in 100 ms, from a thread of its own.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use sekisho_traffic::Class;
use serde::Serialize;

use crate::complain;
use crate::latency;
use crate::options::Options;
use crate::queue::Queue;
use crate::sys::tsc;

const INTERVAL: Duration = Duration::from_millis(100);

/// Frames of one side by what they belong to.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct ByClass {
    established: u64,
    new: u64,
    hostile: u64,
}

/// Frames by side.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct BySide {
    lan: ByClass,
    wan: ByClass,
}

/// Connections of honest clients.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Honest {
    begun: u64,
    at_once: u64,
    retransmitted: u64,
    failed: u64,
    /// Frames of theirs that found a queue full.
    lost: u64,
}

/// Nanoseconds.
#[derive(Clone, Copy, Debug, Serialize)]
struct Latency {
    count: u64,
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

/// All that is counted, from the start on.
#[derive(Clone, Copy, Debug, Serialize)]
struct Line {
    seconds: f64,
    tsc: u64,
    tsc_hz: u64,
    queues: usize,
    phase: &'static str,
    sessions: u32,
    opened: u64,
    connections: u64,
    retries: u64,
    stray: u64,
    lost: u64,
    no_buffer: u64,
    honest: Honest,
    /// Ticks within the generator, of all queues.
    cycles: u64,
    /// Frames given to the program, by side of entry.
    given: BySide,
    /// Frames that came out of it, by side of exit.
    back: BySide,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ns: Option<Latency>,
}

fn add(to: &mut BySide, table: &[[u64; 3]; 2]) {
    for (to, counts) in [&mut to.lan, &mut to.wan].into_iter().zip(table) {
        to.established += counts[Class::Established.index()];
        to.new += counts[Class::New.index()];
        to.hostile += counts[Class::Hostile.index()];
    }
}

fn latency_of(sum: &Histogram<u64>, ticks_hz: u64) -> Latency {
    let ns = |ticks: u64| ticks as f64 * 1e9 / ticks_hz as f64;
    let at = |quantile| ns(sum.value_at_quantile(quantile));
    Latency { count: sum.len(), p50: at(0.5), p99: at(0.99), p999: at(0.999), max: ns(sum.max()) }
}

fn line(queues: &[Queue], begun: Instant, ticks_hz: u64, sessions: u32) -> Line {
    let mut line = Line {
        seconds: begun.elapsed().as_secs_f64(),
        tsc: tsc(),
        tsc_hz: ticks_hz,
        queues: queues.len(),
        phase: "load",
        sessions,
        opened: 0,
        connections: 0,
        retries: 0,
        stray: 0,
        lost: 0,
        no_buffer: 0,
        honest: Honest::default(),
        cycles: 0,
        given: BySide::default(),
        back: BySide::default(),
        latency_ns: None,
    };
    for queue in queues {
        let figures = queue.published.read();
        let counts = &figures.counts;
        if !figures.loading {
            line.phase = "opening";
        }
        line.opened += counts.opened;
        line.connections += counts.connections;
        line.retries += counts.retries;
        line.stray += counts.stray;
        line.lost += figures.lost;
        line.no_buffer += figures.no_buffer;
        line.cycles += figures.cycles;
        line.honest.begun += counts.honest.begun;
        line.honest.at_once += counts.honest.at_once;
        line.honest.retransmitted += counts.honest.retransmitted;
        line.honest.failed += counts.honest.failed;
        line.honest.lost += counts.honest.lost;
        add(&mut line.given, &counts.given);
        add(&mut line.back, &counts.back);
    }
    line
}

/// Starts the thread, if there is a file to write to.
pub(crate) fn start(queues: &'static [Queue], options: &Options, ticks_hz: u64) {
    let Some(path) = options.stats.clone() else { return };
    let (cpu, sessions, with_latency) = (options.cpu, options.config.sessions, options.latency);
    let file = match File::create(&path) {
        Ok(file) => file,
        Err(error) => {
            complain(&error);
            return;
        }
    };
    let begun = Instant::now();
    let write = move || {
        if let Some(id) = cpu {
            core_affinity::set_for_current(core_affinity::CoreId { id });
        }
        let mut file = BufWriter::new(file);
        let mut sum = latency::empty().filter(|_| with_latency);
        loop {
            let mut line = line(queues, begun, ticks_hz, sessions);
            if let Some(sum) = &mut sum {
                for queue in queues {
                    queue.exchange.collect(sum);
                }
                line.latency_ns = Some(latency_of(sum, ticks_hz));
            }
            let written = serde_json::to_writer(&mut file, &line)
                .map_err(std::io::Error::from)
                .and_then(|()| file.write_all(b"\n"))
                .and_then(|()| file.flush());
            if let Err(error) = written {
                complain(&error);
                return;
            }
            thread::sleep(INTERVAL);
        }
    };
    if let Err(error) = thread::Builder::new().name("traffic-stats".into()).spawn(write) {
        complain(&error);
    }
}
