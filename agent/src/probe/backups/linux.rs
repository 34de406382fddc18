//! Backups of a Linux machine.

use tenken_shared::collected::{Reason, Status};
use tenken_shared::fact::backups::BackupJob;
use tenken_shared::policy::{Backup, DeclaredPath};

use super::repository::{self, BorgClient, Repository};
use super::tree::{Tree, whole_second};
use super::{Answer, Context, Found, destination, local, schedule, status_file, synology, vorta};
use crate::probe::homes;
use crate::sys::{FileKind, Sys, SysError};

/// Products whose results are not read: being installed, they may hold jobs nobody sees here.
const NOT_READ: &[(&str, &[&str])] = &[
    ("veeam", &["/etc/veeam/veeam.ini", "/var/lib/veeam"]),
    ("acronis", &["/usr/lib/Acronis", "/var/lib/Acronis"]),
    ("bacula", &["/etc/bacula/bacula-fd.conf"]),
    ("bareos", &["/etc/bareos/bareos-fd.d", "/etc/bareos/bareos-fd.conf"]),
    ("urbackup", &["/etc/default/urbackupclient"]),
    ("duplicati", &["/var/lib/duplicati", "/usr/lib/duplicati"]),
    ("backuppc", &["/etc/backuppc/config.pl"]),
];

/// Collects jobs and their last attempts.
pub(super) fn collect(sys: &Sys, policy: &Backup) -> Answer {
    let mut cx = Context::new(sys);
    match homes::list(sys) {
        Ok(homes) => cx.homes = homes,
        Err(error) => cx.sources.error("/etc/passwd", &error),
    }
    cx.sources.require_programs(sys);
    let reported = status_file::read_all(sys, &mut cx.sources);
    cx.found.extend(reported);
    for declared in &policy.declared_paths {
        declared_path(sys, &mut cx, declared);
    }
    schedule::units(sys, &mut cx, &policy.units);
    schedule::cron(sys, &mut cx);
    schedule::borgmatic(sys, &mut cx);
    borg_clients(sys, &mut cx);
    repositories(sys, &mut cx);
    restic_caches(sys, &mut cx);
    local::timeshift(sys, &mut cx);
    local::snapper(sys, &mut cx);
    local::rsnapshot(sys, &mut cx);
    vorta::read(sys, &mut cx);
    synology(sys, &mut cx);
    not_read(sys, &mut cx);
    cx.finish()
}

/// A path the policy names: a repository if it is one, else its newest file.
fn declared_path(sys: &Sys, cx: &mut Context, declared: &DeclaredPath) {
    let path = declared.path.trim_end_matches('/');
    let source = format!("declared:{path}");
    let looked = repository::identify(sys, path).and_then(|repo| match repo {
        Some(repo) => read_repository(sys, cx, path, &repo),
        None => declared_files(sys, path),
    });
    match looked {
        Ok(mut found) => {
            let class = declared.destination_class.clone();
            found.job.destination_class =
                class.or_else(|| destination::classify(sys, &cx.mounts, path).map(str::to_owned));
            if let Some(name) = &declared.name {
                found.job.name.clone_from(name);
            }
            let count = found.job.copies.unwrap_or(1) as usize;
            if found.truncated {
                cx.sources.truncated(source, count);
            } else {
                cx.sources.known(source, count);
            }
            cx.seen.insert(path.to_owned());
            cx.found.push(found);
        }
        Err(error) => {
            // The job is declared, so it is listed; without a readable place nothing is known of it.
            if matches!(error, SysError::Absent { .. }) {
                cx.sources.gap(&source, Status::Partial, Reason::with("declared_path_missing", path));
            } else {
                cx.sources.error(&source, &error);
            }
            let name = declared.name.clone().unwrap_or_else(|| path.to_owned());
            let job = BackupJob {
                product: "declared_path".into(),
                name,
                role: "backup".into(),
                destination: Some(path.to_owned()),
                destination_class: declared.destination_class.clone(),
                evidence: "configuration".into(),
                ..BackupJob::default()
            };
            cx.found.push(Found { job, last_attempt: None, next_run: None, truncated: false });
        }
    }
}

fn declared_files(sys: &Sys, path: &str) -> Result<Found, SysError> {
    let tree = Tree::walk(sys, path)?;
    Ok(Found {
        job: BackupJob {
            product: "declared_path".into(),
            name: path.into(),
            role: "backup".into(),
            last_success: tree.newest,
            copies: (!tree.truncated).then_some(tree.files),
            oldest_copy: tree.oldest,
            size_bytes: tree.newest.map(|_| tree.newest_size_bytes),
            destination: Some(path.into()),
            evidence: "file_time".into(),
            ..BackupJob::default()
        },
        last_attempt: tree.newest,
        next_run: None,
        truncated: tree.truncated,
    })
}

