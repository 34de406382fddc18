//! Restriction of removable media on a Windows machine: each policy with its origin, and what surely holds.
//!
//! * Removable Storage Access (`Deny_All` at the root, `Deny_*` per class) takes hold when Windows starts: written
//!   since then, it is set but not surely in force.
//! * Device Installation Restrictions stop what is new; devices known already go on working unless the rule
//!   is retroactive.
//! * `USBSTOR`/`UASPStor` `Start=4` is undone when the driver is installed for new hardware: a weak block.
//! * `StorageDevicePolicies\WriteProtect` is not reliable on current Windows: listed, never in force.
//! * BitLocker To Go restricts writing to encrypted media; Defender's device control cannot be judged from
//!   files: while it is on, the effective state is not known.

use tenken_shared::fact::removable::{RemovablePolicy, Restriction};

use super::device_install;
use crate::probe::Collection;
use crate::probe::group_policy::{MDM_ORIGIN, Origins, REGISTRY};
use crate::probe::sources::{Sources, collected};
use crate::sys::{RegistryKey, Sys, SysError};

pub(super) const STORAGE: &str = r"SOFTWARE\Policies\Microsoft\Windows\RemovableStorageDevices";
const CLASSES: [(&str, &str); 6] = [
    ("{53f5630d-b6bf-11d0-94f2-00a0c91efb8b}", "usb_storage"),
    ("{53f56308-b6bf-11d0-94f2-00a0c91efb8b}", "cd_dvd"),
    ("{53f56311-b6bf-11d0-94f2-00a0c91efb8b}", "floppy"),
    ("{53f5630b-b6bf-11d0-94f2-00a0c91efb8b}", "tape"),
    ("{6ac27878-a6fa-4155-ba85-f98f491d4f33}", "wpd"),
    ("{f33fdc04-d1ac-4e8e-9a30-19bbd4b108ae}", "wpd"),
];
const SERVICES: &str = r"SYSTEM\CurrentControlSet\Services";
const WRITE_PROTECT: &str = r"SYSTEM\CurrentControlSet\Control\StorageDevicePolicies";
const BITLOCKER: [&str; 2] =
    [r"SYSTEM\CurrentControlSet\Policies\Microsoft\FVE", r"SOFTWARE\Policies\Microsoft\FVE"];
const DEFENDER: &str = r"SOFTWARE\Policies\Microsoft\Windows Defender";
const DEFENDER_FILTER: &str = r"SYSTEM\CurrentControlSet\Services\WdDevFlt\Parameters";
const MDM_STORAGE: &str = r"SOFTWARE\Microsoft\PolicyManager\current\device\Storage";
const AREAS: [&str; 2] = ["ADMX_RemovableStorage", "Storage"];

