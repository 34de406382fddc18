//! Only permitted software is installed (4-4-1-1, 5-1-2-1, 5-1-2-2).

use crate::control::rule::{Decision, Rule, Ruling};
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::software::{Software, SoftwareItem};
use crate::finding::{Message, Severity, Verdict};
use crate::text::{Text, fits};

pub static CONTROL: Control = Control {
    id: "software.only_permitted",
    version: 1,
    criteria: &["4-4-1-1", "5-1-2-1", "5-1-2-2"],
    title: Text::new(
        "許可したソフトウェアだけがインストールされている",
        "Only permitted software is installed",
    ),
    severity: Severity::Medium,
    families: &[],
    facts: &[FactKind::Software],
    remediation: Text::new(
        "許可していないソフトウェアを削除または無効化するか、業務に必要なら許可一覧に加えてください。",
        "Remove or disable software that is not permitted, or add it to the list where business needs it.",
    ),
    messages: &[
        (
            "all_permitted",
            Text::new(
                "インストールされた{count}件はすべて許可されています",
                "All {count} titles installed are permitted",
            ),
        ),
        (
            "forbidden",
            Text::new(
                "禁止されたソフトウェアが{count}件あります(例: {name})",
                "{count} forbidden titles are installed (such as {name})",
            ),
        ),
        (
            "not_permitted",
            Text::new(
                "許可一覧にないソフトウェアが{count}件あります(例: {name})",
                "{count} titles are not on the list (such as {name})",
            ),
        ),
        (
            "nothing_declared",
            Text::new(
                "許可するソフトウェアの一覧がまだポリシーにありません",
                "The policy has no list of permitted software yet",
            ),
        ),
        (
            "none_found",
            Text::new(
                "ソフトウェアが1件も見つからず、一覧を信頼できません",
                "Not one title was found, so the list cannot be trusted",
            ),
        ),
    ],
    evaluate,
};

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, judge)
}

fn judge(rule: &mut Rule<'_>) -> Ruling {
    let seen = rule.seen::<Software>()?;
    let policy = &rule.ctx.policy.software;
    if policy.permitted.is_empty() && policy.forbidden.is_empty() {
        return Err(Message::new("nothing_declared"));
    }
    let on = |list: &[String], item: &SoftwareItem| list.iter().any(|p| fits(p, &item.name));
    let items = || seen.value.items.iter().enumerate();
    let forbidden: Vec<_> = items().filter(|(_, s)| on(&policy.forbidden, s)).collect();
    let unlisted: Vec<_> =
        items().filter(|(_, s)| !policy.permitted.is_empty() && !on(&policy.permitted, s)).collect();
    for (code, found) in [("forbidden", &forbidden), ("not_permitted", &unlisted)] {
        let Some((_, first)) = found.first() else { continue };
        for (i, item) in found {
            rule.cite(FactKind::Software, &format!("/items/{i}"), format!("{} {}", item.name, item.version));
        }
        return Ok(Decision::Fail(Message::new(code).with("count", found.len()).with("name", &first.name)));
    }
    let declared = !policy.permitted.is_empty();
    let count = seen.whole()?.items.len();
    rule.cite(FactKind::Software, "/items/length", count);
    match (declared, count) {
        // Nothing forbidden is installed, but what is permitted was never said.
        (false, _) => Err(Message::new("nothing_declared")),
        (true, 0) => Err(Message::new("none_found")),
        (true, count) => Ok(Decision::Pass(Message::new("all_permitted").with("count", count))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture::table;
    use crate::finding::Outcome::{Fail, Pass, Unknown};

    #[test]
    fn cases() {
        table(
            &CONTROL,
            &[
                ("on the list", |_| {}, Pass, "all_permitted"),
                (
                    "not on the list",
                    |w| w.edit::<Software>(|s| s.items[0].name = "winny".into()),
                    Fail,
                    "not_permitted",
                ),
                (
                    "forbidden wins over permitted",
                    |w| w.policy.software.forbidden = vec!["FireFox*".into()],
                    Fail,
                    "forbidden",
                ),
                ("no list", |w| w.policy.software.permitted.clear(), Unknown, "nothing_declared"),
                (
                    "only a list of what is forbidden",
                    |w| {
                        w.policy.software.permitted.clear();
                        w.policy.software.forbidden = vec!["winny".into()];
                    },
                    Unknown,
                    "nothing_declared",
                ),
                (
                    "forbidden in a partial list",
                    |w| {
                        w.policy.software.forbidden = vec!["firefox*".into()];
                        w.edit_partial::<Software>(|_| {});
                    },
                    Fail,
                    "forbidden",
                ),
                ("partial list", |w| w.edit_partial::<Software>(|_| {}), Unknown, "fact_partial"),
                ("an empty list is no knowledge", |w| w.put(Software::default()), Unknown, "none_found"),
            ],
        );
    }

    #[test]
    fn stars_stand_for_any_run_and_case_is_ignored() {
        for (pattern, name, expected) in [
            ("firefox*", "Firefox-ESR", true),
            ("*office*", "LibreOffice Writer", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("*", "", true),
            ("", "x", false),
            ("7-zip", "7-Zip", true),
            ("会計*", "会計ソフト", true),
            ("*a*a*a*a*a*a*a*b", &"a".repeat(200), false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
