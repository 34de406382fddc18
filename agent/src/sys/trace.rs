//! What was read during a probe run, so that an unchanged machine need not be read again.
//!
//! While a [`Sys`] is traced, each access leaves one mark: stat signature for files on real file
//! systems and for folders, content hash for pseudo files (`/proc`, `/sys`, anything that claims to be
//! empty) and for answers of the system, absence for what was not there. An access whose result cannot
//! be checked cheaply again (a command that ran, an error, a file changed in this very moment) makes
//! the trace volatile: its run is never reused.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tenken_shared::ids::Digest;

use super::Sys;

/// Most marks of one run; a run that touches more is not reused.
const MAX_MARKS: usize = 50_000;
/// A change younger than this may be followed by another within the same tick of the file system's clock.
const RACY: Duration = Duration::from_millis(50);

/// How an access is checked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Access {
    /// Stat signature of a file or folder, links followed.
    Stat,
    /// Presence and kind only.
    Exists,
    /// Hash of a pseudo file's content.
    Content,
    /// Hash of the lines of a pseudo file that do not change by themselves.
    Lines,
    /// Hash of a pseudo folder's names.
    Names,
    /// Target of a symbolic link.
    Link,
    /// Hash of an answer of the running system, by name.
    Answer,
    /// Last-written time of a key of the running system's registry.
    Registry,
}

/// Everything one run depended on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    marks: Vec<(Access, String, String)>,
}

#[derive(Debug, Default)]
struct Marks {
    seen: BTreeMap<(Access, String), String>,
    volatile: Option<String>,
}

/// The recording side, held by a traced [`Sys`].
#[derive(Debug, Clone, Default)]
pub(super) struct Tracer(Option<Arc<Mutex<Marks>>>);

/// The end of a recording.
#[derive(Debug)]
pub struct Recorder(Arc<Mutex<Marks>>);

impl Recorder {
    /// What was recorded; `None` where the run cannot be reused.
    #[must_use]
    pub fn finish(self) -> Option<Trace> {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cause) = &marks.volatile {
            tracing::trace!(cause, "Run cannot be reused.");
            return None;
        }
        let marks = marks.seen.iter().map(|((access, what), mark)| (*access, what.clone(), mark.clone()));
        Some(Trace { marks: marks.collect() })
    }
}

