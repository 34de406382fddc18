//! Updates installed and removed, from the logs and databases of the package managers.

mod linux;
mod macos;
pub mod parse;
mod windows;

use tenken_shared::fact::FactKind;
use tenken_shared::text::Text;

use super::{Collection, Probe, ProbeConfig};
use crate::sys::{Family, Sys};

/// The probe.
pub static PROBE: Probe = Probe {
    name: "update_history",
    kinds: &[FactKind::UpdateHistory],
    what: Text::new(
        "パッケージの導入・更新・削除の履歴(日時とバージョン)",
        "History of installed, upgraded and removed packages (time and version)",
    ),
    why: Text::new(
        "更新プログラムがいつ適用されたかの証跡を残すため",
        "To keep evidence of when updates were applied",
    ),
    watch,
    collect,
};

fn watch(family: Family) -> &'static [&'static str] {
    match family {
        Family::Linux => linux::WATCH,
        Family::Windows | Family::Macos => &[],
    }
}

fn collect(sys: &Sys, config: &ProbeConfig) -> Vec<Collection> {
    match sys.family() {
        Family::Linux => linux::collect(sys),
        Family::Windows => windows::collect(sys, config),
        Family::Macos => macos::collect(sys),
    }
}
