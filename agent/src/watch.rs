//! Turns changes of files and registry keys that the probes read into early, debounced rounds. Notices can be
//! missed, so the interval stays the rule.
//!
//! Watched are folders, never files: programs replace files by renaming others over them. A path that
//! does not exist yet is watched for through its nearest existing parent. Beside the fixed paths of the
//! probes there are some that only this machine's facts and policy name (where backups go to).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tenken_shared::fact::FactKind;
use tokio::sync::mpsc;

use crate::probe::Probe;
use crate::sys::{Family, RegistryWatch};

/// Quiet time after the last event.
const QUIET: Duration = Duration::from_secs(2);
/// Longest time an ongoing change (a large upgrade) puts a round off.
const LONGEST: Duration = Duration::from_secs(20);
/// Events waiting between two looks; more say nothing new.
const QUEUE: usize = 256;
/// Most paths watched that facts and policy name.
const MAX_FOUND: usize = 64;

/// Which kinds a path or registry key is read for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Interests {
    by_path: BTreeMap<PathBuf, BTreeSet<FactKind>>,
    by_key: BTreeMap<&'static str, BTreeSet<FactKind>>,
}

impl Interests {
    fn of(probes: &[&Probe], family: Family) -> Self {
        let mut all = Self::default();
        for probe in probes {
            for path in (probe.watch)(family) {
                let kinds = if is_registry_key(path) {
                    all.by_key.entry(path).or_default()
                } else {
                    all.by_path.entry(PathBuf::from(path)).or_default()
                };
                kinds.extend(probe.kinds);
            }
        }
        all
    }

    /// With further paths read for `kinds`.
    fn with(&self, paths: impl IntoIterator<Item = PathBuf>, kinds: &[FactKind]) -> Self {
        let mut all = self.clone();
        for path in paths.into_iter().take(MAX_FOUND) {
            all.by_path.entry(path).or_default().extend(kinds);
        }
        all
    }

    /// Kinds whose path is `changed`, lies in it, or is the folder it lies in.
    fn touched(&self, changed: &Path) -> BTreeSet<FactKind> {
        self.by_path
            .iter()
            .filter(|(path, _)| {
                *path == changed || path.starts_with(changed) || changed.parent() == Some(path.as_path())
            })
            .flat_map(|(_, kinds)| kinds.iter().copied())
            .collect()
    }

    /// Folders to watch so that a change of any path is noticed.
    fn folders(&self) -> BTreeSet<PathBuf> {
        self.by_path.keys().flat_map(|path| folders_for(path)).collect()
    }
}

fn is_registry_key(path: &str) -> bool {
    ["HKLM\\", "HKU\\"].iter().any(|hive| path.starts_with(hive))
}

fn folders_for(path: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    if path.is_dir() {
        out.push(path.to_owned());
    }
    let parent = path.ancestors().skip(1).find(|p| p.is_dir());
    out.extend(parent.filter(|p| *p != Path::new("/")).map(Path::to_owned));
    out
}

/// Watches for the life of this value.
#[derive(Debug)]
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    registry: Option<RegistryWatch>,
    fixed: Interests,
    interests: Arc<RwLock<Interests>>,
    watched: BTreeSet<PathBuf>,
    receive: mpsc::Receiver<BTreeSet<FactKind>>,
    /// Keeps the channel open where nothing is watched.
    _send: mpsc::Sender<BTreeSet<FactKind>>,
    pending: Pending,
}

impl Watch {
    /// Watches what `probes` read. Without a working notification service nothing is brought forward; that
    /// is logged and the interval goes on.
    #[must_use]
    pub fn start(probes: &[&Probe], family: Family, enabled: bool) -> Self {
        let fixed = Interests::of(probes, family);
        let interests = Arc::new(RwLock::new(fixed.clone()));
        let (send, receive) = mpsc::channel(QUEUE);
        let watcher = enabled.then(|| watcher(Arc::clone(&interests), send.clone())).flatten();
        let registry = enabled && !fixed.by_key.is_empty();
        let registry = registry.then(|| registry_watch(fixed.by_key.clone(), send.clone()));
        let mut watch = Self {
            watcher,
            registry,
            fixed,
            interests,
            watched: BTreeSet::new(),
            receive,
            _send: send,
            pending: Pending::default(),
        };
        watch.refresh(vec![], &[]);
        watch
    }

    /// Watches folders that came into being and users who logged on since, and `found`, which is read for
    /// `kinds`. Called after each round.
    pub fn refresh(&mut self, found: Vec<PathBuf>, kinds: &[FactKind]) {
        if let Some(registry) = &mut self.registry {
            let keys = self.fixed.by_key.keys().copied().collect();
            if let Err(error) = registry.watch(&keys) {
                tracing::warn!(%error, "The registry cannot be watched; changes are seen at the next interval.");
                self.registry = None;
            }
        }
        let Some(watcher) = &mut self.watcher else { return };
        let interests = self.fixed.with(found, kinds);
        let wanted = interests.folders();
        *self.interests.write().unwrap_or_else(PoisonError::into_inner) = interests;
        for gone in self.watched.difference(&wanted) {
            let _ = watcher.unwatch(gone);
        }
        let mut watched = BTreeSet::new();
        for folder in wanted {
            let known = self.watched.contains(&folder);
            match if known { Ok(()) } else { watcher.watch(&folder, RecursiveMode::NonRecursive) } {
                Ok(()) => drop(watched.insert(folder)),
                Err(error) => {
                    tracing::debug!(folder = %folder.display(), %error, "A folder cannot be watched.");
                }
            }
        }
        self.watched = watched;
    }

