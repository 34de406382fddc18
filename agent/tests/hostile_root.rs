//! Root folders with missing, unreadable, huge, binary and hostile files: honest states, no panic, no hang.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::symlink;
use std::path::Path;

use tenken_agent::probe::{Collection, ProbeConfig, registry, runner::Runner};
use tenken_agent::sys::Sys;
use tenken_shared::collected::Status;

/// Files that probes read, for each way to spoil them.
const FILES: [&str; 24] = [
    "etc/os-release",
    "usr/lib/os-release",
    "etc/machine-id",
    "etc/hostname",
    "etc/hosts",
    "etc/fstab",
    "etc/crypttab",
    "etc/passwd",
    "etc/shadow",
    "etc/group",
    "etc/sudoers",
    "etc/login.defs",
    "etc/resolv.conf",
    "etc/localtime",
    "etc/sssd/sssd.conf",
    "etc/apt/sources.list",
    "var/lib/dpkg/status",
    "var/lib/rpm/rpmdb.sqlite",
    "var/lib/apt/extended_states",
    "var/log/apt/history.log",
    "proc/cpuinfo",
    "proc/self/mountinfo",
    "sys/class/dmi/id/sys_vendor",
    "sys/firmware/dmi/tables/DMI",
];

fn machine(spoil: impl Fn(&Path)) -> (tempfile::TempDir, Vec<Collection>) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("etc")).unwrap();
    for file in FILES {
        let path = dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        spoil(&path);
    }
    let sys = Sys::at_root(dir.path(), Some("2026-11-23T00:00:00Z".parse().unwrap())).unwrap();
    let given = Runner::new(sys, None).run(&ProbeConfig::default(), None);
    (dir, given)
}

fn assert_honest(given: &[Collection], how: &str) {
    let expected: usize = registry::ALL.iter().map(|probe| probe.kinds.len()).sum();
    assert_eq!(given.len(), expected, "{how}: every kind is answered");
    for collection in given {
        let content = &collection.record.content;
        let code = content.reason.as_ref().map_or("", |reason| reason.code.as_str());
        assert!(
            !["panicked", "not_given", "time_limit"].contains(&code),
            "{how}: {} is {code}",
            collection.kind
        );
        let explained = content.status == Status::Known || content.reason.is_some();
        assert!(explained, "{how}: {} is {} without a reason", collection.kind, content.status);
        assert_eq!(content.body.is_some(), content.status.has_body(), "{how}: {}", collection.kind);
        if let Some(body) = &content.body {
            collection.kind.check_body(body).unwrap();
        }
    }
}

fn status_of(given: &[Collection], kind: &str) -> Status {
    given.iter().find(|c| c.kind.as_str() == kind).unwrap().record.content.status
}

#[test]
fn an_empty_machine_knows_nothing_and_says_so() {
    let (_dir, given) = machine(|_| {});
    assert_honest(&given, "empty");
    for kind in ["identity", "os", "software", "updates", "volumes", "hardware"] {
        let status = status_of(&given, kind);
        assert!(!status.has_body(), "{kind} of an empty machine is {status}");
    }
}

#[test]
fn folders_in_place_of_files_are_no_answer() {
    let (_dir, given) = machine(|path| std::fs::create_dir_all(path).unwrap());
    assert_honest(&given, "folders");
    assert_eq!(status_of(&given, "os"), Status::Failed);
}

#[test]
fn binary_rubbish_is_no_answer() {
    let rubbish: Vec<u8> = (0..20_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (_dir, given) = machine(|path| std::fs::write(path, &rubbish).unwrap());
    assert_honest(&given, "rubbish");
    assert_eq!(status_of(&given, "os"), Status::Failed);
}

#[test]
fn huge_files_are_refused_by_their_cap() {
    // Sparse: they claim more than any cap and cost no space.
    let (_dir, given) = machine(|path| std::fs::File::create(path).unwrap().set_len(3 << 30).unwrap());
    assert_honest(&given, "huge");
    assert_eq!(status_of(&given, "os"), Status::Failed);
}

#[test]
fn pipes_are_never_opened() {
    let (_dir, given) = machine(|path| {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    });
    assert_honest(&given, "pipes");
    assert_eq!(status_of(&given, "os"), Status::Failed);
}

#[test]
fn links_never_lead_out_of_the_root() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    std::fs::write(&secret, "ID=escaped\nNAME=escaped\nescaped:x:0:0::/:/bin/sh\n").unwrap();
    let (_dir, given) = machine(|path| symlink(&secret, path).unwrap());
    assert_honest(&given, "links out");
    let text = serde_json::to_string(&given.iter().map(|c| &c.record.content).collect::<Vec<_>>()).unwrap();
    assert!(!text.contains("escaped"), "{text}");
    let (_dir, given) = machine(|path| symlink(path.file_name().unwrap(), path).unwrap());
    assert_honest(&given, "loops");
}

#[test]
fn hostile_names_and_texts_are_data() {
    let hostile = "ID=\"\u{202e}gpj.exe\u{1b}[2J\"\nNAME='=cmd|calc'\nPRETTY_NAME=\"<script>\"\n../../../x:x:0:0::/:/\n\0\0";
    let (_dir, given) = machine(|path| std::fs::write(path, hostile).unwrap());
    assert_honest(&given, "hostile");
    let shown = tenken_shared::text::printable(
        given.iter().find(|c| c.kind.as_str() == "os").unwrap().record.content.body.as_ref().unwrap()["id"]
            .as_str()
            .unwrap(),
    );
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown}");
}
