//! The life of the agent: collect when due, spool, deliver, and stop when told to. One thread drives it;
//! probes run beside it.

use std::fs::File;
use std::future::Future;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tenken_shared::collected::Collected as Honest;
use tenken_shared::fact::agent::AgentObserved;
use tenken_shared::fact::backups::Backups;
use tenken_shared::fact::hardware::Hardware;
use tenken_shared::fact::identity::Identity as MachineNames;
use tenken_shared::fact::{FactContent, FactKind, FactRecord};
use tenken_shared::report::Event;

use tokio::sync::mpsc;

use crate::config::Settings;
use crate::delivery::{Delivery, DeliveryError, Step, tls_trust};
use crate::disk::DiskError;
use crate::key::{About, Identity, KeyError};
use crate::paths::Paths;
use crate::probe::removable_devices::keep;
use crate::probe::runner::Runner;
use crate::probe::{Collection, ProbeConfig, backups, registry};
use crate::report::{Collected, Moment as ReportMoment, ReportError, events_for_one_report};
use crate::schedule::{Moment, Round, Schedule};
use crate::sys::Sys;
use crate::transport::backoff::random;
use crate::watch::Watch;

/// Longest time between two looks at the clock: a machine that slept notices within this.
const LONGEST_NAP: Duration = Duration::from_secs(60);
/// Events kept while nothing can be spooled; beyond it the oldest give way and are counted.
const MAX_QUEUED_EVENTS: usize = 4096;

/// Why the agent ends other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No credential.
    #[error(
        "this machine is not enrolled; run `tenken-agent enrol TOKEN` with a token from the administrator"
    )]
    NotEnrolled,
    /// Another agent runs over the same data folder.
    #[error("another tenken-agent runs over {0}")]
    Running(String),
    /// The data folder.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The credential.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Delivery.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    /// The runtime.
    #[error("cannot start: {0}")]
    Runtime(#[from] std::io::Error),
    /// A probe thread ended without an answer.
    #[error("the probe runner ended unexpectedly: {0}")]
    Runner(String),
    /// One delivery was asked for and did not happen.
    #[error("nothing was delivered: {0}")]
    NotDelivered(String),
    /// Retired or revoked.
    #[error("the collector has retired or revoked this host; enrol it anew if it is to report again")]
    Stopped,
}

/// Runs the agent until `shutdown` completes.
pub async fn run(settings: Settings, sys: Sys, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
    let mut shutdown = std::pin::pin!(shutdown);
    if !crate::pending::redeem(&settings, &sys, &mut shutdown).await? {
        return Ok(());
    }
    let mut agent = Agent::start(settings, sys)?;
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            done = agent.turn() => done?,
        }
    }
    agent.delivery.show();
    tracing::info!("The agent stops.");
    Ok(())
}

/// Collects once and delivers everything that waits; an error where that is not possible now.
pub async fn run_once(settings: Settings, sys: Sys) -> Result<(), RunError> {
    let mut agent = Agent::start(settings, sys)?;
    agent.round(&Round::Full).await?;
    loop {
        match agent.delivery.step().await? {
            Step::Idle => return Ok(()),
            Step::Next => {}
            Step::ReportNeeded => agent.spool_report(),
            Step::Stopped => return Err(RunError::Stopped),
            Step::Wait(_) => {
                let error = agent.delivery.status.last_error.as_ref();
                let text = error.map_or_else(String::new, |e| format!("{}: {}", e.code, e.detail));
                return Err(RunError::NotDelivered(text));
            }
        }
    }
}

/// Arrivals and removals of media, where the system tells of them. Ends with the runtime, or with the
/// receiver.
fn watch_media(sys: &Sys, enabled: bool) -> mpsc::Receiver<Event> {
    let (send, receive) = mpsc::channel(256);
    #[cfg(any(target_os = "linux", windows))]
    if enabled && sys.is_live() {
        let sys = sys.clone();
        tokio::spawn(keep::keep(send, random, move |tell| {
            let sys = sys.clone();
            Box::pin(async move { crate::probe::removable_devices::watch::watch(&sys, tell).await })
        }));
    }
    #[cfg(not(any(target_os = "linux", windows)))]
    let _ = (sys, enabled, send);
    receive
}

