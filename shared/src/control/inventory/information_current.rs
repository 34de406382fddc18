//! What is recorded of the machine is current (the measurable part of 3-1-1-4 and 3-1-1-7; that somebody
//! looked at it at least once a year is recorded as an attestation).

use crate::collected::Status;
use crate::control::rule::{Rule, pass};
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::hardware::Hardware;
use crate::fact::os::Os;
use crate::fact::software::Software;
use crate::finding::{Severity, Verdict};
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "inventory.information_current",
    version: 1,
    criteria: &["3-1-1-4", "3-1-1-7"],
    title: Text::new(
        "把握している機器・OS・ソフトウェアの情報が最新である",
        "What is recorded of device, OS and software is current",
    ),
    severity: Severity::Low,
    families: &[],
    facts: &[FactKind::Hardware, FactKind::Os, FactKind::Software],
    remediation: Text::new(
        "長期間報告のない機器は、電源・ネットワーク・エージェントの稼働を確認してください。使わなくなった機器は除却してください。",
        "For a machine that has not reported, check its power, network and agent. Retire what is no longer used.",
    ),
    messages: &[(
        "current",
        Text::new("情報は期限内に更新されています", "The information was refreshed in time"),
    )],
    evaluate,
};

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, |rule| {
        rule.need::<Hardware>()?;
        rule.need::<Os>()?;
        rule.need::<Software>()?;
        for kind in CONTROL.facts {
            // When it was confirmed stands with the evidence: a later confirmation is no other evidence.
            rule.cite(*kind, "/status", Status::Known.as_str());
        }
        pass("current")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture::table;
    use crate::finding::Outcome::{Pass, Unknown};

    #[test]
    fn cases() {
        table(
            &CONTROL,
            &[
                ("just confirmed", |_| {}, Pass, "current"),
                ("on the last hour", |w| w.age(FactKind::Software, 24 * 14), Pass, "current"),
                ("an hour later", |w| w.age(FactKind::Software, 24 * 14 + 1), Unknown, "fact_stale"),
                (
                    "shorter by policy",
                    |w| {
                        w.policy.freshness.max_age_by_kind_h.insert("os".into(), 4);
                        w.age(FactKind::Os, 5);
                    },
                    Unknown,
                    "fact_stale",
                ),
            ],
        );
    }
}
