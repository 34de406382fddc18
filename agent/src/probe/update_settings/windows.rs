//! Automatic updates of Windows: the service, group policy, device management and the user's own settings;
//! those of Office, Chrome, Edge and Firefox beside it.
//!
//! `automatic` is the state of Windows Update itself. A deferral is the longest of those set; a pause the
//! latest. Source: the registry, live or from hives. Privilege: none.

use jiff::Timestamp;
use tenken_shared::collected::SourceState;
use tenken_shared::fact::updates::{UpdateMechanism, UpdateSettings};

use super::parse_windows::{Values, address, automatic, moment, pause_end};
use crate::probe::Collection;
use crate::probe::package::settle;
use crate::probe::servicing::key_state;
use crate::sys::{RegistryKey, RegistryValue, Sys, SysError};

const SERVICE: &str = "HKLM\\SYSTEM\\CurrentControlSet\\Services\\wuauserv";
const POLICY: &str = "HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows\\WindowsUpdate";
const MANAGED: &str = "HKLM\\SOFTWARE\\Microsoft\\PolicyManager\\current\\device\\Update";
const USER: &str = "HKLM\\SOFTWARE\\Microsoft\\WindowsUpdate\\UX\\Settings";
const OWN: &str = "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\WindowsUpdate\\Auto Update";
const VERSION: &str = "HKLM\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion";
const OFFICE: &str = "HKLM\\SOFTWARE\\Microsoft\\Office\\ClickToRun\\Configuration";
const OFFICE_POLICY: &str = "HKLM\\SOFTWARE\\Policies\\Microsoft\\office\\16.0\\common\\officeupdate";

/// What is watched.
pub(super) const WATCH: &[&str] = &[
    r"HKLM\SOFTWARE\Policies\Microsoft\Windows\WindowsUpdate",
    r"HKLM\SOFTWARE\Microsoft\PolicyManager\current\device\Update",
    r"HKLM\SOFTWARE\Microsoft\WindowsUpdate\UX\Settings",
];

/// A browser whose updater takes a policy: its own switch, else the one for all products.
struct Updater {
    name: &'static str,
    installed: [&'static str; 2],
    policy: &'static str,
    own: &'static str,
    all: &'static str,
}

const UPDATERS: [Updater; 2] = [
    Updater {
        name: "chrome",
        installed: [
            "HKLM\\SOFTWARE\\WOW6432Node\\Google\\Update\\Clients\\{8A69D345-D564-463C-AFF1-A69D9E530F96}",
            "HKLM\\SOFTWARE\\Google\\Update\\Clients\\{8A69D345-D564-463C-AFF1-A69D9E530F96}",
        ],
        policy: "HKLM\\SOFTWARE\\Policies\\Google\\Update",
        own: "Update{8A69D345-D564-463C-AFF1-A69D9E530F96}",
        all: "UpdateDefault",
    },
    Updater {
        name: "edge",
        installed: [
            "HKLM\\SOFTWARE\\WOW6432Node\\Microsoft\\EdgeUpdate\\Clients\\{56EB18F8-B008-4CBD-B6D2-8C97FE7E9062}",
            "HKLM\\SOFTWARE\\Microsoft\\EdgeUpdate\\Clients\\{56EB18F8-B008-4CBD-B6D2-8C97FE7E9062}",
        ],
        policy: "HKLM\\SOFTWARE\\Policies\\Microsoft\\EdgeUpdate",
        own: "Update{56EB18F8-B008-4CBD-B6D2-8C97FE7E9062}",
        all: "UpdateDefault",
    },
];
const FIREFOX: [&str; 2] =
    ["HKLM\\SOFTWARE\\Mozilla\\Mozilla Firefox", "HKLM\\SOFTWARE\\WOW6432Node\\Mozilla\\Mozilla Firefox"];
const FIREFOX_POLICY: &str = "HKLM\\SOFTWARE\\Policies\\Mozilla\\Firefox";

pub fn collect(sys: &Sys) -> Vec<Collection> {
    let mut reader = Reader { sys, body: UpdateSettings::default() };
    reader.windows_update();
    reader.office();
    reader.browsers();
    let body = reader.body;
    let sources = body.sources.clone();
    let line = settle::source_line(&sources);
    vec![Collection::of(settle::by_sources(body, &sources, "no_windows_update"), line, sys.now())]
}

struct Reader<'a> {
    sys: &'a Sys,
    body: UpdateSettings,
}

