//! Metrics for Prometheus, over HTTP on the address of the appliance file.
//!
//! [`METRICS`] is all there is; `docs/metrics.md` is made from it. Labels have few values, all known beforehand: the
//! rules of the policy in force (up to [`RULES_MAX`]) and the devices' own figures (up to [`FIGURES_MAX`] a port) are
//! the longest.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::{CounterVec, GaugeVec, Opts, Registry, TextEncoder};
use tokio::net::{TcpListener, TcpStream};

use crate::run::bounds::{Places, Rate, count};
use crate::run::control::Control;

mod gather;

/// Rules with a counter of their own; the others share one.
const RULES_MAX: usize = 10_000;
/// Figures of a device's own.
const FIGURES_MAX: usize = 1_000;
/// Scrapers at a time; who only sits there is cut for a newcomer.
const CONNECTIONS_MAX: usize = 64;
/// A scraper sends its request within this time.
const HEADER_WAIT_MAX: Duration = Duration::from_secs(5);
/// And has its answer within this.
const SCRAPE_WAIT_MAX: Duration = Duration::from_secs(20);
/// Bytes of a request.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// Connections that are taken: more wait in the kernel.
const ARRIVALS_PER_SECOND: u32 = 1_000;
const ARRIVALS_BURST: u32 = 128;
/// Pages that are made anew; whoever asks oftener gets the last one again.
const PAGES_PER_SECOND: u32 = 10;
const PAGES_BURST: u32 = 20;

/// Whether a metric found its place on the page.
type Done = prometheus::Result<()>;

/// What kind of value a metric has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A metric.
#[derive(Clone, Copy, Debug)]
struct Metric {
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
}

