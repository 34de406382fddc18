//! The disks of a machine that can be carried away are encrypted (4-3-1-1).

use crate::control::rule::{Decision, Rule, Ruling, not_applicable};
use crate::control::sentence::setting_unknown;
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::hardware::Hardware;
use crate::fact::volumes::{Volume, Volumes};
use crate::finding::{Message, Severity, Verdict};
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "volume.encrypted",
    version: 1,
    criteria: &["4-3-1-1"],
    title: Text::new("持ち出せるPCのディスクが暗号化されている", "The disks of a portable PC are encrypted"),
    severity: Severity::Medium,
    families: &[],
    facts: &[FactKind::Hardware, FactKind::Volumes],
    remediation: Text::new(
        "BitLocker、FileVault、LUKSなどでディスク全体を暗号化し、回復キーを会社で保管してください。",
        "Encrypt the whole disk with BitLocker, FileVault, LUKS or the like, and keep the recovery key in the company.",
    ),
    messages: &[
        (
            "encrypted",
            Text::new(
                "固定ディスクのボリューム{count}件はすべて暗号化されています",
                "All {count} fixed volumes are encrypted",
            ),
        ),
        (
            "not_encrypted",
            Text::new(
                "暗号化されていないボリュームがあります({mount})",
                "A volume is not encrypted ({mount})",
            ),
        ),
        (
            "suspended",
            Text::new(
                "暗号化の保護が一時停止されています({mount})",
                "Protection of an encrypted volume is suspended ({mount})",
            ),
        ),
        ("no_volume", Text::new("固定ディスクのボリュームが見つかりません", "No fixed volume was found")),
        (
            "not_portable",
            Text::new("持ち出す種類の機器ではありません", "Not a machine that is carried about"),
        ),
    ],
    evaluate,
};

/// Start-up partitions that firmware or boot loader must read before any key is there.
const BOOT: &[&str] = &["/boot", "/boot/efi", "/efi"];

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, judge)
}

fn judge(rule: &mut Rule<'_>) -> Ruling {
    let hardware = rule.need::<Hardware>()?;
    rule.cite(FactKind::Hardware, "/chassis", hardware.chassis.clone());
    match hardware.chassis.as_deref() {
        Some("laptop" | "tablet") => {}
        Some("other") | None => return Err(setting_unknown(FactKind::Hardware, "chassis")),
        Some(_) => return not_applicable("not_portable"),
    }
    let seen = rule.seen::<Volumes>()?;
    let fixed: Vec<(usize, &Volume)> = seen
        .value
        .items
        .iter()
        .enumerate()
        .filter(|(_, v)| {
            matches!(v.class.as_deref(), Some("fixed") | None) && !BOOT.contains(&v.mount.as_str())
        })
        .collect();
    for (i, volume) in &fixed {
        let value = serde_json::json!({"mount": volume.mount, "encrypted": volume.encrypted, "encryption": volume.encryption, "protection_on": volume.protection_on});
        rule.cite(FactKind::Volumes, &format!("/items/{i}"), value);
    }
    let open = |code, found: Option<&(usize, &Volume)>| {
        found.map(|(_, v)| Message::new(code).with("mount", &v.mount))
    };
    let plain = open("not_encrypted", fixed.iter().find(|(_, v)| v.encrypted == Some(false)));
    let suspended = open(
        "suspended",
        fixed.iter().find(|(_, v)| v.encrypted == Some(true) && v.protection_on == Some(false)),
    );
    if let Some(failure) = plain.or(suspended) {
        return Ok(Decision::Fail(failure));
    }
    if fixed.iter().any(|(_, v)| v.encrypted.is_none()) {
        return Err(setting_unknown(FactKind::Volumes, "encrypted"));
    }
    let count = fixed.len();
    seen.whole()?;
    if count == 0 {
        return Err(Message::new("no_volume"));
    }
    Ok(Decision::Pass(Message::new("encrypted").with("count", count)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture::{World, table};
    use crate::finding::Outcome::{Fail, NotApplicable, Pass, Unknown};

    fn root(world: &mut World, change: impl FnOnce(&mut Volume)) {
        world.edit::<Volumes>(|v| change(&mut v.items[0]));
    }

    #[test]
    fn cases() {
        table(
            &CONTROL,
            &[
                ("encrypted laptop", |_| {}, Pass, "encrypted"),
                ("plain laptop", |w| root(w, |v| v.encrypted = Some(false)), Fail, "not_encrypted"),
                ("BitLocker suspended", |w| root(w, |v| v.protection_on = Some(false)), Fail, "suspended"),
                ("not known", |w| root(w, |v| v.encrypted = None), Unknown, "setting_unknown"),
                (
                    "only the boot partition is seen",
                    |w| root(w, |v| v.mount = "/boot".into()),
                    Unknown,
                    "no_volume",
                ),
                (
                    "a server stays where it is",
                    |w| w.edit::<Hardware>(|h| h.chassis = Some("server".into())),
                    NotApplicable,
                    "not_portable",
                ),
                (
                    "chassis not known",
                    |w| w.edit::<Hardware>(|h| h.chassis = None),
                    Unknown,
                    "setting_unknown",
                ),
                ("a volume was not readable", |w| w.edit_partial::<Volumes>(|_| {}), Unknown, "fact_partial"),
            ],
        );
    }
}
