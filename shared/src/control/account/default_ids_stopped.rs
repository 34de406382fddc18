//! Built-in user IDs are stopped (4-4-1-5). Strong authentication instead cannot be seen from here.

use crate::control::rule::{Decision, Rule, Ruling, pass};
use crate::control::sentence::setting_unknown;
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::accounts::{Account, Accounts};
use crate::finding::{Message, Severity, Verdict};
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "account.default_ids_stopped",
    version: 1,
    criteria: &["4-4-1-5"],
    title: Text::new("既定のユーザIDが停止されている", "Default user IDs are stopped"),
    severity: Severity::Medium,
    families: &[],
    facts: &[FactKind::Accounts],
    remediation: Text::new(
        "Guestを無効にし、rootやAdministratorは直接ログオンできないようにするか、強固な認証を設定して記録してください。",
        "Disable Guest, and keep root and Administrator from logging on directly, or set strong authentication and record it.",
    ),
    messages: &[
        (
            "stopped",
            Text::new(
                "既定のユーザIDはすべて停止されているか、パスワードではログオンできません",
                "Every default user ID is stopped or cannot log on with a password",
            ),
        ),
        ("guest", Text::new("ゲスト用のID「{name}」が有効です", "The guest ID “{name}” is enabled")),
        (
            "empty_password",
            Text::new(
                "既定のID「{name}」にパスワードがありません",
                "The default ID “{name}” has no password",
            ),
        ),
        (
            "strength_unknown",
            Text::new(
                "既定のID「{name}」が有効で、認証の強さは機械では確認できません",
                "The default ID “{name}” is enabled; how strongly it authenticates cannot be measured",
            ),
        ),
    ],
    evaluate,
};

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, judge)
}

/// A locked password leaves at most a key, which is a strong authentication.
fn is_stopped(account: &Account) -> bool {
    account.enabled == Some(false) || account.password.as_deref() == Some("locked")
}

fn judge(rule: &mut Rule<'_>) -> Ruling {
    let seen = rule.seen::<Accounts>()?;
    let built_in: Vec<_> = seen.value.items.iter().enumerate().filter(|(_, a)| a.built_in).collect();
    for (i, account) in &built_in {
        let value = serde_json::json!({"name": account.name, "enabled": account.enabled, "password": account.password});
        rule.cite(FactKind::Accounts, &format!("/items/{i}"), value);
    }
    let active = || built_in.iter().map(|(_, a)| *a).filter(|a| !is_stopped(a));
    let message = |code, account: &Account| Message::new(code).with("name", &account.name);
    let enabled = |a: &&Account| a.enabled == Some(true);
    if let Some(guest) =
        active().filter(enabled).find(|a| a.name.eq_ignore_ascii_case("guest") || a.id.ends_with("-501"))
    {
        return Ok(Decision::Fail(message("guest", guest)));
    }
    if let Some(open) = active().filter(enabled).find(|a| a.password.as_deref() == Some("empty")) {
        return Ok(Decision::Fail(message("empty_password", open)));
    }
    if active().any(|a| a.enabled.is_none()) {
        return Err(setting_unknown(FactKind::Accounts, "enabled"));
    }
    if let Some(strong) = active().next() {
        return Err(message("strength_unknown", strong));
    }
    let none_listed = built_in.is_empty();
    seen.whole()?;
    // Every system we know has a built-in administrator: a list without one is no proof.
    if none_listed { Err(setting_unknown(FactKind::Accounts, "built_in")) } else { pass("stopped") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture::{World, table};
    use crate::finding::Outcome::{Fail, Pass, Unknown};

    fn account(world: &mut World, change: impl FnOnce(&mut Account)) {
        world.edit::<Accounts>(|a| change(&mut a.items[0]));
    }

    #[test]
    fn cases() {
        table(
            &CONTROL,
            &[
                ("root stopped", |_| {}, Pass, "stopped"),
                (
                    "root without password",
                    |w| {
                        account(w, |a| {
                            a.enabled = Some(true);
                            a.password = Some("empty".into());
                        })
                    },
                    Fail,
                    "empty_password",
                ),
                (
                    "guest on",
                    |w| {
                        account(w, |a| {
                            a.name = "Guest".into();
                            a.enabled = Some(true);
                        })
                    },
                    Fail,
                    "guest",
                ),
                (
                    "root with a password",
                    |w| {
                        account(w, |a| {
                            a.enabled = Some(true);
                            a.password = Some("set".into());
                        })
                    },
                    Unknown,
                    "strength_unknown",
                ),
                ("not known", |w| account(w, |a| a.enabled = None), Unknown, "setting_unknown"),
                ("no built-in account listed", |w| w.put(Accounts::default()), Unknown, "setting_unknown"),
                ("list with gaps", |w| w.edit_partial::<Accounts>(|_| {}), Unknown, "fact_partial"),
            ],
        );
    }
}