macro_rules! metrics {
    ($($id:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(const $id: Metric =
            Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)*

        /// Every metric, in the order of the documentation.
        #[cfg(test)]
        const METRICS: &[Metric] = &[$($id),*];
    };
}

metrics! {
    BUILD_INFO = Gauge "sekisho_build_info" ["version", "dpdk"] "1, with the versions of sekisho and of DPDK.";
    START_TIME = Gauge "sekisho_process_start_time_seconds" [] "When the appliance started, in seconds since 1970.";
    POLICY_GENERATION = Gauge "sekisho_policy_generation" [] "The generation of the policy in force: rises with each deploy.";
    POLICY_AGE = Gauge "sekisho_policy_age_seconds" [] "Time since the policy in force was deployed.";
    POLICY_RULES = Gauge "sekisho_policy_rules" [] "Rules of the policy in force.";
    PORT_PACKETS = Counter "sekisho_port_packets_total" ["port", "direction"] "Frames that workers received from a port, or that a port took for sending.";
    PORT_BYTES = Counter "sekisho_port_bytes_total" ["port", "direction"] "Bytes of those frames, without FCS.";
    FORWARDED = Counter "sekisho_forwarded_packets_total" ["reason"] "Frames forwarded, by reason.";
    DROPPED = Counter "sekisho_dropped_packets_total" ["reason"] "Frames dropped, by reason.";
    SUSPICIOUS = Counter "sekisho_suspicious_packets_total" ["port"] "Frames that only `log` in the policy kept from being dropped, by port of arrival.";
    OWN_FRAMES = Counter "sekisho_own_frames_total" ["reason"] "Frames of the appliance's own, by reason.";
    OWN_FRAMES_LOST = Counter "sekisho_own_frames_lost_total" ["worker"] "Frames of the appliance's own that were not sent for want of room.";
    RULE_HITS = Counter "sekisho_rule_hits_total" ["rule"] "Packets that a rule of the policy in force decided; kept over deploys by name. Rules past the first 10000 share `(others)`.";
    RULE_CUT_IDLE = Counter "sekisho_rule_sessions_cut_idle_total" ["rule"] "Sessions of a rule that were cut because they were idle.";
    RULE_SPOKE_AGAIN = Counter "sekisho_rule_packets_after_cut_total" ["rule"] "Packets of sessions of a rule that had been cut before: if these are many, its timeout is too short.";
    ONE_SIDED = Counter "sekisho_one_sided_packets_total" ["evidence"] "What gave away that only one direction of TCP comes through (asymmetric routing), by its kind; `sekisho asymmetric` lists the prefixes.";
    ASYMMETRIC_PREFIXES = Gauge "sekisho_asymmetric_prefixes" [] "Prefixes with a hundred such packets or more.";
    HIJACK = Counter "sekisho_hijack_signs_total" ["sign"] "What gave away that a TCP session was hijacked: acknowledgements of what was never sent, and ACK storms.";
    GRACE = Gauge "sekisho_grace_remaining_seconds" [] "Time for which sessions are still picked up in midstream because the appliance started lately (`inspection.grace`).";
    SESSIONS = Gauge "sekisho_sessions" ["protocol", "state"] "Live sessions.";
    SESSIONS_OPENED = Counter "sekisho_sessions_opened_total" [] "Sessions opened.";
    SESSIONS_ENDED = Counter "sekisho_sessions_ended_total" ["reason"] "Sessions ended, by reason.";
    HELPER_SESSIONS = Gauge "sekisho_helper_sessions" ["helper"] "Control sessions that a helper follows.";
    HELPER_FOLLOWED = Counter "sekisho_helper_sessions_followed_total" ["helper"] "Control sessions that a helper began to follow.";
    HELPER_NOT_FOLLOWED = Counter "sekisho_helper_sessions_not_followed_total" ["helper", "cause"] "Control sessions that a helper did not follow, or not to their end, by cause: they open nothing.";
    EXPECTATIONS = Gauge "sekisho_expectations" ["helper"] "Connections that control sessions have announced and that have not come yet.";
    EXPECTATIONS_OPENED = Counter "sekisho_expectations_opened_total" ["helper"] "Connections that control sessions have announced.";
    EXPECTATIONS_USED = Counter "sekisho_expectations_used_total" ["helper"] "Announced connections that came.";
    EXPECTATIONS_EXPIRED = Counter "sekisho_expectations_expired_total" ["helper"] "Announced connections that did not come in time.";
    EXPECTATIONS_WITHDRAWN = Counter "sekisho_expectations_withdrawn_total" ["helper"] "Announced connections that had not come when their control session ended.";
    EXPECTATIONS_REFUSED = Counter "sekisho_expectations_refused_total" ["helper", "cause"] "Announcements that opened nothing, by cause.";
    TABLE_ALARM = Gauge "sekisho_session_table_alarm_ratio" [] "The highest mark that all tables together have passed and not left by 0.05: 0.6, 0.8 or 0.95; 0 where there is none.";
    TABLE_ALARMS = Counter "sekisho_session_table_alarms_total" [] "How often that rose.";
    TABLE_SESSIONS = Gauge "sekisho_session_table_sessions" ["class"] "Live sessions by the class that has a budget: half-open, one-way, established.";
    PROXY_HANDSHAKES = Gauge "sekisho_syn_proxy_handshakes" [] "Handshakes with servers that the appliance makes for clients which have answered a SYN cookie; at most 16384.";
    FLOODED = Gauge "sekisho_syn_flooded_destinations" [] "Destinations whose new connections are answered with SYN cookies because they are flooded (`syn_proxy: auto`); those for which the table has no place count as one.";
    TRUSTED = Gauge "sekisho_syn_verified_sources" [] "Sources that have shown that they are real and are trusted for a while (`syn_proxy: verify`); at most 65536.";
    BLOCKED = Gauge "sekisho_blocked_sources" ["cause"] "Sources on the block list, by cause; `sekisho blocks` lists them.";
    BLOCKS = Counter "sekisho_blocks_total" ["cause"] "How often a source was put on the block list, by cause.";
    BLOCKS_EVICTED = Counter "sekisho_blocks_evicted_total" [] "Sources that left the block list before their time, because others needed the place.";
    SCANS_FORGED = Counter "sekisho_scan_packets_forged_total" [] "Refused packets that did not count as a port scan, because somebody forges a source whose sessions live.";
    SCANS_MISSED = Counter "sekisho_scan_packets_missed_total" [] "Refused packets that did not count as a port scan, because another worker was taking note of one at the same moment.";
    TABLE_CAPACITY = Gauge "sekisho_session_table_capacity" ["worker"] "Sessions that a worker's table can hold.";
    TABLE_FILL = Gauge "sekisho_session_table_fill_ratio" ["worker"] "How full a worker's table is, 0 to 1.";
    DATAGRAMS = Gauge "sekisho_fragment_datagrams" ["worker"] "Datagrams of which not all fragments have come, those of which nothing passes among them; at most 1024 a worker.";
    FRAGMENTS_HELD = Gauge "sekisho_fragments_held" ["worker"] "Fragments that wait for the rest of their datagram; at most 2048 a worker.";
    FRAGMENT_BYTES = Gauge "sekisho_fragments_held_bytes" ["worker"] "Bytes of the frames of fragments that wait, without FCS.";
    WORKER_SECONDS = Counter "sekisho_worker_seconds_total" ["worker"] "Time that a worker has run, sleep included.";
    WORKER_BUSY_SECONDS = Counter "sekisho_worker_busy_seconds_total" ["worker"] "Time of turns that found frames: divided by the time of all, the busy share.";
    WORKER_TURNS = Counter "sekisho_worker_turns_total" ["worker"] "Turns of a worker's loop.";
    WORKER_BUSY_TURNS = Counter "sekisho_worker_busy_turns_total" ["worker"] "Turns that found frames.";
    WORKER_BURSTS = Counter "sekisho_worker_bursts_total" ["worker"] "Batches of frames that a worker has worked through.";
    WORKER_PACKETS = Counter "sekisho_worker_received_packets_total" ["worker"] "Frames that a worker received from devices.";
    HANDED_OVER = Counter "sekisho_worker_handed_over_packets_total" ["worker"] "Frames that a worker received and handed over to the owner of their session.";
    HANDED_IN = Counter "sekisho_worker_handed_in_packets_total" ["worker"] "Frames that a worker took from others.";
    EVENTS_LOST = Counter "sekisho_events_lost_total" ["worker"] "Starts and ends of sessions and drops that a worker could not report for want of room.";
    CONNECTIONS = Counter "sekisho_management_connections_total" ["door", "outcome"] "Connections to the socket and to the address of the metrics: taken; refused, for they may nothing or were too many; cut, for they were too slow or the oldest of too many.";
    FORBIDDEN = Counter "sekisho_management_requests_forbidden_total" [] "Requests over the socket that were refused because whoever sent them may not.";
    LOG_LINES = Counter "sekisho_flow_log_lines_total" [] "Lines of the flow log written.";
    LOG_LINES_LOST = Counter "sekisho_flow_log_lines_lost_total" [] "Lines of the flow log lost because the disk was slow, full or broken.";
    LINK_UP = Gauge "sekisho_link_up" ["port"] "1 if the port has a link, else 0.";
    LINK_SPEED = Gauge "sekisho_link_speed_bytes_per_second" ["port"] "Speed of the link, where known.";
    LINK_HELD_DOWN = Gauge "sekisho_link_held_down" ["port"] "1 if the port is held down because the other one has no link, else 0.";
    DEVICE_PACKETS = Counter "sekisho_device_packets_total" ["port", "direction"] "Frames by the device's own count.";
    DEVICE_BYTES = Counter "sekisho_device_bytes_total" ["port", "direction"] "Bytes by the device's own count.";
    DEVICE_ERRORS = Counter "sekisho_device_errors_total" ["port", "direction"] "Frames that arrived broken, or that the device could not send.";
    DEVICE_MISSED = Counter "sekisho_device_missed_packets_total" ["port"] "Frames that the device lost because no worker fetched them in time.";
    DEVICE_NO_BUFFER = Counter "sekisho_device_no_buffer_total" ["port"] "Frames that the device lost because there was no buffer for them.";
    DEVICE_FIGURE = Gauge "sekisho_device_statistic" ["port", "name"] "The device's own figures, by the names that its driver gives them.";
}

/// A page of metrics in the making.
struct Page {
    registry: Registry,
}

impl Page {
    /// Adds a metric with all its samples: values of its labels, and the value.
    fn add<'l, L: AsRef<[&'l str]>>(
        &self,
        metric: &Metric,
        samples: impl IntoIterator<Item = (L, f64)>,
    ) -> Done {
        let opts = Opts::new(metric.name, metric.help);
        match metric.kind {
            Kind::Counter => {
                let counters = CounterVec::new(opts, metric.labels)?;
                for (labels, value) in samples {
                    counters.get_metric_with_label_values(labels.as_ref())?.inc_by(value);
                }
                self.registry.register(Box::new(counters))
            }
            Kind::Gauge => {
                let gauges = GaugeVec::new(opts, metric.labels)?;
                for (labels, value) in samples {
                    gauges.get_metric_with_label_values(labels.as_ref())?.set(value);
                }
                self.registry.register(Box::new(gauges))
            }
        }
    }

    /// Adds a metric without labels.
    fn one(&self, metric: &Metric, value: f64) -> Done {
        self.add(metric, [([], value)])
    }
}