/// Reads one kind of policy.
type Part = fn(&mut Context<'_>) -> Result<(), SysError>;

/// What is watched.
pub(super) const WATCH: &[&str] = &[
    r"HKLM\SOFTWARE\Policies\Microsoft\Windows\RemovableStorageDevices",
    r"HKU\*\SOFTWARE\Policies\Microsoft\Windows\RemovableStorageDevices",
    r"HKLM\SOFTWARE\Policies\Microsoft\Windows\DeviceInstall\Restrictions",
    r"HKLM\SYSTEM\CurrentControlSet\Services\USBSTOR",
    r"HKLM\SYSTEM\CurrentControlSet\Services\UASPStor",
    r"HKLM\SYSTEM\CurrentControlSet\Control\StorageDevicePolicies",
    r"HKLM\SYSTEM\CurrentControlSet\Policies\Microsoft\FVE",
    r"HKLM\SOFTWARE\Policies\Microsoft\FVE",
    r"HKLM\SOFTWARE\Policies\Microsoft\Windows Defender\Device Control",
    r"HKLM\SOFTWARE\Microsoft\PolicyManager\current\device\Storage",
];

/// Collects the fact.
pub(super) fn collect(sys: &Sys) -> Collection {
    let mut cx = Context::new(sys);
    cx.sources.require_whole_hives(sys);
    let parts: [(&str, Part); 7] = [
        (STORAGE, |cx| cx.storage_access()),
        (SERVICES, |cx| cx.services()),
        (WRITE_PROTECT, |cx| cx.write_protect()),
        (device_install::KEY, device_install::read),
        ("FVE", |cx| cx.bitlocker()),
        (DEFENDER, |cx| cx.defender()),
        (MDM_STORAGE, |cx| cx.device_management()),
    ];
    for (name, part) in parts {
        let before = cx.found.len();
        match part(&mut cx) {
            Ok(()) => cx.sources.known(format!("HKLM\\{name}"), cx.found.len() - before),
            Err(error) => cx.sources.error(format!("HKLM\\{name}"), &error),
        }
    }
    cx.users();
    let mut body = RemovablePolicy {
        usb_storage: cx.effective(),
        restrictions: cx.found,
        sources: cx.sources.into_vec(),
    };
    body.restrictions
        .sort_by(|a, b| (&a.mechanism, &a.target, &a.setting).cmp(&(&b.mechanism, &b.target, &b.setting)));
    let states = body.sources.clone();
    Collection::of(collected(body, &states), "registry policies of the machine and of each user", sys.now())
}

/// Collecting under way.
pub(super) struct Context<'a> {
    pub(super) sys: &'a Sys,
    pub(super) origins: Origins,
    pub(super) sources: Sources,
    pub(super) found: Vec<Restriction>,
    /// Something was found whose effect cannot be told from here.
    pub(super) undecided: bool,
}

/// Whether what is written in a key has taken hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    BeforeStart,
    AfterStart,
    Unknown,
}

impl<'a> Context<'a> {
    fn new(sys: &'a Sys) -> Self {
        let mut sources = Sources::new();
        let origins = Origins::of_machine(sys, &mut sources);
        Self { sys, origins, sources, found: vec![], undecided: false }
    }

    /// Notes a restriction.
    pub(super) fn add(&mut self, restriction: Restriction) {
        self.found.push(restriction);
    }

    pub(super) fn key(&self, path: &str) -> Result<Option<RegistryKey>, SysError> {
        self.sys.registry(&format!("HKLM\\{path}"))
    }

    fn effective(&self) -> Option<String> {
        let holds = |effect: &str| {
            self.found.iter().any(|r| {
                r.in_force
                    && r.effect == effect
                    && matches!(r.target.as_str(), "usb_storage" | "all_usb" | "all_removable")
            })
        };
        if holds("block") {
            Some("blocked".into())
        } else if self.undecided || self.sources.has_gap() {
            None
        } else if holds("allow_list") {
            Some("allow_list".into())
        } else if holds("read_only") {
            Some("read_only".into())
        } else {
            Some("allowed".into())
        }
    }

    /// A machine that is not running has everything in force at its next start.
    fn since(&self, key: &RegistryKey) -> Since {
        if !self.sys.is_live() {
            return Since::BeforeStart;
        }
        match (key.last_written(), self.sys.booted_at()) {
            (Some(written), Ok(start)) if written < start => Since::BeforeStart,
            (Some(_), Ok(_)) => Since::AfterStart,
            _ => Since::Unknown,
        }
    }

    fn storage_access(&mut self) -> Result<(), SysError> {
        let Some(root) = self.key(STORAGE)? else { return Ok(()) };
        let origins = std::mem::take(&mut self.origins);
        let rules = storage_rules(&root, "HKLM", &origins);
        self.origins = origins;
        for (mut rule, key) in rules? {
            match self.since(&key) {
                Since::BeforeStart => {}
                Since::AfterStart => {
                    rule.in_force = false;
                    rule.setting.push_str("; written since the last start, takes hold at the next one");
                    self.undecided = true;
                }
                Since::Unknown => {
                    rule.in_force = false;
                    rule.setting.push_str("; not known whether Windows was restarted since");
                    self.undecided = true;
                }
            }
            self.add(rule);
        }
        Ok(())
    }

