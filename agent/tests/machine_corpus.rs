//! OS, hardware and volume readers against the outside corpus, where it is present.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tenken_agent::probe::{Probe, ProbeConfig, hardware, os, volumes};
use tenken_agent::sys::Sys;
use tenken_shared::collected::Collected;
use tenken_shared::fact::FactBody;

/// Input files of one kind with their expected facts, sorted; says so where the corpus is absent.
fn corpus(kind: &str) -> Vec<(PathBuf, Option<Value>)> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let folder = std::env::var_os("TENKEN_CORPUS").map_or(default, PathBuf::from).join(kind);
    if !folder.is_dir() {
        skip::skip(format_args!("no outside corpus for {kind}"));
        return vec![];
    }
    let mut found = Vec::new();
    for source in std::fs::read_dir(folder).unwrap() {
        for file in std::fs::read_dir(source.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.to_string_lossy().ends_with(".expected.json") {
                continue;
            }
            let expected = std::fs::read(format!("{}.expected.json", path.display())).ok();
            let expected =
                expected.map(|bytes| serde_json::from_slice::<Value>(&bytes).unwrap()["facts"].clone());
            found.push((path, expected));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(!found.is_empty(), "corpus kind {kind} is empty");
    found
}

fn collect<T: FactBody>(probe: &Probe, root: &Path) -> Collected<T> {
    let sys = Sys::at_root(root, Some("2026-11-23T00:00:00Z".parse().unwrap())).unwrap();
    let given = (probe.collect)(&sys, &ProbeConfig::default());
    given.iter().find(|c| c.kind == T::KIND).unwrap().record.typed::<T>()
}

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path.trim_start_matches('/'));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// A recorded machine of the corpus (TOML) laid out as files.
fn lay_out(text: &str, root: &Path) {
    std::fs::create_dir_all(root.join("etc")).unwrap();
    let table: toml::Table = text.parse().unwrap();
    for (path, file) in table.get("files").and_then(|f| f.as_table()).into_iter().flatten() {
        if let Some(content) = file.get("content").and_then(|c| c.as_str()) {
            write(root, path, content);
        }
    }
}

#[test]
fn os_release_files_give_the_expected_map() {
    let mut checked = 0;
    for (path, expected) in corpus("os-release") {
        let map = os::parse::os_release(&std::fs::read_to_string(&path).unwrap());
        let Some(expected) = expected else { continue };
        // Some sources give the map itself, others wrap it.
        let expected = expected.get("keys").cloned().unwrap_or(expected);
        let Ok(expected) = serde_json::from_value::<BTreeMap<String, String>>(expected) else { continue };
        assert_eq!(map, expected, "{}", path.display());
        checked += 1;
    }
    eprintln!("{checked} os-release files compared");
}

#[test]
fn recorded_machines_tell_their_version() {
    let files = corpus("os-detect");
    let mut checked = 0;
    for (path, expected) in &files {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        // Systems of other families, and ones whose only sign is a file no general system has.
        if ["windows2019", "macos", "ubios", "openwrt", "plcnext"].contains(&name.as_str()) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        lay_out(&std::fs::read_to_string(path).unwrap(), dir.path());
        let answer = collect::<tenken_shared::fact::os::Os>(&os::PROBE, dir.path());
        let Some(body) = answer.value() else { panic!("{name}: {answer:?}") };
        let expected = expected.as_ref().unwrap();
        let Some(version) = expected["version"].as_str() else { continue };
        let ours = body.version_full.as_deref().or(body.version.as_deref());
        // The peer calls a rolling release by other words, and may cut the point release or add it.
        let fits = ours.is_some_and(|ours| ours.starts_with(version) || version.starts_with(ours));
        assert!(fits || version == "edge" || name == "gentoo", "{name}: {ours:?}, expected {version}");
        checked += 1;
    }
    assert!(files.is_empty() || checked >= 30, "{checked}");
}

#[test]
fn recorded_smbios_files_give_the_machine() {
    for (path, expected) in corpus("smbios") {
        let Some(expected) = expected.filter(|_| path.extension().is_some_and(|e| e == "toml")) else {
            continue;
        };
        let dir = tempfile::tempdir().unwrap();
        lay_out(&std::fs::read_to_string(&path).unwrap(), dir.path());
        if !dir.path().join("sys/class/dmi/id").is_dir() {
            continue;
        }
        let answer = collect::<tenken_shared::fact::hardware::Hardware>(&hardware::PROBE, dir.path());
        let body = answer.value().unwrap();
        assert_eq!(body.maker.as_deref(), expected["system"]["vendor"].as_str());
        assert_eq!(body.model.as_deref(), expected["system"]["model"].as_str());
        assert_eq!(body.uuid.as_deref(), expected["system"]["uuid"].as_str());
        // "0" is a filler, not a serial.
        assert_eq!((body.serial.as_deref(), body.serial_rejected.as_deref()), (None, Some("0")));
        assert_eq!(body.virtualization.as_ref().unwrap().hypervisor.as_deref(), Some("virtualbox"));
        assert_eq!(body.chassis.as_deref(), Some("virtual"));
    }
}

