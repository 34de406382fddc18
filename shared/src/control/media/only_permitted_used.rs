//! Only registered media were used (4-1-9-1, 4-1-9-3). Optical drives are part of the machine, not media
//! that somebody brings.

use super::{HISTORY_SHORT, HISTORY_UNKNOWN, covered};
use crate::control::rule::{Decision, Rule, Ruling};
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::removable::{RemovableDevice, RemovableDevices};
use crate::finding::{Message, Severity, Verdict};
use crate::policy::PermittedMedia;
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "media.only_permitted_used",
    version: 2,
    criteria: &["4-1-9-1", "4-1-9-3"],
    title: Text::new("許可した可搬媒体だけが使われている", "Only permitted media are used"),
    severity: Severity::Medium,
    families: &[],
    facts: &[FactKind::RemovableDevices],
    remediation: Text::new(
        "見つかった媒体の持ち主と用途を確認し、許可するなら登録簿に加え、許可しないなら回収してください。",
        "Find out whose the device is and what for; add it to the register if it is permitted, else collect it.",
    ),
    messages: &[
        (
            "all_permitted",
            Text::new(
                "使われた媒体{count}件はすべて登録済みです(記録は{since}から)",
                "All {count} devices used are registered (records since {since})",
            ),
        ),
        (
            "not_permitted",
            Text::new(
                "登録されていない媒体が{count}件使われています(例: {device})",
                "{count} devices used are not registered (such as {device})",
            ),
        ),
        (
            "nothing_declared",
            Text::new(
                "許可する媒体の登録簿がまだポリシーにありません",
                "The policy has no register of permitted media yet",
            ),
        ),
        (
            "serial_not_genuine",
            Text::new(
                "{count}件の媒体は固有のシリアル番号を持たず、登録簿と照合できません(例: {device})",
                "{count} devices have no serial of their own and cannot be matched (such as {device})",
            ),
        ),
        HISTORY_UNKNOWN,
        HISTORY_SHORT,
    ],
    evaluate,
};

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, judge)
}

/// How a device compares with the register.
#[derive(PartialEq)]
enum Match {
    Permitted,
    /// Fits but for a serial the device does not have.
    Perhaps,
    NotPermitted,
}

fn same(wanted: Option<&str>, found: Option<&str>) -> bool {
    wanted.is_none_or(|w| found.is_some_and(|f| f.eq_ignore_ascii_case(w)))
}

fn compare(device: &RemovableDevice, register: &[PermittedMedia]) -> Match {
    let mut perhaps = false;
    for entry in register {
        // An entry that names nothing would permit everything.
        let names_something =
            entry.vendor_id.is_some() || entry.product_id.is_some() || entry.serial.is_some();
        if !names_something
            || !same(entry.vendor_id.as_deref(), device.vendor_id.as_deref())
            || !same(entry.product_id.as_deref(), device.product_id.as_deref())
        {
            continue;
        }
        match &entry.serial {
            Some(_) if !device.serial_genuine => perhaps = true,
            Some(serial) if !same(Some(serial), device.serial.as_deref()) => {}
            _ => return Match::Permitted,
        }
    }
    if perhaps { Match::Perhaps } else { Match::NotPermitted }
}

fn judge(rule: &mut Rule<'_>) -> Ruling {
    let seen = rule.seen::<RemovableDevices>()?;
    let removable = &rule.ctx.policy.removable;
    if removable.permitted.is_empty() && removable.usb_storage.as_deref() != Some("blocked") {
        return Err(Message::new("nothing_declared"));
    }
    let used: Vec<_> = seen
        .value
        .items
        .iter()
        .enumerate()
        .filter(|(_, d)| d.class != "optical" && d.blocked != Some(true))
        .map(|(i, d)| (i, d, compare(d, &removable.permitted)))
        .collect();
    rule.cite(FactKind::RemovableDevices, "/items/length", used.len());
    let pick = |wanted: &Match| used.iter().filter(|(_, _, m)| m == wanted).collect::<Vec<_>>();
    for (code, wanted) in [("not_permitted", Match::NotPermitted), ("serial_not_genuine", Match::Perhaps)] {
        let found = pick(&wanted);
        let Some((_, first, _)) = found.first() else { continue };
        for (i, device, _) in &found {
            rule.cite(FactKind::RemovableDevices, &format!("/items/{i}"), label(device));
        }
        let message = Message::new(code).with("count", found.len()).with("device", label(first));
        return if wanted == Match::NotPermitted { Ok(Decision::Fail(message)) } else { Err(message) };
    }
    let count = used.len();
    drop(used);
    let devices = seen.whole()?;
    let since = covered(rule, &devices)?;
    let message = Message::new("all_permitted").with("count", count);
    Ok(Decision::Pass(message.with("since", rule.local(since))))
}

fn label(device: &RemovableDevice) -> String {
    let part = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    format!("{}:{} {}", part(&device.vendor_id), part(&device.product_id), part(&device.serial))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture::{World, table};
    use crate::finding::Outcome::{Fail, Pass, Unknown};

    fn device(world: &mut World, change: impl FnOnce(&mut RemovableDevice)) {
        world.edit::<RemovableDevices>(|d| change(&mut d.items[0]));
    }

    #[test]
    fn cases() {
        table(
            &CONTROL,
            &[
                ("registered", |_| {}, Pass, "all_permitted"),
                ("another serial", |w| device(w, |d| d.serial = Some("X".into())), Fail, "not_permitted"),
                (
                    "another in a partial ledger",
                    |w| {
                        device(w, |d| d.serial = Some("X".into()));
                        w.edit_partial::<RemovableDevices>(|_| {});
                    },
                    Fail,
                    "not_permitted",
                ),
                (
                    "no serial of its own",
                    |w| device(w, |d| d.serial_genuine = false),
                    Unknown,
                    "serial_not_genuine",
                ),
                (
                    "blocked was not used",
                    |w| {
                        device(w, |d| {
                            d.serial = Some("X".into());
                            d.blocked = Some(true);
                        })
                    },
                    Pass,
                    "all_permitted",
                ),
                ("no register", |w| w.policy.removable.permitted.clear(), Unknown, "nothing_declared"),
                (
                    "no register because all is blocked",
                    |w| {
                        w.policy.removable.permitted.clear();
                        w.policy.removable.usb_storage = Some("blocked".into());
                    },
                    Fail,
                    "not_permitted",
                ),
                (
                    "an empty entry permits nothing",
                    |w| w.policy.removable.permitted = vec![PermittedMedia::default()],
                    Fail,
                    "not_permitted",
                ),
                (
                    "nothing since the last start",
                    |w| {
                        w.media_since("2026-11-22T00:00:00Z");
                        w.edit::<RemovableDevices>(|d| d.items.clear());
                    },
                    Unknown,
                    "history_short",
                ),
                (
                    "another since the last start",
                    |w| {
                        w.media_since("2026-11-22T00:00:00Z");
                        device(w, |d| d.serial = Some("X".into()));
                    },
                    Fail,
                    "not_permitted",
                ),
                (
                    "a ledger with gaps",
                    |w| w.edit_partial::<RemovableDevices>(|_| {}),
                    Unknown,
                    "fact_partial",
                ),
            ],
        );
    }
}