impl Tracer {
    fn with(&self, f: impl FnOnce(&mut Marks)) {
        if let Some(marks) = &self.0 {
            f(&mut marks.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Notes one access. The same access with another result means that it changes under us.
    pub(super) fn note(&self, access: Access, what: &str, mark: impl FnOnce() -> String) {
        self.with(|marks| {
            if marks.volatile.is_some() {
                return;
            }
            if is_fleeting(what) {
                marks.volatile = Some(what.to_owned());
                return;
            }
            let mark = mark();
            let before = marks.seen.insert((access, what.to_owned()), mark.clone());
            if before.is_some_and(|before| before != mark) || marks.seen.len() > MAX_MARKS {
                marks.volatile = Some(what.to_owned());
            }
        });
    }

    /// Notes an access that cannot be checked again.
    pub(super) fn volatile(&self, what: &str) {
        self.with(|marks| marks.volatile = Some(what.to_owned()));
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }
}

impl Sys {
    /// The same machine, with everything read through it recorded.
    #[must_use]
    pub fn traced(&self) -> (Self, Recorder) {
        let marks = Arc::new(Mutex::new(Marks::default()));
        let sys = Self { tracer: Tracer(Some(Arc::clone(&marks))), ..self.clone() };
        (sys, Recorder(marks))
    }

    /// Whether every input of a recorded run is unchanged. Reads no content but pseudo files.
    #[must_use]
    pub fn is_unchanged(&self, trace: &Trace) -> bool {
        let changed = |(access, what, mark): &&(Access, String, String)| {
            self.mark_now(*access, what).as_ref() != Some(mark)
        };
        match trace.marks.iter().find(changed) {
            None => true,
            Some((_, what, _)) => {
                tracing::trace!(what, "Input changed.");
                false
            }
        }
    }
}

/// The mark of something that is not there.
pub(super) const ABSENT: &str = "absent";
/// The mark of something that may not be read.
pub(super) const DENIED: &str = "denied";

/// Which lines of a pseudo file hold still: the others change with every look at them.
pub(super) fn holds_still(path: &str, line: &str) -> bool {
    let starts = |words: &[&str]| words.iter().any(|word| line.starts_with(word));
    match path {
        "/proc/cpuinfo" => !starts(&["cpu MHz", "bogomips", "BogoMIPS"]),
        "/proc/meminfo" => starts(&["MemTotal"]),
        // Use counts go up and down; only those of hypervisors tell something.
        "/proc/modules" => starts(&["kvm_intel ", "kvm_amd ", "vboxdrv ", "vmmon "]),
        // Sockets that wait for others; what is connected comes and goes.
        "/proc/net/tcp" | "/proc/net/tcp6" => socket_state(line) == Some("0A"),
        "/proc/net/udp" | "/proc/net/udp6" => socket_state(line) == Some("07"),
        _ => true,
    }
}

/// State of the socket on a line of `/proc/net`.
fn socket_state(line: &str) -> Option<&str> {
    line.split_ascii_whitespace().nth(3)
}

/// Short hash of a content.
pub(super) fn hash_of(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

/// Signature of a file or folder; `None` where it changed so recently that the next change might not show.
pub(super) fn signature(meta: &std::fs::Metadata) -> Option<String> {
    let modified = meta.modified().ok()?;
    let nanos = |t: SystemTime| t.duration_since(SystemTime::UNIX_EPOCH).map(|d| d.as_nanos()).ok();
    #[cfg(unix)]
    let (changed, rest) = {
        use std::os::unix::fs::MetadataExt as _;
        let seconds = u64::try_from(meta.ctime()).ok()?;
        let changed = SystemTime::UNIX_EPOCH + Duration::new(seconds, u32::try_from(meta.ctime_nsec()).ok()?);
        (changed, format!("{}-{}-{}-{}", meta.dev(), meta.ino(), meta.mode(), meta.uid()))
    };
    #[cfg(not(unix))]
    let (changed, rest) = (modified, format!("{:?}", meta.file_type()));
    if !is_settled(changed.max(modified)) {
        return None;
    }
    Some(format!("{}-{}-{}-{rest}", meta.len(), nanos(modified)?, nanos(changed)?))
}

/// Whether a change is so long ago that a following one will show by another time.
pub(super) fn is_settled(changed: SystemTime) -> bool {
    SystemTime::now().duration_since(changed).unwrap_or_default() >= RACY
}

/// Whether a path is about processes, which come and go: a run that looked at them is never the same
/// again, and its marks are not worth keeping. Process 1 stays.
fn is_fleeting(path: &str) -> bool {
    let rest = match path.strip_prefix("/proc") {
        Some("") => return true,
        Some(rest) => rest.strip_prefix('/'),
        None => None,
    };
    let Some(rest) = rest else { return false };
    let process = rest.split('/').next().unwrap_or_default();
    process.is_empty() || process != "1" && process.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a path lies on a file system whose files say nothing about their content by their stat.
pub(super) fn is_pseudo(real: &Path) -> bool {
    real.starts_with("/proc") || real.starts_with("/sys")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_fleeting_and_the_rest_of_procfs_is_not() {
        assert!(is_fleeting("/proc") && is_fleeting("/proc/4711/maps") && is_fleeting("/proc/"));
        for path in
            ["/proc/1/mountinfo", "/proc/cpuinfo", "/proc/self/mountinfo", "/procedures", "/etc/passwd"]
        {
            assert!(!is_fleeting(path), "{path}");
        }
    }
}
