//! Backups: jobs, repositories and declared paths, with last attempt, last success, result and
//! destination class kept apart. Silence is not success, and file times are weak evidence.
//!
//! Evidence words: `repository` (the copies themselves, of a repository only this machine writes),
//! `unit_result`, `status_file`, `product_log`; `file_time` (only the times of files, which a copy or
//! an upkeep run changes too); `configuration` (set up; nothing is known of any run).

pub mod command_line;
pub mod destination;
mod linux;
pub mod local;
mod macos;
pub mod repository;
pub mod schedule;
pub mod status_file;
pub mod synology;
pub mod tree;
pub mod vorta;
pub mod windows;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tenken_shared::collected::SourceState;
use tenken_shared::fact::FactKind;
use tenken_shared::fact::backups::{BackupAttempt, BackupJob, Backups, BackupsObserved};
use tenken_shared::text::Text;

use super::homes::Home;
use super::sources::{Sources, collected};
use super::{Collection, Probe, ProbeConfig};
use crate::sys::{Family, Sys};

/// What this probe gives.
pub const KINDS: &[FactKind] = &[FactKind::Backups, FactKind::BackupsObserved];

/// The probe.
pub static PROBE: Probe = Probe {
    name: "backups",
    kinds: KINDS,
    what: Text::new(
        "バックアップの設定と実行状況（製品、最終実行・最終成功の日時、結果、世代数、保存先の種別）。対象は restic・Borg・Timeshift・Snapper・rsnapshot、systemd タイマー、ポリシーで指定したパス、backup-report による報告。ファイルの中身やパスワードは収集しません。",
        "Backup set-up and activity: product, last attempt and last success, result, copies kept, kind of destination. Looks at restic, Borg, Timeshift, Snapper, rsnapshot, systemd timers, paths named by the policy and backup-report. No file contents, no passwords.",
    ),
    why: Text::new(
        "決められた頻度・保存期間・遠隔地保管のとおりにバックアップが取れているかを確かめるため（4-3-4）。",
        "To see that backups run as often, are kept as long and as far away as the company decided (4-3-4).",
    ),
    watch,
    collect,
};

fn watch(family: Family) -> &'static [&'static str] {
    match family {
        Family::Linux => &[status_file::FOLDER],
        Family::Windows => &[
            status_file::WINDOWS_FOLDER,
            r"HKLM\SOFTWARE\Policies\Microsoft\Windows\FileHistory",
            r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsBackup",
        ],
        Family::Macos => &[],
    }
}

fn collect(sys: &Sys, config: &ProbeConfig) -> Vec<Collection> {
    let at = sys.now();
    let (source, (backups, observed, states)) = match sys.family() {
        Family::Linux => {
            ("repositories; units; status files; declared paths", linux::collect(sys, &config.policy.backup))
        }
        Family::Windows => (
            "event log; registry; products' own records; status files; declared paths",
            windows::collect(sys, &config.policy.backup),
        ),
        Family::Macos => {
            let error = macos::unsupported();
            return KINDS.iter().map(|kind| Collection::missing(*kind, &error, at)).collect();
        }
    };
    vec![
        Collection::of(collected(backups, &states), source, at),
        Collection::of(collected(observed, &states), source, at),
    ]
}

/// Folders of this machine in which a new copy shows: local destinations of the jobs found (and the folder
/// a restic repository lists its snapshots in), and the declared paths of the policy.
#[must_use]
pub fn places(found: Option<&Backups>, policy: &tenken_shared::policy::Backup) -> Vec<PathBuf> {
    let jobs = found.into_iter().flat_map(|backups| &backups.jobs);
    let destinations = jobs.filter_map(|job| job.destination.as_deref());
    let declared = policy.declared_paths.iter().map(|path| path.path.as_str());
    let local = destinations.chain(declared).map(Path::new).filter(|path| path.is_absolute());
    local.flat_map(|path| [path.to_owned(), path.join("snapshots")]).collect()
}

/// One job with what belongs into the observed fact.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The job.
    pub job: BackupJob,
    /// Last attempt, whatever came of it.
    pub last_attempt: Option<Timestamp>,
    /// Next planned run.
    pub next_run: Option<Timestamp>,
    /// A cap cut the look at it short.
    pub truncated: bool,
}

/// What is gathered while collecting.
struct Context {
    sources: Sources,
    mounts: destination::Mounts,
    homes: Vec<Home>,
    found: Vec<Found>,
    /// Repositories named somewhere: product and location.
    locations: BTreeSet<(String, String)>,
    /// Local repositories already read.
    seen: BTreeSet<String>,
}

impl Context {
    fn new(sys: &Sys) -> Self {
        Self {
            sources: Sources::new(),
            mounts: destination::Mounts::read(sys),
            homes: vec![],
            found: vec![],
            locations: BTreeSet::new(),
            seen: BTreeSet::new(),
        }
    }

    fn note_repositories(&mut self, found: &[command_line::Mention]) {
        for mention in found {
            if let Some(location) = &mention.repository {
                self.locations.insert((mention.product.clone(), location.clone()));
            }
        }
    }

    fn finish(self) -> Answer {
        finish(self.found, self.sources)
    }
}

/// Both bodies, and the states they rest on.
type Answer = (Backups, BackupsObserved, Vec<SourceState>);

fn finish(mut found: Vec<Found>, sources: Sources) -> Answer {
    found.sort_by(|a, b| (&a.job.product, &a.job.name).cmp(&(&b.job.product, &b.job.name)));
    found.dedup_by(|b, a| (&a.job.product, &a.job.name) == (&b.job.product, &b.job.name));
    let attempt = |f: &Found| BackupAttempt {
        product: f.job.product.clone(),
        name: f.job.name.clone(),
        last_attempt: f.last_attempt,
        next_run: f.next_run,
    };
    let observed = BackupsObserved { jobs: found.iter().map(attempt).collect() };
    let sources = sources.into_vec();
    let jobs = found.into_iter().map(|f| f.job).collect();
    (Backups { jobs, sources: sources.clone() }, observed, sources)
}

#[cfg(test)]
mod tests;
