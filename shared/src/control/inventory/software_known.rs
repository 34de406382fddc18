//! Every installed title is known with its version (5-1-2-2, and the base of 4-4-1-1).

use crate::control::rule::{Decision, Rule};
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::software::Software;
use crate::finding::{Message, Severity, Verdict};
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "inventory.software_known",
    version: 1,
    criteria: &["3-1-1-6", "5-1-2-2"],
    title: Text::new(
        "インストールされているソフトウェアとバージョンが分かる",
        "Installed software and its versions are known",
    ),
    severity: Severity::Medium,
    families: &[],
    facts: &[FactKind::Software],
    remediation: Text::new(
        "読めなかったパッケージ管理の情報を確認し、エージェントを管理者権限で実行してください。",
        "Look at the package database that could not be read, and run the agent with administrator rights.",
    ),
    messages: &[
        ("known", Text::new("{count}件のソフトウェアを把握しています", "{count} titles are known")),
        (
            "none_found",
            Text::new(
                "ソフトウェアが1件も見つからず、一覧を信頼できません",
                "Not one title was found, so the list cannot be trusted",
            ),
        ),
        (
            "version_missing",
            Text::new(
                "{count}件のバージョンが分かりません(例: {name})",
                "The version of {count} titles is not known (such as {name})",
            ),
        ),
    ],
    evaluate,
};

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, |rule| {
        let software = rule.need::<Software>()?;
        rule.cite(FactKind::Software, "/items/length", software.items.len());
        if software.items.is_empty() {
            return Err(Message::new("none_found"));
        }
        let unversioned: Vec<_> = software.items.iter().filter(|i| i.version.is_empty()).collect();
        // Applications may carry no version; packages of a package manager always do.
        if let Some(first) =
            unversioned.iter().find(|i| matches!(i.source.as_str(), "deb" | "rpm" | "apk" | "pacman"))
        {
            rule.cite(FactKind::Software, "/items/name", first.name.clone());
            return Err(Message::new("version_missing")
                .with("count", unversioned.len())
                .with("name", &first.name));
        }
        Ok(Decision::Pass(Message::new("known").with("count", software.items.len())))
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
                ("a list", |_| {}, Pass, "known"),
                ("an empty list is no knowledge", |w| w.put(Software::default()), Unknown, "none_found"),
                ("one database unreadable", |w| w.edit_partial::<Software>(|_| {}), Unknown, "fact_partial"),
                (
                    "package without version",
                    |w| w.edit::<Software>(|s| s.items[0].version.clear()),
                    Unknown,
                    "version_missing",
                ),
                ("failed", |w| w.degrade(FactKind::Software, Status::Failed), Unknown, "fact_failed"),
            ],
        );
    }
}
