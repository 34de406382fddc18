//! Mounted file systems, their encryption and free space.

mod block;
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
    name: "volumes",
    kinds: &[FactKind::Volumes, FactKind::VolumesObserved],
    what: Text::new(
        "マウントされたボリュームの場所、ファイルシステム、容量、暗号化の状態、空き容量。ファイル名や中身は収集しません",
        "Mount point, file system, size, encryption and free space of mounted volumes; no file names, no contents",
    ),
    why: Text::new(
        "紛失・盗難に備えた暗号化と、バックアップ (4-3-4) を妨げる容量不足を確かめるため",
        "To check encryption against loss and theft, and lack of space that keeps backups (4-3-4) from running",
    ),
    watch,
    collect,
};

fn watch(family: Family) -> &'static [&'static str] {
    match family {
        Family::Linux => &["/etc/fstab", "/etc/crypttab"],
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
