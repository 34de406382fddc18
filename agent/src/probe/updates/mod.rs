//! Pending updates, computed from the metadata that the machine's package managers keep, and how old those are.
//!
//! On Linux no package manager is run and nothing is fetched; Windows is asked through its update agent. An empty list means "none" only where every active
//! repository's metadata were there: without them the fact is `failed`, reason `metadata_missing`, and
//! with some of them missing it is `partial`.

mod apk;
mod apt;
pub mod class;
mod linux;
mod macos;
pub(crate) mod memory;
mod pacman;
pub mod parse_windows;
mod rpm;
mod windows;

pub(crate) use apt::configuration as apt_configuration;

use jiff::Timestamp;
use tenken_shared::collected::SourceState;
use tenken_shared::fact::FactKind;
use tenken_shared::fact::updates::{MetadataAge, PendingUpdate, Updates, UpdatesObserved};
use tenken_shared::text::Text;

use super::package::settle;
use super::{Collection, Probe, ProbeConfig};
use crate::sys::{Family, Sys};

/// The probe.
pub static PROBE: Probe = Probe {
    name: "updates",
    kinds: &[FactKind::Updates, FactKind::UpdatesObserved],
    what: Text::new(
        "未適用の更新(導入済みと提供中のバージョン、提供元、セキュリティ更新かどうか)と、判定に使った更新情報の日時",
        "Updates not applied yet (installed and offered version, origin, security or not) and the age of the metadata behind them",
    ),
    why: Text::new(
        "脆弱性への更新プログラムが期限内に適用されているかを確かめるため",
        "To see whether security updates are applied in time",
    ),
    watch,
    collect,
};

fn watch(family: Family) -> &'static [&'static str] {
    match family {
        Family::Linux => linux::WATCH,
        Family::Windows => windows::WATCH,
        Family::Macos => &[],
    }
}

fn collect(sys: &Sys, config: &ProbeConfig) -> Vec<Collection> {
    match sys.family() {
        Family::Linux => linux::collect(sys),
        Family::Windows => windows::collect(sys, config),
        Family::Macos => macos::collect(sys),
    }
}

/// What one package manager's metadata gave.
#[derive(Debug, Default)]
struct Part {
    manager: &'static str,
    pending: Vec<PendingUpdate>,
    sources: Vec<SourceState>,
    security_known: bool,
    metadata: Vec<MetadataAge>,
    last_search: Option<Timestamp>,
}

/// Puts the package managers of one machine together.
fn assemble(sys: &Sys, parts: Vec<Part>) -> Vec<Collection> {
    let mut body = Updates { security_known: parts.iter().all(|p| p.security_known), ..Updates::default() };
    let mut observed = UpdatesObserved::default();
    let managers: Vec<&str> = parts.iter().map(|p| p.manager).collect();
    body.server = (!managers.is_empty()).then(|| managers.join(", "));
    for part in parts {
        body.pending.extend(part.pending);
        body.sources.extend(part.sources);
        observed.metadata.extend(part.metadata);
        observed.last_search_success = observed.last_search_success.max(part.last_search);
    }
    body.pending.sort_by(|a, b| (&a.package, &a.id, &a.arch).cmp(&(&b.package, &b.id, &b.arch)));
    observed.metadata.sort_by(|a, b| a.source.cmp(&b.source));
    let sources = body.sources.clone();
    let line = settle::source_line(&sources);
    let ages = settle::by_sources(observed, &sources, "no_package_database");
    vec![
        Collection::of(settle::by_sources(body, &sources, "no_package_database"), line.clone(), sys.now()),
        Collection::of(ages, line, sys.now()),
    ]
}
