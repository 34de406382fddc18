//! The collector as a service of this machine: what it is called and whom it runs as. The service managers
//! themselves are spoken to by `tenken-service`.
//!
//! It needs nothing but its own data folder and a port, so on Windows it runs as the virtual account
//! `NT SERVICE\tenken-collector`, which is in no group and which the data folder's access list names.

use tenken_service::{Account, Service};

/// Name of the service.
pub const NAME: &str = "tenken-collector";

/// The service.
pub const SERVICE: Service = Service {
    name: NAME,
    title: "Tenken Collector (点検コレクター)",
    about: "点検エージェントの報告を受け取り、評価基準に照らして判定します。 / Receives the reports of Tenken agents and judges them.",
    unit: include_str!("tenken-collector.service"),
    account: Account::Virtual,
    privileges: &["SeChangeNotifyPrivilege"],
    delayed: false,
};

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::path::Path;

    use super::*;

    #[expect(clippy::unwrap_used, reason = "a helper of tests, which the lint does not see as a test")]
    fn unit() -> String {
        let program = Path::new("/usr/local/bin/tenken-collector");
        let data = Path::new("/var/lib/tenken-collector");
        tenken_service::unit(&SERVICE, tenken_service::Place { program, data, config: None }).unwrap()
    }

    #[test]
    fn unit_names_program_and_data() {
        let text = unit();
        let line = "ExecStart=/usr/local/bin/tenken-collector serve --data /var/lib/tenken-collector\n";
        assert!(text.contains(line), "{text}");
        assert!(["@PROGRAM@", "@DATA@", "@CONFIG@"].iter().all(|mark| !text.contains(mark)));
    }

    /// `systemd-analyze security --offline` gives 2.0 or better.
    #[test]
    fn unit_is_hardened() {
        let analyze = "/usr/bin/systemd-analyze";
        if !Path::new(analyze).exists() {
            skip::skip("systemd-analyze is not installed");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tenken-collector.service");
        std::fs::write(&path, unit()).unwrap();
        let mut command = std::process::Command::new(analyze);
        command.args(["security", "--offline=true", "--no-pager", "--threshold=20"]).arg(&path);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("Overall exposure level"), "{said}");
        assert!(output.status.success(), "{said}");
    }
}
