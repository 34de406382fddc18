//! Which media were used on the machine is known (4-1-9-2, 4-1-9-3).

use crate::control::rule::{Decision, Rule};
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::removable::RemovableDevices;
use crate::finding::{Message, Severity, Verdict};
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "media.ledger_known",
    version: 1,
    criteria: &["4-1-9-2", "4-1-9-3"],
    title: Text::new("使われた可搬媒体を把握している", "Removable media used are known"),
    severity: Severity::Low,
    families: &[],
    facts: &[FactKind::RemovableDevices],
    remediation: Text::new(
        "接続の記録をエージェントが読めるようにし、保存期間を延ばしてください(Linuxではカーネルログやジャーナル、Windowsではレジストリとイベントログ。WindowsではLocalSystemのサービスとして動かします)。",
        "Let the agent read the records of connections, and keep them longer (kernel log and journal on Linux; registry and event logs on Windows, where it runs as a LocalSystem service).",
    ),
    messages: &[(
        "known",
        Text::new("可搬媒体{count}件の使用を把握しています", "{count} removable devices are on record"),
    )],
    evaluate,
};

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, |rule| {
        let devices = rule.need::<RemovableDevices>()?;
        rule.cite(FactKind::RemovableDevices, "/items/length", devices.items.len());
        Ok(Decision::Pass(Message::new("known").with("count", devices.items.len())))
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
                ("known", |_| {}, Pass, "known"),
                ("none used", |w| w.put(RemovableDevices::default()), Pass, "known"),
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
}
