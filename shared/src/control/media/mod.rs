//! 4-1-9 and 4-4-1-2: removable media.

pub(super) mod autorun_disabled;
pub(super) mod ledger_known;
pub(super) mod only_permitted_used;
pub(super) mod restriction_in_force;

use jiff::{SignedDuration, Timestamp};

use crate::control::rule::{Rule, plus_days};
use crate::fact::FactKind;
use crate::fact::removable::RemovableDevices;
use crate::finding::Message;
use crate::text::Text;

/// Sentences of [`covered`].
const HISTORY_UNKNOWN: (&str, Text) = (
    "history_unknown",
    Text::new(
        "可搬媒体の接続記録がいつからのものか分かりません",
        "Since when the records of media use are complete is not known",
    ),
);
const HISTORY_SHORT: (&str, Text) = (
    "history_short",
    Text::new(
        "可搬媒体の接続記録は{since}からで、必要な{days}日分に足りません",
        "The records of media use begin at {since}, less than the {days} days that are needed",
    ),
);

/// The kernel logs first once the new system starts, a little after its files were put there.
const FIRST_START: SignedDuration = SignedDuration::from_hours(24);

/// Since when the records of media use are complete: for as many days as the policy wants, or since the
/// system was installed. Shorter records end the rule as unknown, until time has made them long enough.
fn covered(rule: &mut Rule<'_>, devices: &RemovableDevices) -> Result<Timestamp, Message> {
    let covered = rule.ctx.history.media.filter(|_| devices.history_since.is_some());
    let Some(covered) = covered else { return Err(Message::new(HISTORY_UNKNOWN.0)) };
    let (since, days) = (covered.since, rule.ctx.policy.removable.history_days);
    let source = devices.history_since.as_ref().map_or("", |seen| seen.source.as_str());
    rule.cite_other("history", "/media/since", since.to_string(), source, Some(covered.until));
    rule.cite_policy("/removable/history_days", days);
    let enough = plus_days(since, days);
    if enough.is_some_and(|enough| enough <= rule.ctx.now) {
        return Ok(since);
    }
    if let Some(installed) = rule.ctx.history.installed_at {
        rule.cite_other("history", "/installed_at", installed.to_string(), FactKind::Os.as_str(), None);
        if installed.checked_add(FIRST_START).is_ok_and(|started| since <= started) {
            return Ok(since);
        }
    }
    rule.until(enough);
    Err(Message::new(HISTORY_SHORT.0).with("since", rule.local(since)).with("days", days))
}
