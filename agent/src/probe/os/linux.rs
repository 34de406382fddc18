//! OS of a Linux machine: release files, kernels on disk and running, locale and time zone.

use std::collections::BTreeMap;
use std::io::Read as _;

use jiff::Timestamp;
use tenken_shared::collected::{Collected, Reason, Status};
use tenken_shared::fact::os::Os;

use super::parse::{self, Release};
use crate::probe::Collection;
use crate::probe::sources::{Sources, collected};
use crate::sys::{Sys, SysError};

/// Traces an installation leaves, most trustworthy first: installer logs, then what is made once at the
/// first start. A cloned machine shows the time of its image.
const INSTALL_TRACES: [&str; 7] = [
    "/var/log/installer/initial-status.gz",
    "/var/log/installer/syslog",
    "/var/log/installer/status",
    "/var/log/anaconda/anaconda.log",
    "/root/anaconda-ks.cfg",
    "/etc/ssh/ssh_host_ed25519_key.pub",
    "/etc/machine-id",
];

/// Collects `os`. Privilege: none.
pub fn collect(sys: &Sys) -> Vec<Collection> {
    let mut sources = Sources::new();
    let mut from = Vec::new();
    let release = release(sys, &mut sources, &mut from);
    let Some(release) = release else {
        let reason = Reason::with("not_present", "/etc/os-release");
        let answer = if sources.has_gap() {
            let gap = sources.into_vec().into_iter().find_map(|s| s.is_gap().then_some(s.reason).flatten());
            Collected::Failed(gap.unwrap_or(reason))
        } else {
            Collected::<Os>::Absent(reason)
        };
        return vec![Collection::of(answer, "/etc/os-release", sys.now())];
    };
    let mut body = of_release(sys, &release, &mut sources);
    kernels(sys, &mut body, &mut sources);
    installed(sys, &mut body, &mut from);
    body.time_zone = sys.time_zone_name().unwrap_or_else(|error| {
        sources.error("/etc/localtime", &error);
        None
    });
    body.locale = ["/etc/locale.conf", "/etc/default/locale"]
        .into_iter()
        .find_map(|path| parse::locale(&sources.optional_text(sys, path)?));
    vec![Collection::of(collected(body, &sources.into_vec()), from.join("; "), sys.now())]
}

/// The map of `os-release`, or one in its form made from an older release file.
fn release(sys: &Sys, sources: &mut Sources, from: &mut Vec<String>) -> Option<BTreeMap<String, String>> {
    for path in ["/etc/os-release", "/usr/lib/os-release"] {
        if let Some(map) = sources.optional_text(sys, path).map(|text| parse::os_release(&text)) {
            if map.contains_key("ID") || map.contains_key("NAME") {
                from.push(path.into());
                return Some(map);
            }
            let reason = Reason::with("malformed", format!("{path}: neither ID nor NAME"));
            sources.gap(path, Status::Failed, reason);
        }
    }
    type Reader = fn(&str) -> Option<Release>;
    let older: [(&str, Reader); 8] = [
        ("/etc/redhat-release", parse::redhat_release),
        ("/etc/system-release", parse::redhat_release),
        ("/etc/centos-release", parse::redhat_release),
        ("/etc/SuSE-release", parse::suse_release),
        ("/etc/lsb-release", parse::lsb_release),
        ("/etc/alpine-release", |text| version_only("alpine", "Alpine Linux", text)),
        ("/etc/arch-release", |text| Some(parse::arch_release(text))),
        ("/etc/debian_version", |text| version_only("debian", "Debian GNU/Linux", text)),
    ];
    older.into_iter().find_map(|(path, reader)| {
        let release = reader(&sources.optional_text(sys, path)?)?;
        from.push(path.into());
        let mut map = BTreeMap::from([("ID".to_owned(), release.id), ("NAME".to_owned(), release.name)]);
        map.extend(release.version.map(|version| ("VERSION_ID".to_owned(), version)));
        map.extend(release.codename.map(|codename| ("VERSION_CODENAME".to_owned(), codename)));
        Some(map)
    })
}

fn version_only(id: &str, name: &str, text: &str) -> Option<Release> {
    let version = text.lines().next()?.trim();
    let sound = !version.is_empty() && version.len() <= 64;
    sound.then(|| Release { id: id.into(), name: name.into(), version: Some(version.into()), codename: None })
}

