//! Who holds administrator rights on the machine is known (4-1-2-5).

use crate::control::rule::{Decision, Rule};
use crate::control::sentence::setting_unknown;
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::accounts::Accounts;
use crate::finding::{Message, Severity, Verdict};
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "account.administrators_known",
    version: 2,
    criteria: &["4-1-2-5"],
    title: Text::new("管理者IDの保有者が分かる", "Holders of administrator IDs are known"),
    severity: Severity::Medium,
    families: &[],
    facts: &[FactKind::Accounts],
    remediation: Text::new(
        "ドメインなどのディレクトリで管理者権限を与えている場合は、その一覧を別に管理し、自己申告として記録してください。",
        "Where a directory gives administrator rights, keep that list apart and record it as an attestation.",
    ),
    messages: &[
        ("known", Text::new("管理者は{count}件です({names})", "{count} administrators ({names})")),
        (
            "directory",
            Text::new(
                "ディレクトリ({directory})の利用者は一覧にないため、管理者のすべては分かりません",
                "Users of a directory ({directory}) are not listed, so not all administrators are known",
            ),
        ),
    ],
    evaluate,
};

/// Most names in one sentence.
const MAX_NAMES: usize = 10;

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, |rule| {
        let accounts = rule.need::<Accounts>()?;
        let admins: Vec<_> =
            accounts.items.iter().enumerate().filter(|(_, a)| a.administrator == Some(true)).collect();
        for (i, admin) in &admins {
            let value = serde_json::json!({"name": admin.name, "enabled": admin.enabled, "via": admin.administrator_via});
            rule.cite(FactKind::Accounts, &format!("/items/{i}"), value);
        }
        rule.cite(FactKind::Accounts, "/items/length", accounts.items.len());
        if let Some(directory) = accounts.directories.first() {
            return Err(Message::new("directory").with("directory", directory));
        }
        if accounts.items.is_empty() || accounts.items.iter().any(|a| a.administrator.is_none()) {
            return Err(setting_unknown(FactKind::Accounts, "administrator"));
        }
        // Every system has an administrator: a list without one is no proof.
        if admins.is_empty() {
            return Err(setting_unknown(FactKind::Accounts, "administrator"));
        }
        let names: Vec<_> = admins.iter().take(MAX_NAMES).map(|(_, a)| a.name.as_str()).collect();
        Ok(Decision::Pass(Message::new("known").with("count", admins.len()).with("names", names.join(", "))))
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
                ("local accounts only", |_| {}, Pass, "known"),
                (
                    "joined to a directory",
                    |w| w.edit::<Accounts>(|a| a.directories = vec!["sss".into()]),
                    Unknown,
                    "directory",
                ),
                (
                    "one not known",
                    |w| w.edit::<Accounts>(|a| a.items[0].administrator = None),
                    Unknown,
                    "setting_unknown",
                ),
                (
                    "nobody is an administrator",
                    |w| {
                        w.edit::<Accounts>(|a| a.items.iter_mut().for_each(|i| i.administrator = Some(false)))
                    },
                    Unknown,
                    "setting_unknown",
                ),
                ("no account at all", |w| w.put(Accounts::default()), Unknown, "setting_unknown"),
                ("sudoers not readable", |w| w.edit_partial::<Accounts>(|_| {}), Unknown, "fact_partial"),
            ],
        );
    }
}
