//! It is known which updates, and so which known vulnerabilities, remain on the machine (3-2-1-4).

use crate::control::rule::{Decision, Rule};
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::updates::Updates;
use crate::finding::{Message, Severity, Verdict};
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "patch.metadata_fresh",
    version: 1,
    criteria: &["3-2-1-4"],
    title: Text::new(
        "未適用の更新を新しい情報で把握している",
        "Pending updates are known from fresh information",
    ),
    severity: Severity::Medium,
    families: &[],
    facts: &[FactKind::Updates, FactKind::UpdatesObserved],
    remediation: Text::new(
        "更新情報の取得(apt update、dnf makecache、Windows Updateの検索など)が定期的に動くようにしてください。",
        "See that update information is fetched regularly (apt update, dnf makecache, a Windows Update search and so on).",
    ),
    messages: &[
        ("fresh", Text::new("未適用の更新{count}件を把握しています", "{count} pending updates are known")),
        super::METADATA_UNKNOWN,
        super::METADATA_OLD,
    ],
    evaluate,
};

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, |rule| {
        let updates = rule.need::<Updates>()?;
        match super::metadata_until(rule) {
            Ok(until) => rule.until(Some(until)),
            Err(old) if old.code == "metadata_old" => return Ok(Decision::Fail(old)),
            Err(unknown) => return Err(unknown),
        }
        rule.cite(FactKind::Updates, "/pending/length", updates.pending.len());
        Ok(Decision::Pass(Message::new("fresh").with("count", updates.pending.len())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture::{at, table};
    use crate::fact::updates::UpdatesObserved;
    use crate::finding::Outcome::{Fail, Pass, Unknown};

    #[test]
    fn cases() {
        table(
            &CONTROL,
            &[
                ("fetched last night", |_| {}, Pass, "fresh"),
                (
                    "fetched a week ago",
                    |w| {
                        w.edit::<UpdatesObserved>(|o| {
                            o.metadata[0].refreshed_at = Some(at("2026-11-16T00:00:00Z"))
                        })
                    },
                    Fail,
                    "metadata_old",
                ),
                (
                    "no longer valid by its publisher",
                    |w| {
                        w.edit::<UpdatesObserved>(|o| {
                            o.metadata[0].valid_until = Some(at("2026-11-23T00:00:00Z"))
                        })
                    },
                    Fail,
                    "metadata_old",
                ),
                (
                    "one of two sources of unknown age",
                    |w| {
                        w.edit::<UpdatesObserved>(|o| {
                            let mut second = o.metadata[0].clone();
                            second.refreshed_at = None;
                            o.metadata.push(second);
                        });
                    },
                    Unknown,
                    "metadata_age_unknown",
                ),
                (
                    "a search that succeeded, where there are no files",
                    |w| {
                        w.edit::<UpdatesObserved>(|o| {
                            o.metadata.clear();
                            o.last_search_success = Some(at("2026-11-22T00:00:00Z"));
                        });
                    },
                    Pass,
                    "fresh",
                ),
                ("list with a gap", |w| w.edit_partial::<Updates>(|_| {}), Unknown, "fact_partial"),
            ],
        );
    }
}
