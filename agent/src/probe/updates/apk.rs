//! Pending updates of Alpine, from the indexes that apk keeps: the highest version that a repository offers
//! above the installed one.
//!
//! Source: `/etc/apk/repositories`, `/etc/apk/world`, `/lib/apk/db/installed`, `/var/cache/apk/APKINDEX.*.tar.gz`.
//! Only a machine that keeps a cache (`apk update`, or `/etc/apk/cache`) has indexes; without them the
//! repositories are `failed`, `metadata_missing`. The indexes do not tell security updates apart.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;

use tenken_shared::collected::{Reason, SourceState, Status};
use tenken_shared::fact::updates::{MetadataAge, PendingUpdate};

use super::{Part, class};
use crate::probe::package::{apk, settle};
use crate::sys::{Sys, SysError};

const INSTALLED: [&str; 2] = ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"];
const REPOSITORIES: &str = "/etc/apk/repositories";
const CACHES: [&str; 2] = ["/etc/apk/cache", "/var/cache/apk"];
const WORLD: &str = "/etc/apk/world";
/// Largest index, unpacked.
const MAX_INDEX: u64 = 64 * 1024 * 1024;

/// `None` where apk manages nothing here.
pub fn collect(sys: &Sys) -> Option<Part> {
    let mut part = Part { manager: "apk", ..Part::default() };
    let bytes =
        match INSTALLED.iter().map(|p| sys.read(p)).find(|r| !matches!(r, Err(SysError::Absent { .. })))? {
            Ok(bytes) => bytes,
            Err(error) => {
                part.sources.push(settle::gap("apk:/lib/apk/db/installed", &error));
                return Some(part);
            }
        };
    let (installed, damaged) = apk::parse_records(&bytes);
    if damaged > 0 {
        part.sources.push(settle::partial(
            "apk:/lib/apk/db/installed",
            0,
            Reason::with("damaged_entries", damaged),
        ));
    }
    let indexes = indexes(sys, &mut part);
    let mut best: HashMap<&str, &str> = HashMap::new();
    for index in &indexes {
        for offer in &index.1 {
            let entry = best.entry(&offer.0).or_insert(&offer.1);
            if apk::compare(&offer.1, entry).is_gt() {
                *entry = &offer.1;
            }
        }
    }
    let held = held(sys);
    for package in &installed {
        let Some(candidate) = best.get(package.name.as_ref()) else { continue };
        if !apk::compare(candidate, &package.version).is_gt() {
            continue;
        }
        part.pending.push(PendingUpdate {
            id: format!("{}={candidate}", package.name),
            package: Some(package.name.to_string()),
            arch: package.arch.as_deref().map(str::to_owned),
            installed: Some(package.version.to_string()),
            candidate: Some((*candidate).to_owned()),
            class: Some(class::of(&package.name, package.origin.as_deref()).to_owned()),
            held: held.contains_key(package.name.as_ref()),
            ..PendingUpdate::default()
        });
    }
    Some(part)
}

/// Packages that `world` pins to a version (`name=1.2-r3`, `name<2`).
fn held(sys: &Sys) -> BTreeMap<String, ()> {
    let text = sys.read_text(WORLD).unwrap_or_default();
    let pinned = text.split_whitespace().filter_map(|w| {
        let at = w.find(['=', '<', '~'])?;
        Some((w[..at].to_owned(), ()))
    });
    pinned.take(10_000).collect()
}

type Index = (String, Vec<(String, String)>);

