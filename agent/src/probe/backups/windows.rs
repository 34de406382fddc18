//! Backups of a Windows machine: one reader per product, each a source of its own.
//!
//! Only what a product itself says of a run is a success. Shadow copies and restore points are `snapshot`,
//! OneDrive is `sync`: neither ever counts as a backup. A product that is installed and not read is a gap,
//! until one of its jobs reports with `backup-report --product`.

mod arcserve;
pub mod file_history;
mod local_copy;
mod onedrive;
mod product;
pub mod server_backup;
mod synology;
pub mod task;
mod veeam;
pub mod volume;
mod windows7;
pub mod xml;

use std::cell::OnceCell;

use tenken_shared::collected::{Reason, Status};
use tenken_shared::fact::backups::BackupJob;
use tenken_shared::policy::{Backup, DeclaredPath};

use self::volume::Places;
use super::repository::{self, Repository};
use super::tree::Tree;
use super::{Answer, Found, destination, finish, status_file};
use crate::probe::sources::Sources;
use crate::sys::{Event, EventQuery, Sys, SysError, UserHive};

/// Where a Windows folder keeps its event logs.
const LOGS: &str = "/Windows/System32/winevt/Logs";
/// `WinNT` on a client; `ServerNT` and `LanmanNT` (a domain controller) on servers.
const EDITION: &str = r"HKLM\SYSTEM\CurrentControlSet\Control\ProductOptions";

/// The machine while it is being read.
struct Machine<'a> {
    sys: &'a Sys,
    sources: Sources,
    found: Vec<Found>,
    users: Vec<UserHive>,
    /// Names of the uninstall entries.
    titles: Vec<String>,
    is_server: bool,
    places: OnceCell<Places>,
}

/// Collects jobs and their last attempts.
/// Privilege: administrator for the event log, the hives of others and WMI.
pub(super) fn collect(sys: &Sys, policy: &Backup) -> Answer {
    let mut machine = Machine::new(sys);
    let reported = status_file::read_all(sys, &mut machine.sources);
    machine.found.extend(reported);
    for path in &policy.declared_paths {
        declared_path(&mut machine, path);
    }
    for name in &policy.units {
        task::declared(&mut machine, name);
    }
    server_backup::read(&mut machine);
    windows7::read(&mut machine);
    file_history::read(&mut machine);
    local_copy::read(&mut machine);
    onedrive::read(&mut machine);
    veeam::read(&mut machine);
    arcserve::read(&mut machine);
    synology::read(&mut machine);
    product::not_read(&mut machine);
    finish(machine.found, machine.sources)
}

impl<'a> Machine<'a> {
    fn new(sys: &'a Sys) -> Self {
        let mut sources = Sources::new();
        sources.require_whole_hives(sys);
        if !sys.is_live() && !matches!(sys.exists(LOGS), Ok(true)) {
            // Without its logs a folder says nothing of any run.
            sources.gap("event_log", Status::Partial, Reason::with("no_event_logs_in_root", LOGS));
        }
        let edition =
            sys.registry(EDITION).and_then(|key| key.map(|key| key.string("ProductType")).transpose());
        let is_server = match edition {
            Ok(edition) => edition.flatten().is_some_and(|word| !word.eq_ignore_ascii_case("WinNT")),
            Err(error) => {
                sources.error(EDITION, &error);
                false
            }
        };
        let users = match sys.user_hives() {
            Ok(users) => users,
            Err(error) => {
                sources.error("user hives", &error);
                vec![]
            }
        };
        for user in &users {
            match &user.hive {
                Ok(hive) => sources.whole_hive(hive),
                // A profile that was listed and never made has no hive; its folder would hold the settings.
                Err(error) => sources.error(format!("user hive {}", user.sid), error),
            }
        }
        let titles = product::titles(sys, &users, &mut sources);
        Self { sys, sources, found: vec![], users, titles, is_server, places: OnceCell::new() }
    }

