//! Installed software of Linux: dpkg, rpm, apk, pacman, opkg, snap and flatpak, each read from its own files.
//!
//! Shape: one entry per installed package. A database that is not there is `absent`; one that is there
//! but damaged is `failed`, or `partial` with what could still be read.
//! Source: the files named in each function; runs no command. Privilege: none, but snapd's state and other
//! users' flatpaks are readable for root only.

use std::collections::HashMap;

use jiff::Timestamp;
use tenken_shared::collected::{Reason, SourceState, Status};
use tenken_shared::fact::software::SoftwareItem;

use super::{Part, parse_flatpak, parse_snap};
use crate::probe::Collection;
use crate::probe::package::{apk, dpkg, pacman, rpmdb, settle};
use crate::sys::{FileKind, Sys, SysError};

/// Places whose change means that software came or went.
pub const WATCH: &[&str] = &[
    "/var/lib/dpkg/status",
    "/var/lib/rpm",
    "/usr/lib/sysimage/rpm",
    "/lib/apk/db/installed",
    "/var/lib/pacman/local",
    "/usr/lib/opkg/status",
    "/var/lib/snapd/state.json",
    "/var/lib/flatpak/app",
];

const DPKG: &str = "/var/lib/dpkg/status";
const DPKG_PARTS: &str = "/var/lib/dpkg/status.d";
const DPKG_INFO: &str = "/var/lib/dpkg/info";
const APK: [&str; 2] = ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"];
const PACMAN: &str = "/var/lib/pacman/local";
const OPKG: [&str; 3] = ["/usr/lib/opkg/status", "/var/lib/opkg/status", "/opt/var/opkg-lib/status"];
const SNAP_STATE: &str = "/var/lib/snapd/state.json";
const SNAP_FILES: &str = "/var/lib/snapd/snaps";
const SNAP_MOUNTS: [&str; 2] = ["/snap", "/var/lib/snapd/snap"];
const FLATPAK: &str = "/var/lib/flatpak";
const PASSWD: &str = "/etc/passwd";

pub fn collect(sys: &Sys) -> Collection {
    let mut parts = vec![dpkg_status(sys), dpkg_parts(sys)];
    parts.extend(rpm(sys));
    parts.extend([apk(sys), pacman(sys), opkg(sys), snap(sys), flatpak(sys, FLATPAK, None)]);
    parts.extend(user_flatpaks(sys));
    super::assemble(sys, parts)
}

/// A database read with `damaged` rows that could not be used.
fn part(source: String, items: Vec<SoftwareItem>, damaged: usize, truncated: bool) -> Part {
    let count = items.len();
    let mut state = match (damaged, count) {
        (0, _) => SourceState::known(source, count),
        (_, 0) => SourceState::gap(source, Status::Failed, Reason::new("malformed")),
        (n, _) => settle::partial(source, count, Reason::with("damaged_entries", n)),
    };
    state.truncated = truncated;
    (items, state)
}

fn no_part(source: impl Into<String>, error: &SysError) -> Part {
    (vec![], settle::gap(source, error))
}

fn seconds(at: Option<i64>) -> Option<Timestamp> {
    at.filter(|&s| s > 0).and_then(|s| Timestamp::from_second(s).ok())
}

fn item(source: &str, name: &str, version: &str) -> SoftwareItem {
    SoftwareItem {
        name: name.to_owned(),
        version: version.to_owned(),
        source: source.to_owned(),
        scope: "machine".to_owned(),
        ..SoftwareItem::default()
    }
}

/// Install time: dpkg writes a package's file list anew whenever it unpacks it, so the list's time is when
/// this version came. (`dpkg.log` says the same, but rotates away.)
fn dpkg_status(sys: &Sys) -> Part {
    let source = format!("dpkg:{DPKG}");
    let bytes = match sys.read(DPKG) {
        Ok(bytes) => bytes,
        Err(error) => return no_part(source, &error),
    };
    let times: HashMap<String, Timestamp> = sys
        .list_stats(DPKG_INFO, ".list")
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(name, stat)| Some((name, stat.modified?)))
        .collect();
    let status = dpkg::parse_status(&bytes, false);
    let items = status.packages.iter().map(|p| {
        let arch = p.arch.as_deref().unwrap_or_default();
        let list =
            if p.multi_arch_same { format!("{}:{arch}.list", p.name) } else { format!("{}.list", p.name) };
        SoftwareItem { installed_at: times.get(&list).map(whole_second), ..deb(p, "deb") }
    });
    let items = items.collect();
    part(source, items, status.damaged, status.truncated)
}

/// Fractions of a second tell nothing here and differ between file systems.
fn whole_second(at: &Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(*at)
}

fn deb(package: &dpkg::Package<'_>, source: &str) -> SoftwareItem {
    let text = |t: &Option<std::borrow::Cow<'_, str>>| t.as_deref().map(str::to_owned);
    SoftwareItem {
        arch: text(&package.arch),
        vendor: text(&package.maintainer),
        installed_at: seconds(package.installed_time),
        source_package: text(&package.source),
        ..item(source, &package.name, &package.version)
    }
}

