//! Names and ids of the machine.

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
    name: "identity",
    kinds: &[FactKind::Identity],
    what: Text::new(
        "ホスト名、完全修飾名、参加しているドメイン、マシン ID、SMBIOS UUID",
        "Host name, fully qualified name, joined domain, machine id, SMBIOS UUID",
    ),
    why: Text::new(
        "機器台帳 (3-1-1) で機器を一意に見分け、複製された機器に気づくため",
        "To tell machines apart in the device ledger (3-1-1) and to notice clones",
    ),
    watch,
    collect,
};

fn watch(family: Family) -> &'static [&'static str] {
    match family {
        Family::Linux => &["/etc/hostname", "/etc/machine-id"],
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
