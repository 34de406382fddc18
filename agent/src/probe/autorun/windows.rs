//! Auto-run and auto-play on a Windows machine: policies of the machine and of every user, and what users
//! chose in the settings.
//!
//! Auto-play acts on volumes unless `NoDriveTypeAutoRun` excludes their type (a machine value goes before a
//! user's), and on phones and cameras unless `NoAutoplayfornonVolume` is set; `DisableAutoplay` is the user's own
//! switch for all of it. What is not set is Windows' default, and the default is on: `0x91` excludes network
//! and unknown drives only. `NoAutorun` stops `autorun.inf` commands but not auto-play.

use tenken_shared::fact::autorun::{Autorun, AutorunSetting};

use crate::probe::Collection;
use crate::probe::group_policy::Origins;
use crate::probe::sources::{Sources, collected};
use crate::sys::{RegistryKey, RegistryValue, Sys, SysError, UserHive};

const EXPLORER: &str = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\Explorer";
const POLICIES: &str = r"SOFTWARE\Policies\Microsoft\Windows\Explorer";
const HANDLERS: &str = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Explorer\AutoplayHandlers";
const VERSION: &str = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion";
const SUBJECT: &str = "explorer_policy";
/// Removable (sticks), fixed (outer disks) and CD drives: bit = 1 << drive type.
const MEDIA: u64 = 1 << 2 | 1 << 3 | 1 << 5;
/// Windows' own value where nothing is set.
const DEFAULT: u64 = 0x91;
/// Noted, but they decide nothing: the one stops commands of `autorun.inf` alone, the other has Windows obey
/// `NoDriveTypeAutoRun`, which every Windows since 7 does anyhow.
const NOTED: [&str; 2] = ["NoAutorun", "HonorAutorunSetting"];
const AREAS: [&str; 2] = ["Autoplay", "ADMX_AutoPlay"];

/// What is watched.
pub(super) const WATCH: &[&str] = &[
    r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\Explorer",
    r"HKLM\SOFTWARE\Policies\Microsoft\Windows\Explorer",
    r"HKU\*\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\Explorer",
    r"HKU\*\SOFTWARE\Policies\Microsoft\Windows\Explorer",
    r"HKU\*\SOFTWARE\Microsoft\Windows\CurrentVersion\Explorer\AutoplayHandlers",
];

/// Collects the fact.
pub(super) fn collect(sys: &Sys) -> Collection {
    let mut cx = Context { sys, sources: Sources::new(), settings: vec![] };
    cx.sources.require_whole_hives(sys);
    let machine = cx.machine();
    let desktop = cx.desktop();
    let users = cx.users(machine.as_ref());
    let active = match (&machine, users, desktop) {
        // Without the shell nothing handles media.
        (_, _, Some(false)) => Some(false),
        (_, Some(users), _) if users.contains(&Some(true)) => Some(true),
        (Some(machine), Some(users), _) if users.is_empty() => Some(machine.permits(&Scope::default())),
        (Some(_), Some(users), Some(true)) if !users.contains(&None) && !cx.sources.has_gap() => Some(false),
        _ => None,
    };
    cx.settings.sort_by(|a, b| (&a.scope, &a.subject, &a.key).cmp(&(&b.scope, &b.subject, &b.key)));
    let body = Autorun { active, desktop, settings: cx.settings, sources: cx.sources.into_vec() };
    let states = body.sources.clone();
    Collection::of(collected(body, &states), "registry policies of the machine and of each user", sys.now())
}

/// What one scope has set.
#[derive(Debug, Default)]
struct Scope {
    drive_types: Option<u64>,
    no_non_volume: Option<u64>,
    disabled: Option<u64>,
}

impl Scope {
    /// Whether media can open or start something for this user (`self` is the machine).
    fn permits(&self, user: &Self) -> bool {
        let types = self.drive_types.or(user.drive_types).unwrap_or(DEFAULT);
        let volumes = types & MEDIA != MEDIA;
        let others = self.no_non_volume.or(user.no_non_volume) != Some(1);
        user.disabled != Some(1) && (volumes || others)
    }
}

struct Context<'a> {
    sys: &'a Sys,
    sources: Sources,
    settings: Vec<AutorunSetting>,
}

