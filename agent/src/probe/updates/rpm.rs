//! Pending updates of rpm systems, from the repository metadata that dnf or zypper keep.
//!
//! Source: `/etc/yum.repos.d` or `/etc/zypp/repos.d`, `/var/cache/dnf`, `/var/cache/libdnf5`,
//! `/var/cache/zypp/raw`. An enabled repository without cached metadata is `failed`, `metadata_missing`.
//! Severity, CVE ids and dates come from the advisories; a distribution that publishes none (CentOS Stream)
//! leaves `security_known` false. Which module streams are enabled is not judged: where modular packages
//! are installed the fact is `partial`.

use std::collections::{BTreeSet, HashMap};
use std::io::BufReader;

use tenken_shared::collected::{Reason, SourceState, Status};
use tenken_shared::fact::updates::{MetadataAge, PendingUpdate};

use super::{Part, class};
use crate::probe::package::apt::pin::glob;
use crate::probe::package::repodata::{self, Advisory, Offer};
use crate::probe::package::rpm::{self, Package};
use crate::probe::package::{rpmdb, settle, unpack};
use crate::probe::update_settings::parse::{entries, ini, is_yes, zypper_locks};
use crate::sys::{Sys, SysError};

const REPOS: [&str; 3] = ["/etc/yum.repos.d", "/etc/distro.repos.d", "/etc/zypp/repos.d"];
const ZYPP: &str = "/var/cache/zypp/raw";
const CACHES: [&str; 2] = ["/var/cache/dnf", "/var/cache/libdnf5"];
const DNF_CONF: [&str; 2] = ["/etc/dnf/dnf.conf", "/etc/yum.conf"];
const LOCKS: [&str; 2] = ["/etc/dnf/plugins/versionlock.list", "/etc/yum/pluginconf.d/versionlock.list"];
const ZYPPER_LOCKS: &str = "/etc/zypp/locks";
/// `None` where rpm manages nothing here.
pub fn collect(sys: &Sys) -> Option<Part> {
    let mut part = Part { manager: "rpm", ..Part::default() };
    let installed = match installed(sys, &mut part) {
        Ok(installed) => installed,
        Err(error) => {
            part.sources.push(settle::gap("rpm", &error));
            return Some(part);
        }
    };
    if installed.is_empty() && part.sources.is_empty() {
        return None;
    }
    let repositories = match repositories(sys) {
        Ok(repositories) => repositories,
        Err(error) => {
            part.sources.push(settle::gap("rpm:repositories", &error));
            return Some(part);
        }
    };
    let mut found = Found::default();
    for repository in &repositories {
        let source = format!("rpm:{}", repository.id);
        match read_repository(sys, repository, &installed, &mut found, &mut part) {
            Ok(count) => part.sources.push(SourceState::known(source, count)),
            Err(SysError::Absent { what }) => {
                let reason = Reason::with("metadata_missing", what);
                part.sources.push(SourceState::gap(source, Status::Failed, reason));
            }
            Err(error) => part.sources.push(settle::gap(source, &error)),
        }
    }
    if repositories.is_empty() {
        let reason = Reason::with("metadata_missing", "no repository is enabled");
        part.sources.push(SourceState::gap("rpm:repositories", Status::Failed, reason));
    }
    if installed.values().any(|p| p.module.is_some()) {
        part.sources.push(settle::partial("rpm:modules", 0, Reason::new("modular_packages_not_judged")));
    }
    part.security_known = found.has_advisories;
    let held = held(sys);
    for package in installed.values() {
        part.pending.extend(pending(package, &found, &held));
    }
    Some(part)
}

/// Installed packages by name and architecture; of those that stay in several versions (kernels) the newest.
type Installed = HashMap<(String, String), Package>;

fn installed(sys: &Sys, part: &mut Part) -> Result<Installed, SysError> {
    let mut out = Installed::new();
    for database in rpmdb::find(sys)? {
        let read = rpmdb::for_each(sys, &database, &mut |p| {
            let key = (p.name.clone(), p.arch.clone().unwrap_or_default());
            let newer = out.get(&key).is_none_or(|old| rpm::compare(&p.evr(), &old.evr()).is_gt());
            if newer {
                out.insert(key, p);
            }
        });
        let source = format!("rpm:{}", database.path);
        match read {
            Ok(summary) if summary.damaged > 0 => {
                part.sources.push(settle::partial(
                    source,
                    0,
                    Reason::with("damaged_entries", summary.damaged),
                ));
            }
            Ok(_) => {}
            Err(error) => part.sources.push(settle::gap(source, &error)),
        }
    }
    Ok(out)
}

