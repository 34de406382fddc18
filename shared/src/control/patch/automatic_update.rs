//! Security updates install by themselves (4-4-4-1: "where possible"), those of products with an updater of
//! their own too (decision 0060), and no policy holds them back beyond the days of 4-4-4-2.

use crate::control::rule::{Decision, Rule, Ruling, pass};
use crate::control::sentence::setting_unknown;
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::updates::{UpdateMechanism, UpdateSettings};
use crate::finding::{Message, Severity, Verdict};
use crate::text::Text;

/// Mechanisms that update one product, which the system's own mechanism does not.
const PRODUCTS: [&str; 5] = ["office", "chrome", "edge", "firefox", "snapd"];

pub static CONTROL: Control = Control {
    id: "patch.automatic_update",
    version: 3,
    criteria: &["4-4-4-1"],
    title: Text::new("自動更新が有効である", "Automatic update is on"),
    severity: Severity::Medium,
    families: &[],
    facts: &[FactKind::UpdateSettings],
    remediation: Text::new(
        "自動更新(unattended-upgrades、dnf-automatic、Windows Update、Officeやブラウザーの更新機能など)を有効にしてください。業務上できない機器は、適用手順とともに例外を登録してください。",
        "Turn automatic update on (unattended-upgrades, dnf-automatic, Windows Update, the updaters of Office and browsers and so on). Where business does not allow it, record an exception with the manual procedure.",
    ),
    messages: &[
        ("on", Text::new("自動更新は有効です", "Automatic update is on")),
        (
            "not_on",
            Text::new(
                "自動更新が有効ではありません(現在の状態: {state})",
                "Automatic update is not on (it is: {state})",
            ),
        ),
        (
            "product_not_on",
            Text::new(
                "システムの自動更新は有効ですが、個別の製品の自動更新が有効ではありません({products})",
                "Automatic update of the system is on, but that of single products is not ({products})",
            ),
        ),
        (
            "deferred",
            Text::new(
                "品質更新プログラムを{deferral}日延期する設定のため、{days}日以内の適用(4-4-4-2)を守れません",
                "A policy defers quality updates by {deferral} days, so they cannot be applied within {days} days (4-4-4-2)",
            ),
        ),
        (
            "paused",
            Text::new(
                "自動更新が{until}まで一時停止されています",
                "Automatic update is paused until {until}",
            ),
        ),
    ],
    evaluate,
};

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, judge)
}

fn judge(rule: &mut Rule<'_>) -> Ruling {
    let seen = rule.seen::<UpdateSettings>()?;
    let settings = &seen.value;
    rule.cite(FactKind::UpdateSettings, "/automatic", settings.automatic.clone());
    for (i, mechanism) in settings.mechanisms.iter().enumerate() {
        let value = format!(
            "{}: {} ({})",
            mechanism.name,
            mechanism.state,
            mechanism.setting.as_deref().unwrap_or("-")
        );
        rule.cite(FactKind::UpdateSettings, &format!("/mechanisms/{i}"), value);
    }
    // A mechanism that was not found in a partial fact may be the one that is on.
    let settings = seen.whole()?;
    if let Some(until) = settings.paused_until.filter(|until| *until > rule.ctx.now) {
        rule.cite(FactKind::UpdateSettings, "/paused_until", until.to_string());
        rule.until(Some(until));
        return Ok(Decision::Fail(Message::new("paused").with("until", rule.local(until))));
    }
    let days = rule.ctx.policy.patch.days;
    if let Some(deferral) = settings.deferral_days.filter(|deferral| *deferral > days) {
        rule.cite(FactKind::UpdateSettings, "/deferral_days", deferral);
        rule.cite_policy("/patch/days", days);
        return Ok(Decision::Fail(Message::new("deferred").with("deferral", deferral).with("days", days)));
    }
    match settings.automatic.as_deref() {
        Some("on") => products(&settings.mechanisms),
        Some(state) => Ok(Decision::Fail(Message::new("not_on").with("state", state))),
        None => Err(setting_unknown(FactKind::UpdateSettings, "automatic")),
    }
}

/// The criterion covers all software: one product that stays behind fails it, and is named.
fn products(mechanisms: &[UpdateMechanism]) -> Ruling {
    let behind: Vec<String> = mechanisms
        .iter()
        .filter(|m| PRODUCTS.contains(&m.name.as_str()) && m.state != "on")
        .map(|m| format!("{}: {}", m.name, m.state))
        .collect();
    if behind.is_empty() {
        return pass("on");
    }
    Ok(Decision::Fail(Message::new("product_not_on").with("products", behind.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture::{at, table};
    use crate::finding::Outcome::{Fail, Pass, Unknown};

    fn mechanism(name: &str, state: &str) -> UpdateMechanism {
        UpdateMechanism { name: name.into(), state: state.into(), setting: None }
    }

    #[test]
    fn products_that_stay_behind_are_named() {
        let all = ["chrome", "edge", "windows_update"].map(|name| mechanism(name, "off"));
        let Ok(Decision::Fail(message)) = products(&all) else { panic!("passes") };
        assert_eq!(message, Message::new("product_not_on").with("products", "chrome: off, edge: off"));
    }

    #[test]
    fn cases() {
        table(
            &CONTROL,
            &[
                ("on", |_| {}, Pass, "on"),
                (
                    "download only",
                    |w| w.edit::<UpdateSettings>(|s| s.automatic = Some("download_only".into())),
                    Fail,
                    "not_on",
                ),
                ("off", |w| w.edit::<UpdateSettings>(|s| s.automatic = Some("off".into())), Fail, "not_on"),
                (
                    "on, but the browser's updater is off",
                    |w| w.edit::<UpdateSettings>(|s| s.mechanisms = vec![mechanism("chrome", "off")]),
                    Fail,
                    "product_not_on",
                ),
                (
                    "on, and a browser that only tells",
                    |w| w.edit::<UpdateSettings>(|s| s.mechanisms = vec![mechanism("edge", "notify_only")]),
                    Fail,
                    "product_not_on",
                ),
                (
                    "on by one of several mechanisms of the system",
                    |w| w.edit::<UpdateSettings>(|s| s.mechanisms = vec![mechanism("apt-daily", "off")]),
                    Pass,
                    "on",
                ),
                (
                    "not known",
                    |w| w.edit::<UpdateSettings>(|s| s.automatic = None),
                    Unknown,
                    "setting_unknown",
                ),
                (
                    "off in a partial fact",
                    |w| w.edit_partial::<UpdateSettings>(|s| s.automatic = Some("off".into())),
                    Unknown,
                    "fact_partial",
                ),
                (
                    "paused",
                    |w| w.edit::<UpdateSettings>(|s| s.paused_until = Some(at("2026-11-30T00:00:00Z"))),
                    Fail,
                    "paused",
                ),
                (
                    "deferred beyond the days by design",
                    |w| w.edit::<UpdateSettings>(|s| s.deferral_days = Some(15)),
                    Fail,
                    "deferred",
                ),
                (
                    "deferred within the days",
                    |w| w.edit::<UpdateSettings>(|s| s.deferral_days = Some(14)),
                    Pass,
                    "on",
                ),
                (
                    "a pause that is over",
                    |w| w.edit::<UpdateSettings>(|s| s.paused_until = Some(at("2026-11-20T00:00:00Z"))),
                    Pass,
                    "on",
                ),
            ],
        );
    }
}
