//! Pending restart of Windows, from what servicing, the update agent and the system leave in the registry.
//!
//! Servicing and updates decide. A pending file rename, computer name or domain join is shown as well, but
//! does not decide: any installer may leave one, and none says that an update waits.
//! The deciding keys vanish with the running system: under a root folder only servicing packages that wait
//! and `pending.xml` remain, and without one of them `pending` stays empty.
//! Privilege: none.

use tenken_shared::collected::{Collected, Reason, SourceState, Status};
use tenken_shared::fact::FactKind;
use tenken_shared::fact::restart::{Restart, RestartObserved, RestartSign};

use crate::probe::Collection;
use crate::probe::package::settle;
use crate::probe::servicing::{self, SERVICING};
use crate::probe::updates::parse_windows::PackageState;
use crate::sys::{RegistryKey, RegistryValue, Sys, SysError};

const UPDATE: &str = "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\WindowsUpdate\\Auto Update";
const UPDATES: &str = "HKLM\\SOFTWARE\\Microsoft\\Updates";
const SERVER_MANAGER: &str = "HKLM\\SOFTWARE\\Microsoft\\ServerManager";
const SESSION: &str = "HKLM\\SYSTEM\\CurrentControlSet\\Control\\Session Manager";
const NAME: &str = "HKLM\\SYSTEM\\CurrentControlSet\\Control\\ComputerName";
const NETLOGON: &str = "HKLM\\SYSTEM\\CurrentControlSet\\Services\\Netlogon";
const PENDING_XML: &str = "/Windows/WinSxS/pending.xml";
/// Signs that do not decide.
const WEAK: [&str; 3] = ["pending_file_rename", "computer_rename", "domain_join"];

/// What is watched.
pub(super) const WATCH: &[&str] = &[
    r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired",
    r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending",
];

pub fn collect(sys: &Sys) -> Vec<Collection> {
    let mut body = Restart::default();
    running_keys(sys, &mut body);
    packages(sys, &mut body);
    pending_xml(sys, &mut body);
    weak(sys, &mut body);
    let strong = body.signs.iter().any(|s| !WEAK.contains(&s.code.as_str()));
    body.signs.sort_by_key(|s| (WEAK.contains(&s.code.as_str()), s.code.clone()));
    body.pending = decide(strong, sys.is_live(), &body.sources);
    let sources = body.sources.clone();
    let line = settle::source_line(&sources);
    vec![
        Collection::of(settle::by_sources(body, &sources, "nothing_to_judge_by"), line, sys.now()),
        booted(sys),
    ]
}

/// "No" needs a running system whose servicing could be read: where that is not there (Wine), or a place could
/// not be looked at, that a key is missing proves nothing.
fn decide(strong: bool, live: bool, sources: &[SourceState]) -> Option<bool> {
    if strong {
        return Some(true);
    }
    let servicing = |s: &SourceState| s.source.starts_with(SERVICING) && s.source.ends_with("Packages");
    let read = sources.iter().any(|s| servicing(s) && s.status == Status::Known);
    (live && read && !sources.iter().any(SourceState::is_gap)).then_some(false)
}

fn booted(sys: &Sys) -> Collection {
    match sys.booted_at() {
        Ok(at) => {
            let body = RestartObserved { booted_at: Some(at) };
            Collection::of(Collected::Known(body), "boot time", sys.now())
        }
        Err(error) => Collection::missing(FactKind::RestartObserved, &error, sys.now()),
    }
}

fn sign(code: &str, detail: Option<String>) -> RestartSign {
    RestartSign { code: code.to_owned(), detail }
}

/// Keys that exist only while a restart is pending. A key that cannot be looked at is a gap, never "no".
fn running_keys(sys: &Sys, body: &mut Restart) {
    let updates = |sys: &Sys| -> Result<bool, SysError> {
        let key = sys.registry(UPDATES)?;
        Ok(key.map(|k| k.number("UpdateExeVolatile")).transpose()?.flatten().is_some_and(|v| v != 0))
    };
    type Look<'a> = (&'a str, String, &'a dyn Fn(&Sys, &str) -> Result<bool, SysError>);
    let exists = |sys: &Sys, path: &str| Ok(sys.registry(path)?.is_some());
    let looks: [Look<'_>; 6] = [
        ("component_servicing", format!("{SERVICING}\\RebootPending"), &exists),
        ("component_servicing", format!("{SERVICING}\\RebootInProgress"), &exists),
        ("component_servicing", format!("{SERVICING}\\PackagesPending"), &exists),
        ("windows_update", format!("{UPDATE}\\RebootRequired"), &exists),
        ("hotfix", UPDATES.to_owned(), &|sys, _| updates(sys)),
        ("server_role", format!("{SERVER_MANAGER}\\CurrentRebootAttempts"), &exists),
    ];
    for (code, path, look) in looks {
        match look(sys, &path) {
            Ok(true) => {
                body.signs.push(sign(code, Some(path.clone())));
                body.sources.push(SourceState::known(path, 1));
            }
            Ok(false) if sys.is_live() => body.sources.push(SourceState::known(path, 0)),
            Ok(false) => {
                let reason = Reason::with("live_only", "the key does not outlive the running system");
                body.sources.push(SourceState::gap(path, Status::Unsupported, reason));
            }
            Err(error) => body.sources.push(settle::gap(path, &error)),
        }
    }
    body.signs.dedup_by(|a, b| a.code == b.code);
}

