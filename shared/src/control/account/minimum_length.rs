//! A log-on password has at least 6 characters (4-1-4-2; the scheme fixes the number).

use crate::control::rule::{Decision, Rule};
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::credential_policy::CredentialPolicy;
use crate::finding::{Message, Severity, Verdict};
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "account.minimum_length",
    version: 1,
    criteria: &["4-1-4-2"],
    title: Text::new(
        "ログオンのパスワードが6文字以上に制限されている",
        "Log-on passwords must have 6 characters or more",
    ),
    severity: Severity::Medium,
    families: &[],
    facts: &[FactKind::CredentialPolicy],
    remediation: Text::new(
        "パスワードの最小文字数を設定してください。",
        "Set the minimum length of passwords.",
    ),
    messages: &[
        ("long_enough", Text::new("最小文字数は{length}です", "The minimum length is {length}")),
        (
            "too_short",
            Text::new(
                "最小文字数が{length}で、6文字に足りません",
                "The minimum length is {length}, short of 6",
            ),
        ),
        ("not_set", Text::new("パスワードの最小文字数が設定されていません", "No minimum length is set")),
    ],
    evaluate,
};

/// Fewest characters by the scheme.
const FEWEST: u32 = 6;

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, |rule| {
        let rules = rule.need::<CredentialPolicy>()?;
        rule.cite(FactKind::CredentialPolicy, "/min_length", rules.min_length);
        Ok(match rules.min_length {
            Some(length) if length >= FEWEST => {
                Decision::Pass(Message::new("long_enough").with("length", length))
            }
            Some(length) => Decision::Fail(Message::new("too_short").with("length", length)),
            None => Decision::Fail(Message::new("not_set")),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collected::Status;
    use crate::control::fixture::table;
    use crate::finding::Outcome::{Fail, Pass, Unknown};

    #[test]
    fn cases() {
        table(
            &CONTROL,
            &[
                ("8", |_| {}, Pass, "long_enough"),
                ("6", |w| w.edit::<CredentialPolicy>(|c| c.min_length = Some(6)), Pass, "long_enough"),
                ("5", |w| w.edit::<CredentialPolicy>(|c| c.min_length = Some(5)), Fail, "too_short"),
                ("not set", |w| w.edit::<CredentialPolicy>(|c| c.min_length = None), Fail, "not_set"),
                ("denied", |w| w.degrade(FactKind::CredentialPolicy, Status::Denied), Unknown, "fact_denied"),
            ],
        );
    }
}