/// One enabled repository.
struct Repository {
    id: String,
    is_zypp: bool,
    excluded: Vec<String>,
}

/// Enabled repositories of all `.repo` files. Exclusions of dnf's own settings apply to each.
fn repositories(sys: &Sys) -> Result<Vec<Repository>, SysError> {
    let list = |text: &str| -> Vec<String> {
        text.split([',', ' ']).filter(|w| !w.is_empty()).map(str::to_owned).collect()
    };
    let excluded = |text: &str, section: &str| -> Vec<String> {
        ["exclude", "excludepkgs"].iter().filter_map(|key| ini(text, section, key)).flat_map(list).collect()
    };
    let main: Vec<String> = DNF_CONF
        .iter()
        .filter_map(|path| sys.read_text(path).ok())
        .flat_map(|text| excluded(&text, "main"))
        .collect();
    let mut out: Vec<Repository> = vec![];
    for folder in REPOS {
        let files = match sys.list(folder) {
            Ok(files) => files,
            Err(SysError::Absent { .. }) => continue,
            Err(error) => return Err(error),
        };
        for file in files.iter().filter(|f| f.name.ends_with(".repo")) {
            let text = sys.read_text(&format!("{folder}/{}", file.name))?;
            let ids = text.lines().filter_map(|l| l.trim().strip_prefix('[')?.strip_suffix(']'));
            for id in ids.filter(|id| !id.contains('/') && *id != "main").take(1_000) {
                let is_on = ini(&text, id, "enabled").is_none_or(is_yes);
                if is_on && !out.iter().any(|r| r.id == id) {
                    let own = excluded(&text, id).into_iter().chain(main.iter().cloned()).collect();
                    out.push(Repository {
                        id: id.to_owned(),
                        is_zypp: folder.contains("zypp"),
                        excluded: own,
                    });
                }
            }
        }
    }
    Ok(out)
}

#[derive(Default)]
struct Found {
    /// Offers by package name, with the repository.
    offers: HashMap<String, Vec<(Offer, String)>>,
    /// Advisories, and for each package name which ones.
    advisories: Vec<Advisory>,
    by_name: HashMap<String, Vec<usize>>,
    has_advisories: bool,
}

/// The folder with a repository's cached `repodata`.
fn cache_of(sys: &Sys, repository: &Repository) -> Result<String, SysError> {
    let absent = || SysError::Absent { what: repository.id.clone() };
    if repository.is_zypp {
        let path = format!("{ZYPP}/{}/repodata", repository.id);
        return if sys.exists(&path)? { Ok(path) } else { Err(absent()) };
    }
    for cache in CACHES {
        let entries = match sys.list(cache) {
            Ok(entries) => entries,
            Err(SysError::Absent { .. }) => continue,
            Err(error) => return Err(error),
        };
        let of_id = |name: &str| {
            let hash = name.strip_prefix(repository.id.as_str()).and_then(|rest| rest.strip_prefix('-'));
            hash.is_some_and(|h| h.len() == 16 && h.bytes().all(|b| b.is_ascii_hexdigit()))
        };
        let mut newest: Option<(Option<jiff::Timestamp>, String)> = None;
        for entry in entries.iter().filter(|e| of_id(&e.name)) {
            let path = format!("{cache}/{}/repodata", entry.name);
            if let Some(stat) = sys.stat(&format!("{path}/repomd.xml"))? {
                newest = newest.max(Some((stat.modified, path)));
            }
        }
        if let Some((_, path)) = newest {
            return Ok(path);
        }
    }
    Err(absent())
}

