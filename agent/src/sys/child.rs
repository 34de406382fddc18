//! Questions that are asked in a child process: this same program, started again with `ask JOB`.
//!
//! COM and WMI run code of other vendors in the process that asks. In a child it can leak, hang or crash
//! without harm: the child gets a time limit and is killed when it is over; on Windows it gets a memory limit
//! too and ends with the process that asks.
//! The request goes in on standard input and the answer comes out on standard output, both one JSON value.

use std::io::{Read as _, Write as _};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenken_shared::collected::Status;

use super::{SysError, command, live, live_update};

/// The hidden command that a child is started with.
pub const COMMAND: &str = "ask";
/// Largest request, bytes.
const MAX_REQUEST: u64 = 64 * 1024;
/// Largest answer, bytes.
const MAX_ANSWER: u64 = 32 * 1024 * 1024;
/// Most memory of a child, bytes.
const MAX_MEMORY: usize = 512 * 1024 * 1024;

/// What a child was asked, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Search and history of the Windows Update Agent.
    WindowsUpdate,
    /// A query of WMI.
    Wmi,
}

impl Job {
    const ALL: [(Self, &'static str); 2] = [(Self::WindowsUpdate, "windows-update"), (Self::Wmi, "wmi")];

    fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(job, _)| *job == self).map_or("", |(_, name)| name)
    }

    fn answer(self, request: Value) -> Result<Value, SysError> {
        match self {
            Self::WindowsUpdate => live_update::answer(request),
            Self::Wmi => live::wmi(&request),
        }
    }
}

/// An error on its way from the child.
#[derive(Debug, Serialize, Deserialize)]
struct Refusal {
    status: Status,
    what: String,
    reason: String,
    detail: String,
}

impl From<SysError> for Refusal {
    fn from(error: SysError) -> Self {
        let reason = error.reason();
        let what = error.what().to_owned();
        Self { status: error.status(), what, reason: reason.code, detail: reason.detail.unwrap_or_default() }
    }
}

impl From<Refusal> for SysError {
    fn from(refusal: Refusal) -> Self {
        let Refusal { status, what, reason, detail } = refusal;
        match status {
            Status::Absent => Self::Absent { what },
            Status::Denied => Self::Denied { what },
            Status::Unsupported => Self::Unsupported { what, reason },
            Status::TimedOut => Self::TimedOut { what },
            Status::Known | Status::Partial | Status::Failed => Self::Failed { what, reason, detail },
        }
    }
}

/// Asks a child and waits at most `limit`, then kills it.
pub(super) fn ask(job: Job, request: &Value, limit: Duration) -> Result<Value, SysError> {
    let program = std::env::current_exe().map_err(|e| SysError::from_io(job.as_str(), &e))?;
    ask_program(&program, job, request, limit)
}

fn ask_program(
    program: &std::path::Path,
    job: Job,
    request: &Value,
    limit: Duration,
) -> Result<Value, SysError> {
    let what = job.as_str();
    let mut child = std::process::Command::new(program)
        .args([COMMAND, what])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| SysError::from_io(what, &e))?;
    // Before the request goes in: what the child does for it is done tied.
    let _tie = live_update::tie(&child, MAX_MEMORY).inspect_err(|_| {
        let _ = child.kill();
        let _ = child.wait();
    })?;
    if let Some(mut pipe) = child.stdin.take() {
        // A child that does not read answers by its exit code.
        let _ = pipe.write_all(request.to_string().as_bytes());
    }
    let out = command::drain(child.stdout.take(), MAX_ANSWER);
    let code = command::wait(&mut child, limit, what)?;
    let bytes = out.join().unwrap_or_default();
    if bytes.len() as u64 > MAX_ANSWER {
        return Err(SysError::TooLarge { what: what.into(), cap: MAX_ANSWER });
    }
    match serde_json::from_slice::<Result<Value, Refusal>>(&bytes) {
        Ok(answer) => answer.map_err(SysError::from),
        Err(_) => Err(SysError::Failed {
            what: what.into(),
            reason: "child_died".into(),
            detail: code.map_or_else(|| "killed".into(), |code| format!("exit code {code}")),
        }),
    }
}

/// The child's side: reads the request, answers, ends.
#[must_use]
pub fn serve(job: &str) -> ExitCode {
    let Some((job, _)) = Job::ALL.into_iter().find(|(_, name)| *name == job) else {
        return ExitCode::FAILURE;
    };
    let mut request = Vec::new();
    let read = std::io::stdin().take(MAX_REQUEST).read_to_end(&mut request);
    let answer = match read.map(|_| serde_json::from_slice(&request)) {
        Ok(Ok(request)) => job.answer(request),
        _ => Err(SysError::malformed(job.as_str(), "request")),
    };
    let answer: Result<Value, Refusal> = answer.map_err(Refusal::from);
    let written = serde_json::to_writer(std::io::stdout().lock(), &answer);
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn program(script: &str) -> tempfile::TempPath {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "#!/bin/sh\n{script}\n").unwrap();
        let path = file.into_temp_path();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        path
    }

    fn ask_script(script: &str, limit: Duration) -> Result<Value, SysError> {
        ask_program(&program(script), Job::WindowsUpdate, &Value::from("question"), limit)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn request_goes_in_and_answer_comes_out() {
        let echo = ask_script("printf '{\"Ok\":['; cat; printf ',\"%s\"]}' \"$2\"", LONG).unwrap();
        assert_eq!(echo, serde_json::json!(["question", "windows-update"]));
    }

    #[test]
    fn refusal_keeps_its_state_and_a_dead_child_is_a_failure() {
        let denied = r#"echo '{"Err":{"status":"denied","what":"w","reason":"r","detail":"d"}}'"#;
        assert_eq!(ask_script(denied, LONG), Err(SysError::Denied { what: "w".into() }));
        for dead in ["exit 3", "echo '{\"Ok\":'", "kill -9 $$"] {
            assert_eq!(ask_script(dead, LONG).unwrap_err().reason().code, "child_died", "{dead}");
        }
    }

    #[test]
    fn hanging_child_is_killed() {
        let hung = ask_script("exec tail -f /dev/null", Duration::from_millis(50));
        assert!(matches!(hung, Err(SysError::TimedOut { .. })));
    }
}
