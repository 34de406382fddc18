//! systemd: a hardened unit, written whole, and `systemctl`.
//!
//! What the unit leaves open, and why (each costs exposure in `systemd-analyze security`):
//! - User root with `CAP_DAC_READ_SEARCH`, `CAP_SYS_PTRACE`, `CAP_NET_ADMIN`, `CAP_SYSLOG`: shadow and sudoers,
//!   repositories of other users' backups, which process listens, firewall rules, the kernel's log.
//! - The host's network and all address families it needs: the collector, netlink, local sockets of the
//!   journal and of system services.
//! - Devices may be listed (`PrivateDevices=no`): disks and removable media are what is inspected; none
//!   may be opened for writing.
//! - `/home` stays visible, read-only, and `/proc` whole: mounts, processes and users' settings are inspected.
//! - `/dev/kmsg` may be read: arrivals of removable media stand in the kernel's log.

use std::path::Path;

use super::{NAME, ServiceError, ServiceState};
use crate::disk::{self, DiskError};
use crate::sys::{Command, Sys};

const UNIT_PATH: &str = "/etc/systemd/system/tenken-agent.service";
const SYSTEMCTL: [&str; 2] = ["/usr/bin/systemctl", "/bin/systemctl"];
const TEMPLATE: &str = include_str!("tenken-agent.service");

/// Writes the unit, enables and starts the service.
pub fn install(program: &Path, data: &Path, config: Option<&Path>) -> Result<(), ServiceError> {
    require_root()?;
    let text = unit(program, data, config)?;
    disk::private_folder(data)?;
    let path = Path::new(UNIT_PATH);
    disk::write_atomic(path, text.as_bytes())?;
    set_mode(path, 0o644)?;
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", "--now", NAME])?;
    // An older version may be running: the new program takes over.
    systemctl(&["restart", NAME])
}

/// Stops the service and removes its unit. Data and identity stay.
pub fn uninstall() -> Result<(), ServiceError> {
    require_root()?;
    let stopped = systemctl(&["disable", "--now", NAME]);
    disk::remove(Path::new(UNIT_PATH))?;
    match stopped {
        Ok(()) => systemctl(&["daemon-reload"]),
        // Without a running manager there is nothing to stop.
        Err(ServiceError::NoManager(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Starts the service.
pub fn start() -> Result<(), ServiceError> {
    require_root()?;
    systemctl(&["start", NAME])
}

/// Stops the service.
pub fn stop() -> Result<(), ServiceError> {
    require_root()?;
    systemctl(&["stop", NAME])
}

/// Asks the service manager.
pub fn state() -> Result<ServiceState, ServiceError> {
    let ask = |verb: &str| {
        let output = call(&[verb, NAME]).ok()?;
        let word = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let plain = !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        plain.then_some(word)
    };
    Ok(ServiceState {
        installed: Path::new(UNIT_PATH).exists(),
        active: ask("is-active"),
        enabled: ask("is-enabled"),
    })
}

/// The unit file for this program, data folder and settings file.
pub fn unit(program: &Path, data: &Path, config: Option<&Path>) -> Result<String, ServiceError> {
    let config = config.map(plain).transpose()?.map_or_else(String::new, |c| format!(" --config {c}"));
    Ok(TEMPLATE
        .replace("@PROGRAM@", &plain(program)?)
        .replace("@DATA@", &plain(data)?)
        .replace("@CONFIG@", &config))
}

/// Unit files give `%`, quotes, `\` and `$` a meaning of their own: such paths are refused, not escaped.
fn plain(path: &Path) -> Result<String, ServiceError> {
    let text = path.to_string_lossy().into_owned();
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+' | '@' | ':' | ',');
    if path.is_absolute() && text.chars().all(fine) { Ok(text) } else { Err(ServiceError::Path(text)) }
}

fn set_mode(path: &Path, mode: u32) -> Result<(), DiskError> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(DiskError::on("open up", path))
}

fn require_root() -> Result<(), ServiceError> {
    if crate::paths::elevated() { Ok(()) } else { Err(ServiceError::NotRoot) }
}

fn systemctl(args: &[&str]) -> Result<(), ServiceError> {
    let output = call(args)?;
    if output.code == Some(0) {
        return Ok(());
    }
    let message = tenken_shared::text::printable(String::from_utf8_lossy(&output.stderr).trim());
    if message.contains("not been booted with systemd") || message.contains("Failed to connect to bus") {
        return Err(ServiceError::NoManager(message));
    }
    Err(ServiceError::Failed { command: format!("systemctl {}", args.join(" ")), message })
}

fn call(args: &[&str]) -> Result<crate::sys::Output, ServiceError> {
    let program = SYSTEMCTL
        .into_iter()
        .find(|path| Path::new(path).exists())
        .ok_or_else(|| ServiceError::NoManager("systemctl is not installed".into()))?;
    let command = Command::new(program).args(args).timeout(std::time::Duration::from_secs(90));
    Sys::live().command(&command).map_err(|e| ServiceError::Failed {
        command: format!("systemctl {}", args.join(" ")),
        message: e.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_names_program_and_data_and_refuses_paths_with_a_meaning() {
        let text =
            unit(Path::new("/usr/local/bin/tenken-agent"), Path::new("/var/lib/tenken-agent"), None).unwrap();
        assert!(text.contains("ExecStart=/usr/local/bin/tenken-agent --data /var/lib/tenken-agent run\n"));
        assert!(["@PROGRAM@", "@DATA@", "@CONFIG@"].iter().all(|mark| !text.contains(mark)));
        for bad in ["relative/agent", "/opt/a b", "/opt/%i", "/opt/$x", "/opt/a\nExecStart=/bin/sh"] {
            let refused = unit(Path::new(bad), Path::new("/d"), None);
            assert!(matches!(refused, Err(ServiceError::Path(_))), "{bad}");
        }
    }

    /// `systemd-analyze security --offline` gives 3.0 or better.
    #[test]
    fn unit_is_hardened() {
        let analyze = Path::new("/usr/bin/systemd-analyze");
        if !analyze.exists() {
            println!("skipped: systemd-analyze is not installed");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tenken-agent.service");
        let text =
            unit(Path::new("/usr/local/bin/tenken-agent"), Path::new("/var/lib/tenken-agent"), None).unwrap();
        std::fs::write(&path, text).unwrap();
        let unit = path.to_string_lossy().into_owned();
        let args = ["security", "--offline=true", "--no-pager", "--threshold=30", unit.as_str()];
        let output = Sys::live().command(&Command::new("/usr/bin/systemd-analyze").args(args)).unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            said.contains("Overall exposure level"),
            "{said} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(output.code, Some(0), "{said}");
    }
}
