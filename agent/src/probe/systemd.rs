//! Systemd units: files, drop-ins and enable links on disk, and the state of a running manager.
//!
//! On disk the search order is the manager's own (`systemd.unit(5)`): the first file of a name wins, a
//! link to `/dev/null` masks it, drop-ins `NAME.d/*.conf` add to it and an empty assignment resets.
//! Live state comes from `systemctl show`, whose `KEY=value` output is the same in every language.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::sys::{Command, FileKind, Sys, SysError};

/// Unit folders, highest priority first.
const FOLDERS: [&str; 6] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// Folders whose `*.wants` links are made by enabling (not shipped by packages).
const ENABLE_FOLDERS: [&str; 2] = ["/etc/systemd/system", "/run/systemd/system"];
const MAX_UNIT_BYTES: u64 = 256 * 1024;
const MAX_UNITS: usize = 5_000;

/// One unit as configured on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unit {
    /// `ssh.service`.
    pub name: String,
    /// File that defines it.
    pub path: String,
    /// `enabled`, `disabled`, `static`, `masked`, `alias`; the words of `systemctl list-unit-files`.
    pub state: String,
    /// Content, drop-ins included; `None` where it could not be read.
    pub file: Option<UnitFile>,
}

/// Assignments of a unit file in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnitFile(Vec<(String, String, String)>);

impl UnitFile {
    /// Reads a unit file: sections, `key=value`, comments, lines continued by a backslash.
    /// Lines that are neither are skipped, as the manager does.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut out = Self::default();
        out.extend(text);
        out
    }

    /// Adds a drop-in. An empty assignment resets what was set before, as the manager does for lists.
    pub fn extend(&mut self, text: &str) {
        let mut section = String::new();
        let joined = text.replace("\\\r\n", " ").replace("\\\n", " ");
        for line in joined.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                section = name.to_owned();
            } else if let Some((key, value)) = line.split_once('=') {
                self.assign(&section, key.trim(), value.trim());
            }
        }
    }

    fn assign(&mut self, section: &str, key: &str, value: &str) {
        if value.is_empty() {
            self.0.retain(|(s, k, _)| s != section || k != key);
        } else {
            self.0.push((section.to_owned(), key.to_owned(), value.to_owned()));
        }
    }

    /// All values of a key.
    pub fn all<'a>(&'a self, section: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(s, k, _)| s == section && k == key).map(|(_, _, v)| v.as_str())
    }

    /// The last value of a key.
    #[must_use]
    pub fn get(&self, section: &str, key: &str) -> Option<&str> {
        self.0.iter().rfind(|(s, k, _)| s == section && k == key).map(|(_, _, v)| v.as_str())
    }

    /// Whether the section is there.
    #[must_use]
    pub fn has(&self, section: &str) -> bool {
        self.0.iter().any(|(s, _, _)| s == section)
    }
}

/// Every unit on disk by name.
#[derive(Debug, Clone, Default)]
pub struct Units {
    units: BTreeMap<String, Unit>,
    /// Folders of drop-ins by their name (`ssh.service.d`), highest priority first.
    drop_ins: BTreeMap<String, Vec<String>>,
    /// Folders or files that could not be read.
    pub errors: Vec<SysError>,
}

impl Units {
    /// Reads the units whose names are `wanted`: there are hundreds, and most probes ask for a few.
    /// Errors: `Absent` where no unit folder exists (no systemd on this machine).
    pub fn load(sys: &Sys, wanted: impl Fn(&str) -> bool) -> Result<Self, SysError> {
        let mut out = Self::default();
        let mut enabled = BTreeSet::new();
        let mut found = false;
        for folder in FOLDERS {
            match sys.list(folder) {
                Ok(entries) => {
                    found = true;
                    for entry in entries {
                        out.take(sys, folder, &entry.name, entry.kind, &mut enabled);
                    }
                }
                Err(SysError::Absent { .. }) => {}
                Err(error) => out.errors.push(error),
            }
        }
        if !found && out.errors.is_empty() {
            return Err(SysError::Absent { what: "systemd units".into() });
        }
        // Only now: the link that enables a wanted unit may have another name.
        out.units.retain(|name, _| wanted(name));
        out.finish(sys, &enabled);
        Ok(out)
    }

    fn take(&mut self, sys: &Sys, folder: &str, name: &str, kind: FileKind, enabled: &mut BTreeSet<String>) {
        let path = format!("{folder}/{name}");
        if name.ends_with(".wants") || name.ends_with(".requires") {
            if ENABLE_FOLDERS.contains(&folder) {
                match sys.list(&path) {
                    Ok(links) => enabled.extend(links.into_iter().map(|l| l.name)),
                    Err(error) => self.errors.push(error),
                }
            }
            return;
        }
        if name.ends_with(".d") {
            self.drop_ins.entry(name.to_owned()).or_default().push(path);
            return;
        }
        let known = [".service", ".timer", ".socket", ".mount", ".automount", ".path", ".target"];
        if !known.iter().any(|s| name.ends_with(s))
            || self.units.contains_key(name)
            || self.units.len() >= MAX_UNITS
        {
            return;
        }
        let mut unit = Unit { name: name.to_owned(), path: path.clone(), ..Unit::default() };
        if kind == FileKind::Link {
            match sys.read_link(&path) {
                Ok(target) if target == "/dev/null" => unit.state = "masked".into(),
                Ok(target) if !target.ends_with(&format!("/{name}")) && target != name => {
                    unit.state = "alias".into();
                    let real = target.rsplit('/').next().filter(|_| ENABLE_FOLDERS.contains(&folder));
                    enabled.extend(real.map(str::to_owned));
                }
                _ => {}
            }
        } else if kind != FileKind::File {
            return;
        }
        self.units.insert(name.to_owned(), unit);
    }