/// Images built without dpkg keep one file per package.
fn dpkg_parts(sys: &Sys) -> Part {
    let source = format!("dpkg:{DPKG_PARTS}");
    let entries = match sys.list(DPKG_PARTS) {
        Ok(entries) => entries,
        Err(error) => return no_part(source, &error),
    };
    let (mut items, mut damaged) = (vec![], 0);
    for entry in entries.iter().filter(|e| !e.name.ends_with(".md5sums") && e.kind != FileKind::Dir) {
        match sys.read(&format!("{DPKG_PARTS}/{}", entry.name)) {
            Ok(bytes) => {
                let status = dpkg::parse_status(&bytes, true);
                damaged += status.damaged;
                items.extend(status.packages.iter().map(|p| deb(p, "deb")));
            }
            Err(_) => damaged += 1,
        }
    }
    part(source, items, damaged, false)
}

fn rpm(sys: &Sys) -> Vec<Part> {
    let databases = match rpmdb::find(sys) {
        Ok(databases) => databases,
        Err(error) => return vec![no_part("rpm", &error)],
    };
    if databases.is_empty() {
        return vec![no_part("rpm:/var/lib/rpm", &SysError::Absent { what: "/var/lib/rpm".into() })];
    }
    databases.iter().map(|database| rpm_database(sys, database)).collect()
}

fn rpm_database(sys: &Sys, database: &rpmdb::Database) -> Part {
    let source = format!("rpm:{}", database.path);
    let mut items = vec![];
    let read = rpmdb::for_each(sys, database, &mut |p| {
        items.push(SoftwareItem {
            source_package: p.source_name().filter(|s| *s != p.name).map(str::to_owned),
            installed_at: seconds(p.installed),
            ..item("rpm", &p.name, &p.evr())
        });
        if let Some(last) = items.last_mut() {
            (last.arch, last.vendor) = (p.arch, p.vendor);
        }
    });
    match read {
        Ok(summary) => part(source, items, summary.damaged, summary.read >= rpmdb::MAX_HEADERS),
        Err(error) if items.is_empty() => no_part(source, &error),
        Err(error) => {
            let state = settle::partial(source, items.len(), error.reason());
            (items, state)
        }
    }
}

