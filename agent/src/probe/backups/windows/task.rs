//! Scheduled tasks: whether one is in force, and how its last run ended.
//!
//! The definition is an XML file per task (`Windows/System32/Tasks/<path>`); the last run is kept in the
//! registry, `Schedule\TaskCache\Tree\<path>` naming the id and `Tasks\<id>` holding `DynamicInfo`:
//!
//! | Offset | Bytes | What |
//! |---|---|---|
//! | 0 | 4 | 3, the form |
//! | 4 | 8 | `FILETIME` of the registration |
//! | 12 | 8 | `FILETIME` of the last start |
//! | 20 | 4 | state, unused |
//! | 24 | 4 | result of the last run (0: success; an exit code or an HRESULT) |
//! | 28 | 8 | `FILETIME` of the last end; Windows 10 and later |

use jiff::Timestamp;
use tenken_shared::collected::{Reason, Status};
use tenken_shared::fact::backups::BackupJob;

use super::xml;
use super::{Found, Machine};
use crate::sys::decode::decode;
use crate::sys::{RegistryValue, Sys, SysError, filetime};

const TASKS: &str = "/Windows/System32/Tasks";
const CACHE: &str = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Schedule\TaskCache";
/// Largest definition, bytes.
const CAP: u64 = 1024 * 1024;
/// Results that say that there is none: ready, running, disabled, not yet run.
const NO_RESULT: [u32; 4] = [0x0004_1300, 0x0004_1301, 0x0004_1302, 0x0004_1303];

