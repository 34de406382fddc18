//! What is remembered of questions to the update service of Windows, in the agent's own folder.
//!
//! A question is marked before it is asked and the mark is taken away when it is answered. A mark that stays
//! (the service hung, or whoever asked was stopped meanwhile) keeps everyone off for some hours, the commands
//! beside the service too. A mark of before the last start of the machine is none: that service is gone.

use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tenken_shared::collected::SourceState;

use crate::sys::windows_update::{UpdateAnswer, UpdateQuestion};
use crate::sys::{Sys, SysError};

/// How long a question that was not answered is left alone.
const REST: SignedDuration = SignedDuration::from_hours(6);
const DAY: SignedDuration = SignedDuration::from_hours(24);
const FILE: &str = "windows_update.json";
const MAX_FILE: usize = 16 * 1024 * 1024;

/// What is remembered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// The last search that succeeded.
    pub good: Option<UpdateAnswer>,
    /// When the question was asked that is not answered yet.
    pub started_at: Option<Timestamp>,
    /// When the server was asked last, whatever came of it.
    pub online_tried_at: Option<Timestamp>,
    /// When it answered last.
    pub online_at: Option<Timestamp>,
    /// What came of asking it, until it answers.
    pub online_failed: Option<SourceState>,
}

impl Kept {
    /// What is kept in the folder; nothing where it cannot be read.
    pub fn load(folder: Option<&Path>) -> Self {
        let Some(folder) = folder else { return Self::default() };
        crate::disk::read(&folder.join(FILE))
            .ok()
            .flatten()
            .filter(|bytes| bytes.len() <= MAX_FILE)
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// A failure costs only the memory of it and is logged.
    pub fn save(&self, folder: Option<&Path>) {
        let Some(folder) = folder else { return };
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        if let Err(error) = crate::disk::write_atomic(&folder.join(FILE), &bytes) {
            tracing::warn!(%error, "What Windows Update answered could not be kept for the next run.");
        }
    }

    /// Whether a question is under way, or hung so lately that none is asked. A time in the future is no
    /// memory.
    pub fn rests(&self, now: Timestamp, booted_at: Option<Timestamp>) -> bool {
        self.started_at.is_some_and(|at| {
            at <= now && now.duration_since(at) < REST && booted_at.is_none_or(|boot| boot <= at)
        })
    }

    /// Whether the server is to be asked: nobody has searched for a day, nor tried to from here.
    pub fn wants_online(&self, searched: Option<Timestamp>, now: Timestamp) -> bool {
        let recent = |at: Option<Timestamp>| at.is_some_and(|at| at <= now && now.duration_since(at) < DAY);
        !recent(searched) && !recent(self.online_tried_at)
    }
}

/// The door to the update service: the question and how long it may take.
pub type Ask<'a> = &'a dyn Fn(UpdateQuestion, Duration) -> Result<UpdateAnswer, SysError>;

/// Asks under a mark that is saved first. What ran out of time keeps it.
pub fn marked(
    ask: Ask<'_>,
    (question, limit): (UpdateQuestion, Duration),
    kept: &mut Kept,
    now: Timestamp,
    save: &dyn Fn(&Kept),
) -> Result<UpdateAnswer, SysError> {
    kept.started_at = Some(now);
    save(kept);
    let answer = ask(question, limit);
    if !matches!(answer, Err(SysError::TimedOut { .. })) {
        kept.started_at = None;
        save(kept);
    }
    answer
}

/// Whether the update service of this machine is left alone now.
pub fn rests(sys: &Sys, kept: &Kept) -> bool {
    let rests = kept.rests(sys.now(), sys.booted_at().ok());
    if rests {
        sys.windows_update_rests();
    }
    rests
}

/// Asks for the history, unless the service is left alone.
pub fn history(sys: &Sys, folder: Option<&Path>, limit: Duration) -> Result<UpdateAnswer, SysError> {
    let question = UpdateQuestion { online: false, search: false, history: true };
    let ask = |question, limit| sys.windows_update(question, limit);
    if !sys.is_live() {
        return ask(question, limit);
    }
    let mut kept = Kept::load(folder);
    if rests(sys, &kept) {
        return Err(SysError::TimedOut { what: "windows_update:history".into() });
    }
    marked(&ask, (question, limit), &mut kept, sys.now(), &|kept| kept.save(folder))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const NOW: &str = "2026-11-23T03:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn memory_survives_and_rubbish_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let failed = SourceState::known("x", 1);
        let kept = Kept { started_at: Some(at(NOW)), online_failed: Some(failed), ..Kept::default() };
        kept.save(Some(folder.path()));
        assert_eq!(Kept::load(Some(folder.path())), kept);
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        assert_eq!(Kept::load(Some(folder.path())), Kept::default());
    }

    #[test]
    fn mark_holds_for_hours_but_not_across_a_restart_of_the_machine() {
        let kept = Kept { started_at: Some(at(NOW)), ..Kept::default() };
        assert!(kept.rests(at("2026-11-23T08:59:00Z"), Some(at("2026-11-20T00:00:00Z"))));
        assert!(kept.rests(at("2026-11-23T08:59:00Z"), None));
        assert!(!kept.rests(at("2026-11-23T08:59:00Z"), Some(at("2026-11-23T04:00:00Z"))));
        assert!(!kept.rests(at("2026-11-23T09:00:00Z"), None));
        assert!(!kept.rests(at("2026-11-22T00:00:00Z"), None), "a time in the future is no memory");
    }

    /// Whoever is stopped while the service hangs leaves the mark on disk.
    #[test]
    fn question_is_marked_on_disk_while_it_is_asked_and_after_it_hung() {
        let folder = tempfile::tempdir().unwrap();
        let save = |kept: &Kept| kept.save(Some(folder.path()));
        let question = UpdateQuestion { online: false, search: true, history: false };
        let during = RefCell::new(vec![]);
        let run = |error: SysError| {
            let ask = |_, _| {
                during.borrow_mut().push(Kept::load(Some(folder.path())).started_at);
                Err(error.clone())
            };
            let mut kept = Kept::load(Some(folder.path()));
            marked(&ask, (question, Duration::ZERO), &mut kept, at(NOW), &save).unwrap_err();
            Kept::load(Some(folder.path())).started_at
        };
        assert_eq!(run(SysError::Denied { what: "x".into() }), None);
        assert_eq!(run(SysError::TimedOut { what: "x".into() }), Some(at(NOW)));
        assert_eq!(during.into_inner(), [Some(at(NOW)); 2]);
    }
}
