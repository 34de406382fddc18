//! File History, per user.
//!
//! | Where | What |
//! |---|---|
//! | `AppData\Local\Microsoft\Windows\FileHistory\Configuration\Config1.xml` (a second copy in `Config2.xml`) | `DPStatus` on or off, `Target/TargetUrl` where to, `Target/TargetDriveType` |
//! | `HKCU\Software\Microsoft\Windows\CurrentVersion\FileHistory` `ProtectedUpToTime` | until when all is copied (`FILETIME`) |
//! | channel `…FileHistory-Core/WHC` 100 | the state after a cycle, logged for the user: a datum `ProtectedUpToTime` |
//! | channel `…FileHistory-Engine/BackupLog` 200, 201, 203 | a cycle failed; data `ConfigFilePath`, `Hr` |
//! | `HKLM\SOFTWARE\Policies\Microsoft\Windows\FileHistory` `Disabled` | switched off for all |
//!
//! Folders that OneDrive synchronises are left out by Windows: the entry says nothing of them.

use tenken_shared::fact::backups::BackupJob;

use super::{Found, Machine, xml};
use crate::probe::windows::{key, number};
use crate::sys::decode::decode;
use crate::sys::{Event, EventQuery, RegistryKey, RegistryValue, Sys, SysError, filetime};

const CONFIGURATION: &str = "AppData/Local/Microsoft/Windows/FileHistory/Configuration";
const FILES: [&str; 2] = ["Config1.xml", "Config2.xml"];
const STATE: &str = r"Software\Microsoft\Windows\CurrentVersion\FileHistory";
const POLICY: &str = r"HKLM\SOFTWARE\Policies\Microsoft\Windows\FileHistory";
const CHANNEL: &str = "Microsoft-Windows-FileHistory-Engine/BackupLog";
const STATES: &str = "Microsoft-Windows-FileHistory-Core/WHC";
const STATE_EVENT: u32 = 100;
const FAILED: [u32; 3] = [200, 201, 203];
/// Largest configuration, bytes.
const CAP: u64 = 4 * 1024 * 1024;

/// What a configuration says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Configuration {
    /// Switched on.
    pub enabled: Option<bool>,
    /// Where to: a drive or a share.
    pub target: Option<String>,
    /// `FIXED`, `REMOVABLE` or `REMOTE`.
    pub drive_type: Option<String>,
}

impl Configuration {
    /// Reads `Config1.xml`.
    /// Errors: no well-formed XML, or of another kind.
    pub fn parse(text: &str) -> Result<Self, String> {
        let leaves = xml::leaves(text)?;
        let at =
            |path: &str| xml::first(&leaves, &format!("DataProtectionUserConfig/{path}")).map(str::to_owned);
        if !leaves.iter().any(|(path, _)| path.starts_with("DataProtectionUserConfig/")) {
            return Err("another document".into());
        }
        Ok(Self {
            enabled: at("DPStatus").map(|word| word.eq_ignore_ascii_case("ENABLED")),
            target: at("Target/TargetUrl").or_else(|| at("Target/TargetVolumePath")),
            drive_type: at("Target/TargetDriveType").map(|word| word.to_ascii_uppercase()),
        })
    }
}

/// One entry per user who set it up.
pub(super) fn read(machine: &mut Machine<'_>) {
    let policy = key(machine.sys, POLICY, &mut machine.sources);
    let forbidden = policy.and_then(|key| number(&key, "Disabled", &mut machine.sources)) == Some(1);
    let mut set_up = vec![];
    for user in &machine.users {
        let Some(profile) = &user.profile else { continue };
        let who = user.user.clone().unwrap_or_else(|| user.sid.clone());
        let source = format!("file_history:{}", if user.sid.is_empty() { &who } else { &user.sid });
        match configuration(machine.sys, profile) {
            Ok(Some(configuration)) => {
                machine.sources.known(source, 1);
                let state = user.hive.as_ref().ok().map(protected_until);
                set_up.push((who, user.sid.clone(), profile.clone(), configuration, state));
            }
            Ok(None) => {}
            Err(error) => machine.sources.error(source, &error),
        }
    }
    if set_up.is_empty() {
        return;
    }
    let query =
        EventQuery { channel: CHANNEL.into(), ids: FAILED.to_vec(), limit: 2_000, ..EventQuery::default() };
    let events = machine.events(&query).unwrap_or_default();
    let query = EventQuery { channel: STATES.into(), ids: vec![STATE_EVENT], ..query };
    let states = machine.events(&query).unwrap_or_default();
    for (who, sid, profile, configuration, state) in set_up {
        let until = match state {
            Some(Ok(until)) => until,
            Some(Err(error)) => {
                machine.sources.error(format!("file_history:{who}:{STATE}"), &error);
                None
            }
            None => None,
        };
        let now = machine.sys.now();
        let events: Vec<_> = events.iter().filter(|event| event.at <= now).cloned().collect();
        let logged = states.iter().filter_map(|event| logged_until(event, &sid));
        let until = until.into_iter().chain(logged).filter(|at| *at <= now).max();
        let mut found = entry_of(&who, &profile, &configuration, until, &events);
        if forbidden {
            found.job.scheduled = Some(false);
        }
        machine.place(&mut found.job, configuration.target.as_deref());
        if found.job.destination_class.is_none() && configuration.drive_type.as_deref() == Some("REMOVABLE") {
            found.job.destination_class = Some("attached".into());
        }
        machine.found.push(found);
    }
}

