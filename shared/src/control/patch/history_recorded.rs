//! What was installed and when is on record (the measurable part of 3-2-1-5).

use crate::control::rule::{Decision, Rule};
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::updates::UpdateHistory;
use crate::finding::{Message, Severity, Verdict};
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "patch.history_recorded",
    version: 2,
    criteria: &["3-2-1-5"],
    title: Text::new("更新の適用履歴を記録している", "The history of applied updates is on record"),
    severity: Severity::Low,
    families: &[],
    facts: &[FactKind::UpdateHistory],
    remediation: Text::new(
        "更新履歴のログ(apt、dnf、Windows Update)をエージェントが読めるようにし、削除しないでください。",
        "Let the agent read the update logs (apt, dnf, Windows Update), and do not delete them.",
    ),
    messages: &[
        ("recorded", Text::new("適用履歴{count}件を記録しています", "{count} operations are on record")),
        (
            "none_found",
            Text::new(
                "読み取れた履歴に1件も記録がなく、残っていないのか更新がないのか区別できません",
                "The history that was read is empty: whether it was removed or nothing was ever applied cannot be told",
            ),
        ),
    ],
    evaluate,
};

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, |rule| {
        let history = rule.need::<UpdateHistory>()?;
        rule.cite(FactKind::UpdateHistory, "/items/length", history.items.len());
        if history.items.is_empty() {
            return Err(Message::new("none_found"));
        }
        Ok(Decision::Pass(Message::new("recorded").with("count", history.items.len())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collected::Status;
    use crate::control::fixture::table;
    use crate::finding::Outcome::{Pass, Unknown};

    #[test]
    fn cases() {
        table(
            &CONTROL,
            &[
                ("read whole", |_| {}, Pass, "recorded"),
                (
                    "log not readable",
                    |w| w.degrade(FactKind::UpdateHistory, Status::Denied),
                    Unknown,
                    "fact_denied",
                ),
                ("an empty log", |w| w.edit::<UpdateHistory>(|h| h.items.clear()), Unknown, "none_found"),
                ("log cut short", |w| w.edit_partial::<UpdateHistory>(|_| {}), Unknown, "fact_partial"),
            ],
        );
    }
}