    fn services(&mut self) -> Result<(), SysError> {
        for (service, target) in [("USBSTOR", "usb_storage"), ("UASPStor", "uas")] {
            let Some(key) = self.key(&format!("{SERVICES}\\{service}"))? else { continue };
            if key.number("Start")? == Some(4) {
                self.add(Restriction {
                    mechanism: "service:Start".into(),
                    effect: "weak_block".into(),
                    target: target.into(),
                    in_force: true,
                    origin: Some(REGISTRY.into()),
                    setting: format!(
                        r"HKLM\{SERVICES}\{service} Start=4; undone when the driver is installed for new hardware"
                    ),
                });
            }
        }
        Ok(())
    }

    fn write_protect(&mut self) -> Result<(), SysError> {
        let Some(key) = self.key(WRITE_PROTECT)? else { return Ok(()) };
        if key.number("WriteProtect")? == Some(1) {
            self.add(Restriction {
                mechanism: "StorageDevicePolicies:WriteProtect".into(),
                effect: "read_only".into(),
                target: "usb_storage".into(),
                in_force: false,
                origin: Some(REGISTRY.into()),
                setting: format!(r"HKLM\{WRITE_PROTECT} WriteProtect=1; not reliable on current Windows"),
            });
        }
        Ok(())
    }

    fn bitlocker(&mut self) -> Result<(), SysError> {
        for path in BITLOCKER {
            let Some(key) = self.key(path)? else { continue };
            for (value, effect) in
                [("RDVDenyWriteAccess", "encrypted_only"), ("RDVDenyCrossOrg", "own_organisation_only")]
            {
                if key.number(value)? == Some(1) {
                    self.add(Restriction {
                        mechanism: format!("policy:{value}"),
                        effect: effect.into(),
                        target: "usb_storage".into(),
                        in_force: true,
                        origin: Some(self.origins.of(path, value, &["BitLocker"]).into()),
                        setting: format!(
                            r"HKLM\{path} {value}=1; writing only to media encrypted by BitLocker"
                        ),
                    });
                }
            }
        }
        Ok(())
    }

    fn defender(&mut self) -> Result<(), SysError> {
        let features = self.key(&format!(r"{DEFENDER}\Features"))?;
        let enabled = features.map(|k| k.number("DeviceControlEnabled")).transpose()?.flatten() == Some(1);
        let control = self.key(&format!(r"{DEFENDER}\Device Control"))?;
        let default = control.as_ref().map(|k| k.number("DefaultEnforcement")).transpose()?.flatten();
        let mut rules = 0;
        for part in ["Policy Groups", "Policy Rules"] {
            let Some(key) = control.as_ref().map(|k| k.open(part)).transpose()?.flatten() else { continue };
            rules += key.values()?.len();
        }
        let package = self.key(DEFENDER_FILTER)?;
        let loaded = package.map(|k| k.value("PolicyPackage")).transpose()?.flatten().is_some();
        if !enabled && rules == 0 && default.is_none() && !loaded {
            return Ok(());
        }
        // Whether Defender is the active protection and licensed for it cannot be told from here.
        self.undecided |= enabled || loaded;
        let effect = if default == Some(2) { "allow_list" } else { "rules" };
        let default = default.map_or_else(|| "not set".into(), |d| d.to_string());
        self.add(Restriction {
            mechanism: "defender_device_control".into(),
            effect: effect.into(),
            target: "all_removable".into(),
            in_force: false,
            origin: Some(self.origins.of(&format!(r"{DEFENDER}\Features"), "DeviceControlEnabled", &["Defender"]).into()),
            setting: format!(
                r"HKLM\{DEFENDER} DeviceControlEnabled={}; DefaultEnforcement={default}; {rules} groups and rules; package loaded: {loaded}; what they permit is not judged",
                u8::from(enabled)
            ),
        });
        Ok(())
    }

