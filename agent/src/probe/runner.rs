//! Runs probes: each on its own thread under a time limit, panics caught, every kind answered.
//!
//! A probe that does not come back in time is answered `timed_out`. Its thread cannot be killed, so it
//! is remembered: until it ends, the probe is not started again and its kinds stay `timed_out`, reason
//! `still_running`. The probe `agent` runs last, because its body lists how the others went.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tenken_shared::collected::{Reason, Status};
use tenken_shared::fact::FactKind;
use tenken_shared::fact::agent::ProbeState;

use super::{Collection, Probe, ProbeConfig, registry};
use crate::sys::{Sys, Trace};

pub mod memo;

use memo::Memo;

/// Longest a probe may take before its kinds are `timed_out`.
pub const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Runs the probes of one machine, again and again.
#[derive(Debug)]
pub struct Runner {
    sys: Sys,
    probes: Vec<&'static Probe>,
    limit: Duration,
    memo: Memo,
    state_dir: Option<PathBuf>,
    states: BTreeMap<FactKind, ProbeState>,
    running: BTreeMap<&'static str, Arc<AtomicBool>>,
}

impl Runner {
    /// A runner of every registered probe. With `state_dir`, what was collected is kept there, and an
    /// unchanged machine is not read again by the next process either; without, in memory only.
    #[must_use]
    pub fn new(sys: Sys, state_dir: Option<PathBuf>) -> Self {
        let memo = Memo::open(state_dir.clone(), &sys);
        Self { state_dir, ..Self::with_probes(sys, memo, registry::ALL.to_vec(), TIME_LIMIT) }
    }

    /// A runner beside the service: it reads everything anew, but shares in the service's folder what probes
    /// remember, so that a hung search is not started a second time. `None` where there is no such folder.
    #[must_use]
    pub fn beside(sys: Sys, folder: Option<PathBuf>) -> Self {
        let state_dir = folder.filter(|folder| sys.is_live() && std::fs::read_dir(folder).is_ok());
        Self { state_dir, ..Self::new(sys, None) }
    }

    fn with_probes(sys: Sys, memo: Memo, probes: Vec<&'static Probe>, limit: Duration) -> Self {
        Self { sys, probes, limit, memo, state_dir: None, states: BTreeMap::new(), running: BTreeMap::new() }
    }

    /// The machine being read.
    #[must_use]
    pub fn sys(&self) -> &Sys {
        &self.sys
    }

    /// Runs every probe that gives one of the kinds in `only` (`None`: all) and gives exactly one answer
    /// per kind, in the order of [`FactKind::ALL`]. Blocks; takes at most the time limit per probe.
    pub fn run(&mut self, config: &ProbeConfig, only: Option<&[FactKind]>) -> Vec<Collection> {
        let wanted = |kind: FactKind| only.is_none_or(|only| only.contains(&kind));
        self.sys.begin_round();
        let mut out: BTreeMap<FactKind, Collection> = BTreeMap::new();
        let (last, first): (Vec<_>, Vec<_>) =
            self.probes.clone().into_iter().partition(|p| p.kinds.contains(&FactKind::Agent));
        for probe in first.into_iter().chain(last) {
            if !probe.kinds.iter().copied().any(wanted) {
                continue;
            }
            let config = ProbeConfig {
                states: self.states.values().cloned().collect(),
                state_dir: self.state_dir.clone(),
                ..config.clone()
            };
            for collection in self.run_one(probe, config) {
                self.states.insert(collection.kind, state_of(&collection));
                if wanted(collection.kind) {
                    out.insert(collection.kind, collection);
                }
            }
        }
        self.memo.save();
        out.into_values().collect()
    }

    /// One probe: from the memo where every input is unchanged, else for real.
    fn run_one(&mut self, probe: &'static Probe, config: ProbeConfig) -> Vec<Collection> {
        let at = self.sys.now();
        let disabled: BTreeSet<&str> = config.policy.collection.disabled.iter().map(String::as_str).collect();
        if probe.kinds.iter().all(|kind| disabled.contains(kind.as_str())) {
            return probe.kinds.iter().map(|kind| disabled_by_policy(*kind, at)).collect();
        }
        let key = Memo::key(probe, &config);
        let mut given = match self.memo.recall(&key, &self.sys, at) {
            Some(given) => given,
            None => self.run_for_real(probe, config.clone(), key, at),
        };
        for collection in &mut given {
            if disabled.contains(collection.kind.as_str()) {
                *collection = disabled_by_policy(collection.kind, at);
            }
        }
        given
    }

