//! What every rule does alike: asks for facts honestly, cites what decided, and says until when the
//! outcome holds.
//!
//! A rule returns a [`Decision`], or a [`Message`] as error for `unknown`. A fact that is not known ends
//! the rule with the reason, so that no rule can pass on what was not collected.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Context;
use crate::collected::{Collected, Reason, Status};
use crate::fact::{FactBody, FactKind};
use crate::finding::{Evidence, MAX_EVIDENCE, Message, Outcome, Verdict};

/// What a rule decides; `unknown` is the error of [`Ruling`].
pub(super) enum Decision {
    Pass(Message),
    Fail(Message),
    NotApplicable(Message),
}

/// A decision, or why there is none.
pub(super) type Ruling = Result<Decision, Message>;

/// `Ok(Pass)` with a bare code.
pub(super) fn pass(code: &str) -> Ruling {
    Ok(Decision::Pass(Message::new(code)))
}

/// `Ok(Fail)` with a bare code.
pub(super) fn fail(code: &str) -> Ruling {
    Ok(Decision::Fail(Message::new(code)))
}

/// `Ok(NotApplicable)` with a bare code.
pub(super) fn not_applicable(code: &str) -> Ruling {
    Ok(Decision::NotApplicable(Message::new(code)))
}

/// A value and what is missing from it: `None` where the fact is whole.
pub(super) struct Seen<T> {
    pub value: T,
    pub gap: Option<Message>,
}

impl<T> Seen<T> {
    /// Ends the rule as unknown where the fact has a gap. Called once nothing fails for sure.
    pub fn whole(self) -> Result<T, Message> {
        match self.gap {
            None => Ok(self.value),
            Some(gap) => Err(gap),
        }
    }
}

/// One evaluation under way.
pub(super) struct Rule<'a> {
    pub ctx: &'a Context<'a>,
    evidence: Vec<Evidence>,
    /// When the first fact that was looked at grows too old.
    stale_at: Option<Timestamp>,
    /// When time alone changes the outcome otherwise.
    change_at: Option<Timestamp>,
}

const TICK: SignedDuration = SignedDuration::from_millis(1);

impl<'a> Rule<'a> {
    /// Runs `body` and makes a verdict of it.
    pub fn run(ctx: &'a Context<'a>, body: impl FnOnce(&mut Self) -> Ruling) -> Verdict {
        let mut rule = Self { ctx, evidence: vec![], stale_at: None, change_at: None };
        let (outcome, message) = match body(&mut rule) {
            Ok(Decision::Pass(message)) => (Outcome::Pass, message),
            Ok(Decision::Fail(message)) => (Outcome::Fail, message),
            Ok(Decision::NotApplicable(message)) => (Outcome::NotApplicable, message),
            Err(message) => (Outcome::Unknown, message),
        };
        // An unknown stays one when its facts grow old; only a change in time can decide it.
        let stale_at = if outcome == Outcome::Unknown { None } else { rule.stale_at };
        let valid_until = [stale_at, rule.change_at].into_iter().flatten().min().map(up_to_millisecond);
        rule.evidence.truncate(MAX_EVIDENCE);
        Verdict { outcome, message, evidence: rule.evidence, valid_until }
    }

    /// The fact, whole; anything less ends the rule as unknown.
    pub fn need<T: FactBody>(&mut self) -> Result<Arc<T>, Message> {
        self.seen::<T>()?.whole()
    }

    /// The fact with its gap, where it has one; no value at all ends the rule as unknown.
    pub fn seen<T: FactBody>(&mut self) -> Result<Seen<Arc<T>>, Message> {
        let view = self.ctx.inventory.view::<T>(&self.ctx.policy.freshness, self.ctx.now);
        let status = view.collected.status();
        let seen = match view.collected {
            Collected::Known(value) => Ok(Seen { value, gap: None }),
            Collected::Partial(value, reason) => {
                Ok(Seen { value, gap: Some(missing(T::KIND, status, &reason)) })
            }
            Collected::Absent(reason)
            | Collected::Unsupported(reason)
            | Collected::Denied(reason)
            | Collected::Failed(reason)
            | Collected::TimedOut(reason) => Err(missing(T::KIND, status, &reason)),
        };
        match &seen {
            Ok(_) => min_into(&mut self.stale_at, view.fresh_until.and_then(|t| t.checked_add(TICK).ok())),
            Err(message) => {
                let value = message.params.get("reason").cloned().map_or(Value::Null, Value::from);
                self.cite(T::KIND, "/reason/code", value);
            }
        }
        seen
    }

