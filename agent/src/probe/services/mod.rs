//! Services and listening sockets.

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
    name: "services",
    kinds: &[FactKind::Services],
    what: Text::new(
        "起動時に開始されるサービスと、待ち受けているポート（プロトコル、アドレス、番号、プログラム名）。通信の内容や相手先は収集しません。",
        "Services started at boot, and listening ports with protocol, address and program. No traffic and no peers.",
    ),
    why: Text::new(
        "不要なサービスやポートが開いていないかを確かめるため（4-4-1、4-5）。",
        "To see that no needless service or port is open (4-4-1, 4-5).",
    ),
    watch: super::watch_nothing,
    collect,
};

fn collect(sys: &Sys, _: &ProbeConfig) -> Vec<Collection> {
    let error = match sys.family() {
        Family::Linux => return vec![linux::collect(sys)],
        Family::Windows => return vec![windows::collect(sys)],
        Family::Macos => macos::unsupported(),
    };
    vec![Collection::missing(FactKind::Services, &error, sys.now())]
}
