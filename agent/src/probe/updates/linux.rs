//! Pending updates of Linux: every package manager that has packages here.

use crate::probe::Collection;
use crate::sys::Sys;

use super::{apk, apt, assemble, pacman, rpm};

/// Places whose change may bring or end pending updates.
pub const WATCH: &[&str] = &[
    "/var/lib/dpkg/status",
    "/var/lib/apt/lists",
    "/etc/apt",
    "/var/lib/rpm",
    "/usr/lib/sysimage/rpm",
    "/var/cache/dnf",
    "/etc/yum.repos.d",
    "/etc/dnf",
    "/var/cache/zypp/raw",
    "/lib/apk/db/installed",
    "/var/lib/pacman/local",
    "/var/lib/pacman/sync",
];

pub fn collect(sys: &Sys) -> Vec<Collection> {
    let parts = [apt::collect(sys), rpm::collect(sys), apk::collect(sys), pacman::collect(sys)];
    assemble(sys, parts.into_iter().flatten().collect())
}
