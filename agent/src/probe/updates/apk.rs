//! Pending updates of Alpine, from the indexes that apk keeps: the highest version that a repository offers
//! above the installed one.
//!
//! Source: `/etc/apk/repositories`, `/etc/apk/world`, `/lib/apk/db/installed`, `/var/cache/apk/APKINDEX.*.tar.gz`.
//! Only a machine that keeps a cache (`apk update`, or `/etc/apk/cache`) has indexes; without them the
//! repositories are `failed`, `metadata_missing`. The indexes do not tell security updates apart.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;

use ring::digest;
use tenken_shared::collected::{Reason, SourceState, Status};
use tenken_shared::fact::updates::{MetadataAge, PendingUpdate};

use super::{Part, class};
use crate::probe::package::{apk, settle};
use crate::sys::{Sys, SysError};

const INSTALLED: [&str; 2] = ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"];
const REPOSITORIES: &str = "/etc/apk/repositories";
const CACHES: [&str; 2] = ["/etc/apk/cache", "/var/cache/apk"];
const MAX_REPOSITORIES: usize = 500;
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

/// The cached index of every repository; one without is `metadata_missing`. Indexes of repositories that are
/// not configured any more are passed by, as apk does.
fn indexes(sys: &Sys, part: &mut Part) -> Vec<Index> {
    let addresses = match sys.read_text(REPOSITORIES) {
        Ok(text) => addresses(&text),
        Err(error) => {
            part.sources.push(settle::gap(format!("apk:{REPOSITORIES}"), &error));
            return vec![];
        }
    };
    let mut out = vec![];
    for address in &addresses {
        let names = index_names(address);
        let paths = CACHES.iter().flat_map(|cache| names.iter().map(move |name| format!("{cache}/{name}")));
        let read = paths.map(|path| (read_index(sys, &path), path));
        let found = read.into_iter().find(|(read, _)| !matches!(read, Err(SysError::Absent { .. })));
        match found {
            Some((Ok(offers), path)) => {
                part.sources.push(SourceState::known(format!("apk:{path}"), offers.len()));
                let refreshed_at = sys.stat(&path).ok().flatten().and_then(|s| s.modified);
                part.last_search = part.last_search.max(refreshed_at);
                let source = format!("apk:{path}");
                part.metadata.push(MetadataAge { source, refreshed_at, ..MetadataAge::default() });
                out.push((path, offers));
            }
            Some((Err(error), path)) => part.sources.push(settle::gap(format!("apk:{path}"), &error)),
            None => {
                let reason = Reason::with("metadata_missing", &names[0]);
                let source = format!("apk:{REPOSITORIES} {}", names[0]);
                part.sources.push(SourceState::gap(source, Status::Failed, reason));
            }
        }
    }
    if addresses.is_empty() {
        let reason = Reason::with("metadata_missing", "no repository is configured");
        part.sources.push(SourceState::gap(format!("apk:{REPOSITORIES}"), Status::Failed, reason));
    }
    out
}

/// Addresses of the repositories, each once, without the tag before it.
fn addresses(text: &str) -> Vec<String> {
    let mut out: Vec<String> = vec![];
    for line in text.lines().map(str::trim).filter(|l| !l.starts_with('#')) {
        let address = if line.starts_with('@') { line.split_whitespace().nth(1) } else { Some(line) };
        let address = address.filter(|a| !a.is_empty()).map(str::to_owned);
        if let Some(address) = address.filter(|a| !out.contains(a)) {
            out.push(address);
        }
    }
    out.truncate(MAX_REPOSITORIES);
    out
}

/// Names that the index of an address may have: the first four bytes of its SHA-1, or, in case a later apk
/// hashes as it does elsewhere, of its SHA-256.
fn index_names(address: &str) -> [String; 2] {
    [&digest::SHA1_FOR_LEGACY_USE_ONLY, &digest::SHA256].map(|algorithm| {
        let hash = digest::digest(algorithm, address.as_bytes());
        let hex: String = hash.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("APKINDEX.{hex}.tar.gz")
    })
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
    fn an_index_is_named_by_its_address() {
        // As machines of these releases have them.
        let name = |address: &str| index_names(address)[0].clone();
        assert_eq!(name("http://dl-cdn.alpinelinux.org/alpine/v3.9/main"), "APKINDEX.b89edf6e.tar.gz");
        assert_eq!(name("http://dl-cdn.alpinelinux.org/alpine/v3.6/community"), "APKINDEX.24d64ab1.tar.gz");
        assert_eq!(
            addresses("# c\n@edge https://a/x\nhttps://a/y\n\nhttps://a/y\n"),
            ["https://a/x", "https://a/y"]
        );
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
        // Of a repository that is configured no more: it says nothing of the one that is.
        fixture.write("/var/cache/apk/APKINDEX.0123abcd.tar.gz", index("P:musl\nV:9-r0\n\n"));
        let stale = fixture.collect::<Updates>(&PROBE, &ProbeConfig::default());
        assert_eq!(
            (stale.status(), stale.reason().unwrap().code.as_str()),
            (Status::Failed, "metadata_missing")
        );
        let path = format!("/var/cache/apk/{}", index_names("https://dl.example.org/main")[0]);
        fixture.write(&path, index("P:musl\nV:1.2.5-r1\n\nP:zlib\nV:1.3-r0\n\n"));
        let found = fixture.collect::<Updates>(&PROBE, &ProbeConfig::default());
        assert_eq!(found.status(), Status::Known);
        let body = found.value().unwrap();
        assert!(!body.security_known);
        let ids: Vec<_> = body.pending.iter().map(|p| p.id.as_str()).collect();
        assert_eq!(ids, ["musl=1.2.5-r1"]);
        fixture.write(&path, b"\x1f\x8bbroken");
        let broken = fixture.collect::<Updates>(&PROBE, &ProbeConfig::default());
        assert_eq!(broken.status(), Status::Failed);
    }
}
