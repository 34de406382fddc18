//! Synology Active Backup for Business on Windows: where its log lies. How it reads is the same everywhere.

use super::super::synology;
use super::{Machine, product};

const FOLDER: &str = r"%ProgramData%\ActiveBackupForBusinessAgent\log";

/// Reads the log of an installed agent, or of one that was.
pub(super) fn read(machine: &mut Machine<'_>) {
    let Ok(folder) = machine.sys.windows_path(FOLDER) else { return };
    let there = matches!(machine.sys.exists(&folder), Ok(true));
    if there || product::is_installed(machine, &product::SYNOLOGY) {
        let found = synology::read(machine.sys, &folder, &mut machine.sources);
        machine.found.push(found);
    }
}