#[test]
fn processors_are_counted_as_the_peers_count_them() {
    for (path, expected) in corpus("cpuinfo") {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let cpu = hardware::parse::cpuinfo(&text);
        let Some(expected) = expected else { continue };
        let count = expected["processors_parsed"].as_u64().or(expected["processor_entries"].as_u64());
        if let Some(count) = count.filter(|count| *count > 0 && text.contains("processor\t:")) {
            assert_eq!(cpu.threads.map(u64::from), Some(count), "{}", path.display());
        }
    }
}

/// Unpacks a dump of a machine's files; its single top folder becomes the root.
fn unpack(path: &Path, into: &Path) -> PathBuf {
    let bytes = std::fs::read(path).unwrap();
    let mut plain = Vec::new();
    if path.extension().is_some_and(|e| e == "xz") {
        lzma_rs::xz_decompress(&mut bytes.as_slice(), &mut plain).unwrap();
    } else {
        std::io::copy(&mut flate2::read::GzDecoder::new(bytes.as_slice()), &mut plain).unwrap();
    }
    tar::Archive::new(plain.as_slice()).unpack(into).unwrap();
    let root = std::fs::read_dir(into).unwrap().next().unwrap().unwrap().path();
    std::fs::create_dir_all(root.join("etc")).unwrap();
    root
}

#[test]
fn dumps_of_processors_agree_with_lscpu() {
    for (path, expected) in corpus("cpu-sysfs-dump") {
        let dir = tempfile::tempdir().unwrap();
        let root = unpack(&path, dir.path());
        let answer = collect::<tenken_shared::fact::hardware::Hardware>(&hardware::PROBE, &root);
        let cpu = answer.value().unwrap().cpu.clone().unwrap();
        let expected = expected.unwrap();
        let lscpu = expected["lscpu_output"].as_str().unwrap();
        let number = |wanted: &str| {
            let mut lines = lscpu.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(key, _)| *key == wanted).and_then(|(_, value)| value.trim().parse::<u32>().ok())
        };
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(cpu.threads, number("CPU(s)"), "{name}");
        let (Some(per_socket), Some(sockets)) = (number("Core(s) per socket"), number("Socket(s)")) else {
            continue;
        };
        assert_eq!(cpu.cores, Some(per_socket * sockets), "{name}");
        // A kernel that names no package leaves the count open, never wrong.
        assert!(cpu.sockets.is_none_or(|ours| ours == sockets), "{name}: {:?} of {sockets}", cpu.sockets);
    }
}

#[test]
fn dumps_of_disks_agree_with_lsblk() {
    for (path, expected) in corpus("block-sysfs-dump") {
        let dir = tempfile::tempdir().unwrap();
        let root = unpack(&path, dir.path());
        let answer = collect::<tenken_shared::fact::hardware::Hardware>(&hardware::PROBE, &root);
        let body = answer.value().unwrap();
        let expected = expected.unwrap();
        let table = expected["lsblk_output"]["state"].as_str().unwrap();
        let disks: Vec<(String, bool)> = table
            .lines()
            .filter(|line| {
                line.split_whitespace().any(|word| word == "disk") && !line.starts_with(['|', '`'])
            })
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                let rotational = words[words.iter().position(|word| *word == "disk").unwrap() - 1];
                (words[0].to_owned(), rotational == "1")
            })
            .collect();
        let ours: Vec<(String, bool)> =
            body.disks.iter().map(|disk| (disk.name.clone(), disk.rotational.unwrap())).collect();
        let mut sorted = disks.clone();
        sorted.sort();
        assert_eq!(ours, sorted, "{}", path.display());
        let nvme = body.disks.iter().find(|disk| disk.name == "nvme0n1").unwrap();
        assert_eq!(nvme.bus.as_deref(), Some("nvme"));
        assert!(nvme.model.as_deref().unwrap().starts_with("KINGSTON"));
    }
}

#[test]
fn mount_points_with_blanks_survive() {
    for (path, _) in corpus("block-sysfs-dump") {
        let dir = tempfile::tempdir().unwrap();
        let root = unpack(&path, dir.path());
        let answer = collect::<tenken_shared::fact::volumes::Volumes>(&volumes::PROBE, &root);
        let mounts: Vec<_> = answer.value().unwrap().items.iter().map(|v| v.mount.clone()).collect();
        assert!(mounts.contains(&"/".to_owned()) && mounts.contains(&"/boot/efi".to_owned()), "{mounts:?}");
    }
}