/// Takes the address, so that a port that is taken is found out before anything else is started.
pub(crate) fn bind(address: SocketAddr) -> anyhow::Result<StdListener> {
    let bound = StdListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.with_context(|| {
        format!("metrics cannot be served on {address} (metrics: in the appliance file, off for none)")
    })
}

/// Serves `GET /metrics` for as long as the task lives, a connection for each request.
pub(crate) fn serve(listener: StdListener, control: Rc<Control>) -> io::Result<impl Future<Output = ()>> {
    let listener = TcpListener::from_std(listener)?;
    let desk = Rc::new(Desk {
        control,
        arrivals: Rate::new(ARRIVALS_PER_SECOND, ARRIVALS_BURST),
        pages: Rate::new(PAGES_PER_SECOND, PAGES_BURST),
        last: RefCell::default(),
        places: Places::new(CONNECTIONS_MAX),
    });
    Ok(async move {
        loop {
            desk.arrivals.take().await;
            match listener.accept().await {
                Ok((stream, _)) => Rc::clone(&desk).take(stream),
                Err(error) => {
                    tracing::warn!("the address of the metrics cannot take a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    })
}

/// What stands between the address and the page.
struct Desk {
    control: Rc<Control>,
    arrivals: Rate,
    /// Pages that are made anew.
    pages: Rate,
    /// The last that was.
    last: RefCell<Bytes>,
    places: Places,
}

impl Desk {
    /// Takes a connection, once there is a place for it.
    fn take(self: Rc<Self>, stream: TcpStream) {
        tokio::task::spawn_local(async move {
            let counts = &self.control.doors.metrics;
            let Some(seat) = self.places.seat().await else { return count(&counts.refused) };
            count(&counts.taken);
            let service = service_fn(|request| {
                let response = self.respond(&request);
                seat.end();
                async { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_WAIT_MAX)
                .max_buf_size(HEADER_BYTES_MAX)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            let served = tokio::time::timeout(SCRAPE_WAIT_MAX, connection);
            tokio::select! {
                ended = served => match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) if !error.is_timeout() => tracing::debug!("a scrape broke off: {error}"),
                    Ok(Err(_)) | Err(_) => count(&counts.cut),
                },
                () = seat.cut() => count(&counts.cut),
            }
        });
    }

    fn respond(&self, request: &hyper::Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, text) = match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/metrics") => match self.page() {
                Ok(text) => (StatusCode::OK, text),
                Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n").into()),
            },
            (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, Bytes::from_static(b"only GET\n")),
            _ => (StatusCode::NOT_FOUND, Bytes::from_static(b"metrics are at /metrics\n")),
        };
        let mut response = Response::new(Full::new(text));
        *response.status_mut() = status;
        let plain = HeaderValue::from_static(prometheus::TEXT_FORMAT);
        response.headers_mut().insert(CONTENT_TYPE, plain);
        response
    }

    /// The page as it is now, or as it was a moment ago for whoever asks too often.
    fn page(&self) -> prometheus::Result<Bytes> {
        if self.pages.try_take() || self.last.borrow().is_empty() {
            *self.last.borrow_mut() = text(&self.control)?.into();
        }
        Ok(self.last.borrow().clone())
    }
}

/// The page, as Prometheus reads it.
fn text(control: &Control) -> prometheus::Result<String> {
    let page = Page { registry: Registry::new() };
    gather::all(&page, control)?;
    TextEncoder::new().encode_to_string(&page.registry.gather())
}

#[cfg(test)]
#[path = "metrics/tests.rs"]
mod tests;