    /// Notes a moment at which time alone changes the outcome. Moments that are past change nothing.
    pub fn until(&mut self, at: Option<Timestamp>) {
        min_into(&mut self.change_at, at.filter(|t| *t > self.ctx.now));
    }

    /// Cites one field of a fact.
    pub fn cite(&mut self, kind: FactKind, field: &str, value: impl Into<Value>) {
        if self.evidence.len() >= MAX_EVIDENCE {
            return;
        }
        let held = self.ctx.inventory.held(kind);
        self.evidence.push(Evidence {
            kind: kind.as_str().to_owned(),
            field: field.to_owned(),
            value: value.into(),
            source: held.map(|h| h.record.content.source.clone()).unwrap_or_default(),
            at: held.map(|h| h.confirmed_at),
        });
    }

    /// Cites policy, catalogue or history.
    pub fn cite_other(
        &mut self,
        kind: &str,
        field: &str,
        value: impl Into<Value>,
        source: &str,
        at: Option<Timestamp>,
    ) {
        if self.evidence.len() < MAX_EVIDENCE {
            self.evidence.push(Evidence {
                kind: kind.to_owned(),
                field: field.to_owned(),
                value: value.into(),
                source: source.to_owned(),
                at,
            });
        }
    }

    /// Cites a threshold of the policy.
    pub fn cite_policy(&mut self, field: &str, value: impl Into<Value>) {
        self.cite_other("policy", field, value, "policy", None);
    }
}

impl Rule<'_> {
    /// A time for people, in the organisation's zone (RFC 3339 where the zone is not known).
    pub fn local(&self, at: Timestamp) -> String {
        match super::date::time_zone(self.ctx.policy) {
            Ok(zone) => zone.to_datetime(at).strftime("%Y-%m-%d %H:%M").to_string(),
            Err(_) => at.to_string(),
        }
    }

    /// The last day of what ends at `end`, in the organisation's zone.
    pub fn last_day(&self, end: Timestamp) -> String {
        let last = end.checked_sub(TICK).unwrap_or(end);
        self.local(last).chars().take(10).collect()
    }
}

/// The first whole millisecond not before `at`: what stores and schedules count in.
fn up_to_millisecond(at: Timestamp) -> Timestamp {
    match Timestamp::from_millisecond(at.as_millisecond()) {
        Ok(whole) if whole >= at => whole,
        Ok(whole) => whole.checked_add(TICK).unwrap_or(at),
        Err(_) => at,
    }
}

fn min_into(slot: &mut Option<Timestamp>, at: Option<Timestamp>) {
    *slot = [*slot, at].into_iter().flatten().min();
}

/// `from` plus whole hours; `None` past the end of time.
pub(super) fn plus_hours(from: Timestamp, hours: u32) -> Option<Timestamp> {
    from.checked_add(SignedDuration::from_hours(i64::from(hours))).ok()
}

/// `from` plus days of 24 hours.
pub(super) fn plus_days(from: Timestamp, days: u32) -> Option<Timestamp> {
    from.checked_add(SignedDuration::from_hours(i64::from(days) * 24)).ok()
}

/// Clocks of hosts and collectors differ; what lies further in the future is no evidence.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_hours(1);

/// Whether a time a machine reports can be true at `now`.
pub(crate) fn plausible(at: Timestamp, now: Timestamp) -> bool {
    now.checked_add(CLOCK_SLACK).is_ok_and(|limit| at <= limit)
}

fn missing(kind: FactKind, status: Status, reason: &Reason) -> Message {
    let code = match status {
        Status::Known | Status::Partial => "fact_partial",
        Status::Absent if reason.code == "not_reported" => "fact_not_reported",
        Status::Absent => "fact_absent",
        Status::Unsupported => "fact_unsupported",
        Status::Denied => "fact_denied",
        Status::Failed if reason.code == "stale" => "fact_stale",
        Status::Failed => "fact_failed",
        Status::TimedOut => "fact_timed_out",
    };
    Message::new(code).with("kind", kind).with("reason", &reason.code)
}
