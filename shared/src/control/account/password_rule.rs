//! Passwords: 8 characters with lockout, else 10 with upper, lower and digits (the settings behind the
//! rule of 4-1-5-3; numbers by policy).

use crate::control::rule::{Rule, fail, pass};
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::credential_policy::CredentialPolicy;
use crate::finding::{Severity, Verdict};
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "account.password_rule",
    version: 1,
    criteria: &["4-1-5-3"],
    title: Text::new(
        "パスワードの長さと文字種が設定で強制されている",
        "Length and variety of passwords are enforced",
    ),
    severity: Severity::Medium,
    families: &[],
    facts: &[FactKind::CredentialPolicy],
    remediation: Text::new(
        "ロックを設定して8文字以上にするか、英大文字・英小文字・数字を含む10文字以上にしてください。",
        "Set a lockout and 8 characters or more, or 10 or more with upper, lower and digits.",
    ),
    messages: &[
        (
            "with_lockout",
            Text::new(
                "ロックがあり、長さも足りています",
                "There is a lockout, and passwords are long enough",
            ),
        ),
        ("strong", Text::new("長さと文字種が足りています", "Passwords are long and varied enough")),
        (
            "too_weak",
            Text::new("長さまたは文字種の設定が足りません", "Length or variety demanded is not enough"),
        ),
    ],
    evaluate,
};

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, |rule| {
        let rules = rule.need::<CredentialPolicy>()?;
        let policy = &rule.ctx.policy.credential;
        rule.cite(FactKind::CredentialPolicy, "/min_length", rules.min_length);
        rule.cite(FactKind::CredentialPolicy, "/lockout_threshold", rules.lockout_threshold);
        rule.cite(FactKind::CredentialPolicy, "/min_classes", rules.min_classes);
        let long = rules.min_length.is_some_and(|n| n >= policy.min_length_with_lockout);
        if long && super::locks(&rules, policy) {
            return pass("with_lockout");
        }
        if super::strong(&rules, policy) { pass("strong") } else { fail("too_weak") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture::{World, table};
    use crate::finding::Outcome::{Fail, Pass, Unknown};

    fn rules(world: &mut World, threshold: Option<u32>, length: u32, complexity: bool) {
        world.edit::<CredentialPolicy>(|c| {
            c.lockout_threshold = threshold;
            c.min_length = Some(length);
            c.complexity = Some(complexity);
        });
    }

    #[test]
    fn cases() {
        table(
            &CONTROL,
            &[
                ("lockout and 8", |_| {}, Pass, "with_lockout"),
                ("lockout and 7", |w| rules(w, Some(5), 7, false), Fail, "too_weak"),
                ("no lockout, 10, varied", |w| rules(w, None, 10, true), Pass, "strong"),
                ("no lockout, 10, not varied", |w| rules(w, None, 10, false), Fail, "too_weak"),
                ("no lockout, 9, varied", |w| rules(w, None, 9, true), Fail, "too_weak"),
                ("read with gaps", |w| w.edit_partial::<CredentialPolicy>(|_| {}), Unknown, "fact_partial"),
            ],
        );
    }
}
