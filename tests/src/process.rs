//! Child processes that end with their owner, and waiting for conditions.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal};

/// How long a condition may take before a story gives up: generous, since busy machines are normal.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Names the parent of a process that is to become a program tied to it.
const TIED_VARIABLE: &str = "TENKEN_TIED_TO";
static TIED: AtomicBool = AtomicBool::new(false);

/// From now on each program that [`Running::start`] starts is asked to end (SIGTERM) when the thread that
/// started it ends, however that comes about. To be called first in `main`: a program is started through this
/// one, which ties itself to its parent and then becomes it, since the tie outlives that.
pub fn tie_children() -> Result<()> {
    let Some(parent) = std::env::var_os(TIED_VARIABLE) else {
        TIED.store(true, Ordering::Relaxed);
        return Ok(());
    };
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    let parent: i32 = parent.to_string_lossy().parse().context(TIED_VARIABLE)?;
    ensure!(rustix::process::getppid() == Pid::from_raw(parent), "the parent has ended already");
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().context("no program to become")?;
    Err(Command::new(program).args(arguments).env_remove(TIED_VARIABLE).exec().into())
}

/// A command that starts `command` tied to this program.
fn tied(command: &Command) -> Result<Command> {
    let mut out = Command::new(std::env::current_exe()?);
    out.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => out.env(name, value),
            None => out.env_remove(name),
        };
    }
    out.env(TIED_VARIABLE, std::process::id().to_string());
    Ok(out)
}

/// A running program. Dropping it kills it (SIGKILL), so no story leaves anything behind.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts `command` with its output going to `log`.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let mut through;
        let command = if TIED.load(Ordering::Relaxed) {
            through = tied(command)?;
            &mut through
        } else {
            command
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().to_string_lossy()))?;
        Ok(Self { child })
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it at once, as `kill -9` does, and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end (SIGTERM) and waits; its exit code.
    pub fn terminate(&mut self) -> Result<Option<i32>> {
        rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        wait_for("the process to end", || Ok(self.child.try_wait()?.map(|status| status.code())))
    }

    /// Its end, if it has ended.
    pub fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        Ok(self.child.try_wait()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks `condition` until it gives a value; fails after [`PATIENCE`] with what was waited for.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if start.elapsed() > PATIENCE {
            bail!("waited {} s for {what}", PATIENCE.as_secs());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// CPU time a process has used (user and system), milliseconds. Source: `/proc/<pid>/stat`.
#[cfg(target_os = "linux")]
pub fn cpu_ms(pid: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let rest = text.rsplit_once(')').context("stat without a name")?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: u64 =
        fields.get(11).context("utime")?.parse::<u64>()? + fields.get(12).context("stime")?.parse::<u64>()?;
    Ok(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

/// A memory figure of a process in KiB (`VmRSS`, `VmHWM`). Source: `/proc/<pid>/status`.
#[cfg(target_os = "linux")]
pub fn memory_kib(pid: u32, field: &str) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find(|l| l.strip_prefix(field).is_some_and(|r| r.starts_with(':')));
    let number = line.and_then(|l| l.split_whitespace().nth(1)).with_context(|| format!("no {field}"))?;
    Ok(number.parse()?)
}
