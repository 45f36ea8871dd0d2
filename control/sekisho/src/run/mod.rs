//! `sekisho run`: the appliance in the foreground. [`run`] is its table of contents.
//!
//! Threads: workers, one a core, which alone touch packets; the control thread, on which all of this happens; one
//! that writes the flow log; and one for the time in which a policy is compiled. Workers and control meet in
//! `sekisho_worker::shared` and nowhere else.

mod access;
mod asymmetric;
mod blocks;
mod bounds;
mod control;
mod convert;
mod cores;
mod dpdk_io;
mod drops;
mod dry_run;
mod explain;
mod fill;
mod fleet;
mod flow_log;
mod helpers;
mod launch;
mod link;
mod metrics;
mod names;
mod policy;
mod ports;
mod privileges;
mod record;
mod server;
mod sessions;
mod signals;
mod status;
#[cfg(test)]
mod tests;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use sd_notify::NotifyState;
use sekisho_dpdk::{Eal, LargeOnHugePages, cores_open};
use sekisho_engine::SynProxy;
use sekisho_engine::flow::HashSecret;
use sekisho_policy::Appliance;
use tokio::time::{MissedTickBehavior, interval};

use crate::failure::{Failure, Outcome};
use crate::output::counted;
use crate::run::access::Access;
use crate::run::control::{Control, Parts};
use crate::run::cores::Cores;
use crate::run::flow_log::{FlowLog, LogFile};
use crate::run::launch::Dataplane;
use crate::run::policy::{InForce, Keys, Ready, Source};
use crate::run::server::Socket;
use crate::run::signals::{Signal, Signals};
use crate::run::status::About;

/// Session tables and classifiers, which packets read all over, lie on huge pages where the kernel has any.
#[global_allocator]
static ALLOCATOR: LargeOnHugePages = LargeOnHugePages;

/// How often control takes what workers report.
const TICK: Duration = Duration::from_millis(10);
/// How often the secret of SYN cookies changes.
const ROTATE_EVERY: Duration = Duration::from_secs(600);
const _: () = assert!(ROTATE_EVERY.as_secs() >= SynProxy::ROTATION_SECS_MIN);
/// Workers end within this time; the flow log is finished within what is left of a second.
const STOP_WAIT_MAX: Duration = Duration::from_millis(600);
const LOG_WAIT_MAX: Duration = Duration::from_millis(250);

/// Runs the appliance of the file `path` until a signal ends it.
pub(crate) fn run(path: &Path) -> Outcome {
    let appliance = sekisho_policy::appliance::load(path).map_err(wrong)?;
    let keys = Keys::default();
    let ready = policy::prepare(&Source::File(appliance.policy.clone()), 1, &keys, None).map_err(wrong)?;
    let access = Access::of(&appliance)?;
    let mut socket = Socket::bind(&appliance.socket, &access).map_err(anyhow::Error::from)?;
    let metrics = appliance.metrics.map(metrics::bind).transpose()?;
    let sink = open_log(&appliance)?;
    privileges::prepare().context("privileges cannot be given up")?;
    let cores = Cores::choose(&appliance.workers, &cores_open());
    cores.notes().iter().for_each(|note| tracing::warn!("{note}"));
    cores::stay_on(&cores.control).context("the control thread cannot have its cores")?;

    let dataplane = launch::start(&appliance, &cores, &ready.policy)?;
    privileges::settle();
    privileges::settle_environment(&dataplane.eal);
    let log = sink.map(|sink| FlowLog::start(sink, flow_log::QUEUE_RECORDS)).transpose();
    let log = log.context("the flow log cannot be started")?;
    let (control, threads, eal) = take_control(&appliance, &ready, keys, dataplane, &cores, &metrics, log);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the control thread cannot start")?;
    let tasks = tokio::task::LocalSet::new();
    let ended = runtime.block_on(tasks.run_until(async {
        let mut signals = Signals::catch()?;
        tokio::task::spawn_local(server::serve(socket.listener()?, Rc::clone(&control), access));
        if let Some(listener) = metrics {
            tokio::task::spawn_local(metrics::serve(listener, Rc::clone(&control))?);
        }
        if appliance.link_state_propagation {
            tokio::task::spawn_local(link::propagate(Rc::clone(&control)));
        }
        tokio::task::spawn_local(asymmetric::watch(Rc::clone(&control)));
        tokio::task::spawn_local(fill::watch(Rc::clone(&control)));
        tokio::task::spawn_local(rotate_secret(Rc::clone(&control)));
        say_ready(&control, &appliance);
        Ok(work(&control, &threads, &mut signals, &appliance).await)
    }));

    // Whatever ended it, workers stop first, and then everything in reverse.
    drop(sd_notify::notify(&[NotifyState::Stopping]));
    let stopped = stop_workers(&control, threads);
    drop(tasks);
    drop(runtime);
    finish(control);
    drop(socket);
    drop(eal);
    ended.and_then(|ended| ended).and(stopped).map_err(Failure::from)
}

fn wrong(found: sekisho_policy::Diagnostics) -> Failure {
    Failure::Input(found.to_string())
}