/// Reads one repository; gives how many packages it offers.
fn read_repository(
    sys: &Sys,
    repository: &Repository,
    installed: &Installed,
    found: &mut Found,
    part: &mut Part,
) -> Result<usize, SysError> {
    let folder = cache_of(sys, repository)?;
    let path = format!("{folder}/repomd.xml");
    let repomd = repodata::parse_repomd(&sys.read(&path)?).map_err(|e| SysError::malformed(&path, e))?;
    let refreshed_at = sys.stat(&path)?.and_then(|s| s.modified);
    part.last_search = part.last_search.max(refreshed_at);
    part.metadata.push(MetadataAge {
        source: format!("rpm:{}", repository.id),
        refreshed_at,
        published_at: repomd.revision,
        valid_until: None,
    });
    let names: BTreeSet<&str> = installed.keys().map(|(name, _)| name.as_str()).collect();
    let wanted = |name: &str| names.contains(name);
    let primary = repomd.file("primary").ok_or_else(|| SysError::malformed(&path, "no primary"))?;
    let primary = format!("{folder}/{primary}");
    let input = BufReader::new(unpack::open(sys, &primary)?);
    let count = repodata::scan_primary(input, &wanted, &mut |offer| {
        if !repository.excluded.iter().any(|p| glob(p, &offer.name)) {
            found.offers.entry(offer.name.clone()).or_default().push((offer, repository.id.clone()));
        }
    })
    .map_err(|e| SysError::malformed(&primary, e))?;
    if let Some(updateinfo) = repomd.file("updateinfo") {
        let path = format!("{folder}/{updateinfo}");
        let input = BufReader::new(unpack::open(sys, &path)?);
        let seen = repodata::scan_updateinfo(input, &wanted, &mut |advisory| {
            let index = found.advisories.len();
            for (name, _, _) in &advisory.packages {
                let list = found.by_name.entry(name.clone()).or_default();
                if list.last() != Some(&index) {
                    list.push(index);
                }
            }
            found.advisories.push(advisory);
        })
        .map_err(|e| SysError::malformed(&path, e))?;
        found.has_advisories |= seen > 0;
    }
    Ok(count)
}

/// Patterns of packages held back: dnf's version locks, zypper's locks.
fn held(sys: &Sys) -> Vec<String> {
    let locks = LOCKS.iter().filter_map(|p| sys.read_text(p).ok()).flat_map(|text| entries(&text));
    // `name-epoch:version-release.*`: only the name matters for whether it is held.
    let names = locks.map(|lock| match lock.rsplitn(3, '-').nth(2) {
        Some(name) => name.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':').to_owned(),
        None => lock,
    });
    let zypper = sys.read_text(ZYPPER_LOCKS).map(|text| zypper_locks(&text)).unwrap_or_default();
    names.chain(zypper).collect()
}

fn is_modular(evr: &str) -> bool {
    evr.contains(".module")
}

fn pending(package: &Package, found: &Found, held: &[String]) -> Option<PendingUpdate> {
    let (installed, arch) = (package.evr(), package.arch.as_deref().unwrap_or_default());
    let fits = |offer: &&(Offer, String)| {
        (offer.0.arch == arch || offer.0.arch == "noarch" || arch == "noarch")
            && is_modular(&offer.0.evr) == package.module.is_some()
    };
    let offers = found.offers.get(&package.name)?.iter().filter(fits);
    let (best, repository) = offers.max_by(|a, b| rpm::compare(&a.0.evr, &b.0.evr))?;
    if !rpm::compare(&best.evr, &installed).is_gt() {
        return None;
    }
    let candidate = best.evr.strip_prefix("0:").unwrap_or(&best.evr).to_owned();
    let mut advisories: Vec<&Advisory> =
        found.by_name.get(&package.name).into_iter().flatten().map(|&i| &found.advisories[i]).collect();
    advisories.retain(|a| {
        a.packages.iter().any(|(name, of_arch, evr)| {
            *name == package.name
                && (of_arch == arch || of_arch == "noarch" || arch == "noarch")
                && rpm::compare(evr, &installed).is_gt()
                && rpm::compare(evr, &best.evr).is_le()
        })
    });
    let security: Vec<&Advisory> = advisories.iter().copied().filter(|a| a.kind == "security").collect();
    // The oldest open security fix counts: its days run.
    let leading = security.iter().min_by_key(|a| a.issued).or(advisories.iter().max_by_key(|a| a.issued));
    let mut cves: Vec<String> = security.iter().flat_map(|a| a.cves.iter().cloned()).collect();
    cves.sort();
    cves.dedup();
    Some(PendingUpdate {
        id: format!("{}={candidate}", package.name),
        title: leading.map(|a| format!("{}: {}", a.id, a.title)),
        package: Some(package.name.clone()),
        arch: package.arch.clone(),
        installed: Some(installed),
        candidate: Some(candidate),
        origin: Some(repository.clone()),
        class: Some(class::of(&package.name, package.source_name()).to_owned()),
        security: found.has_advisories.then_some(!security.is_empty()),
        severity: security.iter().filter_map(|a| a.severity.clone()).min_by_key(|s| rank(s)),
        cves,
        released_at: leading.and_then(|a| a.issued),
        held: held.iter().any(|p| glob(p, &package.name)),
        ..PendingUpdate::default()
    })
}

