//! Pending updates of rpm systems, from the repository metadata that dnf or zypper keep.
//!
//! Source: `/etc/yum.repos.d` or `/etc/zypp/repos.d`, `/var/cache/dnf`, `/var/cache/libdnf5`,
//! `/var/cache/zypp/raw`. An enabled repository without cached metadata is `failed`, `metadata_missing`.
//! Severity, CVE ids and dates come from the advisories. An update from a repository without any (BaseOS of
//! CentOS Stream, beside EPEL which has them) has an unknown `security`; `security_known` is false where no
//! repository has any. Priorities decide as dnf and zypper let them. A package that every repository excludes
//! (`excludepkgs`, `includepkgs`) is held, not up to date. Packages of module streams that are not in use are left
//! out (`modules`).

mod modules;

use std::collections::{BTreeSet, HashMap};
use std::io::BufReader;

use tenken_shared::collected::{Reason, SourceState, Status};
use tenken_shared::fact::updates::{MetadataAge, PendingUpdate};

use self::modules::Modules;
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
    let conf: Vec<String> = DNF_CONF.iter().filter_map(|path| sys.read_text(path).ok()).collect();
    let repositories = match repositories(sys, &conf) {
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
    match found.modules.settle(sys, &conf) {
        Ok(active) => {
            found.offers.values_mut().for_each(|list| list.retain(|o| o.is_hotfix || active.lets(&o.offer)));
            let is_offered = |p: &Package| found.offers.get(&p.name).is_some_and(|list| !list.is_empty());
            let labels = installed.values().filter_map(|p| Some((p.module.as_deref()?, is_offered(p))));
            if let Some(reason) = active.gap(labels) {
                part.sources.push(settle::partial("rpm:modules", 0, reason));
            }
        }
        Err(error) => part.sources.push(settle::gap("rpm:modules", &error)),
    }
    part.security_known = repositories.iter().any(|r| found.telling.contains(&r.id));
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
    /// Where not empty, only these are taken from it.
    included: Vec<String>,
    /// The smallest number wins, whatever the versions.
    priority: i64,
    /// Its packages count whatever module streams say.
    is_hotfix: bool,
}

impl Repository {
    fn shuts_out(&self, offer: &Offer) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|p| names(p, offer));
        any(&self.excluded) || !self.included.is_empty() && !any(&self.included)
    }
}

/// Whether a pattern of dnf's settings names a package, in one of the forms dnf takes.
fn names(pattern: &str, offer: &Offer) -> bool {
    let Offer { name, arch, evr, .. } = offer;
    let vr = evr.split_once(':').map_or(evr.as_str(), |(_, vr)| vr);
    let version = vr.split('-').next().unwrap_or_default();
    glob(pattern, name)
        || [format!("{name}.{arch}"), format!("{name}-{version}")].iter().any(|form| glob(pattern, form))
        || [vr, evr]
            .iter()
            .any(|v| glob(pattern, &format!("{name}-{v}")) || glob(pattern, &format!("{name}-{v}.{arch}")))
}

/// Values of the keys in one section, which are lists.
fn words(text: &str, section: &str, keys: &[&str]) -> Vec<String> {
    let values = keys.iter().filter_map(|key| ini(text, section, key));
    values.flat_map(|v| v.split([',', ' ', '\t'])).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

const EXCLUDED: &[&str] = &["exclude", "excludepkgs"];
const INCLUDED: &[&str] = &["includepkgs"];
const DEFAULT_PRIORITY: i64 = 99;

/// Enabled repositories of all `.repo` files. What dnf's own settings exclude and include applies to each.
fn repositories(sys: &Sys, conf: &[String]) -> Result<Vec<Repository>, SysError> {
    let main =
        |keys: &[&str]| -> Vec<String> { conf.iter().flat_map(|text| words(text, "main", keys)).collect() };
    let (main_excluded, main_included) = (main(EXCLUDED), main(INCLUDED));
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
                    let priority = ini(&text, id, "priority").and_then(|p| p.parse().ok());
                    out.push(Repository {
                        id: id.to_owned(),
                        is_zypp: folder.contains("zypp"),
                        excluded: [words(&text, id, EXCLUDED), main_excluded.clone()].concat(),
                        included: [words(&text, id, INCLUDED), main_included.clone()].concat(),
                        priority: priority.unwrap_or(DEFAULT_PRIORITY),
                        is_hotfix: ini(&text, id, "module_hotfixes").is_some_and(is_yes),
                    });
                }
            }
        }
    }
    Ok(out)
}

#[derive(Default)]
struct Found {
    /// Offers by package name.
    offers: HashMap<String, Vec<Offered>>,
    /// Advisories, and for each package name which ones.
    advisories: Vec<Advisory>,
    by_name: HashMap<String, Vec<usize>>,
    /// Repositories with advisories: only they can tell that an update is none of security.
    telling: BTreeSet<String>,
    modules: Modules,
}

