//! 4-4-4, 4-4-2 and 3-2-1: supported, updated in time, and known to be so.

pub mod age;
pub(super) mod applied_in_time;
pub(super) mod automatic_update;
pub(super) mod history_recorded;
pub(super) mod metadata_fresh;
pub(super) mod restart_not_pending;
pub(super) mod supported_os;
mod windows_build;

use jiff::Timestamp;

use super::rule::{Rule, plausible, plus_days};
use crate::fact::FactKind;
use crate::fact::updates::UpdatesObserved;
use crate::finding::Message;
use crate::text::Text;

/// Sentences of [`metadata_until`].
const METADATA_UNKNOWN: (&str, Text) = (
    "metadata_age_unknown",
    Text::new(
        "更新情報をいつ取得したかが分からないため、未適用がないとは言えません({source})",
        "It is not known when update information was fetched, so nothing can be said about what is missing ({source})",
    ),
);
const METADATA_OLD: (&str, Text) = (
    "metadata_old",
    Text::new(
        "更新情報が古くなっています({source}、最終取得 {at})",
        "Update information is old ({source}, last fetched {at})",
    ),
);

/// Until when the update metadata on the machine support "nothing else is pending": the oldest source
/// counts, and what its publisher says is no longer valid counts as old.
fn metadata_until(rule: &mut Rule<'_>) -> Result<Timestamp, Message> {
    let observed = rule.need::<UpdatesObserved>()?;
    let days = rule.ctx.policy.freshness.update_metadata_days;
    let (now, mut until) = (rule.ctx.now, None::<Timestamp>);
    let searched = observed.last_search_success.filter(|_| observed.metadata.is_empty());
    let sources = observed.metadata.iter().map(|m| (m.source.as_str(), m.refreshed_at, m.valid_until));
    let all: Vec<_> = sources.chain(searched.map(|at| ("search", Some(at), None))).collect();
    if all.is_empty() {
        return Err(Message::new("metadata_age_unknown").with("source", "-"));
    }
    for (source, refreshed, valid) in all {
        let unknown = || Message::new("metadata_age_unknown").with("source", source);
        let refreshed = refreshed.filter(|at| plausible(*at, now)).ok_or_else(unknown)?;
        rule.cite(FactKind::UpdatesObserved, "/metadata/refreshed_at", format!("{source} {refreshed}"));
        let end = [plus_days(refreshed, days), valid].into_iter().flatten().min().ok_or_else(unknown)?;
        if end <= now {
            return Err(Message::new("metadata_old")
                .with("source", source)
                .with("at", rule.local(refreshed)));
        }
        until = [until, Some(end)].into_iter().flatten().min();
    }
    until.ok_or_else(|| Message::new("metadata_age_unknown").with("source", "-"))
}
