//! Automatic updates of Linux: unattended-upgrades, dnf-automatic, yum-cron, SUSE's online update, snapd.
//!
//! A mechanism is `on` only where everything it takes is there: the program, its settings and the timer
//! that starts it. `automatic` is the strongest state of the mechanisms that update the system's own
//! packages; snapd updates only snaps and does not count.
//! Source: the files named below and systemd's unit folders; runs no command. Privilege: none.

use tenken_shared::collected::{Reason, SourceState, Status};
use tenken_shared::fact::updates::{UpdateMechanism, UpdateSettings};

use super::parse;
use crate::probe::Collection;
use crate::probe::package::{dpkg, settle};
use crate::probe::systemd::Units;
use crate::probe::updates::apt_configuration;
use crate::sys::{Sys, SysError};

/// Places that hold these settings.
pub const WATCH: &[&str] = &[
    "/etc/apt/apt.conf.d",
    "/etc/dnf",
    "/etc/yum",
    "/etc/zypp",
    "/etc/systemd/system/timers.target.wants",
    "/var/lib/dpkg/status",
];

const DPKG: &str = "/var/lib/dpkg/status";
const APT_CRON: &str = "/etc/cron.daily/apt-compat";
const DNF_AUTOMATIC: [&str; 2] = ["/etc/dnf/automatic.conf", "/etc/dnf/dnf5-plugins/automatic.conf"];
const YUM_CRON: &str = "/etc/yum/yum-cron.conf";
const SUSE_UPDATE: &str = "/etc/sysconfig/automatic_online_update";
const SNAPD: &str = "/var/lib/snapd/state.json";
const VERSION_LOCKS: [&str; 2] =
    ["/etc/dnf/plugins/versionlock.list", "/etc/yum/pluginconf.d/versionlock.list"];
const ZYPPER_LOCKS: &str = "/etc/zypp/locks";
const YUM_CRON_UNIT: &str = "yum-cron.service";
const PACMAN: &str = "/etc/pacman.conf";

pub fn collect(sys: &Sys) -> Vec<Collection> {
    let mut body = UpdateSettings::default();
    let units = match Units::load(sys, |name| name.ends_with(".timer") || name == YUM_CRON_UNIT) {
        Ok(units) => Some(units),
        Err(SysError::Absent { .. }) => None,
        Err(error) => {
            body.sources.push(settle::gap("systemd units", &error));
            None
        }
    };
    apt(sys, units.as_ref(), &mut body);
    dnf(sys, units.as_ref(), &mut body);
    yum_cron(sys, units.as_ref(), &mut body);
    suse(sys, units.as_ref(), &mut body);
    snapd(sys, &mut body);
    locks(sys, &mut body);
    body.held_packages.sort();
    body.held_packages.dedup();
    let has_gap = body.sources.iter().any(SourceState::is_gap);
    let known = body.sources.iter().any(|s| s.status == Status::Known);
    let strongest = ["on", "download_only", "notify_only"]
        .into_iter()
        .find(|state| body.mechanisms.iter().any(|m| m.name != "snapd" && m.state == *state));
    // "off" only where every place was looked at.
    body.automatic = strongest.or((known && !has_gap).then_some("off")).map(str::to_owned);
    let sources = body.sources.clone();
    let line = settle::source_line(&sources);
    vec![Collection::of(settle::by_sources(body, &sources, "no_package_manager"), line, sys.now())]
}

fn mechanism(name: &str, state: &str, setting: String) -> UpdateMechanism {
    UpdateMechanism { name: name.to_owned(), state: state.to_owned(), setting: Some(setting) }
}

/// A text that may be missing; anything else that goes wrong is a gap.
fn optional(sys: &Sys, path: &str, body: &mut UpdateSettings) -> Option<String> {
    match sys.read_text(path) {
        Ok(text) => {
            body.sources.push(SourceState::known(path, 1));
            Some(text)
        }
        Err(SysError::Absent { .. }) => None,
        Err(error) => {
            body.sources.push(settle::gap(path, &error));
            None
        }
    }
}

fn is_enabled(units: Option<&Units>, name: &str) -> bool {
    units.and_then(|u| u.is_enabled(name)) == Some(true)
}

