//! Maker, OS and kind of PCs and thin clients (3-1-1-1).

use crate::control::rule::Rule;
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::finding::{Severity, Verdict};
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "inventory.client_known",
    version: 1,
    criteria: &["3-1-1-1"],
    title: Text::new(
        "PC・シンクライアントの製造元とOSが分かる",
        "Maker and OS of the PC or thin client are known",
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
    Rule::run(ctx, |rule| super::device_known(rule, true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collected::Status;
    use crate::control::fixture::table;
    use crate::fact::hardware::Hardware;
    use crate::fact::os::Os;
    use crate::finding::Outcome::{NotApplicable, Pass, Unknown};

    #[test]
    fn cases() {
        table(
            &CONTROL,
            &[
                ("laptop", |_| {}, Pass, "known"),
                (
                    "a server is on the other list",
                    |w| w.edit::<Hardware>(|h| h.chassis = Some("server".into())),
                    NotApplicable,
                    "other_kind",
                ),
                (
                    "no maker",
                    |w| w.edit::<Hardware>(|h| h.maker = Some(" ".into())),
                    Unknown,
                    "maker_unknown",
                ),
                ("no chassis", |w| w.edit::<Hardware>(|h| h.chassis = None), Unknown, "kind_unknown"),
                ("no version", |w| w.edit::<Os>(|o| o.version = None), Unknown, "os_unknown"),
                (
                    "a rolling release has none",
                    |w| {
                        w.edit::<Os>(|o| {
                            o.id = "arch".into();
                            o.version = None;
                        });
                    },
                    Pass,
                    "known",
                ),
                (
                    "firmware not readable",
                    |w| w.degrade(FactKind::Hardware, Status::Denied),
                    Unknown,
                    "fact_denied",
                ),
                ("never reported", |w| w.drop_fact(FactKind::Os), Unknown, "fact_not_reported"),
                ("too old", |w| w.age(FactKind::Os, 24 * 14 + 1), Unknown, "fact_stale"),
            ],
        );
    }
}