    fn run_for_real(
        &mut self,
        probe: &'static Probe,
        config: ProbeConfig,
        key: Option<memo::Key>,
        at: Timestamp,
    ) -> Vec<Collection> {
        let started = Instant::now();
        let (outcome, trace) = self.call(probe, config);
        let given = match outcome {
            Ok(given) => complete(probe, given, at),
            Err((status, reason)) => probe
                .kinds
                .iter()
                .map(|kind| Collection::gap(*kind, status, reason.clone(), probe.name, at))
                .collect(),
        };
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(probe = probe.name, duration_ms, "Probe ran.");
        if let Some(key) = key {
            self.memo.keep(key, trace, &given);
        }
        given
    }

    /// Runs `collect` on its own thread and waits at most the time limit.
    fn call(&mut self, probe: &'static Probe, config: ProbeConfig) -> (Outcome, Option<Trace>) {
        if self.running.get(probe.name).is_some_and(|running| running.load(Ordering::Acquire)) {
            return (Err((Status::TimedOut, Reason::new("still_running"))), None);
        }
        let running = Arc::new(AtomicBool::new(true));
        self.running.insert(probe.name, Arc::clone(&running));
        let (sys, recorder) = self.sys.traced();
        let (send, receive) = sync_channel(1);
        let thread = std::thread::Builder::new().name(format!("probe-{}", probe.name)).spawn(move || {
            // What a panicking probe touched is dropped with it: nothing outlives the closure.
            let outcome = catch_unwind(AssertUnwindSafe(|| (probe.collect)(&sys, &config)));
            let _ = send.send(outcome);
            running.store(false, Ordering::Release);
        });
        if let Err(error) = thread {
            self.running.remove(probe.name);
            return (Err((Status::Failed, Reason::with("no_thread", error.kind()))), None);
        }
        match receive.recv_timeout(self.limit) {
            Ok(Ok(given)) => {
                // The answer is here; the thread only has its flag left to clear.
                self.running.remove(probe.name);
                (Ok(given), recorder.finish())
            }
            Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => {
                self.running.remove(probe.name);
                tracing::error!(probe = probe.name, "Probe panicked.");
                (Err((Status::Failed, Reason::new("panicked"))), None)
            }
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!(probe = probe.name, "Probe did not come back in time.");
                (Err((Status::TimedOut, Reason::new("time_limit"))), None)
            }
        }
    }
}

type Outcome = Result<Vec<Collection>, (Status, Reason)>;

/// Exactly one answer per kind of the probe: kinds it left out are `failed`, `not_given`.
fn complete(probe: &Probe, given: Vec<Collection>, at: Timestamp) -> Vec<Collection> {
    let mut by_kind: BTreeMap<FactKind, Collection> = BTreeMap::new();
    for collection in given {
        if probe.kinds.contains(&collection.kind) {
            by_kind.entry(collection.kind).or_insert(collection);
        } else {
            tracing::error!(probe = probe.name, kind = %collection.kind, "Probe gave a kind that is not its own.");
        }
    }
    let missing = |kind| Collection::gap(kind, Status::Failed, Reason::new("not_given"), probe.name, at);
    probe.kinds.iter().map(|kind| by_kind.remove(kind).unwrap_or_else(|| missing(*kind))).collect()
}

fn disabled_by_policy(kind: FactKind, at: Timestamp) -> Collection {
    Collection::gap(kind, Status::Unsupported, Reason::new("disabled_by_policy"), "policy", at)
}