fn apt(sys: &Sys, units: Option<&Units>, body: &mut UpdateSettings) {
    let bytes = match sys.read(DPKG) {
        Ok(bytes) => bytes,
        Err(error) => return body.sources.push(settle::gap(DPKG, &error)),
    };
    let status = dpkg::parse_status(&bytes, false);
    let held = status.packages.iter().filter(|p| p.held).map(|p| p.name.to_string());
    body.held_packages.extend(held);
    body.sources.push(SourceState::known(DPKG, status.packages.len()));
    let conf = match apt_configuration(sys) {
        Ok(conf) => conf,
        Err(error) => return body.sources.push(settle::gap("/etc/apt/apt.conf.d", &error)),
    };
    body.sources.push(SourceState::known("/etc/apt/apt.conf.d", 1));
    let on = |key: &str| parse::is_periodic_on(conf.get(&format!("APT::Periodic::{key}")));
    let enabled = conf.get("APT::Periodic::Enable").is_none_or(|v| v != "0");
    let started = match units {
        Some(_) => is_enabled(units, "apt-daily-upgrade.timer") && is_enabled(units, "apt-daily.timer"),
        None => sys.exists(APT_CRON).unwrap_or(false),
    };
    let installed = status.packages.iter().any(|p| p.name == "unattended-upgrades");
    let origins = conf.list("Unattended-Upgrade::Origins-Pattern").len()
        + conf.list("Unattended-Upgrade::Allowed-Origins").len();
    let state = if !enabled || !started {
        "off"
    } else if installed && on("Unattended-Upgrade") && on("Update-Package-Lists") && origins > 0 {
        "on"
    } else if on("Download-Upgradeable-Packages") {
        "download_only"
    } else if on("Update-Package-Lists") {
        "notify_only"
    } else {
        "off"
    };
    let value = |key: &str| conf.get(key).unwrap_or("unset").to_owned();
    let setting = format!(
        "APT::Periodic::Update-Package-Lists={}; APT::Periodic::Unattended-Upgrade={}; unattended-upgrades {}; timers {}",
        value("APT::Periodic::Update-Package-Lists"),
        value("APT::Periodic::Unattended-Upgrade"),
        if installed { "installed" } else { "not installed" },
        if started { "enabled" } else { "not enabled" },
    );
    let name = if installed { "unattended-upgrades" } else { "apt-daily" };
    body.mechanisms.push(mechanism(name, state, setting));
}

/// The timers other than the plain one override what the settings file says.
fn dnf(sys: &Sys, units: Option<&Units>, body: &mut UpdateSettings) {
    let conf = DNF_AUTOMATIC.iter().find_map(|path| optional(sys, path, body));
    let timers =
        ["dnf-automatic-install.timer", "dnf-automatic-download.timer", "dnf-automatic-notifyonly.timer"];
    let forced =
        timers.iter().zip(["on", "download_only", "notify_only"]).find(|(t, _)| is_enabled(units, t));
    let plain = ["dnf-automatic.timer", "dnf5-automatic.timer"].into_iter().find(|t| is_enabled(units, t));
    let Some(text) = conf else { return };
    let yes = |key: &str| parse::ini(&text, "commands", key).is_some_and(parse::is_yes);
    let (state, timer) = match (forced, plain) {
        (Some((timer, state)), _) => (state, *timer),
        (None, Some(timer)) if yes("apply_updates") => ("on", timer),
        (None, Some(timer)) if yes("download_updates") => ("download_only", timer),
        (None, Some(timer)) => ("notify_only", timer),
        (None, None) => ("off", "no timer"),
    };
    let value = parse::ini(&text, "commands", "apply_updates").unwrap_or("unset");
    let kind = parse::ini(&text, "commands", "upgrade_type").unwrap_or("default");
    body.mechanisms.push(mechanism(
        "dnf-automatic",
        state,
        format!("apply_updates={value}; upgrade_type={kind}; {timer}"),
    ));
}

fn yum_cron(sys: &Sys, units: Option<&Units>, body: &mut UpdateSettings) {
    let Some(text) = optional(sys, YUM_CRON, body) else { return };
    let yes = |key: &str| parse::ini(&text, "commands", key).is_some_and(parse::is_yes);
    let state = match () {
        () if !is_enabled(units, YUM_CRON_UNIT) => "off",
        () if yes("apply_updates") => "on",
        () if yes("download_updates") => "download_only",
        () => "notify_only",
    };
    let value = parse::ini(&text, "commands", "apply_updates").unwrap_or("unset");
    body.mechanisms.push(mechanism("yum-cron", state, format!("apply_updates={value}")));
}

fn suse(sys: &Sys, units: Option<&Units>, body: &mut UpdateSettings) {
    if let Some(text) = optional(sys, SUSE_UPDATE, body) {
        let value = parse::assignment(&text, "AOU_ENABLE_CRONJOB").unwrap_or("unset");
        let state = if parse::is_yes(value) { "on" } else { "off" };
        body.mechanisms.push(mechanism("online-update", state, format!("AOU_ENABLE_CRONJOB={value}")));
    }
    if let Some(enabled) = units.and_then(|u| u.is_enabled("transactional-update.timer")) {
        let state = if enabled { "on" } else { "off" };
        body.mechanisms.push(mechanism(
            "transactional-update",
            state,
            "transactional-update.timer".to_owned(),
        ));
    }
}

