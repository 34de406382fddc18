//! Host firewall: rule sets loaded now and what loads them at boot.

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
    name: "firewall",
    kinds: &[FactKind::Firewall],
    what: Text::new(
        "ホストファイアウォールの状態（nftables、iptables、firewalld、ufw。有効かどうか、受信の既定動作、規則の数）。規則の内容は収集しません。",
        "State of the host firewall (nftables, iptables, firewalld, ufw): on or off, default for inbound traffic, number of rules. Not the rules themselves.",
    ),
    why: Text::new(
        "端末が不要な通信を受け付けない状態かを確かめるため（4-5）。",
        "To see that the machine refuses traffic it does not need (4-5).",
    ),
    watch,
    collect,
};

fn watch(family: Family) -> &'static [&'static str] {
    match family {
        Family::Linux => &["/etc/nftables.conf", "/etc/ufw", "/etc/firewalld"],
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
    vec![Collection::missing(FactKind::Firewall, &error, sys.now())]
}
