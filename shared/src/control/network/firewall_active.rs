//! The host firewall filters inbound traffic (4-5-1-8).

use crate::control::rule::{Decision, Rule, fail, pass};
use crate::control::sentence::setting_unknown;
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::firewall::Firewall;
use crate::finding::{Message, Severity, Verdict};
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "network.firewall_active",
    version: 1,
    criteria: &["4-5-1-8"],
    title: Text::new("ホストのファイアウォールが有効である", "The host firewall is on"),
    severity: Severity::Medium,
    families: &[],
    facts: &[FactKind::Firewall],
    remediation: Text::new(
        "ホストのファイアウォール(nftables、firewalld、ufw、Windows Defender ファイアウォールなど)を有効にしてください。",
        "Turn the host firewall on (nftables, firewalld, ufw, Windows Defender Firewall and so on).",
    ),
    messages: &[
        ("on", Text::new("受信の通信を制限しています", "Inbound traffic is filtered")),
        ("off", Text::new("受信の通信を制限していません", "Inbound traffic is not filtered")),
        (
            "off_for_one",
            Text::new(
                "{protocol}の受信の通信を制限していません",
                "Inbound traffic of {protocol} is not filtered",
            ),
        ),
    ],
    evaluate,
};

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, |rule| {
        let firewall = rule.need::<Firewall>()?;
        rule.cite(FactKind::Firewall, "/active", firewall.active);
        for (i, product) in firewall.products.iter().enumerate() {
            let value = serde_json::json!({"name": product.name, "enabled": product.enabled, "active": product.active});
            rule.cite(FactKind::Firewall, &format!("/products/{i}"), value);
        }
        match firewall.active {
            Some(true) => pass("on"),
            Some(false) => match firewall.unfiltered.as_slice() {
                [protocol] => {
                    rule.cite(FactKind::Firewall, "/unfiltered", protocol.as_str());
                    Ok(Decision::Fail(Message::new("off_for_one").with("protocol", protocol)))
                }
                _ => fail("off"),
            },
            None => Err(setting_unknown(FactKind::Firewall, "active")),
        }
    })
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
                ("on", |_| {}, Pass, "on"),
                ("off", |w| w.edit::<Firewall>(|f| f.active = Some(false)), Fail, "off"),
                (
                    "on for IPv4 only",
                    |w| {
                        w.edit::<Firewall>(|f| {
                            f.active = Some(false);
                            f.unfiltered = vec!["ipv6".into()];
                        });
                    },
                    Fail,
                    "off_for_one",
                ),
                ("not known", |w| w.edit::<Firewall>(|f| f.active = None), Unknown, "setting_unknown"),
                (
                    "off as far as could be seen",
                    |w| w.edit_partial::<Firewall>(|f| f.active = Some(false)),
                    Unknown,
                    "fact_partial",
                ),
            ],
        );
    }
}
