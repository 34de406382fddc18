//! Auto-run and auto-play of media, machine-wide and per user.

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
    name: "autorun",
    kinds: &[FactKind::Autorun],
    what: Text::new(
        "媒体を挿したときの自動実行・自動再生の設定（デスクトップ環境ごと、利用者ごと）。",
        "Settings for what happens by itself when media are inserted, per desktop and user.",
    ),
    why: Text::new(
        "媒体からのマルウェア感染を防ぐ設定（自動実行の無効化）になっているかを確かめるため（4-4-1-2）。",
        "To see that media cannot start anything by themselves (4-4-1-2).",
    ),
    watch,
    collect,
};

fn watch(family: Family) -> &'static [&'static str] {
    match family {
        Family::Linux => &["/etc/dconf/db"],
        Family::Windows => windows::WATCH,
        Family::Macos => &[],
    }
}

fn collect(sys: &Sys, _: &ProbeConfig) -> Vec<Collection> {
    let error = match sys.family() {
        Family::Linux => return vec![linux::collect(sys)],
        Family::Windows => return vec![windows::collect(sys)],
        Family::Macos => macos::unsupported(),
    };
    vec![Collection::missing(FactKind::Autorun, &error, sys.now())]
}
