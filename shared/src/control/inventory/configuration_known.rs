//! Configuration of the machine is known (3-1-1-6): network, volumes, services, firewall, accounts,
//! credential rules and update settings, none of them with a gap.

use crate::control::rule::{Rule, pass};
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::accounts::Accounts;
use crate::fact::credential_policy::CredentialPolicy;
use crate::fact::firewall::Firewall;
use crate::fact::network::Network;
use crate::fact::services::Services;
use crate::fact::updates::UpdateSettings;
use crate::fact::volumes::Volumes;
use crate::finding::{Severity, Verdict};
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "inventory.configuration_known",
    version: 1,
    criteria: &["3-1-1-6"],
    title: Text::new("機器の設定情報が分かる", "The machine's configuration is known"),
    severity: Severity::Medium,
    families: &[],
    facts: &[
        FactKind::Network,
        FactKind::Volumes,
        FactKind::Services,
        FactKind::Firewall,
        FactKind::Accounts,
        FactKind::CredentialPolicy,
        FactKind::UpdateSettings,
    ],
    remediation: Text::new(
        "収集できていない項目の理由を確認し、権限や設定を直してください。",
        "Look at why the item was not collected, and mend the rights or the setting.",
    ),
    messages: &[("known", Text::new("設定情報をすべて把握しています", "All of its configuration is known"))],
    evaluate,
};

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, |rule| {
        rule.need::<Network>()?;
        rule.need::<Volumes>()?;
        rule.need::<Services>()?;
        rule.need::<Firewall>()?;
        rule.need::<Accounts>()?;
        rule.need::<CredentialPolicy>()?;
        rule.need::<UpdateSettings>()?;
        for kind in CONTROL.facts {
            rule.cite(*kind, "", "known");
        }
        pass("known")
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
                ("all there", |_| {}, Pass, "known"),
                (
                    "services denied",
                    |w| w.degrade(FactKind::Services, Status::Denied),
                    Unknown,
                    "fact_denied",
                ),
                (
                    "rules timed out",
                    |w| w.degrade(FactKind::CredentialPolicy, Status::TimedOut),
                    Unknown,
                    "fact_timed_out",
                ),
                (
                    "network unsupported",
                    |w| w.degrade(FactKind::Network, Status::Unsupported),
                    Unknown,
                    "fact_unsupported",
                ),
            ],
        );
    }
}
