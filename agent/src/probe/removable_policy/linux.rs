//! Restriction of removable media on a Linux machine.

use std::collections::BTreeMap;

use tenken_shared::collected::{Reason, Status};
use tenken_shared::fact::removable::{RemovablePolicy, Restriction};

use super::parse::{self, ModuleRule};
use super::usbguard::{self, StorageEffect};
use crate::probe::Collection;
use crate::probe::sources::{Sources, collected};
use crate::probe::systemd::Units;
use crate::sys::{FileKind, Sys, SysError};

/// Highest priority first; of files with one name only the first counts.
const MODPROBE: [&str; 5] = [
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
];
const UDEV: [&str; 5] = [
    "/etc/udev/rules.d",
    "/run/udev/rules.d",
    "/usr/local/lib/udev/rules.d",
    "/usr/lib/udev/rules.d",
    "/lib/udev/rules.d",
];
const USBGUARD_UNIT: &str = "usbguard.service";
const USBGUARD_CONF: &str = "/etc/usbguard/usbguard-daemon.conf";
const USB_DEVICES: &str = "/sys/bus/usb/devices";

/// Collects the fact.
pub(super) fn collect(sys: &Sys) -> Collection {
    let mut cx = Context { sys, sources: Sources::new(), found: vec![], undecided: false };
    cx.sources.require_programs(sys);
    cx.kernel_arguments();
    cx.modprobe();
    cx.usbguard();
    cx.udev();
    cx.authorized_default();
    let mut body = RemovablePolicy {
        usb_storage: cx.effective(),
        restrictions: cx.found,
        sources: cx.sources.into_vec(),
    };
    body.restrictions
        .sort_by(|a, b| (&a.mechanism, &a.target, &a.setting).cmp(&(&b.mechanism, &b.target, &b.setting)));
    let states = body.sources.clone();
    Collection::of(
        collected(body, &states),
        "modprobe.d; usbguard; udev rules; kernel arguments; sysfs",
        sys.now(),
    )
}

struct Context<'a> {
    sys: &'a Sys,
    sources: Sources,
    found: Vec<Restriction>,
    /// A rule was found whose effect cannot be told from files.
    undecided: bool,
}

