//! Pending updates of Arch, from pacman's sync databases: the first repository, in the order of
//! `pacman.conf`, that has a package decides.
//!
//! Source: `/etc/pacman.conf` and what it includes, `/var/lib/pacman/local`, `/var/lib/pacman/sync/*.db`. The databases do not
//! tell security updates apart.

use std::collections::HashMap;
use std::io::Read;

use tenken_shared::collected::{Reason, SourceState, Status};
use tenken_shared::fact::updates::{MetadataAge, PendingUpdate};

use super::{Part, class};
use crate::probe::package::{apt::pin::glob, pacman, settle};
use crate::sys::{FileKind, Sys, SysError};

const LOCAL: &str = "/var/lib/pacman/local";
const SYNC: &str = "/var/lib/pacman/sync";
const CONF: &str = "/etc/pacman.conf";
/// How deep files include each other, as in pacman, and how many in all.
const MAX_DEPTH: usize = 10;
const MAX_INCLUDES: usize = 1_000;
/// Largest database, unpacked.
const MAX_DATABASE: u64 = 256 * 1024 * 1024;

/// `None` where pacman manages nothing here.
pub fn collect(sys: &Sys) -> Option<Part> {
    let mut part = Part { manager: "pacman", ..Part::default() };
    let entries = match sys.list(LOCAL) {
        Ok(entries) => entries,
        Err(SysError::Absent { .. }) => return None,
        Err(error) => {
            part.sources.push(settle::gap(format!("pacman:{LOCAL}"), &error));
            return Some(part);
        }
    };
    let mut damaged = 0;
    let mut installed = vec![];
    for entry in entries.iter().filter(|e| e.kind == FileKind::Dir) {
        let desc = sys.read_capped(&format!("{LOCAL}/{}/desc", entry.name), 1024 * 1024).ok();
        match desc.and_then(|bytes| pacman::parse_desc(&bytes)) {
            Some(desc) => installed.push(desc),
            None => damaged += 1,
        }
    }
    if damaged > 0 {
        part.sources.push(settle::partial(
            format!("pacman:{LOCAL}"),
            0,
            Reason::with("damaged_entries", damaged),
        ));
    }
    let mut conf = Conf::default();
    if let Err(error) = read_conf(sys, CONF, 0, &mut conf) {
        part.sources.push(settle::gap(format!("pacman:{}", error.what()), &error));
        return Some(part);
    }
    let mut offers: HashMap<String, (String, String)> = HashMap::new();
    for repository in &conf.repositories {
        let path = format!("{SYNC}/{repository}.db");
        match read_database(sys, &path) {
            Ok(packages) => {
                part.sources.push(SourceState::known(format!("pacman:{path}"), packages.len()));
                let refreshed_at = sys.stat(&path).ok().flatten().and_then(|s| s.modified);
                part.last_search = part.last_search.max(refreshed_at);
                let source = format!("pacman:{repository}");
                part.metadata.push(MetadataAge { source, refreshed_at, ..MetadataAge::default() });
                for (name, version) in packages {
                    offers.entry(name).or_insert_with(|| (version, repository.clone()));
                }
            }
            Err(SysError::Absent { .. }) => {
                let reason = Reason::with("metadata_missing", repository);
                part.sources.push(SourceState::gap(format!("pacman:{path}"), Status::Failed, reason));
            }
            Err(error) => part.sources.push(settle::gap(format!("pacman:{path}"), &error)),
        }
    }
    if conf.repositories.is_empty() {
        let reason = Reason::with("metadata_missing", "no repository is configured");
        part.sources.push(SourceState::gap(format!("pacman:{CONF}"), Status::Failed, reason));
    }
    for package in installed {
        let Some((candidate, repository)) = offers.get(&package.name) else { continue };
        if !pacman::compare(candidate, &package.version).is_gt() {
            continue;
        }
        let held = conf.ignored.iter().any(|p| glob(p, &package.name))
            || conf.ignored_groups.iter().any(|g| package.groups.iter().any(|own| glob(g, own)));
        part.pending.push(PendingUpdate {
            id: format!("{}={candidate}", package.name),
            class: Some(class::of(&package.name, package.base.as_deref()).to_owned()),
            package: Some(package.name),
            arch: package.arch,
            installed: Some(package.version),
            candidate: Some(candidate.clone()),
            origin: Some(repository.clone()),
            held,
            ..PendingUpdate::default()
        });
    }
    Some(part)
}