    fn finish(&mut self, sys: &Sys, enabled: &BTreeSet<String>) {
        for unit in self.units.values_mut() {
            let folders = self.drop_ins.get(&format!("{}.d", unit.name));
            if unit.state == "masked" {
                continue;
            }
            match sys.read_capped(&unit.path, MAX_UNIT_BYTES) {
                Ok(bytes) => {
                    let mut file = UnitFile::parse(&String::from_utf8_lossy(&bytes));
                    for text in drop_ins(sys, folders.into_iter().flatten()) {
                        file.extend(&text);
                    }
                    unit.file = Some(file);
                }
                // An enable link whose package was removed.
                Err(SysError::Absent { .. }) => {}
                Err(error) => self.errors.push(error),
            }
            if unit.state.is_empty() {
                unit.state = state_of(unit, enabled).into();
            }
        }
        self.units.retain(|_, u| u.file.is_some() || u.state == "masked");
    }

    /// All units, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Unit> {
        self.units.values()
    }

    /// One unit.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Unit> {
        self.units.get(name)
    }

    /// Whether the unit is there and started at boot or by its timer; `None` where it is not there.
    #[must_use]
    pub fn is_enabled(&self, name: &str) -> Option<bool> {
        self.get(name).map(|u| u.state == "enabled")
    }

    /// The timer that starts `service`, by `Unit=` or by name.
    #[must_use]
    pub fn timer_of(&self, service: &str) -> Option<&Unit> {
        let stem = service.strip_suffix(".service")?;
        self.iter().filter(|u| u.name.ends_with(".timer")).find(|u| {
            match u.file.as_ref().and_then(|f| f.get("Timer", "Unit")) {
                Some(unit) => unit == service,
                None => u.name.strip_suffix(".timer") == Some(stem),
            }
        })
    }
}

fn state_of(unit: &Unit, enabled: &BTreeSet<String>) -> &'static str {
    let template = unit.name.split_once('@').map(|(stem, rest)| {
        let suffix = rest.rsplit('.').next().unwrap_or_default();
        (format!("{stem}@"), format!(".{suffix}"))
    });
    let linked = enabled.contains(&unit.name)
        || template.is_some_and(|(stem, suffix)| {
            enabled.iter().any(|n| n.starts_with(&stem) && n.ends_with(&suffix))
        });
    if linked {
        "enabled"
    } else if unit.file.as_ref().is_some_and(|f| f.has("Install")) {
        "disabled"
    } else {
        "static"
    }
}

fn drop_ins<'a>(sys: &Sys, folders: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for dir in folders {
        for entry in sys.list(dir).unwrap_or_default() {
            if entry.name.ends_with(".conf") {
                files.entry(entry.name.clone()).or_insert_with(|| format!("{dir}/{}", entry.name));
            }
        }
    }
    files
        .into_values()
        .filter_map(|path| sys.read_capped(&path, MAX_UNIT_BYTES).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect()
}

/// Properties of one unit of a running manager.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnitState(BTreeMap<String, String>);

impl UnitState {
    /// A property; empty ones are `None`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// A time property, given as `@seconds` or `Mon 2026-11-23 19:34:54 UTC`; unset is `None`.
    #[must_use]
    pub fn time(&self, key: &str) -> Option<Timestamp> {
        timestamp(self.get(key)?)
    }
}

/// Reads a time as `systemctl show` prints it with `--timestamp=unix` or, before version 248, as
/// weekday, date, time and `UTC`.
#[must_use]
pub fn timestamp(text: &str) -> Option<Timestamp> {
    if let Some(seconds) = text.strip_prefix('@') {
        let whole = seconds.split('.').next()?;
        return Timestamp::from_second(whole.parse().ok()?).ok().filter(|t| *t > Timestamp::UNIX_EPOCH);
    }
    let mut words = text.split_whitespace().skip(1);
    let (date, time, zone) = (words.next()?, words.next()?, words.next()?);
    if zone == "UTC" { format!("{date}T{time}Z").parse().ok() } else { None }
}

