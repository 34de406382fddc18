//! The sources of one fact: what was looked at and how that went, gathered while collecting.

use tenken_shared::collected::{Collected, Reason, SourceState, Status};

use crate::sys::{RegistryKey, Sys, SysError};

/// Gathers the `sources` of a body; a gap in any makes the fact `partial`.
#[derive(Debug, Clone, Default)]
pub struct Sources(Vec<SourceState>);

impl Sources {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A source read whole.
    pub fn known(&mut self, source: impl Into<String>, count: usize) {
        self.0.push(SourceState::known(source, count));
    }

    /// A source read, but cut short by a cap.
    pub fn truncated(&mut self, source: impl Into<String>, count: usize) {
        let mut state = SourceState::known(source, count);
        state.truncated = true;
        self.0.push(state);
    }

    /// A source that was not read (whole), with status and reason.
    pub fn gap(&mut self, source: impl Into<String>, status: Status, reason: Reason) {
        self.0.push(SourceState::gap(source, status, reason));
    }

    /// A source that gave an error; its honest state follows from it.
    pub fn error(&mut self, source: impl Into<String>, error: &SysError) {
        self.gap(source, error.status(), error.reason());
    }

    /// A source on which no answer rests: that it is impossible here is no gap, every other error is.
    pub fn aside(&mut self, source: impl Into<String>, error: &SysError) {
        let state = SourceState::gap(source, error.status(), error.reason());
        self.0.push(SourceState { aside: state.status == Status::Unsupported, ..state });
    }

    /// Reads a text file as a source of `count = 1`; an error is recorded and gives `None`.
    pub fn text(&mut self, sys: &Sys, path: &str) -> Option<String> {
        match sys.read_text(path) {
            Ok(text) => {
                self.known(path, 1);
                Some(text)
            }
            Err(error) => {
                self.error(path, &error);
                None
            }
        }
    }

    /// Reads a text file that is often not there: only a success or a gap is recorded, absence is not.
    pub fn optional_text(&mut self, sys: &Sys, path: &str) -> Option<String> {
        match sys.read_text(path) {
            Err(SysError::Absent { .. }) => None,
            other => {
                match &other {
                    Ok(_) => self.known(path, 1),
                    Err(error) => self.error(path, error),
                }
                other.ok()
            }
        }
    }

    /// Marks hives under a root folder whose last changes lie in transaction logs that are not there: what is
    /// read from them may be older than the machine was.
    pub fn require_whole_hives(&mut self, sys: &Sys) {
        for key in [r"HKLM\SYSTEM\Select", r"HKLM\SOFTWARE\Microsoft"] {
            if let Ok(Some(key)) = sys.registry(key) {
                self.whole_hive(&key);
            }
        }
    }

    /// The same of the hive one key lies in.
    pub fn whole_hive(&mut self, key: &RegistryKey) {
        if key.is_outdated() {
            self.gap(format!("{} logs", key.path()), Status::Partial, Reason::new("hive_outdated"));
        }
    }

    /// Takes over what another one gathered.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Marks a root folder that holds no programs (a few saved files, not a machine): that something was
    /// not found there proves nothing, so whatever is said of such a folder is at most `partial`.
    pub fn require_programs(&mut self, sys: &Sys) {
        let found = ["/usr/bin", "/bin", "/nix/store"].iter().any(|p| !matches!(sys.exists(p), Ok(false)));
        if !found {
            self.gap("programs", Status::Partial, Reason::with("no_programs_in_root", "/usr/bin"));
        }
    }

    /// Whether any source leaves something unknown.
    #[must_use]
    pub fn has_gap(&self) -> bool {
        self.0.iter().any(SourceState::is_gap)
    }

    /// The states, sorted by source, as bodies carry them.
    #[must_use]
    pub fn into_vec(mut self) -> Vec<SourceState> {
        self.0.sort_by(|a, b| a.source.cmp(&b.source));
        self.0
    }
}

/// `known`, or `partial` with the first gap as the reason.
#[must_use]
pub fn collected<T>(body: T, sources: &[SourceState]) -> Collected<T> {
    match sources.iter().find(|s| s.is_gap()) {
        None => Collected::Known(body),
        Some(gap) => {
            let reason = gap.reason.clone().unwrap_or_else(|| Reason::with("truncated", &gap.source));
            Collected::Partial(body, reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_makes_partial_and_absence_does_not() {
        let mut sources = Sources::new();
        sources.known("a", 3);
        sources.error("b", &SysError::Absent { what: "b".into() });
        assert_eq!(collected((), &sources.clone().into_vec()).status(), Status::Known);
        let live_only = SysError::Unsupported { what: "s".into(), reason: "live_only".into() };
        sources.aside("s", &live_only);
        assert_eq!(collected((), &sources.clone().into_vec()).status(), Status::Known, "nothing rests on it");
        for error in [&live_only, &SysError::Denied { what: "s".into() }] {
            let mut sources = sources.clone();
            if error.status() == Status::Unsupported {
                sources.error("t", error);
            } else {
                sources.aside("t", error);
            }
            assert_eq!(collected((), &sources.into_vec()).status(), Status::Partial, "{error}");
        }
        sources.error("c", &SysError::Denied { what: "c".into() });
        assert!(sources.has_gap());
        let states = sources.into_vec();
        assert_eq!(collected((), &states).reason().unwrap().code, "permission_denied");
    }
}