/// Whether a task starts by itself: enabled, with a trigger. `None`: there is no such task.
pub(super) fn scheduled(sys: &Sys, path: &str) -> Result<Option<bool>, SysError> {
    let file = format!("{TASKS}/{}", path.replace('\\', "/").trim_matches('/'));
    match sys.read_capped(&file, CAP) {
        Ok(bytes) => starts(&decode(&bytes)).map(Some).map_err(|error| SysError::malformed(&file, error)),
        Err(SysError::Absent { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a task's definition lets it start by itself.
/// Errors: no well-formed XML.
pub fn starts(definition: &str) -> Result<bool, String> {
    let leaves = xml::leaves(definition)?;
    let enabled = xml::first(&leaves, "Task/Settings/Enabled").is_none_or(|word| word == "true");
    Ok(enabled && leaves.iter().any(|(path, _)| path.starts_with("Task/Triggers/")))
}

/// The last run of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRun {
    /// Last start.
    pub started: Option<Timestamp>,
    /// Last end; older systems do not keep it.
    pub ended: Option<Timestamp>,
    /// Exit code or HRESULT.
    pub code: u32,
}

impl LastRun {
    /// Reads `DynamicInfo`; `None` where it is of another form.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let time = |at: usize| filetime(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        (number(0)? == 3).then_some(())?;
        Some(Self { started: time(12), ended: time(28), code: number(24)? })
    }

    /// Whether the last run ended, and well.
    fn succeeded(&self) -> Option<bool> {
        (self.started.is_some() && !NO_RESULT.contains(&self.code)).then_some(self.code == 0)
    }
}

/// A task the policy names as a backup job.
pub(super) fn declared(machine: &mut Machine<'_>, name: &str) {
    let source = format!("task:{name}");
    let missing = || SysError::Absent { what: name.to_owned() };
    let read = last_run(machine.sys, name).and_then(|run| run.ok_or_else(missing));
    let plan = scheduled(machine.sys, name);
    match (read, plan) {
        (Ok(run), Ok(plan)) => {
            machine.sources.known(source, 1);
            machine.found.push(job(name, run, plan, machine.sys.now()));
        }
        // Declared and not there: a job that cannot have run.
        (Err(SysError::Absent { .. }), _) => {
            machine.sources.gap(source, Status::Partial, Reason::with("declared_task_missing", name));
        }
        (Err(error), _) | (_, Err(error)) => machine.sources.gap(source, Status::Partial, error.reason()),
    }
}

fn job(name: &str, run: LastRun, plan: Option<bool>, now: Timestamp) -> Found {
    let past = |at: &Timestamp| *at <= now;
    let succeeded = run.succeeded();
    // The end of the last run is that of this run only where it is not before its start.
    let ended = run.ended.filter(|end| run.started.is_none_or(|start| start <= *end)).or(run.started);
    Found {
        job: BackupJob {
            product: "scheduled_task".into(),
            name: name.into(),
            role: "backup".into(),
            last_success: ended.filter(|at| succeeded == Some(true) && past(at)),
            result: succeeded.map(|good| if good { "succeeded" } else { "failed" }.into()),
            code: succeeded.map(|_| format!("{:#010x}", run.code)),
            scheduled: plan,
            evidence: "unit_result".into(),
            ..BackupJob::default()
        },
        last_attempt: run.started.filter(past),
        ..Found::default()
    }
}

fn last_run(sys: &Sys, name: &str) -> Result<Option<LastRun>, SysError> {
    let path = format!("{CACHE}\\Tree\\{}", name.replace('/', "\\").trim_matches('\\'));
    let Some(entry) = sys.registry(&path)? else { return Ok(None) };
    let id = entry.string("Id")?.filter(|id| id.starts_with('{') && !id.contains('\\'));
    let id = id.ok_or_else(|| SysError::malformed(&path, "Id"))?;
    let path = format!("{CACHE}\\Tasks\\{id}");
    let Some(task) = sys.registry(&path)? else { return Ok(None) };
    match task.value("DynamicInfo")? {
        Some(RegistryValue::Binary(bytes)) => {
            LastRun::parse(&bytes).map(Some).ok_or_else(|| SysError::malformed(&path, "DynamicInfo"))
        }
        _ => Err(SysError::malformed(&path, "DynamicInfo")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_in_force_when_enabled_and_triggered() {
        let task = |enabled: &str, triggers: &str| {
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-16\"?><Task xmlns=\"http://schemas.microsoft.com/windows/2004/02/mit/task\"><Triggers>{triggers}</Triggers><Settings>{enabled}</Settings></Task>"
            )
        };
        let daily = "<CalendarTrigger><StartBoundary>2026-01-01T21:00:00</StartBoundary></CalendarTrigger>";
        assert_eq!(starts(&task("<Enabled>true</Enabled>", daily)), Ok(true));
        assert_eq!(starts(&task("", daily)), Ok(true), "enabled is the default");
        assert_eq!(starts(&task("<Enabled>false</Enabled>", daily)), Ok(false));
        assert_eq!(starts(&task("", "")), Ok(false));
        assert!(starts("<Task>").is_err());
    }

    #[test]
    fn the_last_run_is_read_and_another_form_is_none() {
        let ticks = |text: &str| {
            let at: Timestamp = text.parse().unwrap();
            ((at.as_nanosecond() / 100) as u64 + 116_444_736_000_000_000).to_le_bytes()
        };
        let info = |code: u32| {
            let mut bytes = 3u32.to_le_bytes().to_vec();
            for time in ["2026-01-01T00:00:00Z", "2026-11-22T12:00:00Z"] {
                bytes.extend(ticks(time));
            }
            bytes.extend([0; 4]);
            bytes.extend(code.to_le_bytes());
            bytes.extend(ticks("2026-11-22T13:00:00Z"));
            bytes
        };
        let now: Timestamp = "2026-11-23T00:00:00Z".parse().unwrap();
        let read = |code| job("t", LastRun::parse(&info(code)).unwrap(), Some(true), now).job;
        assert_eq!(read(0).last_success, "2026-11-22T13:00:00Z".parse().ok());
        assert_eq!((read(1).result.as_deref(), read(1).last_success), (Some("failed"), None));
        assert_eq!((read(0x41301).result, read(0x41303).last_success), (None, None), "running; never run");
        assert_eq!(LastRun::parse(&info(0)[..24]), None);
        assert_eq!(LastRun::parse(&[4; 36]), None);
    }
}
