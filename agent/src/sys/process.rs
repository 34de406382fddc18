//! Processes of a running Linux machine, looked at once per round for every probe that asks.
//!
//! One `stat` file per process tells all that is asked. A probe that asks is not run again for every
//! process that comes or goes, but when the answer it got is another one.
//! Privilege: none.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::trace::{self, Access, Tracer};
use super::{Sys, SysError};

/// Most processes looked at.
const MAX_PROCESSES: usize = 50_000;
/// Largest `stat` of a process, bytes.
const STAT_CAP: u64 = 4096;
/// Flag of a kernel thread (`PF_KTHREAD`).
const KERNEL_THREAD: u64 = 0x0020_0000;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Name as the kernel has it: at most 15 bytes.
    pub name: String,
    /// Whether it is a thread of the kernel, with no program behind it.
    pub is_kernel: bool,
    /// Ticks after the boot at which it started; with the id it names one process for ever.
    started: u64,
}

impl Process {
    /// Reads `/proc/PID/stat` (`proc(5)`). The name stands in parentheses and may hold any of them.
    #[must_use]
    pub fn parse(stat: &str) -> Option<Self> {
        let (pid, rest) = stat.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        let mut fields = rest.split_ascii_whitespace();
        let flags: u64 = fields.nth(6)?.parse().ok()?;
        let started = fields.nth(12)?.parse().ok()?;
        let is_kernel = flags & KERNEL_THREAD != 0;
        Some(Self { pid: pid.parse().ok()?, name: name.to_owned(), is_kernel, started })
    }
}

/// The processes as they were first seen in this round.
#[derive(Debug, Clone, Default)]
pub(super) struct Table(Arc<Mutex<Option<Arc<Vec<Process>>>>>);

impl Sys {
    /// Starts a round: the next question about processes looks anew.
    pub fn begin_round(&self) {
        *self.processes.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The programs that run, by id; kernel threads are left out. An answer that rests on them holds until
    /// one starts or ends, this program itself apart.
    /// Errors: `Unsupported` under a root folder and on a system without procfs.
    pub fn processes(&self) -> Result<Vec<Process>, SysError> {
        let table = self.table()?;
        self.tracer.note(Access::Answer, "processes", || mark(&table));
        Ok(table.iter().filter(|p| !p.is_kernel).cloned().collect())
    }

    /// Whether a program of that name runs, compared as the kernel has it (15 bytes).
    /// Errors: as [`Sys::processes`]; `Denied` where it is not seen and other users' processes are hidden.
    pub fn is_running(&self, name: &str) -> Result<bool, SysError> {
        let table = self.table()?;
        let runs = runs(&table, name);
        if !runs && !table.iter().any(|p| p.pid == 1) {
            self.tracer.volatile("processes");
            return Err(SysError::Denied { what: "processes".into() });
        }
        self.tracer.note(Access::Answer, &format!("running:{name}"), || runs.to_string());
        Ok(runs)
    }

    /// The same machine without recording: for reads whose outcome follows from what is noted already.
    #[must_use]
    pub fn untraced(&self) -> Self {
        Self { tracer: Tracer::default(), ..self.clone() }
    }

    /// The mark of all programs now.
    pub(super) fn processes_now(&self) -> Option<String> {
        Some(mark(&self.table().ok()?))
    }

    /// The mark of one program now.
    pub(super) fn running_now(&self, name: &str) -> Option<String> {
        Some(runs(&self.table().ok()?, name).to_string())
    }

    fn table(&self) -> Result<Arc<Vec<Process>>, SysError> {
        self.require_live("processes")?;
        let mut kept = self.processes.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = &*kept {
            return Ok(Arc::clone(table));
        }
        let table = Arc::new(self.untraced().look()?);
        *kept = Some(Arc::clone(&table));
        Ok(table)
    }

    fn look(&self) -> Result<Vec<Process>, SysError> {
        let mut found = BTreeMap::new();
        for entry in self.list("/proc")?.iter().filter(|e| e.name.bytes().all(|b| b.is_ascii_digit())) {
            // One that ended since is no error.
            let Ok(bytes) = self.read_capped(&format!("/proc/{}/stat", entry.name), STAT_CAP) else {
                continue;
            };
            if let Some(process) = Process::parse(&String::from_utf8_lossy(&bytes)) {
                found.insert(process.pid, process);
            }
            if found.len() == MAX_PROCESSES {
                break;
            }
        }
        Ok(found.into_values().collect())
    }
}

fn runs(table: &[Process], name: &str) -> bool {
    let name = name.get(..15).unwrap_or(name);
    table.iter().any(|p| p.name == name)
}

/// The same for the same programs, whatever the kernel's threads and this program itself do.
fn mark(table: &[Process]) -> String {
    let own = std::process::id();
    let programs = table.iter().filter(|p| !p.is_kernel && p.pid != own);
    let text: String = programs.map(|p| format!("{} {}\n", p.pid, p.started)).collect();
    trace::hash_of(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "4711 (a) b (c) S 1 4711 4711 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 1000 20 1 2";

    #[test]
    fn a_name_may_hold_parentheses_and_cuts_are_no_process() {
        let process = Process::parse(STAT).unwrap();
        assert_eq!((process.pid, process.name.as_str(), process.started), (4711, "a) b (c", 123_456));
        assert!(!process.is_kernel);
        assert!(
            Process::parse("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 9 0 0")
                .unwrap()
                .is_kernel
        );
        let end = STAT.find("123456").unwrap();
        for cut in 0..end {
            assert_eq!(Process::parse(&STAT[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn kernel_threads_and_this_program_leave_the_mark_as_it_is() {
        let process = |pid, is_kernel, started| Process { pid, name: "x".into(), is_kernel, started };
        let one = vec![process(1, false, 5)];
        let more = vec![process(1, false, 5), process(2, true, 9), process(std::process::id(), false, 7)];
        assert_eq!(mark(&one), mark(&more));
        assert_ne!(mark(&one), mark(&[process(1, false, 6)]), "another process of the same id");
    }

    #[test]
    fn long_names_are_compared_as_the_kernel_cuts_them() {
        let table = vec![Process { pid: 1, name: "sophos_threat_d".into(), is_kernel: false, started: 1 }];
        assert!(runs(&table, "sophos_threat_detector") && !runs(&table, "sophos"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_program_is_among_the_processes_and_a_new_one_only_after_a_new_round() {
        let sys = Sys::live();
        let pids = || -> Vec<u32> { sys.processes().unwrap().iter().map(|p| p.pid).collect() };
        assert!(pids().contains(&std::process::id()));
        let before = sys.processes_now();
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        assert!(!pids().contains(&child.id()), "one look per round");
        assert_eq!(sys.processes_now(), before);
        sys.begin_round();
        assert!(pids().contains(&child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn files_hold_no_processes() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let sys = Sys::at_root(dir.path(), None).unwrap();
        assert!(matches!(sys.is_running("clamd"), Err(SysError::Unsupported { .. })));
    }
}