fn read_repository(sys: &Sys, cx: &Context, path: &str, repo: &Repository) -> Result<Found, SysError> {
    let mut found = match repo {
        Repository::Restic => repository::restic(sys, path)?,
        Repository::Borg { id } => repository::borg(sys, path, id, &cx.homes)?,
    };
    let class = destination::classify(sys, &cx.mounts, path);
    found.job.destination_class = class.map(str::to_owned);
    if class == Some("lan") {
        // Others may write into a repository on a share: its newest copy need not be this machine's.
        found.job.evidence = "file_time".into();
    }
    Ok(found)
}

/// Repositories that units, cron lines and clients name and that lie on this machine.
fn repositories(sys: &Sys, cx: &mut Context) {
    for (product, location) in std::mem::take(&mut cx.locations) {
        let Some(path) = destination::local_path(&location).map(|p| p.trim_end_matches('/').to_owned())
        else {
            continue;
        };
        if !cx.seen.insert(path.clone()) {
            continue;
        }
        let source = format!("{product}:{path}");
        let looked = repository::identify(sys, &path).and_then(|repo| match repo {
            Some(repo) => read_repository(sys, cx, &path, &repo),
            None => Err(SysError::Absent { what: path.clone() }),
        });
        match looked {
            Ok(found) if found.truncated => {
                cx.sources.truncated(source, 1);
                cx.found.push(found);
            }
            Ok(found) => {
                cx.sources.known(source, 1);
                cx.found.push(found);
            }
            Err(error) => cx.sources.error(source, &error),
        }
    }
}

/// Remote repositories the users' Borg knows: where, and when the archive list last changed.
fn borg_clients(sys: &Sys, cx: &mut Context) {
    for home in cx.homes.clone() {
        let folder = format!("{}/.config/borg/security", home.path);
        let entries = match sys.list(&folder) {
            Ok(entries) => entries,
            Err(SysError::Absent { .. }) => continue,
            Err(error) => {
                cx.sources.error(format!("borg:{folder}"), &error);
                continue;
            }
        };
        let ids = entries.iter().filter(|e| e.kind == FileKind::Dir && e.name.len() == 64).take(100);
        let mut count = 0;
        for client in ids.filter_map(|e| BorgClient::read(sys, &home, &e.name)) {
            count += 1;
            let Some(location) = client.location.clone() else { continue };
            if destination::local_path(&location).is_some() {
                cx.locations.insert(("borg".into(), location));
                continue;
            }
            let job = BackupJob {
                product: "borg".into(),
                name: destination::without_credentials(&location),
                role: "backup".into(),
                last_success: client.last_create,
                destination: Some(destination::without_credentials(&location)),
                destination_class: destination::classify(sys, &cx.mounts, &location).map(str::to_owned),
                encrypted: client.encrypted,
                evidence: "file_time".into(),
                ..BackupJob::default()
            };
            let last_attempt = client.manifest_at.max(client.last_create);
            cx.found.push(Found { job, last_attempt, next_run: None, truncated: false });
        }
        cx.sources.known(format!("borg:{folder}"), count);
    }
}

/// Caches of restic: a hint that somebody uses a repository, never that a backup succeeded (listing
/// snapshots fills the cache as well). Shown only where no other trace of restic was found.
fn restic_caches(sys: &Sys, cx: &mut Context) {
    let known = cx.found.iter().any(|f| f.job.product == "restic");
    for home in cx.homes.clone() {
        let folder = format!("{}/.cache/restic", home.path);
        let Ok(entries) = sys.list(&folder) else { continue };
        let ids: Vec<_> =
            entries.iter().filter(|e| e.kind == FileKind::Dir && e.name.len() == 64).take(100).collect();
        cx.sources.known(format!("restic:{folder}"), ids.len());
        for entry in ids.iter().filter(|_| !known) {
            let snapshots =
                Tree::walk(sys, &format!("{folder}/{}/snapshots", entry.name)).unwrap_or_default();
            let job = BackupJob {
                product: "restic".into(),
                name: format!("cache:{}", entry.name.chars().take(12).collect::<String>()),
                role: "backup".into(),
                encrypted: Some(true),
                evidence: "file_time".into(),
                ..BackupJob::default()
            };
            let last_attempt = snapshots.newest.map(whole_second);
            cx.found.push(Found { job, last_attempt, next_run: None, truncated: snapshots.truncated });
        }
    }
}

/// Folders that only an installed agent of Synology has.
const SYNOLOGY: [&str; 2] =
    ["/var/log/activebackupforbusinessagent", "/opt/synology/ActiveBackupforBusiness"];

fn synology(sys: &Sys, cx: &mut Context) {
    if SYNOLOGY.iter().any(|path| matches!(sys.exists(path), Ok(true))) {
        let found = synology::read(sys, SYNOLOGY[0], &mut cx.sources);
        cx.found.push(found);
    }
}

fn not_read(sys: &Sys, cx: &mut Context) {
    let reported = status_file::reported(&cx.found);
    for (product, paths) in NOT_READ {
        if !paths.iter().any(|p| matches!(sys.exists(p), Ok(true))) {
            continue;
        }
        if reported.contains(*product) {
            cx.sources.known(*product, 1);
        } else {
            cx.sources.gap(*product, Status::Partial, Reason::with("product_not_read", product));
        }
    }
}
