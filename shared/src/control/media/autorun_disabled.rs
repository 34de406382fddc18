//! Nothing on a medium starts by itself (4-4-1-2).

use crate::control::rule::{Rule, fail, pass};
use crate::control::sentence::setting_unknown;
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::autorun::Autorun;
use crate::finding::{Severity, Verdict};
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "media.autorun_disabled",
    version: 1,
    criteria: &["4-4-1-2"],
    title: Text::new(
        "外部媒体の自動実行・自動再生が無効である",
        "Auto-run and auto-play of external media are off",
    ),
    severity: Severity::Medium,
    families: &[],
    facts: &[FactKind::Autorun],
    remediation: Text::new(
        "自動実行・自動再生をすべてのユーザーで無効にしてください。Windowsでは「自動再生機能をオフにする」(すべてのドライブ、NoDriveTypeAutoRun=255)と「ボリューム以外のデバイスの自動再生を許可しない」(NoAutoplayfornonVolume=1)をコンピューターのポリシーで設定します。",
        "Turn auto-run and auto-play off for every user. On Windows set the computer policies “Turn off Autoplay” (all drives, NoDriveTypeAutoRun=255) and “Disallow Autoplay for non-volume devices” (NoAutoplayfornonVolume=1).",
    ),
    messages: &[
        ("off", Text::new("自動実行・自動再生は無効です", "Auto-run and auto-play are off")),
        (
            "on",
            Text::new(
                "外部媒体を挿すと自動で起動または再生される設定があります",
                "A setting lets media start or open something by themselves",
            ),
        ),
    ],
    evaluate,
};

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, |rule| {
        let seen = rule.seen::<Autorun>()?;
        rule.cite(FactKind::Autorun, "/active", seen.value.active);
        for (i, setting) in seen.value.settings.iter().enumerate().filter(|(_, s)| s.permits != Some(false)) {
            let value = format!("{} {}: {}={}", setting.subject, setting.scope, setting.key, setting.value);
            rule.cite(FactKind::Autorun, &format!("/settings/{i}"), value);
        }
        if seen.value.active == Some(true) {
            return fail("on");
        }
        match seen.whole()?.active {
            Some(false) => pass("off"),
            _ => Err(setting_unknown(FactKind::Autorun, "active")),
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
                ("off", |_| {}, Pass, "off"),
                ("on", |w| w.edit::<Autorun>(|a| a.active = Some(true)), Fail, "on"),
                ("not known", |w| w.edit::<Autorun>(|a| a.active = None), Unknown, "setting_unknown"),
                (
                    "off for those whose settings could be read",
                    |w| w.edit_partial::<Autorun>(|_| {}),
                    Unknown,
                    "fact_partial",
                ),
                ("on for one of those", |w| w.edit_partial::<Autorun>(|a| a.active = Some(true)), Fail, "on"),
            ],
        );
    }
}
