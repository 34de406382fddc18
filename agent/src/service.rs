//! The agent as a service of this machine: what it is called and whom it runs as. The service managers
//! themselves are spoken to by `tenken-service`.
//!
//! What the systemd unit leaves open, and why (each costs exposure in `systemd-analyze security`):
//! - User root with `CAP_DAC_READ_SEARCH`, `CAP_SYS_PTRACE`, `CAP_NET_ADMIN`, `CAP_SYSLOG`: shadow and sudoers,
//!   repositories of other users' backups, which process listens, firewall rules, the kernel's log.
//! - The host's network and all address families it needs: the collector, netlink, local sockets of the
//!   journal and of system services.
//! - Devices may be listed (`PrivateDevices=no`): disks and removable media are what is inspected; none
//!   may be opened for writing.
//! - `/home` stays visible, read-only, and `/proc` whole: mounts, processes and users' settings are inspected.
//! - `/dev/kmsg` may be read: arrivals of removable media stand in the kernel's log.
//!
//! On Windows it runs as LocalSystem, which alone reads the hives of users who are logged off, the Security
//! event log and BitLocker's state, but keeps only the privileges these need.

use tenken_service::{Account, Service};

/// Name of the service.
pub const NAME: &str = "tenken-agent";

/// The service.
pub const SERVICE: Service = Service {
    name: NAME,
    title: "Tenken Agent (点検エージェント)",
    about: "このコンピューターの構成・更新・バックアップ・リムーバブルメディアの状態を点検して報告します。 / Inspects this computer and reports its configuration, updates, backups and removable media.",
    unit: include_str!("tenken-agent.service"),
    account: Account::System,
    // Hives and files of others; the Security log; walking through folders; COM and WMI; Secure Boot.
    privileges: &[
        "SeBackupPrivilege",
        "SeSecurityPrivilege",
        "SeChangeNotifyPrivilege",
        "SeImpersonatePrivilege",
        "SeSystemEnvironmentPrivilege",
    ],
    delayed: true,
};

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sys::{Command, Sys};

    #[expect(clippy::unwrap_used, reason = "a helper of tests, which the lint does not see as a test")]
    fn unit() -> String {
        let program = Path::new("/usr/local/bin/tenken-agent");
        let data = Path::new("/var/lib/tenken-agent");
        tenken_service::unit(&SERVICE, tenken_service::Place { program, data, config: None }).unwrap()
    }

    #[test]
    fn unit_names_program_and_data() {
        let text = unit();
        assert!(text.contains("ExecStart=/usr/local/bin/tenken-agent --data /var/lib/tenken-agent run\n"));
        assert!(["@PROGRAM@", "@DATA@", "@CONFIG@"].iter().all(|mark| !text.contains(mark)));
    }

    /// `systemd-analyze security --offline` gives 3.0 or better.
    #[test]
    fn unit_is_hardened() {
        if !Path::new("/usr/bin/systemd-analyze").exists() {
            skip::skip("systemd-analyze is not installed");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tenken-agent.service");
        std::fs::write(&path, unit()).unwrap();
        let unit = path.to_string_lossy().into_owned();
        let args = ["security", "--offline=true", "--no-pager", "--threshold=30", unit.as_str()];
        let output = Sys::live().command(&Command::new("/usr/bin/systemd-analyze").args(args)).unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("Overall exposure level"), "{said} {error}");
        assert_eq!(output.code, Some(0), "{said}");
    }
}