impl Context<'_> {
    fn machine(&mut self) -> Option<Scope> {
        let origins = Origins::of_machine(self.sys, &mut self.sources);
        match self.machine_scope(&origins) {
            Ok(scope) => {
                self.sources.known(r"HKLM", self.settings.len());
                let missing = [
                    ("NoDriveTypeAutoRun", scope.drive_types.is_none()),
                    ("NoAutoplayfornonVolume", scope.no_non_volume.is_none()),
                ];
                for (key, _) in missing.into_iter().filter(|(_, missing)| *missing) {
                    // Users may have set it for themselves; who has not gets the default.
                    self.add("machine", key, "not set (Windows default: on)".into(), None, false);
                }
                Some(scope)
            }
            Err(error) => {
                self.sources.error("HKLM", &error);
                None
            }
        }
    }

    fn machine_scope(&mut self, origins: &Origins) -> Result<Scope, SysError> {
        let open = |key: &str| self.sys.registry(&format!("HKLM\\{key}"));
        let (explorer, policies) = (open(EXPLORER)?, open(POLICIES)?);
        for name in NOTED {
            self.number("machine", explorer.as_ref(), EXPLORER, name, Some(origins))?;
        }
        Ok(Scope {
            drive_types: self.number(
                "machine",
                explorer.as_ref(),
                EXPLORER,
                "NoDriveTypeAutoRun",
                Some(origins),
            )?,
            no_non_volume: self.number(
                "machine",
                policies.as_ref(),
                POLICIES,
                "NoAutoplayfornonVolume",
                Some(origins),
            )?,
            disabled: None,
        })
    }

    /// For each user whether media can start something, `None` for one whose hive cannot be read.
    fn users(&mut self, machine: Option<&Scope>) -> Option<Vec<Option<bool>>> {
        let hives = match self.sys.user_hives() {
            Ok(hives) => hives,
            Err(error) => {
                self.sources.error("user hives", &error);
                return None;
            }
        };
        let mut out = Vec::new();
        let of_all = Origins::of_users(self.sys, &mut self.sources);
        for user in hives {
            let name = user.user.clone().unwrap_or_else(|| user.sid.clone());
            let scope = self.user_scope(&user, &name, &of_all);
            match (&scope, machine) {
                (Err(error), _) if user.is_gone() => self.sources.error(format!("HKU:{name}"), error),
                (Ok(scope), Some(machine)) => {
                    self.sources.known(format!("HKU:{name}"), 1);
                    out.push(Some(machine.permits(scope)));
                }
                (Ok(_), None) => out.push(None),
                (Err(error), _) => {
                    self.sources.error(format!("HKU:{name}"), error);
                    out.push(None);
                }
            }
        }
        Some(out)
    }

    fn user_scope(&mut self, user: &UserHive, name: &str, of_all: &Origins) -> Result<Scope, SysError> {
        let hive = user.hive.as_ref().map_err(Clone::clone)?;
        self.sources.whole_hive(hive);
        let origins = of_all.of_user(self.sys, user, &mut self.sources);
        let origins = Some(&origins);
        let (explorer, policies, handlers) =
            (hive.open(EXPLORER)?, hive.open(POLICIES)?, hive.open(HANDLERS)?);
        for noted in NOTED {
            self.number(name, explorer.as_ref(), EXPLORER, noted, origins)?;
        }
        Ok(Scope {
            drive_types: self.number(name, explorer.as_ref(), EXPLORER, "NoDriveTypeAutoRun", origins)?,
            no_non_volume: self.number(
                name,
                policies.as_ref(),
                POLICIES,
                "NoAutoplayfornonVolume",
                origins,
            )?,
            // The user's own choice, which no policy sets.
            disabled: self.number(name, handlers.as_ref(), HANDLERS, "DisableAutoplay", None)?,
        })
    }

    /// Whether this Windows has the shell that handles media.
    fn desktop(&mut self) -> Option<bool> {
        match self
            .sys
            .registry(VERSION)
            .and_then(|key| key.map_or(Ok(None), |k| k.string("InstallationType")))
        {
            Ok(kind) => Some(kind.as_deref() != Some("Server Core")),
            Err(error) => {
                self.sources.error(VERSION, &error);
                None
            }
        }
    }

    /// A number of a key, noted as a setting. Old policies wrote four bytes of binary.
    fn number(
        &mut self,
        scope: &str,
        key: Option<&RegistryKey>,
        path: &str,
        name: &str,
        origins: Option<&Origins>,
    ) -> Result<Option<u64>, SysError> {
        let Some(key) = key else { return Ok(None) };
        let number = match key.value(name)? {
            None => return Ok(None),
            Some(RegistryValue::Number(number)) => number,
            Some(RegistryValue::Binary(bytes)) if matches!(bytes.len(), 1..=8) => {
                bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
            }
            Some(_) => return Err(SysError::malformed(&format!("{}\\{name}", key.path()), "type")),
        };
        let permits = match name {
            "NoDriveTypeAutoRun" => Some(number & MEDIA != MEDIA),
            name if NOTED.contains(&name) => None,
            _ => Some(number != 1),
        };
        let origin = origins.map(|o| format!(" ({})", o.of(path, name, &AREAS))).unwrap_or_default();
        let value = if name == "NoDriveTypeAutoRun" { format!("0x{number:02x}") } else { number.to_string() };
        self.add(
            scope,
            &format!("{path}\\{name}"),
            format!("{value}{origin}"),
            permits,
            name != "DisableAutoplay",
        );
        Ok(Some(number))
    }

    fn add(&mut self, scope: &str, key: &str, value: String, permits: Option<bool>, locked: bool) {
        self.settings.push(AutorunSetting {
            scope: scope.into(),
            subject: SUBJECT.into(),
            key: key.into(),
            value,
            permits,
            locked,
        });
    }
}

#[cfg(test)]
mod tests;
