//! USB storage is restricted at least as the company's rule demands (4-1-9-1, 4-1-9-3).

use crate::control::rule::{Decision, Rule, Ruling};
use crate::control::sentence::setting_unknown;
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::removable::RemovablePolicy;
use crate::finding::{Message, Severity, Verdict};
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "media.restriction_in_force",
    version: 1,
    criteria: &["4-1-9-1", "4-1-9-3"],
    title: Text::new(
        "可搬媒体の制限が社内ルールどおりに働いている",
        "The restriction of removable media is in force as the rule demands",
    ),
    severity: Severity::Medium,
    families: &[],
    facts: &[FactKind::RemovablePolicy],
    remediation: Text::new(
        "USBストレージの制限(usbguard、modprobe、グループポリシーなど)をルールどおりに設定してください。Windowsでは「リムーバブル記憶域へのアクセス」のポリシーを設定し、再起動します(USBSTORのStart=4だけでは新しい機器で解除されます)。",
        "Set the restriction of USB storage (usbguard, modprobe, group policy and so on) as the rule demands. On Windows set the policies of “Removable Storage Access” and restart (USBSTOR Start=4 alone is undone by new hardware).",
    ),
    messages: &[
        (
            "in_force",
            Text::new(
                "USBストレージの制限({state})がルール({rule})を満たしています",
                "USB storage is restricted ({state}) as the rule demands ({rule})",
            ),
        ),
        (
            "not_in_force",
            Text::new(
                "USBストレージの状態は{state}で、ルール({rule})を満たしていません",
                "USB storage is {state}, short of the rule ({rule})",
            ),
        ),
        (
            "nothing_declared",
            Text::new(
                "可搬媒体の制限ルールがまだポリシーに登録されていません",
                "The policy has no rule for removable media yet",
            ),
        ),
        (
            "rule_unknown",
            Text::new(
                "ポリシーの制限ルール({rule})を解釈できません",
                "The policy's rule ({rule}) is not known",
            ),
        ),
    ],
    evaluate,
};

/// Restrictions that fulfil a rule, by the rule.
const FULFILLED_BY: &[(&str, &[&str])] = &[
    ("blocked", &["blocked"]),
    ("read_only", &["read_only", "blocked"]),
    ("allow_list", &["allow_list", "blocked"]),
];

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, judge)
}

fn judge(rule: &mut Rule<'_>) -> Ruling {
    let policy = rule.need::<RemovablePolicy>()?;
    let wanted =
        rule.ctx.policy.removable.usb_storage.as_deref().ok_or_else(|| Message::new("nothing_declared"))?;
    let unknown_rule = || Message::new("rule_unknown").with("rule", wanted);
    let (_, enough) = FULFILLED_BY.iter().find(|(name, _)| *name == wanted).ok_or_else(unknown_rule)?;
    let state = policy
        .usb_storage
        .as_deref()
        .ok_or_else(|| setting_unknown(FactKind::RemovablePolicy, "usb_storage"))?;
    rule.cite_policy("/removable/usb_storage", wanted);
    rule.cite(FactKind::RemovablePolicy, "/usb_storage", state);
    for (i, restriction) in policy.restrictions.iter().enumerate() {
        let value = format!("{} {} ({})", restriction.mechanism, restriction.effect, restriction.setting);
        rule.cite(FactKind::RemovablePolicy, &format!("/restrictions/{i}"), value);
    }
    let message = |code| Message::new(code).with("state", state).with("rule", wanted);
    Ok(if enough.contains(&state) {
        Decision::Pass(message("in_force"))
    } else {
        Decision::Fail(message("not_in_force"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture::{World, table};
    use crate::finding::Outcome::{Fail, Pass, Unknown};

    fn state(world: &mut World, rule: &str, state: &str) {
        world.policy.removable.usb_storage = Some(rule.into());
        world.edit::<RemovablePolicy>(|p| p.usb_storage = Some(state.into()));
    }

    #[test]
    fn cases() {
        table(
            &CONTROL,
            &[
                ("as demanded", |_| {}, Pass, "in_force"),
                ("stronger than demanded", |w| state(w, "read_only", "blocked"), Pass, "in_force"),
                ("read-only is no block", |w| state(w, "blocked", "read_only"), Fail, "not_in_force"),
                ("read-only is no allow list", |w| state(w, "allow_list", "read_only"), Fail, "not_in_force"),
                ("allowed", |w| state(w, "read_only", "allowed"), Fail, "not_in_force"),
                (
                    "state not known",
                    |w| w.edit::<RemovablePolicy>(|p| p.usb_storage = None),
                    Unknown,
                    "setting_unknown",
                ),
                ("no rule", |w| w.policy.removable.usb_storage = None, Unknown, "nothing_declared"),
                ("a mistyped rule", |w| state(w, "blokced", "blocked"), Unknown, "rule_unknown"),
                ("read with gaps", |w| w.edit_partial::<RemovablePolicy>(|_| {}), Unknown, "fact_partial"),
            ],
        );
    }
}
