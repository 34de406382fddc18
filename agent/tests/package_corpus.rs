//! Readers of package databases against the outside corpus, where it is present.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use tenken_agent::probe::package::rpm::Package;
use tenken_agent::probe::package::{apk, dpkg, pacman, rpm, rpmdb, unpack};
use tenken_agent::probe::software::parse_snap;

/// The corpus folder of one kind; says so where it is absent.
fn corpus(kind: &str) -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let base = std::env::var_os("TENKEN_CORPUS").map_or(default, PathBuf::from);
    let found = base.join(kind);
    if found.is_dir() {
        return Some(found);
    }
    skip::skip(format_args!("no outside corpus at {}", found.display()));
    None
}

fn read(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    if path.extension().is_some_and(|e| e == "xz") {
        return unpack::unxz(&mut bytes.as_slice()).unwrap();
    }
    bytes
}

fn facts(path: &Path) -> Value {
    let expected = format!("{}.expected.json", path.display());
    let value: Value = serde_json::from_slice(&std::fs::read(expected).unwrap()).unwrap();
    value["facts"].clone()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[test]
fn dpkg_status_equals_what_dpkg_says() {
    let Some(folder) = corpus("dpkg") else { return };
    let path = folder.join("captured-debian-12/status");
    let (bytes, facts) = (read(&path), facts(&path));
    let status = dpkg::parse_status(&bytes, false);
    assert_eq!((status.damaged, status.truncated), (0, false));
    assert_eq!(status.packages.len() as u64, facts["count_installed"].as_u64().unwrap());
    let expected = facts["packages"].as_array().unwrap().iter().filter(|p| text(p, "status").ends_with('i'));
    for package in expected {
        let found = status.packages.iter().any(|p| {
            p.name == text(package, "package")
                && p.version == text(package, "version")
                && p.arch.as_deref() == Some(text(package, "arch"))
        });
        assert!(found, "{package}");
    }
    let mixed = folder.join("cnquery/status-mixed-10");
    assert_eq!(dpkg::parse_status(&read(&mixed), false).packages.len(), 10);
}

#[test]
fn edited_dpkg_and_opkg_files_give_their_packages() {
    for kind in ["dpkg", "opkg"] {
        let Some(folder) = corpus(kind) else { return };
        for entry in std::fs::read_dir(folder.join("osv-scalibr")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.ends_with(".json") || !PathBuf::from(format!("{}.expected.json", path.display())).exists()
            {
                continue;
            }
            let facts = facts(&path);
            let bytes = read(&path);
            let status = dpkg::parse_status(&bytes, name.contains("status.d"));
            for package in facts["packages"].as_array().into_iter().flatten() {
                let wanted = [text(package, "name"), text(package, "package")];
                let found = status
                    .packages
                    .iter()
                    .any(|p| wanted.contains(&p.name.as_ref()) && p.version == text(package, "version"));
                assert!(found, "{name}: {package} in {status:?}");
            }
        }
    }
}

#[test]
fn apk_databases_give_their_packages() {
    let Some(folder) = corpus("apk") else { return };
    for name in ["installed.db", "single.db", "no-origin.db"] {
        let path = folder.join("osv-scalibr").join(name);
        let (bytes, facts) = (read(&path), facts(&path));
        let (packages, damaged) = apk::parse_records(&bytes);
        assert_eq!(damaged, 0, "{name}");
        let expected = facts["packages"].as_array().unwrap();
        assert_eq!(packages.len(), expected.len(), "{name}");
        for (package, wanted) in packages.iter().zip(expected) {
            assert_eq!(package.name, text(wanted, "name"));
            assert_eq!(package.version, text(wanted, "version"));
            assert_eq!(package.arch.as_deref().unwrap_or_default(), text(wanted, "arch"));
            assert_eq!(package.origin.as_deref().unwrap_or_default(), text(wanted, "origin"));
            assert_eq!(package.maintainer.as_deref().unwrap_or_default(), text(wanted, "maintainer"));
        }
    }
}

#[test]
fn pacman_records_give_their_package() {
    let Some(folder) = corpus("pacman") else { return };
    for name in ["valid", "valid_no_dep", "eof_after_dependencies", "invalid_value_eof"] {
        let path = folder.join(format!("osv-scalibr/local-db-desc-{name}"));
        if !PathBuf::from(format!("{}.expected.json", path.display())).exists() {
            continue;
        }
        let facts = facts(&path);
        let wanted = facts["packages"].as_array().unwrap().first();
        let desc = pacman::parse_desc(&read(&path));
        assert_eq!(desc.is_some(), wanted.is_some(), "{name}");
        if let (Some(desc), Some(wanted)) = (desc, wanted) {
            assert_eq!(
                (desc.name.as_str(), desc.version.as_str()),
                (text(wanted, "name"), text(wanted, "version"))
            );
        }
    }
}

#[test]
fn snap_yaml_needs_name_and_version() {
    let Some(folder) = corpus("snap-flatpak-nix") else { return };
    for name in ["snap-missing-name", "snap-missing-version", "snap-single-arch"] {
        let path = folder.join(format!("osv-scalibr/{name}.yaml"));
        let facts = facts(&path);
        let yaml = parse_snap::parse_yaml(&read(&path));
        assert_eq!(yaml.is_some(), facts["error"].is_null(), "{name}");
        if let Some(yaml) = yaml {
            assert_eq!(yaml.version, text(&facts["packages"][0], "version"));
        }
    }
}

/// Every header of a database in pure form, keys included.
fn headers(format: &str, bytes: Vec<u8>) -> Vec<Package> {
    let mut out = vec![];
    let mut each = |blob: &[u8]| out.push(rpm::parse_header(blob).expect("sound header"));
    let file = std::io::Cursor::new(bytes);
    match format {
        "ndb" => rpmdb::ndb::for_each(file, &mut each).unwrap(),
        _ => rpmdb::bdb::for_each(file, &mut each).unwrap(),
    }
    out
}

fn assert_packages(found: &[Package], facts: &Value) {
    let expected = facts["packages"].as_array().unwrap();
    assert_eq!(found.len() as u64, facts["count"].as_u64().unwrap());
    assert!(!expected.is_empty());
    for wanted in expected {
        let package =
            found.iter().find(|p| p.name == text(wanted, "name")).unwrap_or_else(|| panic!("{wanted}"));
        assert_eq!(package.version, text(wanted, "version"));
        assert_eq!(package.release, text(wanted, "release"));
        if let Some(vendor) = wanted["vendor"].as_str().filter(|v| !v.is_empty() && *v != "(none)") {
            assert_eq!(package.vendor.as_deref(), Some(vendor));
        }
        let installed = &wanted["install_time"];
        let installed = installed.as_i64().or_else(|| installed.as_str()?.parse().ok());
        if installed.is_some() {
            assert_eq!(package.installed, installed);
        }
        if let Some(source) = wanted["source_rpm"].as_str() {
            assert_eq!(package.source_rpm.as_deref(), Some(source));
        }
    }
}

#[test]
fn rpm_databases_of_all_formats_equal_what_rpm_says() {
    let Some(folder) = corpus("rpmdb") else { return };
    for (format, name) in [("ndb", "sle15-bci-Packages.db.xz"), ("bdb", "libuuid-Packages")] {
        let path = folder.join("go-rpmdb").join(name);
        assert_packages(&headers(format, read(&path)), &facts(&path));
    }
}

#[test]
fn rpm_sqlite_database_is_read_through_the_machine_door() {
    let Some(folder) = corpus("rpmdb") else { return };
    let path = folder.join("go-rpmdb/cbl-mariner-2.0-rpmdb.sqlite.xz");
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("var/lib/rpm")).unwrap();
    std::fs::write(root.path().join("var/lib/rpm/rpmdb.sqlite"), read(&path)).unwrap();
    let sys = tenken_agent::sys::Sys::at_root(root.path(), None).unwrap();
    let databases = rpmdb::find(&sys).unwrap();
    let mut found = vec![];
    let summary = rpmdb::for_each(&sys, &databases[0], &mut |p| found.push(p)).unwrap();
    assert_eq!((summary.read, summary.damaged), (129, 0));
    let mut facts = facts(&path);
    facts["packages"].as_array_mut().unwrap().retain(|p| text(p, "name") != "gpg-pubkey");
    facts["count"] = facts["packages"].as_array().unwrap().len().into();
    assert_packages(&found, &facts);
}

#[test]
fn damaged_rpm_databases_are_errors_and_never_panic() {
    let Some(folder) = corpus("rpmdb") else { return };
    let whole = read(&folder.join("go-rpmdb/libuuid-Packages"));
    for (end, flip) in (0..whole.len()).step_by(997).zip((0..whole.len()).step_by(613)) {
        let mut bytes = whole[..end].to_vec();
        if let Some(byte) = bytes.get_mut(flip) {
            *byte ^= 0xFF;
        }
        let mut count = 0;
        let mut each = |b: &[u8]| count += usize::from(rpm::parse_header(b).is_some());
        let result = rpmdb::bdb::for_each(std::io::Cursor::new(bytes), &mut each);
        assert!(result.is_err() || count <= 1);
    }
}
