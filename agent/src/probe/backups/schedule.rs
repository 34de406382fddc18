//! What starts backups: systemd units and timers, cron, borgmatic; and the result of the units.

use std::collections::{BTreeMap, BTreeSet};

use tenken_shared::collected::{Reason, Status};
use tenken_shared::fact::backups::BackupJob;

use super::command_line::{Mention, assignments, mentions};
use super::{Context, Found, destination};
use crate::probe::systemd::{self, Unit, UnitFile, UnitState, Units};
use crate::sys::{FileKind, Sys, SysError};

const PROPERTIES: &[&str] = &[
    "ActiveState",
    "Result",
    "ExecMainCode",
    "ExecMainStatus",
    "ExecMainStartTimestamp",
    "ExecMainExitTimestamp",
    "NextElapseUSecRealtime",
    "LastTriggerUSec",
];
const CRON_FOLDERS: [(&str, bool); 7] = [
    ("/etc/cron.d", false),
    ("/etc/cron.hourly", true),
    ("/etc/cron.daily", true),
    ("/etc/cron.weekly", true),
    ("/etc/cron.monthly", true),
    ("/var/spool/cron/crontabs", false),
    ("/var/spool/cron", false),
];
const MAX_SCRIPT: u64 = 256 * 1024;

/// Units that are backup jobs, by policy or because they run a known backup program.
pub(super) fn units(sys: &Sys, cx: &mut Context, named: &[String]) {
    let units = match Units::load(sys, |name| name.ends_with(".service") || name.ends_with(".timer")) {
        Ok(units) => units,
        Err(error) => return cx.sources.error("systemd", &error),
    };
    let mut jobs: BTreeMap<String, Vec<Mention>> = BTreeMap::new();
    for unit in units.iter().filter(|u| u.name.ends_with(".service")) {
        let Some(file) = unit.file.as_ref().filter(|_| unit.state != "alias") else { continue };
        let found = unit_mentions(sys, file);
        if found.iter().any(|m| m.makes_backup) {
            jobs.insert(unit.name.clone(), found);
        }
    }
    for name in named {
        match service_of(&units, name) {
            Some(service) => drop(jobs.entry(service).or_default()),
            // Declared and not there: a job that cannot have run.
            None => cx.sources.gap(
                format!("systemd:{name}"),
                Status::Partial,
                Reason::with("declared_unit_missing", name),
            ),
        }
    }
    for error in &units.errors {
        cx.sources.error("systemd", error);
    }
    cx.sources.known("systemd", jobs.len());
    let live = if jobs.is_empty() { BTreeMap::new() } else { live_states(sys, cx, &units, &jobs) };
    for (service, found) in &jobs {
        let job = unit_job(sys, cx, &units, service, found, &live);
        cx.found.push(job);
        cx.note_repositories(found);
    }
}

fn live_states(
    sys: &Sys,
    cx: &mut Context,
    units: &Units,
    jobs: &BTreeMap<String, Vec<Mention>>,
) -> BTreeMap<String, UnitState> {
    let timers = jobs.keys().filter_map(|s| units.timer_of(s)).map(|u| u.name.as_str());
    let names: BTreeSet<&str> = jobs.keys().map(String::as_str).chain(timers).collect();
    let names: Vec<&str> = names.into_iter().collect();
    match systemd::show(sys, &names, PROPERTIES) {
        Ok(states) => {
            cx.sources.known("systemctl show", states.len());
            states
        }
        Err(error) => {
            // A job without its last result says so itself.
            cx.sources.aside("systemctl show", &error);
            BTreeMap::new()
        }
    }
}

fn service_of(units: &Units, name: &str) -> Option<String> {
    let service = match name.strip_suffix(".timer") {
        Some(stem) => units
            .get(name)
            .and_then(|t| t.file.as_ref()?.get("Timer", "Unit").map(str::to_owned))
            .unwrap_or_else(|| format!("{stem}.service")),
        None if name.ends_with(".service") => name.to_owned(),
        None => format!("{name}.service"),
    };
    units.get(&service).map(|u| u.name.clone())
}

