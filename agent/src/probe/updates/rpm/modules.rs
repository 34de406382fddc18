//! Which packages module streams let through, as dnf decides it.
//!
//! Source: builds and defaults of the repositories' `modules.yaml`; `/etc/dnf/modules.d/*.module` (enabled streams,
//! disabled modules), `/etc/dnf/modules.defaults.d`, the platform of os-release. A module has one stream: the
//! enabled one, else the default. A build of it counts when the streams it requires are those of their modules, and
//! with it all that differ from it in version and platform only. Packages of other builds do not exist for dnf, nor
//! do others with the name of one that counts, except from a repository with `module_hotfixes`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tenken_shared::collected::Reason;

use crate::probe::os::parse::os_release;
use crate::probe::package::modulemd::{self, Build, Document, ModulemdError};
use crate::probe::package::repodata::Offer;
use crate::probe::package::rpm;
use crate::probe::update_settings::parse::ini;
use crate::sys::{Sys, SysError};

const STATES: &str = "/etc/dnf/modules.d";
const DEFAULTS: &str = "/etc/dnf/modules.defaults.d";
const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];
/// Longest chain of modules that require each other.
const MAX_CHAIN: usize = 32;
const PLATFORM: &str = "platform";

/// What repositories say of modules.
#[derive(Default)]
pub(super) struct Modules {
    builds: Vec<Build>,
    /// Streams by module; of two that disagree none counts.
    defaults: BTreeMap<String, BTreeSet<String>>,
}

impl Modules {
    /// Reads the file of a repository.
    pub(super) fn read(
        &mut self,
        input: impl std::io::BufRead,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<usize, ModulemdError> {
        modulemd::scan(input, wanted, &mut |document| match document {
            Document::Build(build) => self.builds.push(build),
            Document::Default(module, stream) => {
                self.defaults.entry(module).or_default().insert(stream);
            }
        })
    }

    /// Which packages count on this machine. `conf`: dnf's own settings.
    pub(super) fn settle(&self, sys: &Sys, conf: &[String]) -> Result<Active, SysError> {
        if self.builds.is_empty() {
            return Ok(Active::default());
        }
        let mut choice = Choice::read(self, sys, conf)?;
        let mut waiting: Vec<(String, String)> = choice.streams.clone().into_iter().collect();
        let mut signatures = HashSet::new();
        let mut done = BTreeSet::new();
        while let Some((module, stream)) = waiting.pop() {
            if !done.insert(module.clone()) {
                continue;
            }
            for build in choice.builds(&module, &stream) {
                if choice.fits(build, MAX_CHAIN) {
                    signatures.insert(Signature::of(build));
                    // What it needs and nobody chose comes with it.
                    for (needed, streams) in &build.requires {
                        if let Some(stream) = choice.brought(needed, streams) {
                            choice.streams.insert(needed.clone(), stream.clone());
                            waiting.push((needed.clone(), stream));
                        }
                    }
                }
            }
        }
        let mut active = Active::default();
        for build in &self.builds {
            let counts = signatures.contains(&Signature::of(build));
            if counts {
                active.streams.insert((build.module.clone(), build.stream.clone()));
            }
            for artifact in &build.artifacts {
                *active.artifacts.entry(artifact.clone()).or_default() |= counts;
                if counts && !artifact.ends_with(".src") {
                    active.names.extend(modulemd::name_of(artifact).map(str::to_owned));
                }
            }
        }
        let enabled = std::mem::take(&mut choice.enabled);
        let missing = enabled.into_iter().filter(|(module, stream)| choice.builds(module, stream).is_empty());
        active.missing = missing.map(|(module, stream)| format!("{module}:{stream}")).collect();
        Ok(active)
    }
}

/// What builds have in common that count together: all but version and platform.
#[derive(PartialEq, Eq, Hash)]
struct Signature<'b> {
    module: &'b str,
    stream: &'b str,
    context: Option<&'b str>,
    requires: Vec<&'b (String, Vec<String>)>,
}

impl<'b> Signature<'b> {
    fn of(build: &'b Build) -> Self {
        let context = build.static_context.as_deref();
        let requires = build.requires.iter().filter(|(module, _)| module != PLATFORM && context.is_none());
        Self { module: &build.module, stream: &build.stream, context, requires: requires.collect() }
    }
}

