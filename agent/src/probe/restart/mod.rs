//! Whether a restart is pending, and why; when the machine was started.

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
    name: "restart",
    kinds: &[FactKind::Restart, FactKind::RestartObserved],
    what: Text::new(
        "再起動待ちかどうかとその理由(更新後のカーネル・ライブラリ)、最後に起動した日時",
        "Whether a restart is pending and why (kernel and libraries replaced by updates), and the last boot",
    ),
    why: Text::new(
        "再起動するまで効かない更新プログラムを見つけるため",
        "To find updates that take effect only after a restart",
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
