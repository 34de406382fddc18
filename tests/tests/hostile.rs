//! Folders that somebody prepared: the agent reads them with high rights and must neither leave them,
//! hang, grow, nor take a gap for an empty list.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test file: helpers of tests are not seen as tests by the lint"
)]
#![cfg(unix)]

use std::os::unix::fs::symlink;
use std::path::Path;

use e2e::machine::Machine;
use e2e::program;
use serde_json::Value;

fn inventory(root: &Path) -> Value {
    let mut command = program::agent().unwrap();
    program::json(command.args(["inventory", "--format", "json", "--root"]).arg(root)).unwrap()
}

fn fact<'a>(inventory: &'a Value, kind: &str) -> &'a Value {
    let facts = inventory["facts"].as_array().unwrap();
    facts.iter().find(|f| f["kind"] == kind).unwrap_or_else(|| panic!("no fact {kind}"))
}

fn machine() -> (tempfile::TempDir, Machine) {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::at(folder.path(), "hostile").unwrap();
    (folder, machine)
}

#[test]
fn a_sound_folder_is_read() {
    let (_folder, machine) = machine();
    let inventory = inventory(machine.root());
    let software = fact(&inventory, "software");
    assert_eq!(software["body"]["items"].as_array().unwrap().len(), 3, "{software}");
    assert_eq!(inventory["host"]["hostname"], "hostile");
}

/// Every status word but these two comes without a body; a gap is never an empty list.
fn assert_honest(inventory: &Value) {
    for fact in inventory["facts"].as_array().unwrap() {
        let whole = ["known", "partial"].contains(&fact["status"].as_str().unwrap());
        assert_eq!(whole, fact.get("body").is_some_and(|b| !b.is_null()), "{fact}");
        if fact["status"] != "known" {
            assert!(fact["reason"]["code"].is_string(), "{fact}");
        }
    }
}

#[test]
fn links_out_of_the_folder_read_nothing_outside() {
    let (folder, machine) = machine();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(
        outside.path().join("status"),
        "Package: secret\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n",
    )
    .unwrap();
    let status = folder.path().join("var/lib/dpkg/status");
    std::fs::remove_file(&status).unwrap();
    symlink(outside.path().join("status"), &status).unwrap();
    let hostname = folder.path().join("etc/hostname");
    std::fs::remove_file(&hostname).unwrap();
    symlink("/proc/sys/kernel/hostname", &hostname).unwrap();
    let inventory = inventory(machine.root());
    assert_honest(&inventory);
    assert!(!inventory.to_string().contains("secret"));
    assert_ne!(fact(&inventory, "software")["status"], "known");
}

#[test]
fn pipes_devices_and_loops_neither_block_nor_count() {
    let (folder, machine) = machine();
    for path in ["var/lib/dpkg/status", "etc/os-release", "etc/machine-id", "etc/hostname"] {
        let path = folder.path().join(path);
        std::fs::remove_file(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
    }
    symlink("loop", folder.path().join("etc/loop")).unwrap();
    let passwd = folder.path().join("etc/passwd");
    symlink("loop", &passwd).unwrap();
    let inventory = inventory(machine.root());
    assert_honest(&inventory);
    assert_ne!(fact(&inventory, "software")["status"], "known");
    assert_ne!(fact(&inventory, "accounts")["status"], "known");
}

#[test]
fn binary_rubbish_in_every_file_is_named_and_not_taken() {
    let (folder, machine) = machine();
    let rubbish: Vec<u8> = (0..200_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let paths = [
        "var/lib/dpkg/status",
        "var/lib/rpm/rpmdb.sqlite",
        "var/lib/rpm/Packages",
        "lib/apk/db/installed",
        "var/lib/snapd/state.json",
        "etc/passwd",
        "etc/shadow",
        "etc/group",
        "etc/sudoers",
        "etc/login.defs",
        "etc/pam.d/common-auth",
        "etc/apt/apt.conf.d/20auto-upgrades",
        "etc/modprobe.d/x.conf",
        "etc/nftables.conf",
        "etc/usbguard/rules.conf",
        "var/log/apt/history.log",
        "var/log/dpkg.log",
        "var/log/kern.log",
        "etc/fstab",
        "etc/crypttab",
        "proc/self/mountinfo",
        "sys/firmware/dmi/tables/DMI",
        "etc/dconf/db/local",
    ];
    for path in paths {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &rubbish).unwrap();
    }
    let inventory = inventory(machine.root());
    assert_honest(&inventory);
    assert_ne!(fact(&inventory, "software")["status"], "known");
    assert_ne!(fact(&inventory, "accounts")["status"], "known");
}

#[test]
fn huge_and_endless_files_stop_at_a_cap() {
    let (folder, machine) = machine();
    // Sparse: eight gigabytes that cost nothing to make.
    for path in ["var/lib/dpkg/status", "etc/passwd", "etc/os-release"] {
        let file = std::fs::File::create(folder.path().join(path)).unwrap();
        file.set_len(8 << 30).unwrap();
    }
    let inventory = inventory(machine.root());
    assert_honest(&inventory);
    assert_ne!(fact(&inventory, "software")["status"], "known");
}

#[test]
fn a_folder_without_a_package_database_is_not_an_empty_list() {
    let (folder, machine) = machine();
    std::fs::remove_dir_all(folder.path().join("var/lib/dpkg")).unwrap();
    let inventory = inventory(machine.root());
    assert_honest(&inventory);
    let software = fact(&inventory, "software");
    assert_ne!(software["status"], "known", "{software}");
    assert_ne!(fact(&inventory, "updates")["status"], "known");
}

#[test]
fn names_with_control_characters_reach_the_terminal_escaped() {
    let (_folder, machine) = machine();
    machine.packages(&[("evil\u{1b}[2Jname", "1.0"), ("bidi\u{202e}gpj", "1")]).unwrap();
    let mut command = program::agent().unwrap();
    let output =
        program::output(command.args(["inventory", "--only", "software", "--root"]).arg(machine.root()))
            .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
}

#[test]
fn an_empty_folder_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program::agent().unwrap();
    let output = program::output(command.args(["inventory", "--root"]).arg(folder.path())).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no_operating_system_found"), "{output:?}");
}
