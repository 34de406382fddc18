//! 3-1-1: devices, operating systems and software are known.

pub(super) mod client_known;
pub(super) mod configuration_known;
pub(super) mod information_current;
pub(super) mod server_known;
pub(super) mod software_known;

use super::rule::{Decision, Rule, Ruling, not_applicable};
use crate::device::device_kind;
use crate::fact::FactKind;
use crate::fact::hardware::Hardware;
use crate::fact::os::Os;
use crate::finding::Message;
use crate::text::Text;

/// Sentences of both device controls.
const DEVICE_MESSAGES: &[(&str, Text)] = &[
    ("known", Text::new("{maker} の{device}、OSは{os}です", "A {device} by {maker} running {os}")),
    ("other_kind", Text::new("この基準の対象となる種類の機器ではありません", "Another kind of machine")),
    (
        "kind_unknown",
        Text::new(
            "筐体の情報がなく、PCかサーバーかを区別できません",
            "Nothing says whether this is a PC or a server",
        ),
    ),
    ("maker_unknown", Text::new("製造元を読み取れませんでした", "The maker could not be read")),
    ("os_unknown", Text::new("OSの名称またはバージョンが分かりません", "OS name or version is not known")),
];

/// Maker and OS of a machine that belongs to the list of clients, or of servers.
fn device_known(rule: &mut Rule<'_>, clients: bool) -> Ruling {
    let hardware = rule.need::<Hardware>()?;
    let os = rule.need::<Os>()?;
    let kind = device_kind(&hardware, &os);
    rule.cite(FactKind::Hardware, "/chassis", hardware.chassis.clone());
    let kind = kind.ok_or_else(|| Message::new("kind_unknown"))?;
    if kind.is_client() != clients {
        return not_applicable("other_kind");
    }
    let maker = hardware.maker.clone().filter(|m| !m.trim().is_empty());
    rule.cite(FactKind::Hardware, "/maker", maker.clone());
    rule.cite(FactKind::Hardware, "/model", hardware.model.clone());
    rule.cite(FactKind::Os, "/id", os.id.clone());
    rule.cite(FactKind::Os, "/version", os.version.clone());
    let maker = maker.ok_or_else(|| Message::new("maker_unknown"))?;
    let name = os.name.clone().filter(|n| !n.is_empty()).unwrap_or_else(|| os.id.clone());
    // A rolling release has no version, and its build or code name stands for it.
    let version = [&os.version, &os.build, &os.codename].into_iter().find_map(Clone::clone);
    let rolling = rule.ctx.catalog.support.find(&os.id, "", None).is_some();
    if name.is_empty() || (version.is_none() && !rolling) {
        return Err(Message::new("os_unknown"));
    }
    let os = format!("{name} {}", version.unwrap_or_default());
    Ok(Decision::Pass(
        Message::new("known").with("maker", maker).with("device", kind.as_str()).with("os", os.trim_end()),
    ))
}