/// Every cached index. Their names carry a hash of the repository's address, so that only their number can
/// be compared with the number of repositories.
fn indexes(sys: &Sys, part: &mut Part) -> Vec<Index> {
    let lines = match sys.read_text(REPOSITORIES) {
        Ok(text) => text.lines().filter(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#')).count(),
        Err(error) => {
            part.sources.push(settle::gap(format!("apk:{REPOSITORIES}"), &error));
            0
        }
    };
    let mut out = vec![];
    for cache in CACHES {
        let Ok(entries) = sys.list(cache) else { continue };
        for entry in entries.iter().filter(|e| e.name.starts_with("APKINDEX.") && e.name.ends_with(".tar.gz"))
        {
            let path = format!("{cache}/{}", entry.name);
            match read_index(sys, &path) {
                Ok(offers) => {
                    part.sources.push(SourceState::known(format!("apk:{path}"), offers.len()));
                    let refreshed_at = sys.stat(&path).ok().flatten().and_then(|s| s.modified);
                    part.last_search = part.last_search.max(refreshed_at);
                    part.metadata.push(MetadataAge {
                        source: format!("apk:{path}"),
                        refreshed_at,
                        ..MetadataAge::default()
                    });
                    out.push((path, offers));
                }
                Err(error) => part.sources.push(settle::gap(format!("apk:{path}"), &error)),
            }
        }
        if !out.is_empty() {
            break;
        }
    }
    if out.len() < lines || lines == 0 {
        let reason = Reason::with("metadata_missing", format!("{} of {lines} repositories", out.len()));
        part.sources.push(SourceState::gap(format!("apk:{REPOSITORIES}"), Status::Failed, reason));
    }
    out
}

fn read_index(sys: &Sys, path: &str) -> Result<Vec<(String, String)>, SysError> {
    let malformed = |e: std::io::Error| SysError::malformed(path, e);
    let file = std::io::BufReader::new(sys.open(path)?);
    // Signature and index are two gzip members of one tar stream.
    let plain = flate2::bufread::MultiGzDecoder::new(file).take(MAX_INDEX);
    let mut archive = tar::Archive::new(plain);
    archive.set_ignore_zeros(true);
    for entry in archive.entries().map_err(malformed)? {
        let mut entry = entry.map_err(malformed)?;
        if entry.path().map_err(malformed)?.as_os_str() != "APKINDEX" {
            continue;
        }
        let mut bytes = vec![];
        entry.read_to_end(&mut bytes).map_err(malformed)?;
        let (packages, _) = apk::parse_records(&bytes);
        return Ok(packages.into_iter().map(|p| (p.name.into_owned(), p.version.into_owned())).collect());
    }
    Err(SysError::malformed(path, "no APKINDEX inside"))
}

#[cfg(test)]
mod tests {
    use tenken_shared::fact::updates::Updates;

    use super::super::{PROBE, ProbeConfig};
    use super::*;
    use crate::probe::fixture::Fixture;

    fn index(text: &str) -> Vec<u8> {
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(vec![], flate2::Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, "APKINDEX", text.as_bytes()).unwrap();
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn cached_index_tells_and_a_missing_one_is_failed() {
        let fixture = Fixture::empty();
        fixture
            .write("/lib/apk/db/installed", "P:musl\nV:1.2.4-r0\nA:x86_64\n\nP:zlib\nV:1.3-r0\n\n")
            .write("/etc/apk/repositories", "https://dl.example.org/main\n# x\n");
        let missing = fixture.collect::<Updates>(&PROBE, &ProbeConfig::default());
        assert_eq!(
            (missing.status(), missing.reason().unwrap().code.as_str()),
            (Status::Failed, "metadata_missing")
        );
        fixture
            .write("/var/cache/apk/APKINDEX.abc.tar.gz", index("P:musl\nV:1.2.5-r1\n\nP:zlib\nV:1.3-r0\n\n"));
        let found = fixture.collect::<Updates>(&PROBE, &ProbeConfig::default());
        assert_eq!(found.status(), Status::Known);
        let body = found.value().unwrap();
        assert!(!body.security_known);
        let ids: Vec<_> = body.pending.iter().map(|p| p.id.as_str()).collect();
        assert_eq!(ids, ["musl=1.2.5-r1"]);
        fixture.write("/var/cache/apk/APKINDEX.abc.tar.gz", b"\x1f\x8bbroken");
        let broken = fixture.collect::<Updates>(&PROBE, &ProbeConfig::default());
        assert_eq!(broken.status(), Status::Failed);
    }
}
