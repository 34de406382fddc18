//! Failed log-ons lock the account, or passwords are strong enough to do without (4-1-4-1).

use crate::control::rule::{Decision, Rule, pass};
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::credential_policy::CredentialPolicy;
use crate::finding::{Message, Severity, Verdict};
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "account.lockout",
    version: 1,
    criteria: &["4-1-4-1"],
    title: Text::new("ログオンの失敗が続くとロックされる", "Repeated failures to log on lock the account"),
    severity: Severity::Medium,
    families: &[],
    facts: &[FactKind::CredentialPolicy],
    remediation: Text::new(
        "10回以内の失敗でロックする設定にしてください(Linuxはpam_faillock、Windowsはアカウントロックアウトのポリシー)。",
        "Lock after ten failures at most (pam_faillock on Linux, the account lockout policy on Windows).",
    ),
    messages: &[
        ("locks", Text::new("{count}回の失敗でロックされます", "Locks after {count} failures")),
        (
            "strong_instead",
            Text::new(
                "ロックはありませんが、それに代わる強いパスワードが求められます",
                "There is no lock, but passwords must be strong enough to do without",
            ),
        ),
        (
            "too_many",
            Text::new(
                "ロックまでの失敗回数が{count}回で、上限の{max}回を超えています",
                "Locks only after {count} failures, more than {max}",
            ),
        ),
        ("no_lock", Text::new("失敗が続いてもロックされません", "Failures never lock the account")),
    ],
    evaluate,
};

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, |rule| {
        let rules = rule.need::<CredentialPolicy>()?;
        let policy = &rule.ctx.policy.credential;
        rule.cite(FactKind::CredentialPolicy, "/lockout_threshold", rules.lockout_threshold);
        rule.cite(FactKind::CredentialPolicy, "/min_length", rules.min_length);
        rule.cite_policy("/credential/lockout_max", policy.lockout_max);
        let count = rules.lockout_threshold.unwrap_or(0);
        if super::locks(&rules, policy) {
            return Ok(Decision::Pass(Message::new("locks").with("count", count)));
        }
        if super::strong(&rules, policy) {
            return pass("strong_instead");
        }
        Ok(Decision::Fail(match count {
            0 => Message::new("no_lock"),
            n => Message::new("too_many").with("count", n).with("max", policy.lockout_max),
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture::{World, table};
    use crate::finding::Outcome::{Fail, Pass, Unknown};

    fn rules(world: &mut World, threshold: Option<u32>, length: u32, classes: u32) {
        world.edit::<CredentialPolicy>(|c| {
            c.lockout_threshold = threshold;
            c.min_length = Some(length);
            c.min_classes = Some(classes);
        });
    }

    #[test]
    fn cases() {
        table(
            &CONTROL,
            &[
                ("ten failures", |_| {}, Pass, "locks"),
                ("eleven failures", |w| rules(w, Some(11), 8, 0), Fail, "too_many"),
                ("0 means never", |w| rules(w, Some(0), 8, 0), Fail, "no_lock"),
                ("not set", |w| rules(w, None, 8, 3), Fail, "no_lock"),
                ("not set, strong passwords", |w| rules(w, None, 10, 3), Pass, "strong_instead"),
                ("read with gaps", |w| w.edit_partial::<CredentialPolicy>(|_| {}), Unknown, "fact_partial"),
            ],
        );
    }
}