    /// Waits until something changed and has been quiet; gives the kinds it concerns. Can be cancelled.
    pub async fn changed(&mut self) -> BTreeSet<FactKind> {
        loop {
            let wait = self.pending.wait(Instant::now());
            let more = async {
                match wait {
                    None => self.receive.recv().await,
                    Some(wait) => tokio::time::timeout(wait, self.receive.recv()).await.ok().flatten(),
                }
            };
            match more.await {
                Some(kinds) => self.pending.add(kinds, Instant::now()),
                None => {
                    if let Some(kinds) = self.pending.take(Instant::now()) {
                        return kinds;
                    }
                }
            }
        }
    }
}

fn watcher(
    interests: Arc<RwLock<Interests>>,
    send: mpsc::Sender<BTreeSet<FactKind>>,
) -> Option<RecommendedWatcher> {
    let handler = move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        // Being read, also by our own probes, is no change.
        if matches!(event.kind, EventKind::Access(_)) {
            return;
        }
        let interests = interests.read().unwrap_or_else(PoisonError::into_inner);
        let kinds: BTreeSet<FactKind> = event.paths.iter().flat_map(|path| interests.touched(path)).collect();
        if !kinds.is_empty() {
            // A full queue means that a round is due anyway.
            let _ = send.try_send(kinds);
        }
    };
    match notify::recommended_watcher(handler) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(%error, "Changes cannot be watched for; they are seen at the next interval.");
            None
        }
    }
}

fn registry_watch(
    by_key: BTreeMap<&'static str, BTreeSet<FactKind>>,
    send: mpsc::Sender<BTreeSet<FactKind>>,
) -> RegistryWatch {
    RegistryWatch::new(Arc::new(move |key| {
        if let Some(kinds) = by_key.get(key) {
            // A full queue means that a round is due anyway.
            let _ = send.try_send(kinds.clone());
        }
    }))
}

/// Kinds with events, and when these came.
#[derive(Debug, Default)]
struct Pending {
    kinds: BTreeSet<FactKind>,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Pending {
    fn add(&mut self, kinds: BTreeSet<FactKind>, now: Instant) {
        self.kinds.extend(kinds);
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    fn wait(&self, now: Instant) -> Option<Duration> {
        let (first, last) = (self.first?, self.last?);
        let due = (last + QUIET).min(first + LONGEST);
        Some(due.saturating_duration_since(now))
    }

    fn take(&mut self, now: Instant) -> Option<BTreeSet<FactKind>> {
        if !self.wait(now)?.is_zero() {
            return None;
        }
        (self.first, self.last) = (None, None);
        Some(std::mem::take(&mut self.kinds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interests(path: &str) -> Interests {
        let by_path = [(PathBuf::from(path), BTreeSet::from([FactKind::Software]))].into();
        Interests { by_path, ..Interests::default() }
    }

    #[test]
    fn replaced_file_and_new_entry_of_a_folder_are_noticed_and_neighbours_are_not() {
        let file = interests("/var/lib/dpkg/status");
        assert!(!file.touched(Path::new("/var/lib/dpkg/status")).is_empty());
        assert!(file.touched(Path::new("/var/lib/dpkg/lock")).is_empty());
        let folder = interests("/etc/apt/sources.list.d");
        assert!(!folder.touched(Path::new("/etc/apt/sources.list.d/x.list")).is_empty());
        // The folder's parent came into being.
        assert!(!folder.touched(Path::new("/etc/apt")).is_empty());
    }

    #[test]
    fn events_wait_for_quiet_but_not_for_ever() {
        let start = Instant::now();
        let mut pending = Pending::default();
        assert_eq!(pending.wait(start), None);
        let kinds = || BTreeSet::from([FactKind::Software]);
        pending.add(kinds(), start);
        assert_eq!(pending.wait(start), Some(QUIET));
        for second in 1..20 {
            pending.add(kinds(), start + Duration::from_secs(second));
        }
        assert_eq!(pending.take(start + Duration::from_secs(19)), None);
        assert_eq!(pending.take(start + LONGEST), Some(kinds()));
        assert_eq!(pending.wait(start), None);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn real_change_of_a_file_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("status");
        let fixed = interests(&file.to_string_lossy());
        let interests = Arc::new(RwLock::new(Interests::default()));
        let (send, receive) = mpsc::channel(QUEUE);
        let watcher = watcher(Arc::clone(&interests), send.clone());
        assert!(watcher.is_some());
        let mut watch = Watch {
            watcher,
            registry: None,
            fixed,
            interests,
            watched: BTreeSet::new(),
            receive,
            _send: send,
            pending: Pending::default(),
        };
        let repository = dir.path().join("repository");
        std::fs::create_dir(&repository).unwrap();
        watch.refresh(vec![repository.clone()], &[FactKind::Backups]);
        let temporary = dir.path().join("status-new");
        std::fs::write(&temporary, "x").unwrap();
        std::fs::rename(&temporary, &file).unwrap();
        assert_eq!(watch.changed().await, BTreeSet::from([FactKind::Software]));
        std::fs::write(repository.join("snapshot"), "x").unwrap();
        assert_eq!(watch.changed().await, BTreeSet::from([FactKind::Backups]));
    }
}
