//! The operating system.

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
    name: "os",
    kinds: &[FactKind::Os],
    what: Text::new(
        "OS の名称、版、ビルド、カーネル (実行中と導入済みの最新)、導入日、タイムゾーン、言語、サポート終了日",
        "Name, version and build of the OS, kernel running and newest installed, install date, time zone, locale, end of support",
    ),
    why: Text::new(
        "OS の台帳 (3-1-1) を作り、サポートの終わった OS や更新の遅れ (4-4-4) を見つけるため",
        "For the OS ledger (3-1-1), and to find unsupported systems and late updates (4-4-4)",
    ),
    watch,
    collect,
};

fn watch(family: Family) -> &'static [&'static str] {
    match family {
        Family::Linux => &["/etc/os-release", "/boot"],
        Family::Windows | Family::Macos => &[],
    }
}

fn collect(sys: &Sys, _: &ProbeConfig) -> Vec<Collection> {
    match sys.family() {
        Family::Linux => linux::collect(sys),
        Family::Windows => windows::collect(sys),
        Family::Macos => macos::collect(sys),
    }
}
