//! Arcserve UDP agent: one XML record per backup, `BackupHistory\BackupInfo*.xml`, whose
//! `<BackupStatus Status="…">` is `Finished` or `Failed`. The record's clock is not known to us: the time of
//! the file stands for the time of the run, as `file_time` evidence.

use jiff::Timestamp;
use tenken_shared::fact::backups::BackupJob;

use super::super::tree::whole_second;
use super::{Found, Machine, product, xml};
use crate::sys::decode::decode;
use crate::sys::{FileKind, Sys, SysError};

/// Where the installer notes its folder, and under what name.
const KEYS: [(&str, &str); 2] = [
    (r"HKLM\SOFTWARE\Arcserve\Unified Data Protection\Engine\InstallPath", "Path"),
    (r"HKLM\SOFTWARE\CA\ARCserve Unified Data Protection\Engine\InstallPath", "Path"),
];
const DEFAULTS: [&str; 2] = [
    r"%ProgramFiles%\Arcserve\Unified Data Protection\Engine",
    r"%ProgramFiles%\CA\arcserve Unified Data Protection\Engine",
];
/// Most records read, newest first.
const MAX_RECORDS: usize = 200;
/// Largest record, bytes.
const CAP: u64 = 4 * 1024 * 1024;

/// Reads the records; an installed agent without any has a job of which nothing is known.
pub(super) fn read(machine: &mut Machine<'_>) {
    let mut folders = vec![];
    for (path, name) in KEYS {
        match machine.sys.registry(path).and_then(|key| key.map(|key| key.string(name)).transpose()) {
            Ok(folder) => folders.extend(folder.flatten()),
            Err(error) => machine.sources.error(path, &error),
        }
    }
    folders.extend(DEFAULTS.map(str::to_owned));
    let found = folders.iter().find_map(|folder| records(machine.sys, folder));
    let name = product::ARCSERVE.name();
    let mut job = BackupJob {
        product: name.into(),
        name: "Arcserve UDP".into(),
        role: "backup".into(),
        evidence: "configuration".into(),
        ..BackupJob::default()
    };
    match found {
        None if !product::is_installed(machine, &product::ARCSERVE) => return,
        None | Some(Ok(None)) => machine.sources.known(name, 0),
        Some(Err(error)) => machine.sources.error(name, &error),
        Some(Ok(Some(told))) => {
            machine.sources.known(name, 1);
            job.last_success = told.success;
            job.result = told.result.map(str::to_owned);
            job.evidence = "file_time".into();
            machine.found.push(Found { job, last_attempt: Some(told.last), ..Found::default() });
            return;
        }
    }
    machine.found.push(Found { job, ..Found::default() });
}

struct Told {
    last: Timestamp,
    success: Option<Timestamp>,
    result: Option<&'static str>,
}

/// What the records below an installation say; `None` where there is no folder of records.
fn records(sys: &Sys, folder: &str) -> Option<Result<Option<Told>, SysError>> {
    let engine = sys.windows_path(folder.trim_end_matches(['\\', '/'])).ok()?;
    let above = engine.rsplit_once('/').map_or("", |(above, _)| above);
    let place = [&engine, above].into_iter().map(|path| format!("{path}/BackupHistory"));
    let history = place.into_iter().find(|path| matches!(sys.exists(path), Ok(true)))?;
    Some(newest(sys, &history))
}

fn newest(sys: &Sys, folder: &str) -> Result<Option<Told>, SysError> {
    let mut files = vec![];
    for entry in sys.list(folder)? {
        let name = entry.name.to_ascii_lowercase();
        if entry.kind == FileKind::File && name.starts_with("backupinfo") && name.ends_with(".xml") {
            let path = format!("{folder}/{}", entry.name);
            let modified = sys.stat(&path)?.and_then(|stat| stat.modified).map(whole_second);
            files.extend(modified.filter(|at| *at <= sys.now()).map(|at| (at, path)));
        }
    }
    files.sort_by(|a, b| b.cmp(a));
    let mut told: Option<Told> = None;
    for (at, path) in files.iter().take(MAX_RECORDS) {
        let text = decode(&sys.read_capped(path, CAP)?);
        let result = status(&text).map_err(|error| SysError::malformed(path, error))?;
        let told = told.get_or_insert(Told { last: *at, success: None, result });
        if result == Some("succeeded") {
            told.success = Some(*at);
            break;
        }
    }
    Ok(told)
}

/// Result of one record; `None` where it is neither of the two.
fn status(record: &str) -> Result<Option<&'static str>, String> {
    let leaves = xml::leaves(record)?;
    let is_status = |path: &str| path.rsplit('/').next() == Some("BackupStatus@Status");
    let mut found = leaves.iter().filter(|(path, _)| is_status(path)).map(|(_, word)| match word.as_str() {
        "Finished" => Some("succeeded"),
        "Failed" => Some("failed"),
        _ => None,
    });
    let first = found.next().flatten();
    // Several states of one record must agree.
    Ok(first.filter(|word| found.all(|other| other == Some(*word))))
}
