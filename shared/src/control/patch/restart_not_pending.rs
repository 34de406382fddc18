//! No applied update waits for a restart beyond its deadline (4-4-4-2).
//!
//! What waits for a restart is not in force. When it was released is not known here, only that this was
//! not after the first sign: so a wait of more than the policy's days is surely too long, and a shorter
//! one cannot be judged.

use crate::control::date::{deadline, time_zone};
use crate::control::rule::{Decision, Rule, Ruling, pass};
use crate::control::sentence::setting_unknown;
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::restart::Restart;
use crate::finding::{Message, Severity, Verdict};
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "patch.restart_not_pending",
    version: 1,
    criteria: &["4-4-4-2"],
    title: Text::new(
        "適用済みの更新が再起動待ちのままになっていない",
        "No applied update is waiting for a restart",
    ),
    severity: Severity::Medium,
    families: &[],
    facts: &[FactKind::Restart],
    remediation: Text::new("機器を再起動してください。", "Restart the machine."),
    messages: &[
        ("none", Text::new("再起動待ちの更新はありません", "Nothing waits for a restart")),
        (
            "waiting",
            Text::new(
                "再起動待ちの更新があり、まだ有効になっていません({sign})",
                "An update waits for a restart and is not in force yet ({sign})",
            ),
        ),
        (
            "waiting_too_long",
            Text::new(
                "{since}から再起動待ちのままで、{days}日の期限を過ぎています({sign})",
                "A restart has been pending since {since}, longer than {days} days ({sign})",
            ),
        ),
    ],
    evaluate,
};

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, judge)
}

fn judge(rule: &mut Rule<'_>) -> Ruling {
    let seen = rule.seen::<Restart>()?;
    rule.cite(FactKind::Restart, "/pending", seen.value.pending);
    for (i, sign) in seen.value.signs.iter().enumerate() {
        let value = format!("{} {}", sign.code, sign.detail.as_deref().unwrap_or_default());
        rule.cite(FactKind::Restart, &format!("/signs/{i}"), value.trim_end().to_owned());
    }
    if seen.value.pending == Some(true) {
        return waiting(rule, seen.value.signs.first().map_or("-", |s| s.code.as_str()));
    }
    match seen.whole()?.pending {
        Some(false) => pass("none"),
        _ => Err(setting_unknown(FactKind::Restart, "pending")),
    }
}

fn waiting(rule: &mut Rule<'_>, sign: &str) -> Ruling {
    let (zone, days) = (time_zone(rule.ctx.policy)?, rule.ctx.policy.patch.days);
    let message = Message::new("waiting").with("sign", sign);
    let Some(since) = rule.ctx.history.restart_pending_since else { return Err(message) };
    rule.cite_other("history", "/restart_pending_since", since.to_string(), "history", Some(since));
    let end = deadline(since, days, &zone);
    if end.is_none_or(|end| rule.ctx.now < end) {
        rule.until(end);
        return Err(message);
    }
    let too_long = Message::new("waiting_too_long")
        .with("since", rule.local(since))
        .with("days", days)
        .with("sign", sign);
    Ok(Decision::Fail(too_long))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture::{World, at, table};
    use crate::fact::restart::RestartSign;
    use crate::finding::Outcome::{Fail, Pass, Unknown};

    fn pending(world: &mut World, since: Option<&str>) {
        let sign = RestartSign { code: "kernel_newer_installed".into(), detail: None };
        world.put(Restart { pending: Some(true), signs: vec![sign], sources: vec![] });
        world.history.restart_pending_since = since.map(at);
    }

    #[test]
    fn cases() {
        table(
            &CONTROL,
            &[
                ("none", |_| {}, Pass, "none"),
                ("pending since unknown", |w| pending(w, None), Unknown, "waiting"),
                ("pending since yesterday", |w| pending(w, Some("2026-11-22T00:00:00Z")), Unknown, "waiting"),
                (
                    "pending for 15 days",
                    |w| pending(w, Some("2026-11-08T00:00:00Z")),
                    Fail,
                    "waiting_too_long",
                ),
                ("not known", |w| w.edit::<Restart>(|r| r.pending = None), Unknown, "setting_unknown"),
                (
                    "no sign among those readable",
                    |w| w.edit_partial::<Restart>(|_| {}),
                    Unknown,
                    "fact_partial",
                ),
            ],
        );
    }
}