/// Until when all was copied, by an event of a user: a date of XML, or the ticks of a `FILETIME`.
pub(super) fn logged_until(event: &Event, sid: &str) -> Option<jiff::Timestamp> {
    if sid.is_empty() || event.user_sid.as_deref() != Some(sid) {
        return None;
    }
    let value = event.get("ProtectedUpToTime")?.trim();
    match value.parse::<u64>() {
        Ok(ticks) => filetime(ticks).filter(|_| ticks != 0),
        Err(_) => value.parse().ok(),
    }
}

/// What is known of a user's File History; `events` are the failed cycles of all, newest first.
pub(super) fn entry_of(
    who: &str,
    profile: &str,
    configuration: &Configuration,
    until: Option<jiff::Timestamp>,
    events: &[Event],
) -> Found {
    // What failed before the last good cycle is mended.
    let after = |event: &&Event| until.is_none_or(|until| event.at > until);
    let failure = events.iter().find(|event| concerns(event, profile)).filter(after);
    let result = match (failure, until) {
        (Some(_), _) => Some("failed"),
        (None, Some(_)) => Some("succeeded"),
        (None, None) => None,
    };
    let job = BackupJob {
        product: "file_history".into(),
        name: who.into(),
        role: "backup".into(),
        last_success: until,
        result: result.map(str::to_owned),
        code: failure.map(code),
        scheduled: configuration.enabled,
        evidence: if until.is_some() || failure.is_some() { "product_log" } else { "configuration" }.into(),
        ..BackupJob::default()
    };
    Found { job, last_attempt: failure.map(|event| event.at).max(until), ..Found::default() }
}

/// The HRESULT of a failed cycle, else its event.
fn code(event: &Event) -> String {
    let value = event.get("Hr").or_else(|| event.get("HighLevelHr")).unwrap_or_default();
    match value.parse::<i64>().ok().filter(|code| *code != 0) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the 32 bits of an HRESULT"
        )]
        Some(code) => format!("{:#010x}", code as u32),
        None => format!("event {}", event.id),
    }
}

fn concerns(event: &Event, profile: &str) -> bool {
    let path = event.get("ConfigFilePath").unwrap_or_default().to_lowercase();
    FAILED.contains(&event.id)
        && path.strip_prefix(&profile.to_lowercase()).is_some_and(|rest| rest.starts_with('\\'))
}

/// The user's configuration, from the first of the two copies that reads; `None` where there is none.
fn configuration(sys: &Sys, profile: &str) -> Result<Option<Configuration>, SysError> {
    let home = sys.windows_path(profile)?;
    let mut failed = None;
    for file in FILES {
        let path = format!("{home}/{CONFIGURATION}/{file}");
        match sys.read_capped(&path, CAP) {
            Ok(bytes) => match Configuration::parse(&decode(&bytes)) {
                Ok(configuration) => return Ok(Some(configuration)),
                Err(error) => failed = failed.or(Some(SysError::malformed(&path, error))),
            },
            Err(SysError::Absent { .. }) => {}
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(None), Err)
}

fn protected_until(hive: &RegistryKey) -> Result<Option<jiff::Timestamp>, SysError> {
    let Some(state) = hive.open(STATE)? else { return Ok(None) };
    Ok(match state.value("ProtectedUpToTime")? {
        Some(RegistryValue::Number(ticks)) => filetime(ticks),
        Some(RegistryValue::Binary(bytes)) => {
            bytes.first_chunk().and_then(|b| filetime(u64::from_le_bytes(*b)))
        }
        _ => None,
    })
}
