//! What a process costs, as the kernel counts it.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::process::{cpu_ms, memory_kib, wait_for};
use serde_json::{Value, json};

/// Looks without any use of CPU after which a process counts as idle.
const STILL: usize = 10;

/// Runs a command `times` times, one after the other: CPU of one run on average, with the commands it
/// started; largest resident memory of the process itself.
/// Source: `/proc/self/stat` counts ended children exactly and prints hundredths of a second, so the
/// average is exact to 10 ms divided by `times`.
pub fn of(times: u64, mut command: impl FnMut() -> Command) -> Result<Value> {
    let before = children_ms()?;
    let mut peak_kib = 0;
    for _ in 0..times {
        peak_kib = peak_kib.max(run(&mut command())?);
    }
    let cpu = (children_ms()? - before) as f64 / times as f64;
    Ok(json!({"cpu_ms": cpu, "peak_kib": peak_kib}))
}

/// Runs a command to its end; its peak memory as last seen before that.
fn run(command: &mut Command) -> Result<u64> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut peak_kib = 0;
    loop {
        if let Ok(kib) = memory_kib(child.id(), "VmHWM") {
            peak_kib = kib;
        }
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "{command:?}: {status}");
            return Ok(peak_kib);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// CPU of all children that ended, and of theirs.
fn children_ms() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let rest = text.rsplit_once(')').context("stat without a name")?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| -> Result<u64> { Ok(fields.get(at).context("cutime")?.parse()?) };
    Ok((ticks(13)? + ticks(14)?) * 1000 / rustix::param::clock_ticks_per_second())
}

/// Waits until a process no longer works, then tells its memory (`/proc/<pid>/smaps_rollup`).
pub fn when_idle(pid: u32) -> Result<Value> {
    let (mut last, mut still) = (cpu_ms(pid)?, 0);
    wait_for("an idle process", || {
        let now = cpu_ms(pid)?;
        still = if now == last { still + 1 } else { 0 };
        last = now;
        Ok((still > STILL).then_some(()))
    })?;
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kib = |field: &str| {
        let line = rollup.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
        line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok())
    };
    Ok(json!({"resident_kib": kib("Rss"), "anonymous_kib": kib("Anonymous")}))
}

/// Processor and kernel, for the reader of the figures.
pub fn machine() -> Value {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": "));
    let count = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = rustix::system::uname();
    json!({
        "processor": model.map(|(_, name)| name), "processors": count,
        "kernel": kernel.release().to_string_lossy(),
    })
}
