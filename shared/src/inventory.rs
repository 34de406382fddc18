//! The facts of one host at one moment, and what is known of how they came about.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::collected::{Collected, Reason};
use crate::fact::{FactBody, FactKind, FactRecord, KindName};
use crate::policy::Freshness;

/// One kind of fact in an inventory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The current answer, whatever its status.
    pub record: FactRecord,
    /// When the current answer was last confirmed (same digest collected again), host time corrected by
    /// the clock offset.
    pub confirmed_at: Timestamp,
    /// The last answer with a body, where the current one has none: shown beside it, and no verdict
    /// rests on it beyond its maximum age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_known: Option<Box<FactRecord>>,
}

/// All current facts of one host.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inventory {
    facts: BTreeMap<KindName, Held>,
    #[serde(skip)]
    read: Memo,
}

/// Typed bodies that were read once, shared by all who look at them. Says nothing that the facts do not.
#[derive(Default)]
struct Memo(Mutex<BTreeMap<FactKind, Arc<dyn Any + Send + Sync>>>);

impl Memo {
    fn get<T: FactBody>(&self) -> Option<Arc<T>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&T::KIND).and_then(|body| Arc::clone(body).downcast().ok())
    }

    fn put<T: FactBody>(&self, body: &Arc<T>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(T::KIND, Arc::clone(body) as _);
    }

    fn forget(&self, kind: FactKind) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&kind);
    }
}

impl Clone for Memo {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()))
    }
}

impl PartialEq for Memo {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl std::fmt::Debug for Memo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Memo")
    }
}

/// Whether knowledge may still be used, by the time of its last confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Young enough.
    Fresh,
    /// Beyond its maximum age.
    Stale,
    /// Confirmed in the future: some clock was wrong, and its age cannot be told.
    Future,
}

impl Age {
    /// Of a fact confirmed at `confirmed_at`, with the end of its freshness.
    #[must_use]
    pub fn of(
        kind: &str,
        confirmed_at: Timestamp,
        freshness: &Freshness,
        now: Timestamp,
    ) -> (Self, Option<Timestamp>) {
        let hours = freshness.max_age_by_kind_h.get(kind).copied().unwrap_or(freshness.max_age_h);
        let until = confirmed_at.checked_add(jiff::SignedDuration::from_hours(i64::from(hours))).ok();
        let age = if until.is_some_and(|until| now > until) {
            Self::Stale
        } else if !crate::control::rule::plausible(confirmed_at, now) {
            // A clock that was set back must not lengthen what is known.
            Self::Future
        } else {
            Self::Fresh
        };
        (age, until)
    }
}

/// A typed fact with its age, as controls see it.
#[derive(Debug, Clone)]
pub struct View<'a, T> {
    /// The value and its honest state; `Failed("stale")` when too old, `Failed("time_in_future")` when
    /// its age cannot be told because some clock was wrong, `Absent("not_reported")` when the host never
    /// reported this kind.
    pub collected: Collected<Arc<T>>,
    /// The record it comes from.
    pub record: Option<&'a FactRecord>,
    /// When it was last confirmed.
    pub confirmed_at: Option<Timestamp>,
    /// Until when the fact is young enough to support a verdict.
    pub fresh_until: Option<Timestamp>,
}

impl Inventory {
    /// An inventory of facts collected just now (the agent's own `check`).
    pub fn of(records: impl IntoIterator<Item = FactRecord>) -> Self {
        let mut inventory = Self::default();
        for record in records {
            let confirmed_at = record.collected_at;
            inventory.insert(Held { record, confirmed_at, last_known: None });
        }
        inventory
    }

    /// Puts one fact in, replacing what was held of its kind.
    pub fn insert(&mut self, held: Held) {
        if let Some(kind) = held.record.content.kind.known() {
            self.read.forget(kind);
        }
        self.facts.insert(held.record.content.kind.clone(), held);
    }

    /// Puts one fact in whose body was read before; the record itself need not hold it.
    pub fn insert_read<T: FactBody>(&mut self, held: Held, body: T) {
        self.insert(held);
        self.read.put(&Arc::new(body));
    }

    /// The typed fact of a kind, read at most once; `Absent("not_reported")` where none is held.
    #[must_use]
    pub fn typed<T: FactBody>(&self) -> Collected<Arc<T>> {
        let Some(held) = self.held(T::KIND) else {
            return Collected::Absent(Reason::new("not_reported"));
        };
        let content = &held.record.content;
        if let Some(body) = self.read.get::<T>().filter(|_| content.status.has_body()) {
            return Collected::from_parts(content.status, content.reason.clone(), Some(body));
        }
        let collected = held.record.typed::<T>().map(Arc::new);
        if let Some(body) = collected.value() {
            self.read.put(body);
        }
        collected
    }

    /// What is held of a kind.
    pub fn held(&self, kind: FactKind) -> Option<&Held> {
        self.facts.get(&KindName::from(kind))
    }

    /// Everything held, sorted by kind; kinds this version does not know included.
    pub fn iter(&self) -> impl Iterator<Item = (&KindName, &Held)> {
        self.facts.iter()
    }

    /// The typed view of a kind at `now`, with the maximum age of `freshness` applied.
    pub fn view<T: FactBody>(&self, freshness: &Freshness, now: Timestamp) -> View<'_, T> {
        let Some(held) = self.held(T::KIND) else {
            let collected = Collected::Absent(Reason::new("not_reported"));
            return View { collected, record: None, confirmed_at: None, fresh_until: None };
        };
        let (age, fresh_until) = Age::of(T::KIND.as_str(), held.confirmed_at, freshness, now);
        let collected = match age {
            Age::Stale => Collected::Failed(Reason::with("stale", held.confirmed_at)),
            Age::Future => Collected::Failed(Reason::with("time_in_future", held.confirmed_at)),
            Age::Fresh => self.typed::<T>(),
        };
        View { collected, record: Some(&held.record), confirmed_at: Some(held.confirmed_at), fresh_until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::restart::Restart;

    #[test]
    fn knowledge_is_fresh_only_between_its_confirmation_and_its_maximum_age() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let collected = Collected::Known(Restart { pending: Some(false), ..Restart::default() });
        let record = FactRecord::new(collected, "test", at("2026-11-01T00:00:00Z")).unwrap();
        let inventory = Inventory::of([record]);
        for (now, reason) in [
            ("2026-10-20T00:00:00Z", Some("time_in_future")),
            ("2026-10-31T22:59:00Z", Some("time_in_future")),
            ("2026-10-31T23:30:00Z", None),
            ("2026-11-15T00:00:00Z", None),
            ("2026-11-15T00:00:01Z", Some("stale")),
        ] {
            let view = inventory.view::<Restart>(&Freshness::default(), at(now));
            assert_eq!(view.collected.reason().map(|r| r.code.as_str()), reason, "{now}");
        }
    }
}