    /// Class of a destination as Windows writes it; `None` where it is not known.
    fn class_of(&self, location: &str) -> Option<String> {
        let places = self.places.get_or_init(|| Places::read(self.sys));
        places.classify(location).map(str::to_owned)
    }

    /// Sets where a job goes to: shown without credentials, classified before they are cut.
    fn place(&self, job: &mut BackupJob, location: Option<&str>) {
        if let Some(location) = location.map(str::trim).filter(|text| !text.is_empty()) {
            job.destination_class = self.class_of(location);
            job.destination = Some(destination::without_credentials(location));
        }
    }

    /// Events of a channel, newest first, as a source; `None` where they could not be read.
    fn events(&mut self, query: &EventQuery) -> Option<Vec<Event>> {
        let source = format!("event_log:{}", query.channel);
        match self.sys.events(query) {
            Ok(found) if found.damaged > 0 => {
                let reason = Reason::with("events_damaged", found.damaged);
                self.sources.gap(source, Status::Partial, reason);
                Some(found.events)
            }
            Ok(found) => {
                self.sources.known(source, found.events.len());
                Some(found.events)
            }
            Err(error) => {
                self.sources.error(source, &error);
                None
            }
        }
    }
}

/// A path the policy names: a restic repository if it is one, else its newest file.
fn declared_path(machine: &mut Machine<'_>, declared: &DeclaredPath) {
    let path = declared.path.trim_end_matches(['/', '\\']);
    let source = format!("declared:{path}");
    let looked =
        readable(machine.sys, path).and_then(|local| match repository::identify(machine.sys, &local)? {
            Some(Repository::Restic) => repository::restic(machine.sys, &local),
            _ => files(machine.sys, &local),
        });
    let mut found = match looked {
        Ok(found) if found.truncated => {
            machine.sources.truncated(source, 1);
            found
        }
        Ok(found) => {
            machine.sources.known(source, 1);
            found
        }
        Err(error) => {
            // The job is declared, so it is listed; without a readable place nothing is known of it.
            let reason = match &error {
                SysError::Absent { .. } => Reason::with("declared_path_missing", path),
                other => other.reason(),
            };
            machine.sources.gap(source, Status::Partial, reason);
            let job = BackupJob {
                product: "declared_path".into(),
                evidence: "configuration".into(),
                ..BackupJob::default()
            };
            Found { job, ..Found::default() }
        }
    };
    found.job.role = "backup".into();
    found.job.name = declared.name.clone().unwrap_or_else(|| path.to_owned());
    machine.place(&mut found.job, Some(path));
    if declared.destination_class.is_some() {
        found.job.destination_class.clone_from(&declared.destination_class);
    }
    if found.job.destination_class.as_deref() == Some("lan") {
        // Others may write to a share: its newest copy need not be this machine's.
        found.job.evidence = "file_time".into();
    }
    machine.found.push(found);
}

/// The path to read for a path of the policy. Under a root folder other drives and shares are not there.
fn readable(sys: &Sys, path: &str) -> Result<String, SysError> {
    let share = path.starts_with(r"\\") || path.starts_with("//");
    if share && sys.is_live() { Ok(path.replace('\\', "/")) } else { sys.windows_path(&format!("{path}\\")) }
        .map(|path| path.trim_end_matches('/').to_owned())
}

fn files(sys: &Sys, path: &str) -> Result<Found, SysError> {
    let tree = Tree::walk(sys, path)?;
    Ok(Found {
        job: BackupJob {
            product: "declared_path".into(),
            last_success: tree.newest,
            copies: (!tree.truncated).then_some(tree.files),
            oldest_copy: tree.oldest,
            size_bytes: tree.newest.map(|_| tree.newest_size_bytes),
            evidence: "file_time".into(),
            ..BackupJob::default()
        },
        last_attempt: tree.newest,
        next_run: None,
        truncated: tree.truncated,
    })
}

#[cfg(test)]
#[path = "windows/tests.rs"]
mod tests;