/// Takes the data folder for this process; freed when the file is dropped or the process ends.
pub fn take_lock(paths: &Paths) -> Result<File, RunError> {
    let path = paths.lock();
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(&path).map_err(DiskError::on("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(RunError::Running(paths.data().to_string_lossy().into_owned()))
        }
        Err(std::fs::TryLockError::Error(e)) => Err(DiskError::on("lock", &path)(e).into()),
    }
}

struct Agent {
    settings: Settings,
    runner: Option<Runner>,
    sys: Sys,
    collected: Collected,
    delivery: Delivery,
    schedule: Schedule,
    watch: Watch,
    media: mpsc::Receiver<Event>,
    /// How media are watched, once it is known.
    media_watch: Option<String>,
    media_watched_since: Option<Timestamp>,
    events: Vec<Event>,
    started_at: Timestamp,
    /// When delivery may be tried again.
    not_before: Option<tokio::time::Instant>,
    /// Set while the disk takes no report: since when.
    disk_full_since: Option<Timestamp>,
    /// Nothing was done since memory was last given back.
    rested: bool,
    _lock: File,
}

impl Agent {
    fn start(settings: Settings, sys: Sys) -> Result<Self, RunError> {
        let paths = Paths::create(settings.data_dir())?;
        let lock = take_lock(&paths)?;
        let identity = Identity::load(&paths)?.ok_or(RunError::NotEnrolled)?;
        let mut delivery = Delivery::open(&settings, &paths, identity)?;
        let started_at = sys.now();
        delivery.status.pid = Some(std::process::id());
        delivery.status.started_at = Some(started_at);
        let spread = Duration::from_secs(settings.start_spread_s);
        let delay = spread.mul_f64(f64::from(random()) / f64::from(u32::MAX));
        let watch = Watch::start(registry::ALL, sys.family(), settings.watch && sys.is_live());
        let media = watch_media(&sys, settings.watch);
        tracing::info!(
            host.id = %delivery.identity.membership.host,
            collector = %delivery.identity.membership.urls.join(", "),
            "The agent starts."
        );
        let mut agent = Self {
            runner: Some(Runner::new(sys.clone(), Some(paths.probe_state()))),
            settings,
            sys,
            collected: Collected::default(),
            delivery,
            schedule: Schedule::starting(Moment::now(), delay),
            watch,
            media,
            media_watch: None,
            media_watched_since: None,
            events: vec![],
            started_at,
            not_before: None,
            disk_full_since: None,
            rested: false,
            _lock: lock,
        };
        agent.event("agent.started", serde_json::json!({"version": env!("CARGO_PKG_VERSION")}));
        agent.delivery.show();
        Ok(agent)
    }

    fn event(&mut self, kind: &str, data: serde_json::Value) {
        self.events.push(Event { at: self.sys.now().as_millisecond(), kind: kind.to_owned(), data });
    }