    fn device_management(&mut self) -> Result<(), SysError> {
        let Some(key) = self.key(MDM_STORAGE)? else { return Ok(()) };
        let value = "RemovableDiskDenyWriteAccess";
        if key.number(value)? == Some(1) {
            // Device management writes the policy itself, which is judged by its own key.
            let applied = self.found.iter().any(|r| r.mechanism == "policy:Deny_Write" && r.in_force);
            self.add(Restriction {
                mechanism: format!("mdm:{value}"),
                effect: "read_only".into(),
                target: "usb_storage".into(),
                in_force: applied,
                origin: Some(MDM_ORIGIN.into()),
                setting: format!(r"HKLM\{MDM_STORAGE} {value}=1"),
            });
            self.undecided |= !applied;
        }
        Ok(())
    }

    /// Policies of each user hold for that user alone: they are listed, and only where every user has one is
    /// it left open what holds for the machine.
    fn users(&mut self) {
        let hives = match self.sys.user_hives() {
            Ok(hives) => hives,
            Err(error) => return self.sources.error("user hives", &error),
        };
        let (mut users, mut restricted) = (0, 0);
        let of_all = Origins::of_users(self.sys, &mut self.sources);
        for user in hives {
            users += usize::from(!user.is_gone());
            let name = user.user.clone().unwrap_or_else(|| user.sid.clone());
            let scope = format!("HKU:{name}");
            let origins = of_all.of_user(self.sys, &user, &mut self.sources);
            if let Ok(hive) = &user.hive {
                self.sources.whole_hive(hive);
            }
            let rules = user.hive.as_ref().map_err(Clone::clone).and_then(|hive| {
                let root = hive.open(STORAGE)?;
                root.map_or_else(|| Ok(vec![]), |root| storage_rules(&root, &scope, &origins))
            });
            match rules {
                Ok(rules) => {
                    self.sources.known(&scope, rules.len());
                    restricted += usize::from(rules.iter().any(|(r, _)| r.in_force));
                    for (mut rule, _) in rules {
                        rule.target = format!("{}:{name}", rule.target);
                        self.add(rule);
                    }
                }
                Err(error) => self.sources.error(&scope, &error),
            }
        }
        self.undecided |= users > 0 && restricted == users;
    }
}

/// Removable Storage Access of one scope, each with the key it stands in.
fn storage_rules(
    root: &RegistryKey,
    scope: &str,
    origins: &Origins,
) -> Result<Vec<(Restriction, RegistryKey)>, SysError> {
    let mut out = Vec::new();
    let rule = |path: &str, value: &str, effect: &str, target: &str| Restriction {
        mechanism: format!("policy:{value}"),
        effect: effect.into(),
        target: target.into(),
        in_force: true,
        origin: Some(origins.of(path, value, &AREAS).into()),
        setting: format!(r"{scope}\{path} {value}=1"),
    };
    if root.number("Deny_All")? == Some(1) {
        out.push((rule(STORAGE, "Deny_All", "block", "all_removable"), root.clone()));
    }
    for (class, target) in CLASSES {
        let Some(key) = root.open(class)? else { continue };
        let path = format!(r"{STORAGE}\{class}");
        let set = |value: &str| key.number(value).map(|n| n == Some(1));
        let (read, write, execute) = (set("Deny_Read")?, set("Deny_Write")?, set("Deny_Execute")?);
        if read {
            let effect = if write { "block" } else { "no_read" };
            out.push((rule(&path, "Deny_Read", effect, target), key.clone()));
        }
        if write {
            out.push((
                rule(&path, "Deny_Write", if read { "block" } else { "read_only" }, target),
                key.clone(),
            ));
        }
        if execute {
            out.push((rule(&path, "Deny_Execute", "no_execute", target), key.clone()));
        }
    }
    for value in ["Deny_Read", "Deny_Write"] {
        let path = format!(r"Custom\{value}");
        let Some(list) = root.open(&format!(r"{path}\List"))? else { continue };
        let classes = list.values()?.len();
        if classes > 0 {
            let mut custom = rule(&format!(r"{STORAGE}\{path}"), value, "class_list", "custom");
            custom.setting = format!(r"{scope}\{STORAGE}\{path}\List: {classes} classes");
            out.push((custom, list));
        }
    }
    if let Some(seconds) = root.number("AccessRights_RebootTime")? {
        for (rule, _) in &mut out {
            rule.setting.push_str(&format!("; restart forced after {seconds} s"));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