/// Which stream each module has.
struct Choice<'m> {
    /// All builds by module.
    builds: HashMap<&'m str, Vec<&'m Build>>,
    streams: BTreeMap<String, String>,
    enabled: Vec<(String, String)>,
    disabled: BTreeSet<String>,
    platform: Option<String>,
    /// Whether a stream has a build that fits, where that was asked already.
    fitting: HashMap<(String, String), bool>,
}

impl<'m> Choice<'m> {
    fn read(modules: &'m Modules, sys: &Sys, conf: &[String]) -> Result<Self, SysError> {
        let mut streams: BTreeMap<String, String> = BTreeMap::new();
        let one = |(module, streams): (&String, &BTreeSet<String>)| {
            Some((module.clone(), streams.first().filter(|_| streams.len() == 1)?.clone()))
        };
        streams.extend(modules.defaults.iter().filter_map(one));
        let mut local = Modules::default();
        for path in files(sys, DEFAULTS, ".yaml")? {
            let read = local.read(sys.read(&path)?.as_slice(), &|_| false);
            read.map_err(|error| SysError::malformed(&path, error))?;
        }
        streams.extend(local.defaults.iter().filter_map(one));
        let (mut enabled, mut disabled) = (vec![], BTreeSet::new());
        for path in files(sys, STATES, ".module")? {
            let text = sys.read_text(&path)?;
            let file = path.rsplit('/').next().unwrap_or_default();
            let module = file.trim_end_matches(".module").to_owned();
            match (ini(&text, &module, "state"), ini(&text, &module, "stream")) {
                (Some("enabled" | "1"), Some(stream)) if !stream.is_empty() => {
                    streams.insert(module.clone(), stream.to_owned());
                    enabled.push((module, stream.to_owned()));
                }
                (Some("disabled"), _) => {
                    streams.remove(&module);
                    disabled.insert(module);
                }
                _ => {}
            }
        }
        let set = conf.iter().find_map(|text| ini(text, "main", "module_platform_id").map(str::to_owned));
        let told = || {
            let text = OS_RELEASE.iter().find_map(|path| sys.read_text(path).ok())?;
            os_release(&text).remove("PLATFORM_ID")
        };
        let platform = set.or_else(told).and_then(|id| Some(id.split_once(':')?.1.to_owned()));
        let mut builds: HashMap<&str, Vec<&Build>> = HashMap::new();
        for build in &modules.builds {
            builds.entry(&build.module).or_default().push(build);
        }
        Ok(Self { builds, streams, enabled, disabled, platform, fitting: HashMap::new() })
    }

    fn builds(&self, module: &str, stream: &str) -> Vec<&'m Build> {
        let all = self.builds.get(module).into_iter().flatten();
        all.copied().filter(|build| build.stream == stream).collect()
    }

    /// Whether all that a build requires is there.
    fn fits(&mut self, build: &Build, chain: usize) -> bool {
        build.requires.iter().all(|(module, streams)| {
            if module == PLATFORM {
                return self.platform.as_ref().is_none_or(|platform| allows(streams, platform));
            }
            let stream = match self.streams.get(module) {
                Some(stream) => Some(stream.clone()).filter(|stream| allows(streams, stream)),
                None => self.brought(module, streams),
            };
            stream.is_some_and(|stream| chain > 0 && self.has_fitting(module, stream, chain - 1))
        })
    }

    fn has_fitting(&mut self, module: &str, stream: String, chain: usize) -> bool {
        let key = (module.to_owned(), stream);
        if let Some(known) = self.fitting.get(&key) {
            return *known;
        }
        // Modules may require each other.
        self.fitting.insert(key.clone(), true);
        let found = self.builds(&key.0, &key.1).into_iter().any(|build| self.fits(build, chain));
        self.fitting.insert(key, found);
        found
    }

    /// The stream that a requirement brings along where nobody chose one.
    fn brought(&self, module: &str, streams: &[String]) -> Option<String> {
        if module == PLATFORM || self.streams.contains_key(module) || self.disabled.contains(module) {
            return None;
        }
        let there = self.builds.get(module)?.iter().filter(|build| allows(streams, &build.stream));
        there.map(|build| &build.stream).max_by(|a, b| rpm::compare(a, b)).cloned()
    }
}