fn state_of(collection: &Collection) -> ProbeState {
    let content = &collection.record.content;
    ProbeState { kind: collection.kind.to_string(), status: content.status, reason: content.reason.clone() }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tenken_shared::collected::Collected;
    use tenken_shared::fact::restart::Restart;
    use tenken_shared::text::Text;

    use super::*;
    use crate::probe::watch_nothing;

    type Collect = fn(&Sys, &ProbeConfig) -> Vec<Collection>;

    fn probe(name: &'static str, kinds: &'static [FactKind], collect: Collect) -> &'static Probe {
        let text = Text::new("試験", "Test");
        Box::leak(Box::new(Probe { name, kinds, what: text, why: text, watch: watch_nothing, collect }))
    }

    fn restart(sys: &Sys) -> Collection {
        let pending = sys.exists("/etc/pending").unwrap_or_default();
        let body = Restart { pending: Some(pending), ..Restart::default() };
        Collection::of(Collected::Known(body), "/etc/pending", sys.now())
    }

    fn machine() -> (tempfile::TempDir, Sys) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let sys = Sys::at_root(dir.path(), None).unwrap();
        (dir, sys)
    }

    fn runner(sys: &Sys, probes: Vec<&'static Probe>, limit: Duration) -> Runner {
        Runner::with_probes(sys.clone(), Memo::open(None, sys), probes, limit)
    }

    fn statuses(run: &[Collection]) -> Vec<(FactKind, Status, Option<String>)> {
        run.iter()
            .map(|c| {
                let content = &c.record.content;
                (c.kind, content.status, content.reason.as_ref().map(|r| r.code.clone()))
            })
            .collect()
    }

    #[test]
    fn a_panic_and_a_forgotten_kind_are_failed_and_the_others_go_on() {
        let (_dir, sys) = machine();
        let probes = vec![
            probe("os", &[FactKind::Os], |_, _| panic!("broken probe")),
            probe("restart", &[FactKind::Restart, FactKind::RestartObserved], |sys, _| vec![restart(sys)]),
        ];
        let run = runner(&sys, probes, TIME_LIMIT).run(&ProbeConfig::default(), None);
        assert_eq!(
            statuses(&run),
            [
                (FactKind::Os, Status::Failed, Some("panicked".into())),
                (FactKind::Restart, Status::Known, None),
                (FactKind::RestartObserved, Status::Failed, Some("not_given".into())),
            ]
        );
    }

    #[test]
    fn a_hanging_probe_is_timed_out_and_not_started_twice() {
        static STARTS: AtomicUsize = AtomicUsize::new(0);
        static RELEASE: AtomicBool = AtomicBool::new(false);
        let (_dir, sys) = machine();
        let hang = probe("restart", &[FactKind::Restart], |sys, _| {
            STARTS.fetch_add(1, Ordering::SeqCst);
            while !RELEASE.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            vec![restart(sys)]
        });
        let mut runner = runner(&sys, vec![hang], Duration::from_millis(20));
        let first = runner.run(&ProbeConfig::default(), None);
        let second = runner.run(&ProbeConfig::default(), None);
        RELEASE.store(true, Ordering::SeqCst);
        assert_eq!(statuses(&first)[0].2.as_deref(), Some("time_limit"));
        assert_eq!(statuses(&second)[0].2.as_deref(), Some("still_running"));
        assert_eq!(STARTS.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_kind_switched_off_by_policy_says_so() {
        let (_dir, sys) = machine();
        let probes = vec![probe("restart", &[FactKind::Restart], |sys, _| vec![restart(sys)])];
        let mut config = ProbeConfig::default();
        config.policy.collection.disabled = vec!["restart".into()];
        let run = runner(&sys, probes, TIME_LIMIT).run(&config, None);
        assert_eq!(
            statuses(&run),
            [(FactKind::Restart, Status::Unsupported, Some("disabled_by_policy".into()))]
        );
    }

    #[test]
    fn only_the_asked_kinds_are_given() {
        let (_dir, sys) = machine();
        let probes = vec![
            probe("os", &[FactKind::Os], |_, _| panic!("must not run")),
            probe("restart", &[FactKind::Restart, FactKind::RestartObserved], |sys, _| vec![restart(sys)]),
        ];
        let run = runner(&sys, probes, TIME_LIMIT).run(&ProbeConfig::default(), Some(&[FactKind::Restart]));
        assert_eq!(statuses(&run), [(FactKind::Restart, Status::Known, None)]);
    }

    /// Makes every file old enough that a later change cannot hide in the same tick of the clock.
    fn age(dir: &tempfile::TempDir) {
        let newest = std::fs::metadata(dir.path().join("etc")).unwrap().modified().unwrap();
        while newest.elapsed().unwrap_or_default() < Duration::from_millis(60) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn an_unchanged_machine_is_read_once_and_a_changed_one_again() {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let (dir, sys) = machine();
        age(&dir);
        let state = tempfile::tempdir().unwrap();
        let counted = probe("restart", &[FactKind::Restart], |sys, _| {
            RUNS.fetch_add(1, Ordering::SeqCst);
            vec![restart(sys)]
        });
        // Each time another process: only the file in the state folder is left of the one before.
        let run = |config: &ProbeConfig| {
            let memo = Memo::open(Some(state.path().to_owned()), &sys);
            let given = Runner::with_probes(sys.clone(), memo, vec![counted], TIME_LIMIT).run(config, None);
            let body: Restart = given[0].record.typed().value().cloned().unwrap();
            (RUNS.load(Ordering::SeqCst), body.pending)
        };
        let config = ProbeConfig::default();
        assert_eq!(run(&config), (1, Some(false)));
        assert_eq!(run(&config), (1, Some(false)), "unchanged: from the memo");
        std::fs::write(dir.path().join("etc/pending"), "").unwrap();
        assert_eq!(run(&config), (2, Some(true)), "changed: read again");
        let mut other = ProbeConfig::default();
        other.policy.time_zone = "UTC".into();
        assert_eq!(run(&other), (3, Some(true)), "another policy may mean another answer");
        std::fs::write(state.path().join("memo.json"), b"{\"program\":").unwrap();
        assert_eq!(run(&other), (4, Some(true)), "a damaged memo is thrown away");
        let text = std::fs::read_to_string(state.path().join("memo.json")).unwrap();
        std::fs::write(state.path().join("memo.json"), text.replace("true", "false")).unwrap();
        assert_eq!(run(&other), (5, Some(true)), "an altered memo is not believed");
    }
}
