//! Commands of the machine: absolute path, fixed locale, clean environment, time limit, output cap.

use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::{Sys, SysError};

/// A command to run.
#[derive(Debug, Clone)]
pub struct Command {
    program: String,
    args: Vec<String>,
    timeout: Duration,
    cap: u64,
}

/// What it gave.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error, at most 64 KiB.
    pub stderr: Vec<u8>,
}

impl Command {
    /// A command by absolute path, with a limit of 30 s and 16 MiB.
    #[must_use]
    pub fn new(program: &str) -> Self {
        Self {
            program: program.to_owned(),
            args: vec![],
            timeout: Duration::from_secs(30),
            cap: 16 * 1024 * 1024,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<str>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets the time limit.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl Sys {
    /// Runs a command on the running machine. Under a root folder: `Unsupported`, reason `live_only`.
    /// `Absent` where the program does not exist; an exit code is not an error.
    pub fn command(&self, command: &Command) -> Result<Output, SysError> {
        self.require_live(&command.program)?;
        let what = command.program.as_str();
        if !what.starts_with('/') && !cfg!(windows) {
            return Err(SysError::Unsupported { what: what.into(), reason: "relative_program".into() });
        }
        // What a command says can only be checked by running it again, which is no cheaper than its probe.
        self.exists(what)?;
        let mut child = match spawn(command).map_err(|e| SysError::from_io(what, &e)) {
            Err(SysError::Absent { what }) => return Err(SysError::Absent { what }),
            spawned => {
                self.tracer.volatile(what);
                spawned?
            }
        };
        let stdout = drain(child.stdout.take(), command.cap);
        let stderr = drain(child.stderr.take(), 64 * 1024);
        let code = wait(&mut child, command.timeout, what)?;
        let stdout = stdout.join().unwrap_or_default();
        let stderr = stderr.join().unwrap_or_default();
        if stdout.len() as u64 > command.cap {
            return Err(SysError::TooLarge { what: what.into(), cap: command.cap });
        }
        Ok(Output { code, stdout, stderr })
    }
}

fn spawn(command: &Command) -> std::io::Result<Child> {
    std::process::Command::new(&command.program)
        .args(&command.args)
        .env_clear()
        .env("LC_ALL", "C")
        .env("LANGUAGE", "C")
        .env("TZ", "UTC")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/nonexistent")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

pub(super) fn drain<R: Read + Send + 'static>(pipe: Option<R>, cap: u64) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut out = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.by_ref().take(cap + 1).read_to_end(&mut out);
            // Keep the writer from blocking on a full pipe; what comes now is over the cap anyway.
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        }
        out
    })
}

pub(super) fn wait(child: &mut Child, timeout: Duration, what: &str) -> Result<Option<i32>, SysError> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.code()),
            Ok(None) if start.elapsed() >= timeout => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(SysError::TimedOut { what: what.into() });
            }
            Ok(None) => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(50));
            }
            Err(e) => return Err(SysError::from_io(what, &e)),
        }
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locale_is_fixed_and_time_is_limited() {
        let sys = Sys::live();
        let out = sys.command(&Command::new("/bin/sh").args(["-c", "echo $LC_ALL; exit 3"])).unwrap();
        assert_eq!((out.code, out.stdout.as_slice()), (Some(3), b"C\n".as_slice()));
        let slow = Command::new("/bin/sleep").args(["60"]).timeout(Duration::from_millis(50));
        assert!(matches!(sys.command(&slow), Err(SysError::TimedOut { .. })));
        assert!(matches!(sys.command(&Command::new("/nonexistent/x")), Err(SysError::Absent { .. })));
    }
}