/// Whether a requirement allows a stream: one of those named, or any but those with `-` before them.
fn allows(streams: &[String], stream: &str) -> bool {
    let mut named = streams.iter().filter(|s| !s.starts_with('-')).peekable();
    let but = streams.iter().any(|s| s.strip_prefix('-') == Some(stream));
    !but && (named.peek().is_none() || named.any(|s| s == stream))
}

fn files(sys: &Sys, folder: &str, ending: &str) -> Result<Vec<String>, SysError> {
    match sys.list(folder) {
        Ok(entries) => {
            let names = entries.into_iter().map(|e| e.name).filter(|name| name.ends_with(ending));
            Ok(names.map(|name| format!("{folder}/{name}")).collect())
        }
        Err(SysError::Absent { .. }) => Ok(vec![]),
        Err(error) => Err(error),
    }
}

/// Which packages count.
#[derive(Default)]
pub(super) struct Active {
    /// Those of any build, and whether it counts.
    artifacts: HashMap<String, bool>,
    /// Names of those that count.
    names: HashSet<String>,
    /// Streams with a build that counts.
    streams: HashSet<(String, String)>,
    /// Enabled streams that no repository has.
    missing: Vec<String>,
}

impl Active {
    /// Whether a package of an ordinary repository is there for dnf.
    pub(super) fn lets(&self, offer: &Offer) -> bool {
        match self.artifacts.get(&format!("{}-{}.{}", offer.name, offer.evr, offer.arch)) {
            Some(counts) => *counts,
            None => !self.names.contains(&offer.name),
        }
    }

    /// Why the updates of some packages are not known: their stream does not count here, and no other of the module
    /// takes its place; or an enabled stream is in no repository. `installed`: module labels
    /// (`module:stream:version:context`) of packages, and whether any is offered in their place.
    pub(super) fn gap<'p>(&self, installed: impl Iterator<Item = (&'p str, bool)>) -> Option<Reason> {
        let unused = installed.filter_map(|(label, is_offered)| {
            let (module, rest) = label.split_once(':')?;
            let stream = rest.split(':').next()?;
            let mut in_use = self.streams.iter().filter(|(of, _)| of == module);
            let is_known = in_use.any(|(_, used)| used == stream || is_offered);
            (!is_known).then(|| format!("{module}:{stream}"))
        });
        let gap = self.missing.iter().min().cloned().or_else(|| unused.min());
        gap.map(|stream| Reason::with("module_stream_not_in_use", stream))
    }
}

#[cfg(test)]
mod tests {
    use tenken_shared::collected::Status;
    use tenken_shared::fact::updates::Updates;

    use super::super::super::{PROBE, ProbeConfig};
    use crate::probe::fixture::Fixture;

    fn state(fixture: &Fixture, module: &str, stream: &str, state: &str) {
        let text = format!("[{module}]\nname={module}\nstream={stream}\nprofiles=\nstate={state}\n");
        fixture.write(&format!("/etc/dnf/modules.d/{module}.module"), text);
    }

    /// Candidates by package.
    fn pending(fixture: &Fixture) -> String {
        let found = fixture.collect::<Updates>(&PROBE, &ProbeConfig::default());
        assert_eq!(found.status(), Status::Known, "{:?}", found.reason());
        candidates(found.value().unwrap())
    }

    fn candidates(updates: &Updates) -> String {
        let mut out: Vec<_> = updates.pending.iter().map(|p| p.id.as_str()).collect();
        out.sort_unstable();
        out.join(" ")
    }