/// One package in one repository.
struct Offered {
    offer: Offer,
    repository: String,
    priority: i64,
    /// Kept from being installed from there.
    shut_out: bool,
    is_hotfix: bool,
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
        found.offers.entry(offer.name.clone()).or_default().push(Offered {
            shut_out: repository.shuts_out(&offer),
            offer,
            repository: repository.id.clone(),
            priority: repository.priority,
            is_hotfix: repository.is_hotfix,
        });
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
        if seen > 0 {
            found.telling.insert(repository.id.clone());
        }
    }
    if let Some(modules) = repomd.file("modules") {
        let path = format!("{folder}/{modules}");
        let input = BufReader::new(unpack::open(sys, &path)?);
        found.modules.read(input, &wanted).map_err(|e| SysError::malformed(&path, e))?;
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

/// The offer that replaces what is installed. Repositories that shut the package out altogether count only
/// where all do; then priority decides, then whether it may be installed, then the version.
fn best<'o>(mut offers: Vec<&'o Offered>, installed: &str) -> Option<&'o Offered> {
    let open: BTreeSet<&str> = offers.iter().filter(|o| !o.shut_out).map(|o| o.repository.as_str()).collect();
    offers.retain(|o| open.is_empty() || open.contains(o.repository.as_str()));
    let first = offers.iter().map(|o| o.priority).min()?;
    offers.retain(|o| o.priority == first && rpm::compare(&o.offer.evr, installed).is_gt());
    let newer = |a: &Offered, b: &Offered| rpm::compare(&a.offer.evr, &b.offer.evr);
    offers.into_iter().max_by(|a, b| b.shut_out.cmp(&a.shut_out).then_with(|| newer(a, b)))
}

fn pending(package: &Package, found: &Found, held: &[String]) -> Option<PendingUpdate> {
    let (installed, arch) = (package.evr(), package.arch.as_deref().unwrap_or_default());
    let fits = |offer: &&Offered| {
        let of_arch = &offer.offer.arch;
        of_arch == arch || of_arch == "noarch" || arch == "noarch"
    };
    let offers = found.offers.get(&package.name)?.iter().filter(fits).collect();
    let Offered { offer: best, repository, shut_out, .. } = best(offers, &installed)?;
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
        security: (!security.is_empty() || found.telling.contains(repository))
            .then_some(!security.is_empty()),
        severity: security.iter().filter_map(|a| a.severity.clone()).min_by_key(|s| rank(s)),
        cves,
        released_at: leading.and_then(|a| a.issued),
        held: *shut_out || held.iter().any(|p| glob(p, &package.name)),
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
        fixture.write("/etc/dnf/plugins/versionlock.list", "");
        for setting in [
            "excludepkgs=tenken-demo-t*",
            "includepkgs=x tenken-demo",
            "exclude=*-tools-1.2-5.noarch,*-tools-1:1.3*",
        ] {
            fixture.write("/etc/dnf/dnf.conf", format!("[main]\n{setting}\n"));
            let found = updates(&fixture);
            let held: Vec<_> =
                found.value().unwrap().pending.iter().map(|p| (p.id.as_str(), p.held)).collect();
            assert_eq!(
                held,
                [("tenken-demo=1:1.3-1", false), ("tenken-demo-tools=1:1.3-1", true)],
                "{setting}"
            );
        }
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

    /// A second repository with the same packages and no advisories, as `createrepo_c` makes it.
    fn with_second(settings: &str) -> Fixture {
        let fixture = Fixture::of("updates/linux-dnf");
        let second = "/var/cache/dnf/base-0123456789abcdef/repodata";
        for entry in std::fs::read_dir(fixture.path(CACHE)).unwrap() {
            let entry = entry.unwrap();
            fixture.write(
                &format!("{second}/{}", entry.file_name().to_string_lossy()),
                std::fs::read(entry.path()).unwrap(),
            );
        }
        let path = fixture.path(&format!("{second}/repomd.xml"));
        let text = std::fs::read_to_string(&path).unwrap();
        let (head, _) = text.split_once("  <data type=\"updateinfo\">").unwrap();
        std::fs::write(path, format!("{head}</repomd>\n")).unwrap();
        fixture.write(
            "/etc/yum.repos.d/base.repo",
            format!("[base]\nbaseurl=https://base.example.com/\n{settings}\n"),
        );
        fixture
    }

    type Brief = (String, Option<String>, Option<bool>, bool);

    fn brief(fixture: &Fixture) -> Vec<Brief> {
        let found = updates(fixture);
        assert_eq!(found.status(), Status::Known, "{:?}", found.reason());
        let pending = found.value().unwrap().pending.iter();
        pending.map(|p| (p.package.clone().unwrap(), p.origin.clone(), p.security, p.held)).collect()
    }

    fn row(package: &str, origin: &str, security: Option<bool>, held: bool) -> Brief {
        (package.to_owned(), Some(origin.to_owned()), security, held)
    }

    #[test]
    fn a_repository_without_advisories_does_not_tell_what_is_no_security() {
        // The tools come from `base` alone; what is known of the demo itself is of security whoever offers it.
        let fixture = with_second("priority=1");
        let expected =
            [row("tenken-demo", "base", Some(true), false), row("tenken-demo-tools", "base", None, false)];
        assert_eq!(brief(&fixture), expected);
        assert!(updates(&fixture).value().unwrap().security_known);
        let fixture = with_second("includepkgs=nothing");
        let expected = [
            row("tenken-demo", "demo", Some(true), false),
            row("tenken-demo-tools", "demo", Some(false), false),
        ];
        assert_eq!(brief(&fixture), expected, "what base shuts out comes from the other one");
        std::fs::remove_file(fixture.path("/etc/yum.repos.d/demo.repo")).unwrap();
        let expected = [row("tenken-demo", "base", None, true), row("tenken-demo-tools", "base", None, true)];
        assert_eq!(brief(&fixture), expected, "shut out everywhere is held");
        assert!(!updates(&fixture).value().unwrap().security_known);
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