/// Backup programs in a service's commands, in the scripts they run and in its environment.
fn unit_mentions(sys: &Sys, file: &UnitFile) -> Vec<Mention> {
    let mut environment = BTreeMap::new();
    for value in file.all("Service", "Environment") {
        environment.extend(assignments(value));
    }
    for path in file.all("Service", "EnvironmentFile") {
        let path = path.trim_start_matches('-');
        if let Ok(bytes) = sys.read_capped(path, MAX_SCRIPT) {
            environment.extend(repository_variables(&String::from_utf8_lossy(&bytes)));
        }
    }
    let mut found = Vec::new();
    for key in ["ExecStartPre", "ExecStart", "ExecStartPost"] {
        for command in file.all("Service", key) {
            let command = command.trim_start_matches(['-', '+', '!', '@', ':']);
            found.extend(mentions(command, &environment));
            found.extend(script_mentions(sys, command, &environment));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Of an environment file only where repositories are, never the passwords beside it.
fn repository_variables(text: &str) -> BTreeMap<String, String> {
    let mut vars = assignments(text);
    vars.retain(|name, _| matches!(name.as_str(), "RESTIC_REPOSITORY" | "BORG_REPO"));
    vars
}

/// Looks into the scripts a command names by absolute path, one level deep.
fn script_mentions(sys: &Sys, command: &str, environment: &BTreeMap<String, String>) -> Vec<Mention> {
    let scripts = command.split_whitespace().filter(|w| w.starts_with('/') && !is_of_kernel(w)).take(4);
    let mut found = Vec::new();
    for path in scripts {
        let small = matches!(sys.stat(path), Ok(Some(s)) if s.kind == FileKind::File && s.size <= MAX_SCRIPT);
        if !small {
            continue;
        }
        if let Ok(bytes) = sys.read_capped(path, MAX_SCRIPT)
            && bytes.starts_with(b"#!")
        {
            found.extend(mentions(&String::from_utf8_lossy(&bytes), environment));
        }
    }
    found
}

/// Whether a path leads into the kernel's own file systems, which hold no scripts.
fn is_of_kernel(path: &str) -> bool {
    ["/proc/", "/sys/", "/dev/"].iter().any(|folder| path.starts_with(folder))
}

fn unit_job(
    sys: &Sys,
    cx: &Context,
    units: &Units,
    service: &str,
    found: &[Mention],
    live: &BTreeMap<String, UnitState>,
) -> Found {
    let timer = units.timer_of(service);
    let state = live.get(service);
    let timer_state = timer.and_then(|t| live.get(&t.name));
    let mut job = BackupJob {
        product: "systemd".into(),
        name: service.to_owned(),
        role: "backup".into(),
        scheduled: scheduled(timer, timer_state),
        evidence: if state.is_some() { "unit_result" } else { "configuration" }.into(),
        ..BackupJob::default()
    };
    let products: BTreeSet<&str> =
        found.iter().filter(|m| m.makes_backup).map(|m| m.product.as_str()).collect();
    if let Some(location) = found.iter().find_map(|m| m.repository.as_deref()) {
        job.destination_class = destination::classify(sys, &cx.mounts, location).map(str::to_owned);
        job.destination = Some(destination::without_credentials(location));
    }
    if !products.is_empty() && products.iter().all(|p| matches!(*p, "timeshift" | "btrbk")) {
        job.role = "snapshot".into();
    }
    if let Some(state) = state {
        outcome(&mut job, state, &products);
    }
    Found {
        job,
        last_attempt: state.and_then(|s| s.time("ExecMainStartTimestamp")),
        next_run: timer_state.and_then(|s| s.time("NextElapseUSecRealtime")),
        truncated: false,
    }
}

/// A timer is in force when it is enabled and active; on disk alone only "not enabled" is certain.
fn scheduled(timer: Option<&Unit>, state: Option<&UnitState>) -> Option<bool> {
    let enabled = timer?.state == "enabled";
    match state.and_then(|s| s.get("ActiveState")) {
        Some(active) => Some(active == "active"),
        None => (!enabled).then_some(false),
    }
}

/// The last run of a service: silence (never ran since boot) is no result.
fn outcome(job: &mut BackupJob, state: &UnitState, products: &BTreeSet<&str>) {
    if matches!(state.get("ActiveState"), Some("activating" | "reloading")) {
        job.result = Some("running".into());
        return;
    }
    let Some(ended) = state.time("ExecMainExitTimestamp") else { return };
    let status = state.get("ExecMainStatus").unwrap_or_default();
    job.code = Some(status.to_owned()).filter(|s| !s.is_empty());
    let exited = state.get("ExecMainCode").is_none_or(|c| c == "1");
    let borg_warning = exited && status == "1" && products.iter().any(|p| p.starts_with("borg"));
    let restic_incomplete = exited && status == "3" && products.contains("restic");
    if state.get("Result") == Some("success") && status == "0" {
        job.result = Some("succeeded".into());
        job.last_success = Some(ended);
    } else if borg_warning {
        // Borg ends with 1 when a file changed while it was read; the archive is complete.
        job.result = Some("succeeded_with_warnings".into());
        job.last_success = Some(ended);
    } else if restic_incomplete {
        // A snapshot without the files that could not be read: no success.
        job.result = Some("succeeded_with_warnings".into());
    } else {
        job.result = Some("failed".into());
    }
}

/// Cron tables and scripts that run a known backup program: a schedule, never a result.
pub(super) fn cron(sys: &Sys, cx: &mut Context) {
    let mut count = 0;
    let mut texts: Vec<(String, Result<Vec<u8>, SysError>)> =
        vec![("/etc/crontab".into(), sys.read_capped("/etc/crontab", MAX_SCRIPT))];
    for (folder, _) in CRON_FOLDERS {
        match sys.list(folder) {
            Ok(entries) => {
                for entry in entries.iter().filter(|e| e.kind != FileKind::Dir).take(500) {
                    let path = format!("{folder}/{}", entry.name);
                    let read = sys.read_capped(&path, MAX_SCRIPT);
                    texts.push((path, read));
                }
            }
            Err(SysError::Absent { .. }) => {}
            Err(error) => cx.sources.error(format!("cron:{folder}"), &error),
        }
    }
    for (path, read) in texts {
        match read {
            Ok(bytes) => count += cron_file(sys, cx, &path, &String::from_utf8_lossy(&bytes)),
            Err(SysError::Absent { .. }) => {}
            Err(error) => cx.sources.error(format!("cron:{path}"), &error),
        }
    }
    cx.sources.known("cron", count);
}

fn cron_file(sys: &Sys, cx: &mut Context, path: &str, text: &str) -> usize {
    let none = BTreeMap::new();
    let mut found = mentions(text, &none);
    for line in text.lines().filter(|l| !l.trim_start().starts_with('#')).take(2_000) {
        found.extend(script_mentions(sys, line, &none));
    }
    found.sort();
    found.dedup();
    // Packages ship helpers in cron folders (timeshift's hourly check); those with an own reader say more.
    found.retain(|m| m.makes_backup && !matches!(m.product.as_str(), "timeshift" | "rsnapshot"));
    let count = found.len();
    for mention in &found {
        let local = mention.repository.as_deref().is_some_and(|r| destination::local_path(r).is_some());
        if !local {
            let job = configured(sys, cx, mention, path);
            cx.found.push(job);
        }
    }
    cx.note_repositories(&found);
    count
}

/// A job known from its configuration alone: no time, no result.
fn configured(sys: &Sys, cx: &Context, mention: &Mention, place: &str) -> Found {
    let location = mention.repository.as_deref();
    let shown = location.map(destination::without_credentials);
    let job = BackupJob {
        product: mention.product.clone(),
        name: shown.clone().unwrap_or_else(|| place.to_owned()),
        role: "backup".into(),
        destination_class: location
            .and_then(|l| destination::classify(sys, &cx.mounts, l))
            .map(str::to_owned),
        destination: shown,
        encrypted: matches!(mention.product.as_str(), "restic" | "rustic").then_some(true),
        scheduled: Some(true),
        evidence: "configuration".into(),
        ..BackupJob::default()
    };
    Found { job, last_attempt: None, next_run: None, truncated: false }
}

/// Repositories borgmatic is configured with (`repositories:` lists of its YAML).
pub(super) fn borgmatic(sys: &Sys, cx: &mut Context) {
    let mut paths = vec!["/etc/borgmatic/config.yaml".to_owned()];
    for folder in ["/etc/borgmatic.d", "/root/.config/borgmatic"] {
        for entry in sys.list(folder).unwrap_or_default() {
            if entry.name.ends_with(".yaml") || entry.name.ends_with(".yml") {
                paths.push(format!("{folder}/{}", entry.name));
            }
        }
    }
    for path in paths {
        let Some(text) = cx.sources.optional_text(sys, &path) else { continue };
        let found: Vec<Mention> = borgmatic_repositories(&text)
            .into_iter()
            .map(|r| Mention { product: "borg".into(), makes_backup: true, repository: Some(r) })
            .collect();
        cx.note_repositories(&found);
    }
}

/// The entries of every `repositories:` list, as `- LOCATION` or `- path: LOCATION`.
#[must_use]
pub fn borgmatic_repositories(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut inside: Option<usize> = None;
    for line in text.lines().take(10_000) {
        let trimmed = line.trim();
        let indent = line.len() - line.trim_start().len();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        if trimmed == "repositories:" {
            inside = Some(indent);
            continue;
        }
        let Some(base) = inside else { continue };
        if indent < base || (indent == base && !trimmed.starts_with('-')) {
            inside = None;
            continue;
        }
        let item = trimmed.trim_start_matches('-').trim();
        let value = match item.split_once(": ") {
            Some(("path", value)) => Some(value),
            Some(_) => None,
            None => trimmed.starts_with('-').then_some(item),
        };
        out.extend(value.map(|v| v.trim().trim_matches(['"', '\'']).to_owned()).filter(|v| !v.is_empty()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(text: &str) -> UnitState {
        systemd::parse_show(format!("Id=b.service\n{text}\n").as_bytes()).remove("b.service").unwrap()
    }

    fn ended(text: &str, product: &str) -> (Option<String>, bool) {
        let mut job = BackupJob::default();
        outcome(&mut job, &state(text), &BTreeSet::from([product]));
        (job.result, job.last_success.is_some())
    }

    #[test]
    fn silence_is_no_success_and_exit_codes_are_read_by_product() {
        let exit = |status: u8, result: &str| {
            format!(
                "ActiveState=inactive\nResult={result}\nExecMainCode=1\nExecMainStatus={status}\nExecMainExitTimestamp=@1700000000"
            )
        };
        assert_eq!(
            ended("ActiveState=inactive\nResult=success\nExecMainStatus=0\nExecMainExitTimestamp=", "restic"),
            (None, false)
        );
        assert_eq!(ended(&exit(0, "success"), "restic"), (Some("succeeded".into()), true));
        assert_eq!(ended(&exit(1, "exit-code"), "restic"), (Some("failed".into()), false));
        assert_eq!(ended(&exit(3, "exit-code"), "restic"), (Some("succeeded_with_warnings".into()), false));
        assert_eq!(ended(&exit(1, "exit-code"), "borg"), (Some("succeeded_with_warnings".into()), true));
        assert_eq!(ended(&exit(2, "exit-code"), "borg"), (Some("failed".into()), false));
        assert_eq!(
            ended(
                "ActiveState=activating\nExecMainExitTimestamp=@1700000000\nResult=success\nExecMainStatus=0",
                "borg"
            ),
            (Some("running".into()), false)
        );
    }

    #[test]
    fn borgmatic_lists_are_read_in_both_forms() {
        let text = "location:\n    source_directories:\n        - /home\n    repositories:\n        - ssh://b@h/./r\n        - path: /mnt/b\n          label: usb\nretention:\n    keep_daily: 7\n";
        assert_eq!(borgmatic_repositories(text), ["ssh://b@h/./r", "/mnt/b"]);
        assert_eq!(
            borgmatic_repositories("repositories:\n- path: \"/x\"\n- /y\nother:\n- /z\n"),
            ["/x", "/y"]
        );
    }

    #[test]
    fn only_repository_names_are_taken_from_environment_files() {
        let vars =
            repository_variables("RESTIC_PASSWORD=secret\nexport RESTIC_REPOSITORY='s3:x/y'\nAWS_SECRET=z\n");
        assert_eq!(vars.into_iter().collect::<Vec<_>>(), [("RESTIC_REPOSITORY".into(), "s3:x/y".into())]);
    }
}
