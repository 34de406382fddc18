//! Interfaces and addresses.

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
    name: "network",
    kinds: &[FactKind::Network],
    what: Text::new(
        "ネットワーク接続口の名前、MAC アドレス、IP アドレス、既定ゲートウェイ、DNS サーバー。通信の内容や相手は収集しません",
        "Names, MAC and IP addresses of network interfaces, default gateway, DNS servers; no traffic and no peers",
    ),
    why: Text::new(
        "機器台帳 (3-1-1) をネットワーク側の記録と突き合わせ、台帳にない機器を見つけるため",
        "To match the device ledger (3-1-1) with network records and find machines that are not in it",
    ),
    watch,
    collect,
};

fn watch(family: Family) -> &'static [&'static str] {
    match family {
        Family::Linux => &["/etc/resolv.conf"],
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