fn open_log(appliance: &Appliance) -> anyhow::Result<Option<LogFile>> {
    let Some(file) = &appliance.log_file else { return Ok(None) };
    let opened = LogFile::open(file);
    opened.map(Some).with_context(|| format!("the flow log {} cannot be opened", file.display()))
}

fn take_control(
    appliance: &Appliance,
    ready: &Ready,
    keys: Keys,
    dataplane: Dataplane,
    cores: &Cores,
    metrics: &Option<TcpListener>,
    log: Option<FlowLog>,
) -> (Rc<Control>, Vec<JoinHandle<()>>, Eal) {
    let Dataplane { eal, fleet, ports, threads, hits, zero } = dataplane;
    let now = Timestamp::now();
    let control = Control::new(Parts {
        fleet,
        ports,
        about: About {
            started: now,
            dpdk: Eal::version(),
            hugepages: eal.uses_hugepages(),
            appliance_file: appliance.file.clone(),
            metrics: metrics.as_ref().and_then(|listener| listener.local_addr().ok()),
            log_file: appliance.log_file.clone(),
            cores: cores.workers.clone(),
        },
        in_force: InForce::first(ready, hits, now),
        log,
        keys,
        started: zero,
        policy_directory: directory_of(&appliance.policy),
    });
    (control, threads, eal)
}

/// Where the feed files of a policy file are.
fn directory_of(policy: &Path) -> PathBuf {
    let absolute = std::path::absolute(policy).unwrap_or_else(|_| policy.to_owned());
    absolute.parent().map(Path::to_owned).unwrap_or_default()
}

fn say_ready(control: &Control, appliance: &Appliance) {
    let in_force = control.in_force.borrow();
    let cores = &control.about.cores;
    let rules = counted(in_force.policy.ruleset.rules.len(), "rule");
    tracing::info!(
        "policy {} is in force: generation {}, {rules}",
        in_force.name,
        in_force.policy.generation
    );
    let workers = counted(cores.len(), "worker");
    tracing::info!("{workers} on cores {cores:?}; requests at {}", appliance.socket.display());
    if let Some(address) = control.about.metrics {
        tracing::info!("metrics at http://{address}/metrics");
    }
    tracing::info!("ready");
    drop(sd_notify::notify(&[NotifyState::Ready, NotifyState::Status("forwarding")]));
}

/// The life of the appliance: until a signal ends it, or a worker dies.
async fn work(
    control: &Rc<Control>,
    threads: &[JoinHandle<()>],
    signals: &mut Signals,
    appliance: &Appliance,
) -> anyhow::Result<()> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                while control.take_events() {
                    tokio::task::yield_now().await;
                }
                if let Some(worker) = threads.iter().position(JoinHandle::is_finished) {
                    anyhow::bail!("worker {worker} died: the appliance stops, for half a firewall is none");
                }
            }
            signal = signals.next() => match signal {
                Signal::End(name) => {
                    tracing::info!("{name}: ending");
                    return Ok(());
                }
                Signal::Deploy => {
                    let (control, source) = (Rc::clone(control), Source::File(appliance.policy.clone()));
                    tokio::task::spawn_local(async move { deploy_again(&control, source).await });
                }
                Signal::Reopen => {
                    if let Some(log) = &control.log {
                        log.reopen();
                    }
                }
            },
        }
    }
}

/// Gives SYN cookies, challenges and sequence numbers a new secret now and then: what somebody learns of one is worth
/// little, and not for long.
async fn rotate_secret(control: Rc<Control>) {
    loop {
        tokio::time::sleep(ROTATE_EVERY).await;
        match launch::random() {
            Ok(HashSecret([first, second, ..])) => {
                control.fleet.shared.syn_proxy.rotate(control.engine_now(), [first, second]);
            }
            Err(error) => tracing::warn!("the secret of SYN cookies stays what it was: {error:#}"),
        }
    }
}

/// What SIGHUP asks for: nobody waits for the answer, so that it goes to the log.
async fn deploy_again(control: &Control, source: Source) {
    if let Err(fault) = control.deploy(source).await {
        tracing::error!("{}", fault.message);
        for one in &fault.diagnostics {
            let remedy = one.remedy.as_deref().unwrap_or_default();
            tracing::error!("{}:{}:{}: {}; {remedy}", one.file, one.line, one.column, one.message);
        }
    }
}

/// Stops the workers, and takes what they report until they are gone.
fn stop_workers(control: &Control, threads: Vec<JoinHandle<()>>) -> anyhow::Result<()> {
    control.fleet.stop();
    let until = Instant::now() + STOP_WAIT_MAX;
    while threads.iter().any(|thread| !thread.is_finished()) {
        if Instant::now() >= until {
            anyhow::bail!("a worker does not stop: the process ends without it");
        }
        if !control.take_events() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    while control.take_events() {}
    let died = threads.into_iter().filter_map(|thread| thread.join().err()).count();
    anyhow::ensure!(died == 0, "{died} workers ended by a panic");
    Ok(())
}

/// Finishes the flow log, and gives ports and tables back.
fn finish(control: Rc<Control>) {
    let Some(mut control) = Rc::into_inner(control) else { return };
    if let Some(log) = &mut control.log
        && !log.finish(LOG_WAIT_MAX)
    {
        tracing::warn!("the disk is too slow for the end of the flow log: its last lines are lost");
    }
}