impl Context<'_> {
    fn add(&mut self, mechanism: &str, effect: &str, target: &str, in_force: bool, setting: String) {
        self.found.push(Restriction {
            mechanism: mechanism.into(),
            effect: effect.into(),
            target: target.into(),
            in_force,
            origin: Some("local".into()),
            setting,
        });
    }

    fn effective(&self) -> Option<String> {
        let holds = |effect: &str| {
            self.found.iter().any(|r| {
                r.in_force && r.effect == effect && matches!(r.target.as_str(), "usb_storage" | "all_usb")
            })
        };
        if holds("block") {
            Some("blocked".into())
        } else if holds("allow_list") {
            Some("allow_list".into())
        } else if self.undecided || self.sources.has_gap() {
            None
        } else {
            Some("allowed".into())
        }
    }

    fn kernel_arguments(&mut self) {
        let live = self.sys.is_live();
        let paths: &[&str] =
            if live { &["/proc/cmdline"] } else { &["/etc/default/grub", "/etc/kernel/cmdline"] };
        for path in paths {
            let text = if live {
                self.sources.text(self.sys, path)
            } else {
                self.sources.optional_text(self.sys, path)
            };
            let text = text.unwrap_or_default().replace(['"', '\''], " ");
            let lines = text.lines().filter(|l| !l.trim_start().starts_with('#'));
            let words: String = lines
                .map(|l| {
                    l.replacen("GRUB_CMDLINE_LINUX_DEFAULT=", "", 1).replacen("GRUB_CMDLINE_LINUX=", "", 1)
                        + " "
                })
                .collect();
            for argument in parse::kernel_arguments(&words) {
                let (effect, target) = match argument.split('=').next() {
                    Some("nousb" | "usbcore.nousb") => ("block", "all_usb"),
                    Some("module_blacklist") => ("block", "usb_storage"),
                    // Whether it holds is read from sysfs; a blacklist stops only automatic loading.
                    _ => ("weak_block", "all_usb"),
                };
                self.add(
                    "kernel_argument",
                    effect,
                    target,
                    live && effect == "block",
                    format!("{path}: {argument}"),
                );
            }
        }
    }

    fn modprobe(&mut self) {
        let rules = self.module_rules();
        let builtin = self.is_builtin();
        let loaded = self.is_loaded();
        for module in ["usb_storage", "uas"] {
            let Some(rule) = rules.get(module) else { continue };
            let blocks = rule.install.as_deref().is_some_and(parse::loads_nothing);
            let holds = blocks && builtin == Some(false) && loaded == Some(false);
            let mut notes = vec![];
            if builtin == Some(true) {
                notes.push("module is built in");
            } else if loaded == Some(true) {
                notes.push("module is loaded until unplugged and unloaded");
            }
            if rule.blacklisted && !blocks {
                notes.push("blacklist stops automatic loading only");
            }
            let command = rule.install.as_ref().map(|c| format!("install {module} {c}"));
            let setting = command.unwrap_or_else(|| format!("blacklist {module}"));
            let setting = std::iter::once(setting.as_str()).chain(notes).collect::<Vec<_>>().join("; ");
            let effect = if blocks { "block" } else { "weak_block" };
            // uas needs usb_storage, so only a rule on usb_storage decides.
            self.add("modprobe", effect, if module == "uas" { "uas" } else { "usb_storage" }, holds, setting);
            if module == "usb_storage" && blocks && (builtin.is_none() || loaded.is_none()) {
                self.undecided = true;
            }
        }
    }

    fn module_rules(&mut self) -> BTreeMap<String, ModuleRule> {
        let files = self.files(&MODPROBE, ".conf", "modprobe.d");
        let mut rules = BTreeMap::new();
        for text in files.values() {
            parse::modprobe(text, &mut rules);
        }
        rules
    }

    /// Files of several folders by name, the first folder winning, in the order of names.
    fn files(&mut self, folders: &[&str], suffix: &str, source: &str) -> BTreeMap<String, String> {
        let mut paths: BTreeMap<String, String> = BTreeMap::new();
        for folder in folders {
            match self.sys.list(folder) {
                Ok(entries) => {
                    for entry in
                        entries.into_iter().filter(|e| e.name.ends_with(suffix) && e.kind != FileKind::Dir)
                    {
                        let path = format!("{folder}/{}", entry.name);
                        paths.entry(entry.name).or_insert(path);
                    }
                }
                Err(SysError::Absent { .. }) => {}
                Err(error) => self.sources.error(format!("{source}:{folder}"), &error),
            }
        }
        let mut out = BTreeMap::new();
        for (name, path) in paths {
            match self.sys.read_capped(&path, 4 * 1024 * 1024) {
                Ok(bytes) => drop(out.insert(name, String::from_utf8_lossy(&bytes).into_owned())),
                // A link to /dev/null switches a file of that name off.
                Err(_) if self.sys.read_link(&path).is_ok_and(|t| t == "/dev/null") => {}
                Err(error) => self.sources.error(format!("{source}:{path}"), &error),
            }
        }
        self.sources.known(source, out.len());
        out
    }

    /// Whether USB storage is part of the kernel itself; `None` where the module list is missing.
    fn is_builtin(&mut self) -> Option<bool> {
        let running = self
            .sys
            .is_live()
            .then(|| self.sys.read_line("/proc/sys/kernel/osrelease").ok())
            .flatten()
            .flatten();
        let versions = match running {
            Some(version) => vec![version],
            None => self.sys.list("/lib/modules").ok()?.into_iter().map(|e| e.name).collect(),
        };
        let lists: Vec<String> = versions
            .iter()
            .filter_map(|v| self.sys.read_text(&format!("/lib/modules/{v}/modules.builtin")).ok())
            .collect();
        if lists.is_empty() {
            return None;
        }
        Some(lists.iter().any(|text| parse::is_builtin(text, "usb_storage")))
    }

    /// Whether the module is loaded; a machine that is not running has none loaded.
    fn is_loaded(&self) -> Option<bool> {
        if !self.sys.is_live() {
            return Some(false);
        }
        let modules = self.sys.read_text("/proc/modules").ok()?;
        Some(modules.lines().any(|l| l.split(' ').next() == Some("usb_storage")))
    }

    fn usbguard(&mut self) {
        let text = match self.sys.read_text(USBGUARD_CONF) {
            Ok(text) => text,
            Err(error) => return self.sources.error("usbguard", &error),
        };
        let conf = settings(&text);
        let get = |key: &str| conf.get(key).map(String::as_str);
        let running = self.usbguard_running();
        let rules = match self.usbguard_rules(get("RuleFile"), get("RuleFolder")) {
            Ok(rules) => rules,
            Err(error) => return self.sources.error("usbguard", &error),
        };
        self.sources.known("usbguard", rules.len());
        let implicit = get("ImplicitPolicyTarget").unwrap_or("block");
        let inserted = get("InsertedDevicePolicy").unwrap_or("apply-policy");
        let present = get("PresentDevicePolicy").unwrap_or("apply-policy");
        let effect = match inserted {
            "block" | "reject" => StorageEffect::Blocked,
            _ => usbguard::storage_effect(&rules, implicit != "allow"),
        };
        let word = match effect {
            StorageEffect::Allowed => return,
            StorageEffect::AllowList => "allow_list",
            StorageEffect::Blocked => "block",
        };
        // Sticks that are there when the daemon starts must be judged as well.
        let covers_present = matches!(present, "apply-policy" | "block" | "reject");
        let holds = running == Some(true) && covers_present;
        if running.is_none() && covers_present {
            self.undecided = true;
        }
        let state = match running {
            Some(true) => "running",
            Some(false) => "not running",
            None => "running unknown",
        };
        let setting = format!(
            "{USBGUARD_CONF}: ImplicitPolicyTarget={implicit} InsertedDevicePolicy={inserted} PresentDevicePolicy={present}; {} rules; daemon {state}",
            rules.len()
        );
        self.add("usbguard", word, "usb_storage", holds, setting);
    }

    /// Live: whether the daemon's process is there. On disk: not running if not enabled, else unknown.
    fn usbguard_running(&self) -> Option<bool> {
        if !self.sys.is_live() {
            let enabled =
                Units::load(self.sys, |name| name == USBGUARD_UNIT).ok()?.is_enabled(USBGUARD_UNIT)?;
            return (!enabled).then_some(false);
        }
        self.sys.is_running("usbguard-daemon").ok()
    }

    fn usbguard_rules(
        &self,
        file: Option<&str>,
        folder: Option<&str>,
    ) -> Result<Vec<usbguard::Rule>, SysError> {
        let mut paths: Vec<String> = file.map(str::to_owned).into_iter().collect();
        if let Some(folder) = folder.map(|f| f.trim_end_matches('/')) {
            match self.sys.list(folder) {
                Ok(entries) => paths.extend(
                    entries
                        .iter()
                        .filter(|e| e.name.ends_with(".conf"))
                        .map(|e| format!("{folder}/{}", e.name)),
                ),
                Err(SysError::Absent { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let mut rules = Vec::new();
        for path in paths {
            let text = match self.sys.read_text(&path) {
                Err(SysError::Absent { .. }) => continue,
                other => other?,
            };
            let read = usbguard::parse_rules(&text);
            rules.extend(read.map_err(|line| SysError::malformed(&path, format!("line {line}")))?);
        }
        Ok(rules)
    }

    fn udev(&mut self) {
        let files = self.files(&UDEV, ".rules", "udev rules");
        for (name, text) in files {
            for line in parse::udev_deauthorising(&text) {
                // Which devices a rule meets cannot be told without running udev.
                self.undecided = true;
                self.add("udev", "block", "some_usb", false, format!("{name}: {line}"));
            }
        }
    }

    /// Host controllers that do not authorise new devices.
    fn authorized_default(&mut self) {
        if let Err(error) = self.sys.require_live(USB_DEVICES) {
            // A machine at rest has no such state: what sets it (kernel arguments, udev rules) is read above.
            return self.sources.aside(USB_DEVICES, &error);
        }
        let entries = match self.sys.list(USB_DEVICES) {
            Ok(entries) => entries,
            Err(error) => return self.sources.error(USB_DEVICES, &error),
        };
        let buses: Vec<_> = entries.iter().filter(|e| e.name.starts_with("usb")).collect();
        let mut closed = 0;
        for bus in &buses {
            match self.sys.read_line(&format!("{USB_DEVICES}/{}/authorized_default", bus.name)) {
                Ok(Some(value)) => closed += usize::from(value == "0"),
                Ok(None) => {}
                Err(error) => {
                    self.sources.gap(USB_DEVICES, Status::Partial, Reason::with("unreadable", error.what()))
                }
            }
        }
        self.sources.known(USB_DEVICES, buses.len());
        if closed > 0 {
            let all = closed == buses.len() && !self.storage_in_use(&entries);
            let setting = format!("authorized_default=0 on {closed} of {} buses", buses.len());
            self.add("usb_authorized_default", "block", "all_usb", all, setting);
        }
    }

    fn storage_in_use(&self, entries: &[crate::sys::Entry]) -> bool {
        let interfaces = entries.iter().filter(|e| e.name.contains(':'));
        interfaces.into_iter().any(|i| {
            let class = self.sys.read_line(&format!("{USB_DEVICES}/{}/bInterfaceClass", i.name));
            matches!(class, Ok(Some(c)) if c == "08")
        })
    }
}

fn settings(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter(|l| !l.trim_start().starts_with('#'))
        .filter_map(|l| l.split_once('='))
        .map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::PROBE;
    use super::*;
    use crate::probe::ProbeConfig;
    use crate::probe::fixture::{Fixture, body};

    fn policy(fixture: &Fixture) -> RemovablePolicy {
        body(fixture.collect::<RemovablePolicy>(&PROBE, &ProbeConfig::default()))
    }

    fn machine() -> Fixture {
        let fixture = Fixture::empty();
        fixture
            .write("lib/modules/6.1.0/modules.builtin", "kernel/fs/ext4/ext4.ko\n")
            .folder("etc/modprobe.d");
        fixture
    }

    #[test]
    fn nothing_set_is_allowed() {
        assert_eq!(policy(&machine()).usb_storage.as_deref(), Some("allowed"));
    }

    #[test]
    fn an_install_rule_blocks_unless_the_module_is_built_in() {
        let fixture = machine();
        fixture.write("etc/modprobe.d/usb.conf", "install usb-storage /bin/false\n");
        assert_eq!(policy(&fixture).usb_storage.as_deref(), Some("blocked"));
        fixture.write("lib/modules/6.1.0/modules.builtin", "kernel/drivers/usb/storage/usb-storage.ko\n");
        let void = policy(&fixture);
        assert_eq!(void.usb_storage.as_deref(), Some("allowed"));
        assert!(void.restrictions[0].setting.contains("built in"));
    }

    #[test]
    fn a_blacklist_alone_does_not_block() {
        let fixture = machine();
        fixture.write("etc/modprobe.d/usb.conf", "blacklist usb-storage\nblacklist uas\n");
        let policy = policy(&fixture);
        assert_eq!(policy.usb_storage.as_deref(), Some("allowed"));
        assert!(policy.restrictions.iter().all(|r| !r.in_force));
    }

    #[test]
    fn an_empty_file_in_etc_hides_the_one_of_the_distribution() {
        let fixture = machine();
        fixture.write("usr/lib/modprobe.d/usb.conf", "install usb-storage /bin/false\n");
        fixture.write("etc/modprobe.d/usb.conf", "");
        assert_eq!(policy(&fixture).usb_storage.as_deref(), Some("allowed"));
    }

    #[cfg(unix)]
    #[test]
    fn usbguard_under_a_root_is_never_surely_running() {
        let fixture = machine();
        fixture.write(
            "etc/usbguard/usbguard-daemon.conf",
            "RuleFile=/etc/usbguard/rules.conf\nImplicitPolicyTarget=block\n",
        );
        fixture.write("etc/usbguard/rules.conf", "allow id 046d:c31c with-interface 03:01:01\n");
        fixture.write("usr/lib/systemd/system/usbguard.service", "[Install]\nWantedBy=basic.target\n");
        assert_eq!(policy(&fixture).usb_storage.as_deref(), Some("allowed"), "not enabled");
        fixture.link(
            "etc/systemd/system/basic.target.wants/usbguard.service",
            "/usr/lib/systemd/system/usbguard.service",
        );
        let enabled = policy(&fixture);
        assert_eq!((enabled.usb_storage, enabled.restrictions[0].effect.as_str()), (None, "block"));
        fixture.write("etc/usbguard/rules.conf", "allow id 46d\n");
        assert_eq!(policy(&fixture).usb_storage, None, "rules the daemon refuses leave it open");
    }

    #[test]
    fn udev_rules_leave_it_open() {
        let fixture = machine();
        fixture.write("etc/udev/rules.d/10-usb.rules", "SUBSYSTEM==\"usb\", ATTR{authorized}=\"0\"\n");
        assert_eq!(policy(&fixture).usb_storage, None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn live_machine_gives_a_body() {
        assert!(collect(&Sys::live()).record.content.status.has_body());
    }
}