#[derive(Debug, Default)]
struct Conf {
    repositories: Vec<String>,
    includes: usize,
    ignored: Vec<String>,
    ignored_groups: Vec<String>,
}

/// Reads a settings file and what it includes, where repositories may stand too. As for pacman, a pattern
/// that no file fits is nothing.
fn read_conf(sys: &Sys, path: &str, depth: usize, out: &mut Conf) -> Result<(), SysError> {
    if depth > MAX_DEPTH {
        return Err(SysError::malformed(path, "includes itself"));
    }
    let text = sys.read_text(path)?;
    for line in text.lines().map(|l| l.split('#').next().unwrap_or_default().trim()).take(10_000) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            if name != "options" && !name.contains('/') && !out.repositories.iter().any(|r| r == name) {
                out.repositories.push(name.to_owned());
            }
        } else if let Some((key, value)) = line.split_once('=') {
            let values = value.split_whitespace().map(str::to_owned);
            match key.trim() {
                "IgnorePkg" => out.ignored.extend(values),
                "IgnoreGroup" => out.ignored_groups.extend(values),
                "Include" => {
                    for file in included(sys, value.trim())? {
                        out.includes += 1;
                        if out.includes > MAX_INCLUDES {
                            return Err(SysError::malformed(path, "too many files included"));
                        }
                        read_conf(sys, &file, depth + 1, out)?;
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Files that an `Include` names; its last part may be a pattern.
fn included(sys: &Sys, pattern: &str) -> Result<Vec<String>, SysError> {
    let Some((folder, name)) = pattern.rsplit_once('/').filter(|(folder, _)| folder.starts_with('/')) else {
        return Ok(vec![]);
    };
    if folder.contains(['*', '?', '[']) {
        return Err(SysError::malformed(CONF, "a pattern of folders is included"));
    }
    match sys.list(folder) {
        Ok(entries) => {
            let files = entries.iter().filter(|e| e.kind != FileKind::Dir && glob(name, &e.name));
            Ok(files.map(|e| format!("{folder}/{}", e.name)).collect())
        }
        Err(SysError::Absent { .. }) => Ok(vec![]),
        Err(error) => Err(error),
    }
}

/// A tar of `name-version/desc`, packed with gzip or zstd whatever its name.
fn read_database(sys: &Sys, path: &str) -> Result<Vec<(String, String)>, SysError> {
    let malformed = |e: std::io::Error| SysError::malformed(path, e);
    let mut head = [0; 4];
    let read = sys.open(path)?.read(&mut head).map_err(malformed)?;
    let file = sys.open(path)?;
    let plain: Box<dyn Read> = match &head[..read] {
        [0x1F, 0x8B, ..] => Box::new(flate2::read::MultiGzDecoder::new(file)),
        [0x28, 0xB5, 0x2F, 0xFD] => Box::new(zstd::stream::read::Decoder::new(file).map_err(malformed)?),
        [0xFD, b'7', b'z', b'X'] => Box::new(std::io::Cursor::new(
            crate::probe::package::unpack::unxz(&mut std::io::BufReader::new(file)).map_err(malformed)?,
        )),
        _ => Box::new(file),
    };
    let mut archive = tar::Archive::new(plain.take(MAX_DATABASE));
    let mut out = vec![];
    for entry in archive.entries().map_err(malformed)? {
        let entry = entry.map_err(malformed)?;
        if !entry.path().map_err(malformed)?.ends_with("desc") {
            continue;
        }
        let mut bytes = vec![];
        entry.take(1024 * 1024).read_to_end(&mut bytes).map_err(malformed)?;
        if let Some(desc) = pacman::parse_desc(&bytes) {
            out.push((desc.name, desc.version));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use tenken_shared::fact::updates::Updates;

    use super::super::{PROBE, ProbeConfig};
    use super::*;
    use crate::probe::fixture::Fixture;

    fn database(packages: &[(&str, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(vec![], flate2::Compression::fast()));
        for (name, version) in packages {
            let text = format!("%NAME%\n{name}\n\n%VERSION%\n{version}\n\n");
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            tar.append_data(&mut header, format!("{name}-{version}/desc"), text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn first_repository_decides_and_a_missing_one_is_a_gap() {
        let fixture = Fixture::empty();
        fixture
            .write("/var/lib/pacman/local/a-1-1/desc", "%NAME%\na\n\n%VERSION%\n1-1\n")
            .write("/var/lib/pacman/local/linux-6-1/desc", "%NAME%\nlinux\n\n%VERSION%\n6-1\n")
            .write("/etc/pacman.conf", "[options]\nIgnorePkg = lin*\n[core]\nInclude = x\n[extra]\n");
        let missing = fixture.collect::<Updates>(&PROBE, &ProbeConfig::default());
        assert_eq!(
            (missing.status(), missing.reason().unwrap().code.as_str()),
            (Status::Failed, "metadata_missing")
        );
        fixture.write("/var/lib/pacman/sync/core.db", database(&[("a", "1-2"), ("linux", "7-1")]));
        let some = fixture.collect::<Updates>(&PROBE, &ProbeConfig::default());
        assert_eq!(some.status(), Status::Partial);
        fixture.write("/var/lib/pacman/sync/extra.db", database(&[("a", "9-9")]));
        let all = fixture.collect::<Updates>(&PROBE, &ProbeConfig::default());
        assert_eq!(all.status(), Status::Known);
        let brief: Vec<_> = all.value().unwrap().pending.iter().map(|p| (p.id.as_str(), p.held)).collect();
        assert_eq!(brief, [("a=1-2", false), ("linux=7-1", true)]);
    }

    #[test]
    fn repositories_of_included_files_are_seen() {
        let fixture = Fixture::empty();
        fixture
            .write("/var/lib/pacman/local/a-1-1/desc", "%NAME%\na\n\n%VERSION%\n1-1\n")
            .write(
                "/etc/pacman.conf",
                "[core]\nInclude = /etc/pacman.d/mirrorlist\nInclude = /etc/pacman.d/repos/*.conf\n",
            )
            .write("/etc/pacman.d/mirrorlist", "Server = https://mirror.example.com/$repo\n")
            .write("/etc/pacman.d/repos/own.conf", "[options]\nIgnorePkg = a\n[own]\nServer = x\n")
            .write("/etc/pacman.d/repos/off.bak", "[off]\n")
            .write("/var/lib/pacman/sync/core.db", database(&[]));
        let some = fixture.collect::<Updates>(&PROBE, &ProbeConfig::default());
        assert_eq!(
            (some.status(), some.reason().unwrap().code.as_str()),
            (Status::Partial, "metadata_missing"),
            "own.db is missing"
        );
        fixture.write("/var/lib/pacman/sync/own.db", database(&[("a", "2-1")]));
        let all = fixture.collect::<Updates>(&PROBE, &ProbeConfig::default());
        assert_eq!(all.status(), Status::Known, "{:?}", all.reason());
        let pending = &all.value().unwrap().pending;
        assert_eq!((pending[0].id.as_str(), pending[0].held), ("a=2-1", true));
        fixture.write("/etc/pacman.d/repos/own.conf", "Include = /etc/pacman.d/repos/*.conf\n");
        let endless = fixture.collect::<Updates>(&PROBE, &ProbeConfig::default());
        assert_eq!(
            (endless.status(), endless.reason().unwrap().code.as_str()),
            (Status::Failed, "malformed")
        );
    }
}