fn of_release(sys: &Sys, release: &BTreeMap<String, String>, sources: &mut Sources) -> Os {
    let get = |name: &str| release.get(name).filter(|value| !value.is_empty()).cloned();
    // Both name the point release where os-release names only the series.
    let point = match release.get("ID").map(String::as_str) {
        Some("debian") => sources.optional_text(sys, "/etc/debian_version"),
        Some("centos" | "rhel" | "ol" | "rocky" | "almalinux" | "scientific") => sources
            .optional_text(sys, "/etc/redhat-release")
            .and_then(|text| parse::redhat_release(&text)?.version),
        _ => None,
    };
    let variant = get("VARIANT_ID").map(|variant| variant.to_ascii_lowercase());
    Os {
        family: "linux".into(),
        id: get("ID").unwrap_or_else(|| "linux".into()),
        id_like: get("ID_LIKE")
            .map(|like| like.split_whitespace().map(Into::into).collect())
            .unwrap_or_default(),
        name: get("NAME"),
        edition: get("VARIANT"),
        installation_type: match variant.as_deref() {
            Some("server") => Some("server".into()),
            Some("workstation" | "desktop" | "silverblue" | "kinoite") => Some("client".into()),
            _ => None,
        },
        version: get("VERSION_ID"),
        version_full: parse::full_version(release, point.as_deref()),
        build: get("BUILD_ID"),
        codename: get("VERSION_CODENAME"),
        support_end: get("SUPPORT_END").and_then(|date| parse::iso_date(&date)),
        cpe: get("CPE_NAME"),
        ..Os::default()
    }
}

/// The running kernel, and the newest one that is installed.
fn kernels(sys: &Sys, body: &mut Os, sources: &mut Sources) {
    match sys.uname() {
        Ok(uname) => {
            body.kernel_running = Some(uname.release);
            body.arch = Some(uname.machine);
        }
        Err(SysError::Unsupported { .. }) => body.arch = arch_of_programs(sys),
        Err(error) => sources.error("uname", &error),
    }
    let mut found: Vec<String> = Vec::new();
    for (folder, prefixes) in [
        ("/lib/modules", &[""][..]),
        ("/usr/lib/modules", &[""]),
        ("/boot", &["vmlinuz-", "vmlinux-", "kernel-"]),
    ] {
        match sys.list(folder) {
            Ok(entries) => found.extend(entries.iter().filter_map(|entry| {
                let name = prefixes.iter().find_map(|prefix| entry.name.strip_prefix(prefix))?;
                parse::is_kernel_release(name).then(|| name.to_owned())
            })),
            Err(SysError::Absent { .. }) => {}
            Err(error) => sources.error(folder, &error),
        }
    }
    // Module folders outlive their kernel; one without a module list holds no installed kernel.
    let whole = |release: &String| {
        let image = ["vmlinuz-", "vmlinux-", "kernel-"];
        image.iter().any(|prefix| matches!(sys.exists(&format!("/boot/{prefix}{release}")), Ok(true)))
            || ["/lib/modules", "/usr/lib/modules"].iter().any(|folder| {
                ["vmlinuz", "modules.dep"]
                    .iter()
                    .any(|file| matches!(sys.exists(&format!("{folder}/{release}/{file}")), Ok(true)))
            })
    };
    found.sort_by(|a, b| parse::compare_kernels(a, b));
    found.dedup();
    body.kernel_newest = found.into_iter().rev().find(whole);
}

/// Architecture of the system's own programs, for a machine that does not run.
fn arch_of_programs(sys: &Sys) -> Option<String> {
    ["/usr/bin/env", "/bin/sh", "/bin/busybox", "/sbin/init"].into_iter().find_map(|path| {
        let mut head = Vec::new();
        sys.open(path).ok()?.take(20).read_to_end(&mut head).ok()?;
        parse::elf_machine(&head).map(Into::into)
    })
}

/// Install time from the first trace that is there; the trace is named in the source.
fn installed(sys: &Sys, body: &mut Os, from: &mut Vec<String>) {
    for path in INSTALL_TRACES {
        let Ok(Some(stat)) = sys.stat(path) else { continue };
        let plausible = stat.modified.filter(|at| *at > Timestamp::UNIX_EPOCH && *at <= sys.now());
        if let Some(at) = plausible {
            body.installed_at = Some(at.round(jiff::Unit::Second).unwrap_or(at));
            from.push(format!("installed_at:{path}"));
            return;
        }
    }
}
