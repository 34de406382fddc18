//! systemd: a unit file, written whole, and `systemctl`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::{NotTaken, Place, Service, ServiceError, ServiceState};

const UNITS: &str = "/etc/systemd/system";
const SYSTEMCTL: [&str; 2] = ["/usr/bin/systemctl", "/bin/systemctl"];

/// Writes the unit, enables and starts the service.
pub fn install(service: &Service, place: Place<'_>) -> Result<NotTaken, ServiceError> {
    require_root()?;
    let text = unit(service, place)?;
    crate::folder::private(place.data, None).map_err(ServiceError::on(place.data))?;
    let path = unit_path(service);
    write(&path, &text).map_err(ServiceError::on(&path))?;
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", "--now", service.name])?;
    // An older version may be running: the new program takes over.
    systemctl(&["restart", service.name])?;
    Ok(vec![])
}

/// Stops the service and removes its unit.
pub fn uninstall(service: &Service) -> Result<(), ServiceError> {
    require_root()?;
    let stopped = systemctl(&["disable", "--now", service.name]);
    let path = unit_path(service);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(ServiceError::on(&path)(e)),
        _ => {}
    }
    match stopped {
        Ok(()) => systemctl(&["daemon-reload"]),
        // Without a running manager there is nothing to stop.
        Err(ServiceError::NoManager(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

pub fn start(service: &Service) -> Result<(), ServiceError> {
    require_root()?;
    systemctl(&["start", service.name])
}

pub fn stop(service: &Service) -> Result<(), ServiceError> {
    require_root()?;
    systemctl(&["stop", service.name])
}

pub fn state(service: &Service) -> Result<ServiceState, ServiceError> {
    let ask = |verb: &str| {
        let output = call(&[verb, service.name]).ok()?;
        let word = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let plain = !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        plain.then_some(word)
    };
    Ok(ServiceState {
        installed: unit_path(service).exists(),
        active: ask("is-active"),
        enabled: ask("is-enabled"),
    })
}

fn unit_path(service: &Service) -> PathBuf {
    Path::new(UNITS).join(format!("{}.service", service.name))
}

/// The unit file of a service at its place.
pub fn unit(service: &Service, place: Place<'_>) -> Result<String, ServiceError> {
    let config = place.config.map(plain).transpose()?.map_or_else(String::new, |c| format!(" --config {c}"));
    Ok(service
        .unit
        .replace("@PROGRAM@", &plain(place.program)?)
        .replace("@DATA@", &plain(place.data)?)
        .replace("@CONFIG@", &config))
}

/// Unit files give `%`, quotes, `\` and `$` a meaning of their own: such paths are refused, not escaped.
fn plain(path: &Path) -> Result<String, ServiceError> {
    let text = path.to_string_lossy().into_owned();
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+' | '@' | ':' | ',');
    if path.is_absolute() && text.chars().all(fine) { Ok(text) } else { Err(ServiceError::Path(text)) }
}

/// Written beside and renamed, so that systemd never reads half of it.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let beside = path.with_extension("service.new");
    let mut file =
        std::fs::File::options().write(true).create(true).truncate(true).mode(0o644).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

fn require_root() -> Result<(), ServiceError> {
    if crate::rights::elevated() { Ok(()) } else { Err(ServiceError::NotElevated) }
}

fn systemctl(args: &[&str]) -> Result<(), ServiceError> {
    let output = call(args)?;
    if output.status.success() {
        return Ok(());
    }
    let message = tenken_shared::text::printable(String::from_utf8_lossy(&output.stderr).trim());
    if message.contains("not been booted with systemd") || message.contains("Failed to connect to bus") {
        return Err(ServiceError::NoManager(message));
    }
    Err(ServiceError::Failed { command: format!("systemctl {}", args.join(" ")), message })
}

/// systemctl ends by itself: its jobs have time limits of their own.
fn call(args: &[&str]) -> Result<Output, ServiceError> {
    let program = SYSTEMCTL
        .into_iter()
        .find(|path| Path::new(path).exists())
        .ok_or_else(|| ServiceError::NoManager("systemctl is not installed".into()))?;
    let mut command = Command::new(program);
    command.args(args).env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    command.output().map_err(|e| ServiceError::Failed {
        command: format!("systemctl {}", args.join(" ")),
        message: e.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Account;

    const SERVICE: Service = Service {
        name: "tenken-test",
        title: "t",
        about: "a",
        unit: "ExecStart=@PROGRAM@ --data @DATA@@CONFIG@ run\n",
        account: Account::System,
        privileges: &[],
        delayed: false,
    };

    #[test]
    fn unit_names_program_and_data_and_refuses_paths_with_a_meaning() {
        let at = |program| {
            unit(&SERVICE, Place { program: Path::new(program), data: Path::new("/d"), config: None })
        };
        assert_eq!(at("/usr/bin/x").unwrap(), "ExecStart=/usr/bin/x --data /d run\n");
        for bad in ["relative/agent", "/opt/a b", "/opt/%i", "/opt/$x", "/opt/a\nExecStart=/bin/sh"] {
            assert!(matches!(at(bad), Err(ServiceError::Path(_))), "{bad}");
        }
    }
}