    /// One thing to do, or one wait. May be dropped at any await: what is half done is done again.
    async fn turn(&mut self) -> Result<(), RunError> {
        let now = Moment::now();
        if self.delivery.status.stopped.is_some() {
            tokio::time::sleep(LONGEST_NAP).await;
            return Ok(());
        }
        if let Some(round) = self.schedule.due(now) {
            return self.round(&round).await;
        }
        if self.not_before.is_none_or(|at| at <= tokio::time::Instant::now()) && !self.collected.is_empty() {
            self.not_before = None;
            let policy = self.delivery.policy.version;
            let step = self.delivery.step().await;
            if self.delivery.policy.version != policy {
                // What is collected may depend on it: all of it again, under the new policy.
                self.schedule.bring_forward(FactKind::ALL.iter().copied());
            }
            match step {
                Ok(Step::Next) => {
                    self.rested = false;
                    return Ok(());
                }
                Ok(Step::ReportNeeded) => {
                    self.spool_report();
                    if self.disk_full_since.is_some() {
                        self.not_before = Some(tokio::time::Instant::now() + LONGEST_NAP);
                    }
                    return Ok(());
                }
                Ok(Step::Wait(pause)) => self.not_before = Some(tokio::time::Instant::now() + pause),
                Ok(Step::Idle | Step::Stopped) => {}
                Err(error) => self.disk_failed(&error),
            }
        }
        let nap = self.schedule.wait(now).min(LONGEST_NAP);
        let until = tokio::time::Instant::now() + nap;
        let until = self.not_before.map_or(until, |at| at.min(until));
        self.rest();
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            kinds = self.watch.changed() => self.schedule.bring_forward(kinds),
            Some(event) = self.media.recv() => self.media_event(event),
        }
        Ok(())
    }

    /// Before a wait that follows work: what only the work needed goes back to the system.
    fn rest(&mut self) {
        if !std::mem::replace(&mut self.rested, true) {
            #[cfg(target_os = "linux")]
            crate::sys::memory::give_back();
        }
    }

    /// A medium came or went: the event itself is reported, with the state read anew.
    fn media_event(&mut self, event: Event) {
        self.media_watched_since = keep::watched_since(&event, self.media_watched_since);
        if event.kind == keep::WATCHED {
            self.media_watch = event.data["how"].as_str().map(str::to_owned);
            return self.schedule.bring_forward([FactKind::Agent]);
        }
        self.events.push(event);
        self.schedule.bring_forward([
            FactKind::RemovableDevices,
            FactKind::RemovableObserved,
            FactKind::Volumes,
        ]);
    }

    /// A disk that fails or is full must not end the agent: it may be mended, and other work goes on.
    fn disk_failed(&mut self, error: &DeliveryError) {
        let known = self.delivery.status.last_error.as_ref().is_some_and(|e| e.code == "data_folder");
        if !known {
            tracing::error!(%error, "The data folder cannot be written; delivery is tried again.");
        }
        self.delivery.status.problem("data_folder", error);
        self.delivery.show();
        self.not_before = Some(tokio::time::Instant::now() + LONGEST_NAP);
    }

    async fn round(&mut self, round: &Round) -> Result<(), RunError> {
        let Some(mut runner) = self.runner.take() else {
            return Err(RunError::Runner("no runner".into()));
        };
        let config = ProbeConfig { policy: self.delivery.policy.policy.clone(), ..ProbeConfig::default() };
        let only = match round {
            Round::Full => None,
            Round::Only(kinds) => Some(kinds.clone()),
        };
        let round_at = self.sys.now();
        let task = tokio::task::spawn_blocking(move || {
            let given = runner.run(&config, only.as_deref());
            (runner, given)
        });
        let (runner, given) = task.await.map_err(|e| RunError::Runner(e.to_string()))?;
        self.rested = false;
        self.runner = Some(runner);
        self.take(given, round_at);
        let policy = self.delivery.policy.policy.collection.clone();
        self.schedule.done(round, Moment::now(), &policy, self.settings.interval_s, random());
        self.watch_backups();
        let next = SignedDuration::try_from(self.schedule.until_full(Moment::now())).unwrap_or_default();
        self.delivery.status.last_round_at = Some(Timestamp::now());
        self.delivery.status.next_round_at = Timestamp::now().checked_add(next).ok();
        // A round that was brought forward and found nothing new needs no report of its own.
        let due = *round == Round::Full
            || !self.events.is_empty()
            || self.collected.differs(Some(&self.delivery.spool.tail().facts));
        if due {
            self.spool_report();
        }
        Ok(())
    }

    /// Watches where backups go to, as the last round and the policy know it.
    fn watch_backups(&mut self) {
        let found = self.collected.record(FactKind::Backups).map(|record| record.typed::<Backups>());
        let found = found.as_ref().and_then(Honest::value);
        let places = backups::places(found, &self.delivery.policy.policy.backup);
        self.watch.refresh(places, backups::KINDS);
    }

    fn take(&mut self, given: Vec<Collection>, round_at: Timestamp) {
        let trust = tls_trust(&self.settings);
        let mut records: Vec<FactRecord> = given
            .into_iter()
            .map(|collection| match collection.kind {
                FactKind::Agent => {
                    let record = with_field(collection.record, "tls_trust", Some(trust));
                    with_field(record, "media_watch", self.media_watch.as_deref())
                }
                _ => collection.record,
            })
            .collect();
        records.push(self.observed(round_at));
        self.collected.take(records, round_at);
        self.delivery.about = about(&self.collected, &self.sys);
    }

    fn observed(&self, at: Timestamp) -> FactRecord {
        let body = AgentObserved {
            started_at: Some(self.started_at),
            spool_reports: self.delivery.spool.len() as u64,
            spool_bytes: self.delivery.spool.bytes(),
            dropped_reports: self.delivery.spool.dropped_total(),
            clock_offset_ms: self.delivery.status.clock_offset_ms,
            media_watched_since: self.media_watched_since,
            resident_bytes: self.sys.is_live().then(|| resident_bytes(&self.sys)).flatten(),
        };
        Collection::of(Honest::Known(body), "tenken-agent", at).record
    }

    /// Makes a report of what is known now and puts it into the spool. Where the disk takes none, the
    /// state is in the next report anyway and the events wait in memory for it.
    fn spool_report(&mut self) {
        match self.try_spool() {
            Ok(taken) => {
                self.events.drain(..taken);
                self.disk_full_since = None;
                self.delivery.resync = None;
            }
            Err(error) => self.not_spooled(&error),
        }
        self.delivery.show();
    }

    fn try_spool(&mut self) -> Result<usize, SpoolFailure> {
        if let Some(since) = self.disk_full_since {
            let known = self.events.iter().any(|e| e.kind == "spool.disk_failed");
            if !known {
                self.event("spool.disk_failed", serde_json::json!({"since": since.as_millisecond()}));
            }
        }
        let mut taken = events_for_one_report(&self.events, 0);
        let place = match self.delivery.resync.clone() {
            Some(resync) => self.delivery.spool.place_resync(resync, taken),
            None => self.delivery.spool.place(taken, 4096),
        };
        taken = taken.min(events_for_one_report(&self.events, place.carried.len()));
        let moment = ReportMoment {
            now: self.sys.now(),
            observed_interval_s: self.delivery.policy.policy.collection.observed_interval_s,
            shrink: self.delivery.shrink,
        };
        let key = &self.delivery.identity.key;
        let (manifest, entry) = self.collected.report(&place, &self.events[..taken], moment, key)?;
        self.delivery.spool.append(&place, &manifest, &entry)?;
        tracing::debug!(report.seq = manifest.seq, changed = manifest.changed.len(), "Report spooled.");
        Ok(taken)
    }

    /// Delivery goes on: what waits makes room once it is accepted.
    fn not_spooled(&mut self, error: &SpoolFailure) {
        let code = if error.is_full() { "disk_full" } else { "spool_failed" };
        if self.disk_full_since.is_none() {
            tracing::error!(%error, code, "A report could not be kept on disk; the next round brings the newest state.");
            self.disk_full_since = Some(self.sys.now());
        }
        self.delivery.status.problem(code, error);
        let excess = self.events.len().saturating_sub(MAX_QUEUED_EVENTS);
        if excess > 0 {
            self.events.drain(..excess);
            self.event("events.dropped", serde_json::json!({"count": excess}));
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum SpoolFailure {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl SpoolFailure {
    fn is_full(&self) -> bool {
        matches!(self, Self::Disk(error) if error.is_full())
    }
}

/// A record whose body says one thing more, where there is something to say.
fn with_field(record: FactRecord, name: &str, value: Option<&str>) -> FactRecord {
    let mut content: FactContent = record.content.clone();
    let body = content.body.as_mut().and_then(serde_json::Value::as_object_mut);
    let (Some(body), Some(value)) = (body, value) else { return record };
    body.insert(name.to_owned(), value.into());
    FactRecord::from_content(content, record.collected_at).unwrap_or(record)
}

/// What key requests say of the machine.
#[must_use]
pub fn about(collected: &Collected, sys: &Sys) -> About {
    let names = collected.record(FactKind::Identity).map(|r| r.typed::<MachineNames>());
    let hardware = collected.record(FactKind::Hardware).map(|r| r.typed::<Hardware>());
    About {
        hostname: names.as_ref().and_then(Honest::value).and_then(|n| n.hostname.clone()),
        print: collected.print(),
        os_family: Some(sys.family().as_str().to_owned()),
        serial: hardware.as_ref().and_then(Honest::value).and_then(|h| h.serial.clone()),
    }
}

/// Resident memory of this process; `None` where the system does not say.
fn resident_bytes(sys: &Sys) -> Option<u64> {
    let text = sys.read_text("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}