    /// What `dnf check-update` listed where the fixture was made, with the same settings.
    #[test]
    fn pending_equals_what_dnf_lists_under_each_choice_of_streams() {
        let fixture = || Fixture::of("updates/linux-dnf-modules");
        let rest = "needtool=3.0-1.module_el8+1 nonetool=5.0-1.module_el8+1 offtool=1.5-1 plain=1.1-1";
        let ordinary = format!(
            "either=3.0-1.module_el8+1 futuretool=1.1-1 lang-db=1.6-2.module_el8+8 lang=3.6.9-1.module_el9+1 {rest}"
        );
        assert_eq!(pending(&fixture()), format!("{ordinary} web-server=1.1-1.module_el8+2"));

        let enabled = fixture();
        state(&enabled, "web", "2", "enabled");
        state(&enabled, "lang", "3.8", "enabled");
        let expected = ordinary
            .replace("lang-db=1.6-2.module_el8+8", "lang-db=1.6-3.module_el8+9")
            .replace("lang=3.6.9-1.module_el9+1", "lang=3.8.5-1.module_el8+6");
        assert_eq!(pending(&enabled), format!("{expected} web-server=2.0-1.module_el8+3"));

        let disabled = fixture();
        state(&disabled, "web", "", "disabled");
        state(&disabled, "lang", "", "disabled");
        // dnf says nothing of packages whose module is disabled: whether fixes exist is not known then.
        let found = disabled.collect::<Updates>(&PROBE, &ProbeConfig::default());
        assert_eq!(found.status(), Status::Partial);
        let expected = format!("either=3.0-1.module_el8+1 futuretool=1.1-1 {rest} web-server=9.0-1");
        assert_eq!(candidates(found.value().unwrap()), expected);

        let hotfix = fixture();
        let repo = std::fs::read_to_string(hotfix.path("/etc/yum.repos.d/hot.repo")).unwrap();
        hotfix.write("/etc/yum.repos.d/hot.repo", repo.replace("enabled=0", "enabled=1"));
        assert_eq!(pending(&hotfix), format!("{ordinary} web-server=1.2-1"));

        let default = fixture();
        let document = "document: modulemd-defaults\nversion: 1\ndata:\n  module: web\n  stream: \"2\"\n";
        default.write("/etc/dnf/modules.defaults.d/local.yaml", document);
        assert_eq!(pending(&default), format!("{ordinary} web-server=2.0-1.module_el8+3"));
    }

    /// After `dnf module reset` of a module without a default: nothing newer is offered, fixes may exist.
    #[test]
    fn packages_of_a_module_that_is_not_in_use_are_not_up_to_date() {
        let fixture = Fixture::of("updates/linux-dnf-modules");
        let defaults = "document: modulemd-defaults\nversion: 1\ndata:\n  module: web\n  stream: \"9\"\n";
        fixture.write("/etc/dnf/modules.defaults.d/local.yaml", defaults);
        let found = fixture.collect::<Updates>(&PROBE, &ProbeConfig::default());
        let source = found.value().unwrap().sources.iter().find(|s| s.source == "rpm:modules").unwrap();
        assert_eq!(source.reason.as_ref().unwrap().detail.as_deref(), Some("web:1"));
        assert_eq!(found.status(), Status::Partial);
    }

    #[test]
    fn a_stream_that_no_repository_has_is_named() {
        let fixture = Fixture::of("updates/linux-dnf-modules");
        state(&fixture, "web", "7", "enabled");
        let found = fixture.collect::<Updates>(&PROBE, &ProbeConfig::default());
        assert_eq!(
            (found.status(), found.reason().unwrap().code.as_str()),
            (Status::Partial, "module_stream_not_in_use")
        );
        let body = found.value().unwrap();
        let source = body.sources.iter().find(|s| s.source == "rpm:modules").unwrap();
        assert_eq!(source.reason.as_ref().unwrap().detail.as_deref(), Some("web:7"));
        // As dnf does, which then takes the ordinary package.
        let pending = &body.pending;
        assert!(pending.iter().any(|p| p.id == "web-server=9.0-1"), "{pending:?}");
        // Neither enabled nor offered, but installed.
        std::fs::remove_file(fixture.path("/etc/yum.repos.d/app.repo")).unwrap();
        std::fs::remove_file(fixture.path("/etc/dnf/modules.d/web.module")).unwrap();
        let found = fixture.collect::<Updates>(&PROBE, &ProbeConfig::default());
        assert_eq!(found.reason().unwrap().code, "module_stream_not_in_use");
    }
}
