//! Pending updates by apt's own rules, from its lists; equal to `apt list --upgradable`, with the updates
//! that are withheld from this machine for now (phased) shown beside them.
//!
//! Source: `/etc/apt` (sources, preferences, configuration), `/var/lib/apt/lists`, `/var/lib/dpkg/status`.
//! How old a repository's metadata are: [`refreshed`].
//! Errors: a repository whose release file or list is missing is `failed`, `metadata_missing`.
//! Severity and release date stay empty: apt's metadata have neither.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use tenken_shared::collected::{Reason, SourceState, Status};
use tenken_shared::fact::updates::{MetadataAge, PendingUpdate};

use super::{Part, class};
use crate::probe::package::apt::pin::{self, Pin, Place};
use crate::probe::package::apt::policy::{Installed, Offer, Phasing, Policy};
use crate::probe::package::apt::source::{self, Source};
use crate::probe::package::apt::{list, release};
use crate::probe::package::apt_conf::AptConf;
use crate::probe::package::deb822::Stanza;
use crate::probe::package::{deb_version, dpkg, settle, unpack};
use crate::sys::{Sys, SysError};

const STATUS: &str = "/var/lib/dpkg/status";
const FOREIGN: &str = "/var/lib/dpkg/arch";
const LISTS: &str = "/var/lib/apt/lists";
const SOURCES: &str = "/etc/apt/sources.list";
const SOURCE_PARTS: &str = "/etc/apt/sources.list.d";
const PREFERENCES: &str = "/etc/apt/preferences";
const PREFERENCE_PARTS: &str = "/etc/apt/preferences.d";
const PARTIAL: &str = "/var/lib/apt/lists/partial";
/// Longest silence of a place that is published to all the time.
const LIVELY_DAYS: i64 = 7;
const UPDATE_STAMP: &str = "/var/lib/apt/periodic/update-success-stamp";

/// `None` where dpkg manages nothing here.
pub fn collect(sys: &Sys) -> Option<Part> {
    let mut part = Part { manager: "apt", ..Part::default() };
    let bytes = match sys.read(STATUS) {
        Ok(bytes) => bytes,
        Err(SysError::Absent { .. }) => return None,
        Err(error) => {
            part.sources.push(settle::gap(format!("dpkg:{STATUS}"), &error));
            return Some(part);
        }
    };
    let status = dpkg::parse_status(&bytes, false);
    if status.packages.is_empty() && status.damaged == 0 {
        return None;
    }
    if status.damaged > 0 {
        let reason = Reason::with("damaged_entries", status.damaged);
        part.sources.push(settle::partial(format!("dpkg:{STATUS}"), 0, reason));
    }
    let native = native_arch(&status);
    let conf = match configuration(sys) {
        Ok(conf) => conf,
        Err(error) => {
            part.sources.push(settle::gap("apt:/etc/apt/apt.conf.d", &error));
            AptConf::default()
        }
    };
    let lists = active_lists(sys, &native, &mut part);
    let pins = pins(sys, &mut part);
    let offers = read_offers(sys, &status, &native, &lists, &mut part);
    let phasing = Phasing {
        machine_id: machine_id(sys, &conf),
        always: conf.flag("APT::Get::Always-Include-Phased-Updates") == Some(true),
        never: conf.flag("APT::Get::Never-Include-Phased-Updates") == Some(true),
    };
    let places = lists.into_iter().map(|l| l.place).collect();
    let policy = Policy::new(places, pins, conf.get("APT::Default-Release"), &native, phasing);
    part.security_known = policy.places().iter().any(|p| p.release.security() == Some(true));
    for (package, offers) in status.packages.iter().zip(&offers) {
        part.pending.extend(pending(package, offers, &policy, &native));
    }
    Some(part)
}

fn machine_id(sys: &Sys, conf: &AptConf) -> Option<String> {
    let own = || sys.read_line("/etc/machine-id").ok().flatten().filter(|id| id != "uninitialized");
    conf.get("APT::Machine-ID").map(str::to_owned).or_else(own)
}