/// Update packages that come into force or go with the next start.
fn packages(sys: &Sys, body: &mut Restart) {
    let source = format!("{SERVICING}\\Packages");
    let packages = match servicing::packages(sys) {
        Ok(packages) => packages,
        Err(error) => return body.sources.push(settle::gap(source, &error)),
    };
    let waits = |p: &&servicing::Package| {
        matches!(p.state, PackageState::InstallPending | PackageState::RemovePending)
    };
    let waiting: Vec<String> =
        packages.iter().filter(waits).map(|p| format!("{} {}", p.name, p.version)).take(50).collect();
    body.sources.push(SourceState::known(source, packages.len()));
    if !waiting.is_empty() {
        body.signs.push(sign("package_pending", Some(waiting.join(", "))));
    }
}

/// Transactions of the component store that the next start carries out.
fn pending_xml(sys: &Sys, body: &mut Restart) {
    match sys.exists(PENDING_XML) {
        Ok(true) => {
            body.signs.push(sign("component_transaction", Some(PENDING_XML.into())));
            body.sources.push(SourceState::known(PENDING_XML, 1));
        }
        Ok(false) => body.sources.push(SourceState::known(PENDING_XML, 0)),
        Err(error) => body.sources.push(settle::gap(PENDING_XML, &error)),
    }
}

fn weak(sys: &Sys, body: &mut Restart) {
    let renames = sys.registry(SESSION).and_then(|key| key.map(|k| file_renames(&k)).transpose());
    match renames {
        Ok(count) => {
            body.sources.push(SourceState::known(SESSION, count.unwrap_or_default()));
            if let Some(count) = count.filter(|count| *count > 0) {
                body.signs.push(sign("pending_file_rename", Some(format!("{count} files"))));
            }
        }
        Err(error) => body.sources.push(settle::gap(SESSION, &error)),
    }
    match names(sys) {
        Ok(Some((now, next))) if !now.eq_ignore_ascii_case(&next) => {
            body.signs.push(sign("computer_rename", Some(format!("{now} -> {next}"))));
        }
        Ok(_) => {}
        Err(error) => body.sources.push(settle::gap(NAME, &error)),
    }
    for value in ["JoinDomain", "AvoidSpnSet"] {
        let set = sys
            .registry(NETLOGON)
            .and_then(|key| key.map(|k| k.value(value)).transpose())
            .map(|found| found.flatten().is_some());
        match set {
            Ok(true) => body.signs.push(sign("domain_join", Some(value.to_owned()))),
            Ok(false) => {}
            Err(error) => body.sources.push(settle::gap(NETLOGON, &error)),
        }
    }
}

/// Pairs of paths: what is moved, and where to (empty: removed).
fn file_renames(key: &RegistryKey) -> Result<usize, SysError> {
    let mut count = 0;
    for name in ["PendingFileRenameOperations", "PendingFileRenameOperations2"] {
        if let Some(RegistryValue::Strings(paths)) = key.value(name)? {
            count += paths.chunks(2).filter(|pair| pair.first().is_some_and(|from| !from.is_empty())).count();
        }
    }
    Ok(count)
}

/// The name in force and the one after the next start.
fn names(sys: &Sys) -> Result<Option<(String, String)>, SysError> {
    let name = |sub: &str| -> Result<Option<String>, SysError> {
        let key = sys.registry(&format!("{NAME}\\{sub}"))?;
        Ok(key.map(|k| k.string("ComputerName")).transpose()?.flatten())
    };
    Ok(name("ActiveComputerName")?.zip(name("ComputerName")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::ProbeConfig;
    use crate::probe::fixture::{Fixture, body};
    use crate::probe::restart::PROBE;

    fn read(fixture: &Fixture) -> tenken_shared::collected::Collected<Restart> {
        fixture.collect(&PROBE, &ProbeConfig::default())
    }

    #[test]
    fn waiting_package_decides_and_weak_signs_stand_behind() {
        let found = body(read(&Fixture::of("restart/windows-11-ja")));
        assert_eq!(found.pending, Some(true));
        let signs: Vec<_> =
            found.signs.iter().map(|s| (s.code.as_str(), s.detail.as_deref().unwrap_or_default())).collect();
        assert_eq!(
            signs,
            [
                ("package_pending", "RollupFix 26100.9168.1.5"),
                ("computer_rename", "PC-01 -> KEIRI-01"),
                ("pending_file_rename", "1 files"),
            ]
        );
    }

    #[test]
    fn no_restart_is_pending_only_where_servicing_could_be_read() {
        let packages = format!("{SERVICING}\\Packages");
        let known = SourceState::known(packages.clone(), 9);
        let absent = SourceState::gap(packages, Status::Absent, Reason::new("not_present"));
        let denied = SourceState::gap("x", Status::Denied, Reason::new("permission_denied"));
        assert_eq!(decide(false, true, std::slice::from_ref(&known)), Some(false));
        assert_eq!(decide(false, true, &[absent]), None, "a system without servicing");
        assert_eq!(decide(false, true, &[known.clone(), denied]), None);
        assert_eq!(decide(false, false, &[known]), None, "files");
        assert_eq!(decide(true, false, &[]), Some(true));
    }

    #[test]
    fn files_without_a_sign_never_say_no() {
        let fixture = Fixture::of("software/windows-11-ja");
        let found = read(&fixture);
        assert_eq!(found.value().and_then(|b| b.pending), None);
        fixture.write("/Windows/WinSxS/pending.xml", "<x/>");
        assert_eq!(body(read(&fixture)).pending, Some(true));
    }
}
