//! Whether updates install by themselves, by what, and what is held back.

mod linux;
mod macos;
pub mod parse;
pub mod parse_windows;
mod windows;

use tenken_shared::fact::FactKind;
use tenken_shared::text::Text;

use super::{Collection, Probe, ProbeConfig};
use crate::sys::{Family, Sys};

/// The probe.
pub static PROBE: Probe = Probe {
    name: "update_settings",
    kinds: &[FactKind::UpdateSettings],
    what: Text::new(
        "自動更新の有効・無効とその仕組み、保留中のパッケージ",
        "Whether updates install automatically and by what, and which packages are held back",
    ),
    why: Text::new(
        "更新プログラムが確実に適用される設定になっているかを確かめるため",
        "To see whether the settings make sure that updates get applied",
    ),
    watch,
    collect,
};

fn watch(family: Family) -> &'static [&'static str] {
    match family {
        Family::Linux => linux::WATCH,
        Family::Windows => windows::WATCH,
        Family::Macos => &[],
    }
}

fn collect(sys: &Sys, _: &ProbeConfig) -> Vec<Collection> {
    match sys.family() {
        Family::Linux => linux::collect(sys),
        Family::Windows => windows::collect(sys),
        Family::Macos => macos::collect(sys),
    }
}
