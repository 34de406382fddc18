//! Which media were used on the machine is known (4-1-9-2, 4-1-9-3).

use super::{HISTORY_SHORT, HISTORY_UNKNOWN, covered};
use crate::control::rule::{Decision, Rule};
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::removable::RemovableDevices;
use crate::finding::{Message, Severity, Verdict};
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "media.ledger_known",
    version: 2,
    criteria: &["4-1-9-2", "4-1-9-3"],
    title: Text::new("使われた可搬媒体を把握している", "Removable media used are known"),
    severity: Severity::Low,
    families: &[],
    facts: &[FactKind::RemovableDevices],
    remediation: Text::new(
        "接続の記録をエージェントが読めるようにし、保存期間を延ばしてください(Linuxではカーネルログやジャーナル、Windowsではレジストリとイベントログ。WindowsではLocalSystemのサービスとして動かします)。",
        "Let the agent read the records of connections, and keep them longer (kernel log and journal on Linux; registry and event logs on Windows, where it runs as a LocalSystem service).",
    ),
    messages: &[
        (
            "known",
            Text::new(
                "可搬媒体{count}件の使用を把握しています(記録は{since}から)",
                "{count} removable devices are on record (since {since})",
            ),
        ),
        HISTORY_UNKNOWN,
        HISTORY_SHORT,
    ],
    evaluate,
};

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, |rule| {
        let devices = rule.need::<RemovableDevices>()?;
        rule.cite(FactKind::RemovableDevices, "/items/length", devices.items.len());
        let since = covered(rule, &devices)?;
        let message = Message::new("known").with("count", devices.items.len());
        Ok(Decision::Pass(message.with("since", rule.local(since))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collected::Status;
    use crate::control::fixture::{World, at, table};
    use crate::finding::Outcome::{Pass, Unknown};

    #[test]
    fn cases() {
        table(
            &CONTROL,
            &[
                ("known", |_| {}, Pass, "known"),
                ("none used", |w| w.edit::<RemovableDevices>(|d| d.items.clear()), Pass, "known"),
                (
                    "records without a beginning",
                    |w| w.put(RemovableDevices::default()),
                    Unknown,
                    "history_unknown",
                ),
                ("nothing absorbed", |w| w.history.media = None, Unknown, "history_unknown"),
                ("since the last start", |w| w.media_since("2026-11-20T00:00:00Z"), Unknown, "history_short"),
                (
                    "since a young system was installed",
                    |w| {
                        w.media_since("2026-11-20T00:00:00Z");
                        w.history.installed_at = Some(at("2026-11-19T23:00:00Z"));
                    },
                    Pass,
                    "known",
                ),
                (
                    "the system is older than its log",
                    |w| {
                        w.media_since("2026-11-20T00:00:00Z");
                        w.history.installed_at = Some(at("2026-11-18T00:00:00Z"));
                    },
                    Unknown,
                    "history_short",
                ),
                (
                    "as much as the policy wants",
                    |w| {
                        w.media_since("2026-11-20T00:00:00Z");
                        w.policy.removable.history_days = 3;
                    },
                    Pass,
                    "known",
                ),
                ("log not readable", |w| w.edit_partial::<RemovableDevices>(|_| {}), Unknown, "fact_partial"),
                (
                    "not collected",
                    |w| w.degrade(FactKind::RemovableDevices, Status::TimedOut),
                    Unknown,
                    "fact_timed_out",
                ),
            ],
        );
    }

    #[test]
    fn records_that_grow_are_judged_anew_once_they_are_long_enough() {
        let mut world = World::good();
        world.media_since("2026-11-20T00:00:00Z");
        let verdict = world.judge(&CONTROL);
        let end = verdict.valid_until.unwrap();
        assert_eq!(end, at("2026-12-20T00:00:00Z"));
        world.age(FactKind::RemovableDevices, -24 * 26);
        assert_eq!(world.judge_at(&CONTROL, end).outcome, Pass);
    }
}