/// snapd refreshes by itself unless held.
fn snapd(sys: &Sys, body: &mut UpdateSettings) {
    let Some(text) = optional(sys, SNAPD, body) else { return };
    let Ok(state) = serde_json::from_str::<serde_json::Value>(&text) else {
        body.sources.push(SourceState::gap(SNAPD, Status::Failed, Reason::new("malformed")));
        return;
    };
    let hold = state.pointer("/data/config/core/refresh/hold").and_then(|v| v.as_str());
    let state = if hold == Some("forever") { "off" } else { "on" };
    body.mechanisms.push(mechanism("snapd", state, format!("refresh.hold={}", hold.unwrap_or("unset"))));
}

fn locks(sys: &Sys, body: &mut UpdateSettings) {
    for path in VERSION_LOCKS {
        if let Some(text) = optional(sys, path, body) {
            body.held_packages.extend(parse::entries(&text));
        }
    }
    if let Some(text) = optional(sys, ZYPPER_LOCKS, body) {
        body.held_packages.extend(parse::zypper_locks(&text));
    }
    if let Some(text) = optional(sys, PACMAN, body) {
        let ignored = parse::ini(&text, "options", "IgnorePkg").unwrap_or_default();
        body.held_packages.extend(ignored.split_whitespace().map(str::to_owned));
    }
}

#[cfg(test)]
mod tests {
    use tenken_shared::collected::Collected;

    use super::super::{PROBE, ProbeConfig};
    use super::*;
    use crate::probe::fixture::Fixture;

    fn settings(fixture: &Fixture) -> Collected<UpdateSettings> {
        fixture.collect(&PROBE, &ProbeConfig::default())
    }

    /// Timers are switched on by symbolic links.
    #[cfg(unix)]
    mod debian {
        use super::*;

        const STATUS: &str = "Package: unattended-upgrades\nStatus: install ok installed\nVersion: 2.9\n\n\
            Package: tzdata\nStatus: hold ok installed\nVersion: 1\n\n";
        const AUTO: &str =
            "APT::Periodic::Update-Package-Lists \"1\";\nAPT::Periodic::Unattended-Upgrade \"1\";\n";
        const ORIGINS: &str = "Unattended-Upgrade::Origins-Pattern { \"origin=Debian,codename=bookworm,label=Debian-Security\"; };\n";
        const TIMER: &str = "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n";

        fn debian() -> Fixture {
            let fixture = Fixture::empty();
            fixture
                .write("/var/lib/dpkg/status", STATUS)
                .write("/etc/apt/apt.conf.d/20auto-upgrades", AUTO)
                .write("/etc/apt/apt.conf.d/50unattended-upgrades", ORIGINS)
                .write("/usr/lib/systemd/system/apt-daily.timer", TIMER)
                .write("/usr/lib/systemd/system/apt-daily-upgrade.timer", TIMER);
            fixture
        }

        fn enable(fixture: &Fixture) {
            for timer in ["apt-daily.timer", "apt-daily-upgrade.timer"] {
                let link = format!("/etc/systemd/system/timers.target.wants/{timer}");
                fixture.link(&link, &format!("/usr/lib/systemd/system/{timer}"));
            }
        }

        #[test]
        fn debian_is_on_only_with_program_settings_and_timers() {
            let fixture = debian();
            let off = settings(&fixture);
            assert_eq!(off.value().unwrap().automatic.as_deref(), Some("off"));
            enable(&fixture);
            let on = settings(&fixture);
            assert_eq!(on.value().unwrap().automatic.as_deref(), Some("on"));
            assert_eq!(on.value().unwrap().held_packages, ["tzdata"]);
            fixture.write("/etc/apt/apt.conf.d/99off", "APT::Periodic::Unattended-Upgrade \"0\";");
            assert_eq!(settings(&fixture).value().unwrap().automatic.as_deref(), Some("notify_only"));
            fixture.write("/etc/apt/apt.conf.d/99off", "APT::Periodic::Enable \"0\";");
            assert_eq!(settings(&fixture).value().unwrap().automatic.as_deref(), Some("off"));
        }
    }

    #[test]
    fn dnf_needs_a_timer() {
        let fixture = Fixture::empty();
        fixture
            .write("/etc/dnf/automatic.conf", "[commands]\nupgrade_type = security\napply_updates = yes\n");
        let found = settings(&fixture);
        assert_eq!(found.value().unwrap().mechanisms[0].state, "off");
    }

    #[test]
    fn machine_without_any_mechanism_is_absent_not_off() {
        assert_eq!(settings(&Fixture::empty()).status(), Status::Absent);
    }
}