/// The first of several places that is there.
fn first_there(sys: &Sys, paths: &[&str]) -> Result<(String, Vec<u8>), SysError> {
    let mut last = SysError::Absent { what: paths.first().copied().unwrap_or_default().to_owned() };
    for path in paths {
        match sys.read(path) {
            Ok(bytes) => return Ok(((*path).to_owned(), bytes)),
            Err(SysError::Absent { .. }) => {}
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn apk(sys: &Sys) -> Part {
    let (path, bytes) = match first_there(sys, &APK) {
        Ok(found) => found,
        Err(error) => return no_part(format!("apk:{}", APK[0]), &error),
    };
    let (packages, damaged) = apk::parse_records(&bytes);
    let text = |t: &Option<std::borrow::Cow<'_, str>>| t.as_deref().map(str::to_owned);
    let items = packages.iter().map(|p| SoftwareItem {
        arch: text(&p.arch),
        vendor: text(&p.maintainer),
        source_package: text(&p.origin).filter(|o| *o != p.name),
        ..item("apk", &p.name, &p.version)
    });
    part(format!("apk:{path}"), items.collect(), damaged, false)
}

fn pacman(sys: &Sys) -> Part {
    let source = format!("pacman:{PACMAN}");
    let entries = match sys.list(PACMAN) {
        Ok(entries) => entries,
        Err(error) => return no_part(source, &error),
    };
    let (mut items, mut damaged) = (vec![], 0);
    for entry in entries.iter().filter(|e| e.kind == FileKind::Dir) {
        let desc = sys.read_capped(&format!("{PACMAN}/{}/desc", entry.name), 1024 * 1024);
        match desc.ok().and_then(|bytes| pacman::parse_desc(&bytes)) {
            Some(d) => items.push(SoftwareItem {
                installed_at: seconds(d.installed),
                source_package: d.base.filter(|b| *b != d.name),
                arch: d.arch,
                vendor: d.packager,
                ..item("pacman", &d.name, &d.version)
            }),
            None => damaged += 1,
        }
    }
    part(source, items, damaged, false)
}

fn opkg(sys: &Sys) -> Part {
    let (path, bytes) = match first_there(sys, &OPKG) {
        Ok(found) => found,
        Err(error) => return no_part(format!("opkg:{}", OPKG[0]), &error),
    };
    let status = dpkg::parse_status(&bytes, false);
    let items = status.packages.iter().map(|p| deb(p, "opkg")).collect();
    part(format!("opkg:{path}"), items, status.damaged, status.truncated)
}

/// What snapd says is installed; name and version come from the snap itself, which is readable only while
/// it is mounted. Without it the revision stands in, and the source says that versions are missing.
fn snap(sys: &Sys) -> Part {
    let source = format!("snap:{SNAP_STATE}");
    let bytes = match sys.read(SNAP_STATE) {
        Ok(bytes) => bytes,
        Err(error) => return no_part(source, &error),
    };
    let Some(snaps) = parse_snap::parse_state(&bytes) else {
        return no_part(source, &SysError::malformed(SNAP_STATE, "json"));
    };
    let mut without_version = 0;
    let items: Vec<SoftwareItem> = snaps
        .iter()
        .map(|snap| {
            let yaml = SNAP_MOUNTS.iter().find_map(|mount| {
                let path = format!("{mount}/{}/{}/meta/snap.yaml", snap.name, snap.revision);
                parse_snap::parse_yaml(&sys.read_capped(&path, 1024 * 1024).ok()?)
            });
            without_version += usize::from(yaml.is_none());
            let file = format!("{SNAP_FILES}/{}_{}.snap", snap.name, snap.revision);
            let stat = sys.stat(&file).ok().flatten();
            let version = yaml.as_ref().map_or_else(|| format!("r{}", snap.revision), |y| y.version.clone());
            SoftwareItem {
                arch: yaml.and_then(|y| y.arch),
                installed_at: stat.and_then(|s| s.modified).map(|t| whole_second(&t)),
                ..item("snap", &snap.instance, &version)
            }
        })
        .collect();
    let state = if without_version == 0 {
        SourceState::known(source, items.len())
    } else {
        settle::partial(source, items.len(), Reason::with("version_not_readable", without_version))
    };
    (items, state)
}

/// One flatpak installation: `app` and `runtime`, each `id/arch/branch/active`.
fn flatpak(sys: &Sys, base: &str, user: Option<&str>) -> Part {
    let source = match user {
        None => format!("flatpak:{base}"),
        Some(_) => "flatpak:user".to_owned(),
    };
    let mut items = vec![];
    let mut failed: Option<SysError> = None;
    let mut any = false;
    for kind in ["app", "runtime"] {
        match flatpak_tree(sys, &format!("{base}/{kind}")) {
            Ok(found) => {
                any = true;
                items.extend(found);
            }
            Err(SysError::Absent { .. }) => {}
            Err(error) => failed = Some(error),
        }
    }
    if let Some(user) = user {
        for item in &mut items {
            item.scope = "user".to_owned();
            item.user = Some(user.to_owned());
        }
    }
    match failed {
        None if any => part(source, items, 0, false),
        None => no_part(source, &SysError::Absent { what: base.to_owned() }),
        Some(error) if items.is_empty() => no_part(source, &error),
        Some(error) => {
            let state = settle::partial(source, items.len(), error.reason());
            (items, state)
        }
    }
}

fn flatpak_tree(sys: &Sys, base: &str) -> Result<Vec<SoftwareItem>, SysError> {
    let mut items = vec![];
    let folders = |path: &str| -> Result<Vec<String>, SysError> {
        let entries = sys.list(path)?;
        // `current` beside the architectures is a link to one of them.
        Ok(entries.into_iter().filter(|e| e.kind == FileKind::Dir).map(|e| e.name).collect())
    };
    for id in folders(base)? {
        for arch in folders(&format!("{base}/{id}"))? {
            for branch in folders(&format!("{base}/{id}/{arch}"))? {
                let active = format!("{base}/{id}/{arch}/{branch}/active");
                if !sys.exists(&active)? {
                    continue;
                }
                let version = flatpak_version(sys, &active, &id).unwrap_or_else(|| branch.clone());
                let time = sys.stat(&active)?.and_then(|s| s.modified);
                items.push(SoftwareItem {
                    arch: Some(arch.clone()),
                    installed_at: time.map(|t| whole_second(&t)),
                    ..item("flatpak", &id, &version)
                });
            }
        }
    }
    Ok(items)
}

/// The version an application gives itself; flatpak knows only branches.
fn flatpak_version(sys: &Sys, active: &str, id: &str) -> Option<String> {
    let deploy = sys.read_capped(&format!("{active}/deploy"), 1024 * 1024).ok();
    if let Some(version) = deploy.as_deref().and_then(parse_flatpak::appdata_version) {
        return Some(version);
    }
    ["metainfo", "appdata"].iter().find_map(|kind| {
        let path = format!("{active}/files/share/{kind}/{id}.{kind}.xml");
        parse_flatpak::release_version(&sys.read_capped(&path, 1024 * 1024).ok()?)
    })
}

/// Flatpaks that people installed for themselves. A home that may not be looked into is a gap.
fn user_flatpaks(sys: &Sys) -> Vec<Part> {
    let passwd = match sys.read_text(PASSWD) {
        Ok(passwd) => passwd,
        Err(SysError::Absent { .. }) => return vec![],
        Err(error) => return vec![no_part("flatpak:user", &error)],
    };
    let mut out = vec![];
    for line in passwd.lines().take(10_000) {
        let fields: Vec<&str> = line.split(':').collect();
        let (Some(user), Some(home)) = (fields.first(), fields.get(5)) else { continue };
        let real_home = home.starts_with("/home/") || *home == "/root" || home.starts_with("/var/home/");
        if !real_home {
            continue;
        }
        let (items, state) = flatpak(sys, &format!("{home}/.local/share/flatpak"), Some(user));
        if state.status != Status::Absent {
            out.push((items, state));
        }
    }
    out
}