/// Reads the blocks of `systemctl show`: `KEY=value` lines, an empty line between units.
/// Shape: one entry per unit, by its `Id`. Blocks without `Id` are dropped.
#[must_use]
pub fn parse_show(bytes: &[u8]) -> BTreeMap<String, UnitState> {
    let text = String::from_utf8_lossy(bytes);
    let mut out = BTreeMap::new();
    let mut block = BTreeMap::new();
    for line in text.lines().chain(std::iter::once("")) {
        if let Some((key, value)) = line.split_once('=') {
            block.insert(key.to_owned(), value.to_owned());
        } else if line.is_empty() && !block.is_empty() {
            let block = std::mem::take(&mut block);
            if let Some(id) = block.get("Id").cloned() {
                out.insert(id, UnitState(block));
            }
        }
    }
    out
}

/// Asks the running manager for `properties` of the units that match `patterns`.
/// Errors: `Unsupported` under a root folder, `Absent` without systemctl, `Failed` with reason
/// `service_manager_not_running` where systemd is installed but is not the init of this machine.
pub fn show(
    sys: &Sys,
    patterns: &[&str],
    properties: &[&str],
) -> Result<BTreeMap<String, UnitState>, SysError> {
    sys.require_live("systemctl show")?;
    if !sys.exists("/run/systemd/system")? {
        return Err(SysError::Failed {
            what: "systemctl show".into(),
            reason: "service_manager_not_running".into(),
            detail: "/run/systemd/system".into(),
        });
    }
    let properties = format!("Id,{}", properties.join(","));
    let base = ["show", "--no-pager", "--all", "-p", properties.as_str()];
    let with_unix = ["--timestamp=unix"];
    for extra in [&with_unix[..], &[]] {
        let command = Command::new("/usr/bin/systemctl").args(base).args(extra).args(["--"]).args(patterns);
        let output = sys.command(&command)?;
        if output.code == Some(0) {
            return Ok(parse_show(&output.stdout));
        }
    }
    Err(SysError::Failed {
        what: "systemctl show".into(),
        reason: "service_manager_not_running".into(),
        detail: "exit code".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_files_continue_lines_and_empty_assignments_reset() {
        let mut file = UnitFile::parse(
            "# c\n[Service]\nExecStart=/usr/bin/restic \\\n  backup /srv\nEnvironment=A=1\n[Install]\nWantedBy=x\n",
        );
        assert_eq!(file.get("Service", "ExecStart"), Some("/usr/bin/restic    backup /srv"));
        file.extend("[Service]\nExecStart=\nExecStart=/bin/true\nnonsense\n");
        assert_eq!(file.all("Service", "ExecStart").collect::<Vec<_>>(), ["/bin/true"]);
        assert!(file.has("Install"));
    }

    #[test]
    fn times_are_read_in_both_forms_and_unset_is_none() {
        let want: Timestamp = "2026-11-23T19:34:54Z".parse().unwrap();
        assert_eq!(timestamp(&format!("@{}", want.as_second())), Some(want));
        assert_eq!(timestamp("Mon 2026-11-23 19:34:54 UTC"), Some(want));
        for unset in ["", "n/a", "@0", "Mon 2026-11-23 19:34:54 JST", "@x"] {
            assert_eq!(timestamp(unset), None, "{unset}");
        }
    }

    #[test]
    fn show_output_is_split_by_unit() {
        let units = parse_show(b"Id=a.service\nResult=success\n\nId=b.timer\nResult=\n\nLost=1\n\n\xff=x");
        assert_eq!(units.keys().collect::<Vec<_>>(), ["a.service", "b.timer"]);
        assert_eq!(units["a.service"].get("Result"), Some("success"));
        assert_eq!(units["b.timer"].get("Result"), None);
    }

    #[cfg(unix)]
    #[test]
    fn enable_links_masks_and_drop_ins_are_honoured() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let at = |p: &str| dir.path().join(p);
        for d in [
            "etc/systemd/system/multi-user.target.wants",
            "etc/systemd/system/a.service.d",
            "usr/lib/systemd/system",
        ] {
            std::fs::create_dir_all(at(d)).unwrap();
        }
        for name in ["a", "b", "c", "m"] {
            let install = if name == "c" { "" } else { "[Install]\nWantedBy=multi-user.target\n" };
            let text = format!("[Service]\nExecStart=/bin/{name}\n{install}");
            std::fs::write(at(&format!("usr/lib/systemd/system/{name}.service")), text).unwrap();
        }
        symlink(
            "/usr/lib/systemd/system/a.service",
            at("etc/systemd/system/multi-user.target.wants/a.service"),
        )
        .unwrap();
        symlink("/dev/null", at("etc/systemd/system/m.service")).unwrap();
        std::fs::write(at("etc/systemd/system/a.service.d/x.conf"), "[Service]\nUser=backup\n").unwrap();
        let units = Units::load(&Sys::at_root(dir.path(), None).unwrap(), |_| true).unwrap();
        let states: Vec<_> = units.iter().map(|u| (u.name.as_str(), u.state.as_str())).collect();
        assert_eq!(
            states,
            [
                ("a.service", "enabled"),
                ("b.service", "disabled"),
                ("c.service", "static"),
                ("m.service", "masked")
            ]
        );
        assert_eq!(
            units.get("a.service").unwrap().file.as_ref().unwrap().get("Service", "User"),
            Some("backup")
        );
    }
}