/// `/etc/apt/apt.conf.d/*` in order, then `/etc/apt/apt.conf`.
pub fn configuration(sys: &Sys) -> Result<AptConf, SysError> {
    let mut conf = AptConf::default();
    for path in drop_ins(sys, "/etc/apt/apt.conf.d", &["", "conf"])? {
        conf.read(&sys.read(&path)?);
    }
    match sys.read("/etc/apt/apt.conf") {
        Ok(bytes) => conf.read(&bytes),
        Err(SysError::Absent { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(conf)
}

/// Files of a drop-in folder that apt would read: plain names with one of the endings.
fn drop_ins(sys: &Sys, folder: &str, endings: &[&str]) -> Result<Vec<String>, SysError> {
    let entries = match sys.list(folder) {
        Ok(entries) => entries,
        Err(SysError::Absent { .. }) => return Ok(vec![]),
        Err(error) => return Err(error),
    };
    let fits = |name: &str| {
        let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
        !stem.is_empty()
            && endings.contains(&ending)
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    Ok(entries.iter().filter(|e| fits(&e.name)).map(|e| format!("{folder}/{}", e.name)).collect())
}

fn native_arch(status: &dpkg::Status<'_>) -> String {
    let of = |name: &str| {
        let package = status.packages.iter().find(|p| p.name == name)?;
        package.arch.as_deref().filter(|a| *a != "all")
    };
    let any = || status.packages.iter().filter_map(|p| p.arch.as_deref()).find(|a| *a != "all");
    of("dpkg").or_else(|| of("apt")).or_else(any).unwrap_or_default().to_owned()
}

/// One list on disk and the place it stands for.
struct ActiveList {
    path: String,
    place: Place,
}

/// The lists of every active source. A source without its metadata becomes a gap.
fn active_lists(sys: &Sys, native: &str, part: &mut Part) -> Vec<ActiveList> {
    let sources = match sources(sys) {
        Ok(sources) => sources,
        Err(error) => {
            part.sources.push(settle::gap("apt:/etc/apt/sources.list", &error));
            return vec![];
        }
    };
    if sources.is_empty() {
        let reason = Reason::with("metadata_missing", "no source is configured");
        part.sources.push(SourceState::gap("apt:/etc/apt/sources.list", Status::Failed, reason));
        return vec![];
    }
    let names: BTreeSet<String> = match sys.list(LISTS) {
        Ok(entries) => entries.into_iter().map(|e| e.name).collect(),
        Err(SysError::Absent { .. }) => BTreeSet::new(),
        Err(error) => {
            part.sources.push(settle::gap(format!("apt:{LISTS}"), &error));
            return vec![];
        }
    };
    let mut archs = vec![native.to_owned()];
    if let Ok(text) = sys.read_text(FOREIGN) {
        archs.extend(text.lines().map(str::to_owned).filter(|a| a != native && !a.is_empty()).take(8));
    }
    part.last_search = last_search(sys);
    // What a download left here broke off or failed its check: a run that ends well clears it away.
    let unfinished: Vec<String> =
        sys.list(PARTIAL).map(|entries| entries.into_iter().map(|e| e.name).collect()).unwrap_or_default();
    let mut found: Vec<ActiveList> = vec![];
    for source in &sources {
        let before = found.len();
        let missing = lists_of(sys, source, &archs, &names, &unfinished, part, &mut found);
        let label = format!("apt:{}", source.label());
        let count = found.len() - before;
        part.sources.push(match missing {
            None => SourceState::known(label, count),
            Some(what) if count == 0 => {
                SourceState::gap(label, Status::Failed, Reason::with("metadata_missing", what))
            }
            Some(what) => settle::partial(label, count, Reason::with("metadata_missing", what)),
        });
    }
    let mut seen = HashSet::new();
    found.retain(|l| seen.insert(l.path.clone()));
    found
}

/// apt leaves no record of a refresh that found nothing new but what these two keep.
fn last_search(sys: &Sys) -> Option<Timestamp> {
    let time = |path: &str| sys.stat(path).ok().flatten()?.modified;
    time(UPDATE_STAMP).max(time(LISTS))
}

/// When one repository was fetched last. The last run of apt stands for all of them, though it counts as a
/// success when any of them answered; what speaks against it for one repository wins. apt keeps the server's
/// time (`published`) on the release file and leaves no mark when nothing had changed, so this is the latest
/// moment known: before it the file cannot have been fetched. That it lies far back proves nothing of a
/// repository that seldom changes; one with a `Valid-Until` grows old by that.
fn refreshed(
    run: Option<Timestamp>,
    release: &release::Release,
    published: Option<Timestamp>,
    is_unfinished: bool,
) -> Option<Timestamp> {
    let run = run?;
    let own = release.date.max(published).map(|at| at.min(run));
    let silent_too_long =
        own.is_none_or(|at| run.duration_since(at) > SignedDuration::from_hours(24 * LIVELY_DAYS));
    let is_lively = release.valid_until.is_none() && release.is_lively();
    if is_unfinished || is_lively && silent_too_long { own } else { Some(run) }
}

/// Adds the lists of one source; names the first one that should be there and is not.
fn lists_of(
    sys: &Sys,
    source: &Source,
    archs: &[String],
    names: &BTreeSet<String>,
    unfinished: &[String],
    part: &mut Part,
    found: &mut Vec<ActiveList>,
) -> Option<String> {
    let prefix = source.prefix();
    let file = ["InRelease", "Release"].iter().map(|n| format!("{prefix}{n}")).find(|n| names.contains(n));
    let Some(file) = file else { return Some(format!("{prefix}InRelease")) };
    let text = sys.read(&format!("{LISTS}/{file}")).unwrap_or_default();
    let Some(release) = release::parse(&text) else { return Some(file) };
    part.metadata.push(MetadataAge {
        source: format!("apt:{}", source.label()),
        refreshed_at: refreshed(
            part.last_search,
            &release,
            sys.stat(&format!("{LISTS}/{file}")).ok().flatten().and_then(|s| s.modified),
            unfinished.iter().any(|name| name.starts_with(&prefix)),
        ),
        published_at: release.date,
        valid_until: release.valid_until,
    });
    let own_archs = if source.archs.is_empty() { archs } else { &source.archs };
    let components = if source.is_flat() { &[String::new()][..] } else { &source.components };
    let mut missing = None;
    for component in components {
        for arch in own_archs.iter().map(String::as_str).chain(["all"]) {
            let name = source.list_name(component, arch);
            let file = unpack::ENDINGS.iter().map(|e| format!("{name}{e}")).find(|n| names.contains(n));
            match file {
                Some(file) => found.push(ActiveList {
                    path: format!("{LISTS}/{file}"),
                    place: Place {
                        release: release.clone(),
                        component: component.clone(),
                        arch: arch.to_owned(),
                        site: source.site().to_owned(),
                    },
                }),
                None if is_expected(source, &text, component, arch, archs) => {
                    missing = missing.or(Some(name));
                }
                None => {}
            }
            if source.is_flat() {
                break;
            }
        }
    }
    missing
}

/// Whether a list should be there: the release names it and it is not empty, or, for the machine's own
/// architecture, the release names no such list at all.
fn is_expected(source: &Source, release: &[u8], component: &str, arch: &str, archs: &[String]) -> bool {
    let path =
        if source.is_flat() { "Packages".to_owned() } else { format!("{component}/binary-{arch}/Packages") };
    let sizes = ["", ".gz", ".xz"].map(|ending| release::listed_size(release, &format!("{path}{ending}")));
    if arch == "all" {
        let separate =
            !memchr::memmem::find_iter(release, b"\nNo-Support-for-Architecture-all: Packages").any(|_| true);
        let names_all = memchr::memmem::find(release, b"\nArchitectures:").is_some_and(|at| {
            let line = release[at + 1..].split(|&b| b == b'\n').next().unwrap_or_default();
            line.split(u8::is_ascii_whitespace).any(|w| w == b"all")
        });
        return separate && names_all && sizes[0].is_some_and(|s| s > 0);
    }
    match sizes {
        [Some(size), ..] => size > 0,
        [None, gz, xz] => gz.or(xz).is_some() || archs.first().is_some_and(|native| native == arch),
    }
}

/// Every active source of the machine.
fn sources(sys: &Sys) -> Result<Vec<Source>, SysError> {
    let mut out = match sys.read(SOURCES) {
        Ok(bytes) => source::parse_list(&bytes),
        Err(SysError::Absent { .. }) => vec![],
        Err(error) => return Err(error),
    };
    for path in drop_ins(sys, SOURCE_PARTS, &["list", "sources"])? {
        let bytes = sys.read(&path)?;
        let parse = if path.ends_with(".list") { source::parse_list } else { source::parse_deb822 };
        out.extend(parse(&bytes));
    }
    out.truncate(source::MAX_SOURCES);
    out.dedup();
    Ok(out)
}

/// Every pin: the main file first, then its parts, as apt reads them. Pins that could not be understood
/// are a gap: a candidate might be another one with them.
fn pins(sys: &Sys, part: &mut Part) -> Vec<Pin> {
    let mut out = vec![];
    let parts = drop_ins(sys, PREFERENCE_PARTS, &["", "pref"]);
    let paths = std::iter::once(Ok(PREFERENCES.to_owned())).chain(match parts {
        Ok(paths) => paths.into_iter().map(Ok).collect::<Vec<_>>(),
        Err(error) => vec![Err(error)],
    });
    for path in paths {
        let read = path.and_then(|path| sys.read(&path).map(|bytes| (path, bytes)));
        match read {
            Ok((path, bytes)) => {
                let preferences = pin::parse(&bytes);
                out.extend(preferences.pins);
                if preferences.not_understood > 0 {
                    let reason = Reason::with("regular_expression_pin", preferences.not_understood);
                    part.sources.push(settle::partial(format!("apt:{path}"), out.len(), reason));
                }
            }
            Err(SysError::Absent { .. }) => {}
            Err(error) => part.sources.push(settle::gap(format!("apt:{}", error.what()), &error)),
        }
    }
    out
}

/// What the lists offer for each installed package, in the order of the status file.
fn read_offers(
    sys: &Sys,
    status: &dpkg::Status<'_>,
    native: &str,
    lists: &[ActiveList],
    part: &mut Part,
) -> Vec<Vec<Offer>> {
    let mut by_name: HashMap<&[u8], Vec<usize>> = HashMap::with_capacity(status.packages.len());
    for (index, package) in status.packages.iter().enumerate() {
        by_name.entry(package.name.as_bytes()).or_default().push(index);
    }
    let arch_of = |arch: Option<&str>| match arch {
        None | Some("all") => native.to_owned(),
        Some(arch) => arch.to_owned(),
    };
    let archs: Vec<String> = status.packages.iter().map(|p| arch_of(p.arch.as_deref())).collect();
    let mut offers: Vec<Vec<Offer>> = vec![vec![]; status.packages.len()];
    for (place, list) in lists.iter().enumerate() {
        let result = unpack::open(sys, &list.path).and_then(|reader| {
            list::scan(reader, &|name| by_name.contains_key(name), &mut |stanza| {
                let Some((name, arch, offer)) = parse_offer(stanza, place) else { return };
                let arch = arch_of(arch);
                for &index in by_name.get(name).into_iter().flatten() {
                    if archs[index] == arch {
                        offers[index].push(offer.clone());
                    }
                }
            })
            .map_err(|e| SysError::malformed(&list.path, e))
        });
        if let Err(error) = result {
            part.sources.push(settle::gap(format!("apt:{}", list.path), &error));
        }
    }
    offers
}

/// Name, architecture and offer of a stanza.
fn parse_offer(stanza: Stanza<'_>, place: usize) -> Option<(&[u8], Option<&str>, Offer)> {
    let (mut name, mut version, mut arch, mut phased, mut source) = (None, None, None, None, None);
    for (field, value) in stanza.fields() {
        match field {
            b"Package" => name = Some(value),
            b"Version" => version = std::str::from_utf8(value).ok(),
            b"Architecture" => arch = std::str::from_utf8(value).ok(),
            b"Phased-Update-Percentage" => {
                phased = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok())
            }
            b"Source" => source = std::str::from_utf8(value).ok(),
            _ => {}
        }
    }
    let (name, version) = (name?, version?);
    let (source, source_version) = match source.map(|s| s.split_once(" (").unwrap_or((s, ""))) {
        Some((source, "")) => (source.trim(), version),
        Some((source, source_version)) => (source.trim(), source_version.trim_end_matches(')')),
        None => (std::str::from_utf8(name).ok()?, version),
    };
    let offer = Offer {
        version: version.to_owned(),
        place,
        phased,
        source: source.to_owned(),
        source_version: source_version.to_owned(),
    };
    Some((name, arch, offer))
}

fn pending(
    package: &dpkg::Package<'_>,
    offers: &[Offer],
    policy: &Policy,
    native: &str,
) -> Option<PendingUpdate> {
    let arch = package.arch.as_deref().unwrap_or(native);
    let installed = Installed {
        name: &package.name,
        arch: if arch == "all" { native } else { arch },
        version: &package.version,
        source: package.source.as_deref().unwrap_or(&package.name),
    };
    // A pin over 1000 may choose an older version: that is no update.
    let choice = policy
        .choose(installed, offers)
        .filter(|c| deb_version::compare(c.version, installed.version).is_gt())?;
    let origins: BTreeSet<String> =
        choice.places.iter().filter_map(|&i| policy.places().get(i)).map(|p| p.release.text()).collect();
    Some(PendingUpdate {
        id: format!("{}={}", package.name, choice.version),
        package: Some(package.name.to_string()),
        arch: package.arch.as_deref().map(str::to_owned),
        installed: Some(package.version.to_string()),
        candidate: Some(choice.version.to_owned()),
        origin: Some(origins.into_iter().collect::<Vec<_>>().join(", ")),
        class: Some(class::of(&package.name, package.source.as_deref()).to_owned()),
        security: choice.security,
        held: package.held,
        phased: choice.phased,
        ..PendingUpdate::default()
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tenken_shared::collected::Collected;
    use tenken_shared::fact::updates::{Updates, UpdatesObserved};

    use super::super::{PROBE, ProbeConfig};
    use super::*;

    const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/updates");

    fn read(root: &Path) -> (Collected<Updates>, Collected<UpdatesObserved>) {
        let sys = Sys::at_root(root, None).unwrap();
        let facts = (PROBE.collect)(&sys, &ProbeConfig::default());
        (facts[0].record.typed(), facts[1].record.typed())
    }

    /// A private copy of the fixture, to take something away from.
    fn copy() -> tempfile::TempDir {
        fn copy_dir(from: &Path, to: &Path) {
            std::fs::create_dir_all(to).unwrap();
            for entry in std::fs::read_dir(from).unwrap() {
                let entry = entry.unwrap();
                let to = to.join(entry.file_name());
                if entry.file_type().unwrap().is_dir() {
                    copy_dir(&entry.path(), &to);
                } else {
                    std::fs::copy(entry.path(), to).unwrap();
                }
            }
        }
        let dir = tempfile::tempdir().unwrap();
        copy_dir(&Path::new(FIXTURES).join("linux-apt"), dir.path());
        dir
    }

    #[test]
    fn one_repository_that_fails_is_old_though_others_were_fetched() {
        let time = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let run = time("2026-11-22T06:00:00Z");
        let release = |origin: &str, suite: &str, date: &str| release::Release {
            origin: origin.into(),
            suite: suite.into(),
            date: time(date),
            ..release::Release::default()
        };
        let ubuntu = release("Ubuntu", "noble-security", "2026-10-20T00:00:00Z");
        assert_eq!(refreshed(run, &ubuntu, None, false), ubuntu.date, "weeks of silence");
        assert_eq!(refreshed(run, &ubuntu, time("2026-11-20T00:00:00Z"), false), run);
        let alive = release("Ubuntu", "noble-security", "2026-11-19T00:00:00Z");
        assert_eq!(refreshed(run, &alive, None, false), run);
        let vendor = release("Example", "stable", "2025-01-01T00:00:00Z");
        assert_eq!(refreshed(run, &vendor, None, false), run, "seldom changes");
        assert_eq!(refreshed(run, &vendor, None, true), vendor.date, "broke off");
        let dated = release::Release { valid_until: time("2026-10-27T00:00:00Z"), ..ubuntu.clone() };
        assert_eq!(refreshed(run, &dated, None, false), run, "its end is told apart");
        let undated = release::Release { date: None, ..ubuntu };
        assert_eq!(refreshed(run, &undated, None, false), None);
        assert_eq!(refreshed(None, &vendor, None, false), None);
    }

    #[test]
    fn a_download_that_broke_off_makes_its_repository_old() {
        let dir = copy();
        let lists = dir.path().join("var/lib/apt/lists");
        let release = lists.join("apt.example.com_x%5fy_dists_stable_InRelease");
        let published = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_750_000_000);
        std::fs::File::options().write(true).open(release).unwrap().set_modified(published).unwrap();
        let (_, before) = read(dir.path());
        let partial = dir.path().join("var/lib/apt/lists/partial");
        std::fs::create_dir_all(&partial).unwrap();
        std::fs::write(partial.join("apt.example.com_x%5fy_dists_stable_InRelease.FAILED"), "x").unwrap();
        let (_, after) = read(dir.path());
        let changed: Vec<(String, Option<Timestamp>, Option<Timestamp>)> = before
            .value()
            .unwrap()
            .metadata
            .iter()
            .zip(&after.value().unwrap().metadata)
            .filter(|(b, a)| b.refreshed_at != a.refreshed_at && a.source.contains("apt.example.com"))
            .map(|(b, a)| (a.source.clone(), b.refreshed_at, a.refreshed_at))
            .collect();
        let [(source, old, new)] = changed.as_slice() else { panic!("{changed:?}") };
        assert!(source.ends_with("stable") && new < old, "{changed:?}");
    }

    #[test]
    fn pending_equals_what_apt_lists() {
        let (updates, observed) = read(&Path::new(FIXTURES).join("linux-apt"));
        assert_eq!(updates.status(), Status::Known, "{:?}", updates.reason());
        let body = updates.value().unwrap();
        let ours: Vec<String> = body
            .pending
            .iter()
            .map(|p| {
                let text = |t: &Option<String>| t.clone().unwrap_or_default();
                format!(
                    "{} {} {} {}",
                    text(&p.package),
                    text(&p.candidate),
                    text(&p.arch),
                    text(&p.installed)
                )
            })
            .collect();
        let apt = std::fs::read_to_string(Path::new(FIXTURES).join("linux-apt.apt-list.txt")).unwrap();
        let mut theirs: Vec<String> = apt
            .lines()
            .map(|line| {
                let (name, rest) = line.split_once('/').unwrap();
                let words: Vec<&str> = rest.split(' ').collect();
                format!("{name} {} {} {}", words[1], words[2], words[5].trim_end_matches(']'))
            })
            .collect();
        theirs.sort();
        let mut sorted = ours.clone();
        sorted.sort();
        assert_eq!(sorted, theirs);

        let of = |name: &str| body.pending.iter().find(|p| p.package.as_deref() == Some(name)).unwrap();
        assert!(of("tzdata").held && !of("zstd").held);
        assert!(of("phased-out").phased && !of("phased-in").phased);
        assert_eq!(of("openssl").security, Some(true));
        assert_eq!(of("zstd").security, Some(false));
        assert_eq!(of("vendor-tool").security, None);
        // The security archive has a version between the installed one and the candidate.
        assert_eq!(of("libc6").security, Some(true));
        assert_eq!(of("openssl").origin.as_deref(), Some("Debian-Security:12/oldstable-security"));
        assert!(body.security_known);
        let ages = &observed.value().unwrap().metadata;
        assert_eq!(ages.len(), 4);
        assert!(ages.iter().all(|a| a.published_at.is_some() && !a.source.contains("secret")));
    }

    #[test]
    fn missing_and_damaged_metadata_are_never_zero_pending() {
        let dir = copy();
        let lists = dir.path().join("var/lib/apt/lists");
        let list = |name: &str| lists.join(name);
        std::fs::remove_file(list(
            "deb.debian.org_debian_dists_bookworm-backports_main_binary-amd64_Packages.xz",
        ))
        .unwrap();
        let (updates, _) = read(dir.path());
        assert_eq!(
            (updates.status(), updates.reason().unwrap().code.as_str()),
            (Status::Partial, "metadata_missing")
        );

        let dir = copy();
        let path = dir
            .path()
            .join("var/lib/apt/lists/deb.debian.org_debian_dists_bookworm_main_binary-amd64_Packages.lz4");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let (updates, _) = read(dir.path());
        assert_eq!(
            (updates.status(), updates.reason().unwrap().code.as_str()),
            (Status::Partial, "malformed")
        );

        std::fs::remove_dir_all(dir.path().join("var/lib/apt/lists")).unwrap();
        let (updates, observed) = read(dir.path());
        assert_eq!(
            (updates.status(), updates.reason().unwrap().code.as_str()),
            (Status::Failed, "metadata_missing")
        );
        assert_eq!(observed.status(), Status::Failed);

        std::fs::remove_dir_all(dir.path().join("etc/apt")).unwrap();
        assert_eq!(read(dir.path()).0.reason().unwrap().code, "metadata_missing");
        std::fs::remove_dir_all(dir.path().join("var/lib/dpkg")).unwrap();
        assert_eq!(read(dir.path()).0.status(), Status::Absent);
    }

    #[test]
    fn pins_that_are_not_understood_make_the_fact_partial() {
        let dir = copy();
        let text = "Package: /^ruby/\nPin: release a=x\nPin-Priority: 900\n";
        std::fs::write(dir.path().join("etc/apt/preferences"), text).unwrap();
        let (updates, _) = read(dir.path());
        assert_eq!(updates.reason().unwrap().code, "regular_expression_pin");
    }
}