impl Reader<'_> {
    /// A key that is often not there; anything that goes wrong is a gap.
    fn key(&mut self, path: &str) -> Option<RegistryKey> {
        match self.sys.registry(path) {
            Ok(Some(key)) => {
                self.body.sources.push(key_state(&key, path, 1));
                Some(key)
            }
            Ok(None) => {
                self.body.sources.push(settle::gap(path, &SysError::Absent { what: path.into() }));
                None
            }
            Err(error) => {
                self.body.sources.push(settle::gap(path, &error));
                None
            }
        }
    }

    /// A value that is read by `take`; what cannot be read, and what `take` does not understand, is a gap: it may
    /// be the value that decides.
    fn value<T>(
        &mut self,
        key: Option<&RegistryKey>,
        name: &str,
        take: fn(RegistryValue) -> Option<T>,
    ) -> Option<T> {
        let key = key?;
        let place = || format!("{}\\{name}", key.path());
        let error = match key.value(name) {
            Ok(None) => return None,
            Ok(Some(value)) => match take(value) {
                Some(taken) => return Some(taken),
                None => SysError::malformed(&place(), "unexpected type"),
            },
            Err(error) => error,
        };
        self.body.sources.push(settle::gap(place(), &error));
        None
    }

    /// A value that holds a number, as such or as text.
    fn number(&mut self, key: Option<&RegistryKey>, name: &str) -> Option<u64> {
        self.value(key, name, |value| match value {
            RegistryValue::Number(number) => Some(number),
            RegistryValue::String(text) => text.trim().parse().ok(),
            _ => None,
        })
    }

    fn text(&mut self, key: Option<&RegistryKey>, name: &str) -> Option<String> {
        let text = self.value(key, name, |value| match value {
            RegistryValue::String(text) => Some(text),
            _ => None,
        });
        text.filter(|t| !t.trim().is_empty())
    }

    fn mechanism(&mut self, name: &str, state: &str, setting: String) {
        let (name, state) = (name.to_owned(), state.to_owned());
        self.body.mechanisms.push(UpdateMechanism { name, state, setting: Some(setting) });
    }

    fn windows_update(&mut self) {
        let service = self.key(SERVICE);
        let policy = self.key(POLICY);
        let au = self.key(&format!("{POLICY}\\AU"));
        let managed = self.key(MANAGED);
        let own = self.key(OWN);
        let user = self.key(USER);
        let version = self.key(VERSION);
        let installation = self.text(version.as_ref(), "InstallationType");
        let values = Values {
            service_start: self.number(service.as_ref(), "Start"),
            access_disabled: self.number(policy.as_ref(), "DisableWindowsUpdateAccess"),
            no_auto_update: self.number(au.as_ref(), "NoAutoUpdate"),
            policy_options: self.number(au.as_ref(), "AUOptions"),
            managed: self.number(managed.as_ref(), "AllowAutoUpdate"),
            own_options: self.number(own.as_ref(), "AUOptions"),
            server: installation.map(|t| t.to_ascii_lowercase().contains("server")),
        };
        // A place that could not be read may hold what decides otherwise.
        let whole = !self.body.sources.iter().any(SourceState::is_gap);
        if let Some((state, setting)) = automatic(&values).filter(|(state, _)| whole || *state != "on") {
            self.body.automatic = Some(state.to_owned());
            self.mechanism("windows_update", state, setting);
        }
        self.deferral(&[policy.as_ref(), managed.as_ref(), user.as_ref()]);
        self.pause(policy.as_ref(), managed.as_ref(), user.as_ref());
        if self.number(au.as_ref(), "UseWUServer") == Some(1) {
            self.body.server = self.text(policy.as_ref(), "WUServer").map(|url| address(&url));
        } else {
            self.body.server = self.text(managed.as_ref(), "UpdateServiceUrl").map(|url| address(&url));
        }
    }

    fn deferral(&mut self, keys: &[Option<&RegistryKey>]) {
        for key in keys {
            let days = self.number(*key, "DeferQualityUpdatesPeriodInDays");
            // The policy counts only where its switch is not off.
            let on = self.number(*key, "DeferQualityUpdates") != Some(0);
            let days = days.filter(|_| on).and_then(|d| u32::try_from(d).ok());
            self.body.deferral_days = self.body.deferral_days.max(days);
        }
    }

    fn pause(
        &mut self,
        policy: Option<&RegistryKey>,
        managed: Option<&RegistryKey>,
        user: Option<&RegistryKey>,
    ) {
        let mut until: Option<Timestamp> = None;
        for name in ["PauseUpdatesExpiryTime", "PauseQualityUpdatesEndTime"] {
            until = until.max(self.text(user, name).and_then(|t| moment(&t)));
        }
        for key in [policy, managed] {
            until = until.max(self.text(key, "PauseQualityUpdatesStartTime").and_then(|t| pause_end(&t)));
        }
        self.body.paused_until = until;
    }

    fn office(&mut self) {
        let Some(office) = self.key(OFFICE) else { return };
        let policy = self.key(OFFICE_POLICY);
        if self.number(policy.as_ref(), "enableautomaticupdates") == Some(0) {
            return self.mechanism("office", "off", "policy enableautomaticupdates=0".into());
        }
        match self.text(Some(&office), "UpdatesEnabled") {
            Some(value) if value.eq_ignore_ascii_case("false") => {
                self.mechanism("office", "off", format!("UpdatesEnabled={value}"));
            }
            Some(value) => self.mechanism("office", "on", format!("UpdatesEnabled={value}")),
            None => self.mechanism("office", "on", "default".into()),
        }
    }

    fn browsers(&mut self) {
        for updater in &UPDATERS {
            if !self.any(&updater.installed) {
                continue;
            }
            let policy = self.key(updater.policy);
            let own = self.number(policy.as_ref(), updater.own);
            let (name, value) = match own {
                Some(value) => (updater.own, Some(value)),
                None => (updater.all, self.number(policy.as_ref(), updater.all)),
            };
            let state = match value {
                Some(0) => "off",
                Some(2) => "notify_only",
                _ => "on",
            };
            let setting = value.map_or_else(|| "default".into(), |v| format!("policy {name}={v}"));
            self.mechanism(updater.name, state, setting);
        }
        if self.any(&FIREFOX) {
            let policy = self.key(FIREFOX_POLICY);
            match self.number(policy.as_ref(), "DisableAppUpdate") {
                Some(1) => self.mechanism("firefox", "off", "policy DisableAppUpdate=1".into()),
                _ => self.mechanism("firefox", "on", "default".into()),
            }
        }
    }

    fn any(&mut self, paths: &[&str]) -> bool {
        paths.iter().any(|path| match self.sys.registry(path) {
            Ok(found) => found.is_some(),
            Err(error) => {
                self.body.sources.push(settle::gap(*path, &error));
                false
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use tenken_shared::collected::{Collected, Status};
    use tenken_shared::fact::updates::UpdateSettings;

    use crate::probe::ProbeConfig;
    use crate::probe::fixture::Fixture;
    use crate::probe::update_settings::PROBE;
    use crate::probe::winhive::{Machine, Put};

    #[test]
    fn policy_deferral_pause_and_server_are_read() {
        let found: Collected<UpdateSettings> =
            Fixture::of("update_settings/windows-11-ja").collect(&PROBE, &ProbeConfig::default());
        assert_eq!(found.status(), Status::Known, "{:?}", found.reason());
        let body = found.value().unwrap();
        assert_eq!(body.automatic.as_deref(), Some("on"));
        assert_eq!(body.deferral_days, Some(21));
        assert_eq!(body.paused_until.map(|t| t.to_string()).as_deref(), Some("2026-12-01T00:00:00Z"));
        assert_eq!(body.server.as_deref(), Some("http://wsus.example.co.jp:8530"));
        let states: Vec<_> = body.mechanisms.iter().map(|m| (m.name.as_str(), m.state.as_str())).collect();
        assert_eq!(states, [("windows_update", "on"), ("office", "on"), ("chrome", "off")]);
    }

    /// A client without any policy, with one value of group policy.
    fn with(name: &str, value: impl Into<Put>) -> Collected<UpdateSettings> {
        let mut machine = Machine::new();
        machine
            .system("Select", "Current", 1u32)
            .system(r"ControlSet001\Services\wuauserv", "Start", 3u32)
            .software(r"Microsoft\Windows NT\CurrentVersion", "InstallationType", "Client")
            .software(r"Policies\Microsoft\Windows\WindowsUpdate\AU", name, value);
        machine.collect(&PROBE, &ProbeConfig::default())
    }

    #[test]
    fn value_of_unexpected_type_is_a_gap_and_never_on() {
        let automatic = |found: &Collected<UpdateSettings>| found.value().and_then(|b| b.automatic.clone());
        let found = with("NoAutoUpdate", 0u32);
        assert_eq!((found.status(), automatic(&found).as_deref()), (Status::Known, Some("on")));
        for name in ["NoAutoUpdate", "AUOptions"] {
            for value in [Put::Bytes(vec![1, 0, 0, 0]), Put::Text("yes".into()), Put::Texts(vec!["1".into()])]
            {
                let found = with(name, value);
                assert_eq!((found.status(), automatic(&found)), (Status::Partial, None), "{name}");
                let gap = found.value().unwrap().sources.iter().find(|s| s.is_gap()).unwrap();
                assert!(gap.source.ends_with(name), "{}", gap.source);
                assert_eq!(gap.reason.as_ref().unwrap().code, "malformed");
            }
        }
    }

    #[test]
    fn unreadable_hive_is_never_on() {
        let fixture = Fixture::of("update_settings/windows-11-ja");
        fixture.write("/Windows/System32/config/SOFTWARE", b"regf");
        let found: Collected<UpdateSettings> = fixture.collect(&PROBE, &ProbeConfig::default());
        assert_ne!(found.status(), Status::Known);
        assert_ne!(found.value().and_then(|b| b.automatic.as_deref()), Some("on"));
    }
}
