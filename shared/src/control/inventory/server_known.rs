//! Maker, OS and kind of servers, virtual servers and hypervisors (3-1-1-2).

use crate::control::rule::Rule;
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::finding::{Severity, Verdict};
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "inventory.server_known",
    version: 1,
    criteria: &["3-1-1-2"],
    title: Text::new(
        "サーバー・仮想サーバー・ハイパーバイザの製造元とOSが分かる",
        "Maker and OS of the server, virtual server or hypervisor are known",
    ),
    severity: Severity::Medium,
    families: &[],
    facts: &[FactKind::Hardware, FactKind::Os],
    remediation: Text::new(
        "エージェントを管理者権限で実行し、ファームウェアの機器情報を読めるようにしてください。読めない機器は台帳に製造元を記入してください。",
        "Run the agent with administrator rights so that it can read the firmware's device information. Where there is none, note the maker in the ledger.",
    ),
    messages: super::DEVICE_MESSAGES,
    evaluate,
};

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, |rule| super::device_known(rule, false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collected::Status;
    use crate::control::fixture::{World, table};
    use crate::fact::hardware::Hardware;
    use crate::finding::Outcome::{NotApplicable, Pass, Unknown};

    fn server(world: &mut World) {
        world.edit::<Hardware>(|h| h.chassis = Some("server".into()));
    }

    #[test]
    fn cases() {
        table(
            &CONTROL,
            &[
                ("server", server, Pass, "known"),
                ("a laptop is on the other list", |_| {}, NotApplicable, "other_kind"),
                (
                    "no maker",
                    |w| {
                        server(w);
                        w.edit::<Hardware>(|h| h.maker = None);
                    },
                    Unknown,
                    "maker_unknown",
                ),
                (
                    "partly read",
                    |w| {
                        server(w);
                        w.degrade(FactKind::Hardware, Status::Partial);
                    },
                    Unknown,
                    "fact_partial",
                ),
            ],
        );
    }
}