fn rank(severity: &str) -> usize {
    ["critical", "important", "high", "moderate", "medium", "low"]
        .iter()
        .position(|s| *s == severity)
        .unwrap_or(9)
}

#[cfg(test)]
mod tests {
    use tenken_shared::fact::updates::{Updates, UpdatesObserved};

    use super::super::{PROBE, ProbeConfig};
    use crate::probe::fixture::Fixture;
    use tenken_shared::collected::{Collected, Status};

    const CACHE: &str = "/var/cache/dnf/demo-5ade161b78557067/repodata";

    fn updates(fixture: &Fixture) -> Collected<Updates> {
        fixture.collect(&PROBE, &ProbeConfig::default())
    }

    #[test]
    fn pending_equals_what_dnf_lists() {
        let fixture = Fixture::of("updates/linux-dnf");
        let found = updates(&fixture);
        assert_eq!(found.status(), Status::Known, "{:?}", found.reason());
        let body = found.value().unwrap();
        let brief: Vec<_> = body.pending.iter().map(|p| (p.id.as_str(), p.security)).collect();
        let expected = [("tenken-demo-tools=1:1.3-1", Some(false)), ("tenken-demo=1:1.3-1", Some(true))];
        let mut sorted = brief.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expected);
        let demo = body.pending.iter().find(|p| p.package.as_deref() == Some("tenken-demo")).unwrap();
        assert_eq!(demo.severity.as_deref(), Some("important"));
        assert_eq!(demo.cves, ["CVE-2026-0001"]);
        // The open security fix is older than the candidate: its date counts.
        assert_eq!(demo.released_at.unwrap().to_string(), "2026-10-01T09:00:00Z");
        assert!(body.security_known);
        let ages = fixture.collect::<UpdatesObserved>(&PROBE, &ProbeConfig::default());
        assert!(ages.value().unwrap().metadata[0].refreshed_at.is_some());
    }

    #[test]
    fn locks_exclusions_and_missing_metadata() {
        let fixture = Fixture::of("updates/linux-dnf");
        fixture.write("/etc/dnf/plugins/versionlock.list", "tenken-demo-1:1.2-3.*\n");
        let held: Vec<bool> = updates(&fixture).value().unwrap().pending.iter().map(|p| p.held).collect();
        assert_eq!(held.iter().filter(|h| **h).count(), 1);
        fixture.write("/etc/dnf/dnf.conf", "[main]\nexcludepkgs=tenken-demo-t*\n");
        assert_eq!(updates(&fixture).value().unwrap().pending.len(), 1);
        fixture.write("/etc/yum.repos.d/more.repo", "[more]\nbaseurl=https://repo.example.com/more\n");
        let some = updates(&fixture);
        assert_eq!(
            (some.status(), some.reason().unwrap().code.as_str()),
            (Status::Partial, "metadata_missing")
        );
        std::fs::remove_dir_all(fixture.path(CACHE)).unwrap();
        let none = updates(&fixture);
        assert_eq!(
            (none.status(), none.reason().unwrap().code.as_str()),
            (Status::Failed, "metadata_missing")
        );
    }

    #[test]
    fn damaged_metadata_are_failed() {
        let fixture = Fixture::of("updates/linux-dnf");
        for entry in std::fs::read_dir(fixture.path(CACHE)).unwrap() {
            let path = entry.unwrap().path();
            if path.to_string_lossy().contains("primary") {
                let bytes = std::fs::read(&path).unwrap();
                std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            }
        }
        let found = updates(&fixture);
        assert_eq!((found.status(), found.reason().unwrap().code.as_str()), (Status::Failed, "malformed"));
    }
}
