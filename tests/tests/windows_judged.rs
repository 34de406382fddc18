//! A Windows machine judged on all four items from its files alone: a made-up Windows 11 of a Japanese
//! office, by the agent without a collector (`check --root`) and by a collector it is delivered to. The
//! same from a running system, under Wine, is part of the story `windows`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test file: helpers of tests are not seen as tests by the lint")]

use std::path::PathBuf;

use e2e::clock;
use e2e::judged::{Expected, Judged};
use e2e::process::wait_for;
use e2e::program::{self, Agent, Collector, json};
use e2e::windows_machine::{BACKED_UP, STICK, WindowsMachine};
use e2e::windows_page::{Place, agrees};
use jiff::Timestamp;
use serde_json::{Value, json as value};

/// A month after the newest update, and before the next one has to be in: the table of builds can tell.
const NOW: &str = "2026-11-17T00:00:00Z";

/// What cannot be told of a machine that does not run: unknown, however well it looks.
const NOT_KNOWN: [Expected; 7] = [
    ("inventory.client_known", "unknown", "fact_partial", None),
    ("inventory.configuration_known", "unknown", "fact_partial", None),
    ("inventory.information_current", "unknown", "fact_partial", None),
    ("patch.restart_not_pending", "unknown", "fact_partial", Some(("restart", "/pending", "null"))),
    ("patch.history_recorded", "unknown", "fact_partial", None),
    ("patch.metadata_fresh", "unknown", "fact_partial", None),
    ("account.administrators_known", "unknown", "fact_failed", None),
];

/// What the files of the machine as it should be say.
const CARED_FOR: [Expected; 10] = [
    ("inventory.software_known", "pass", "known", Some(("software", "/items/length", "4"))),
    ("patch.supported_os", "pass", "supported", Some(("os", "/version", "25H2"))),
    ("patch.automatic_update", "pass", "on", Some(("update_settings", "/mechanisms/0", "AUOptions=4"))),
    // The list of updates is not known, however current the build.
    ("patch.applied_in_time", "unknown", "fact_partial", Some(("os", "/build", "26200.9711"))),
    ("backup.declared_targets_met", "pass", "met", Some(("backups", "/jobs/0", BACKED_UP))),
    ("backup.remote_copy", "fail", "no_remote", Some(("backups", "/jobs/0", "lan"))),
    ("media.autorun_disabled", "pass", "off", Some(("autorun", "/settings/0", "NoAutorun=1"))),
    (
        "media.restriction_in_force",
        "pass",
        "in_force",
        Some(("removable_policy", "/restrictions/0", "Deny_All")),
    ),
    // The second stick stands in the set-up log alone.
    (
        "media.only_permitted_used",
        "fail",
        "not_permitted",
        Some(("removable_devices", "/items/0", "EL00112233")),
    ),
    ("media.ledger_known", "pass", "known", Some(("removable_devices", "/items/length", "2"))),
];
const CARED_FOR_STATES: [(&str, &str); 14] = [
    ("3-1-1-1", "unknown"),
    ("3-1-1-2", "unknown"),
    ("3-1-1-4", "unknown"),
    ("3-1-1-6", "unknown"),
    ("3-1-1-7", "unknown"),
    ("4-4-4-1", "met"),
    ("4-4-4-2", "unknown"),
    ("4-4-4-3", "attested"),
    ("4-3-4-1", "met"),
    ("4-3-4-2", "not_met"),
    ("4-1-9-1", "not_met"),
    ("4-1-9-2", "unknown"),
    ("4-1-9-3", "not_met"),
    ("4-4-1-2", "met"),
];

/// What those of a neglected one say.
const NEGLECTED: [Expected; 5] = [
    ("patch.automatic_update", "fail", "deferred", Some(("update_settings", "/deferral_days", "21"))),
    (
        "patch.applied_in_time",
        "fail",
        "build_late_unlisted",
        Some(("catalog", "/builds/26200/missing", "\"ubr\":9711")),
    ),
    ("backup.declared_targets_met", "fail", "no_job", None),
    ("media.autorun_disabled", "fail", "on", Some(("autorun", "/active", "true"))),
    (
        "media.restriction_in_force",
        "fail",
        "not_in_force",
        Some(("removable_policy", "/usb_storage", "allowed")),
    ),
];
const NEGLECTED_STATES: [(&str, &str); 6] = [
    ("3-1-1-1", "unknown"),
    ("4-4-4-1", "not_met"),
    ("4-4-4-2", "not_met"),
    ("4-3-4-1", "not_met"),
    ("4-1-9-1", "not_met"),
    ("4-4-1-2", "not_met"),
];

fn policy() -> Value {
    value!({
        "backup": {"targets": [{"name": "画像", "frequency_h": 24, "remote_copy": true}]},
        "removable": {
            "usb_storage": "blocked",
            "permitted": [{"vendor_id": "0411", "product_id": "02bc", "serial": STICK, "label": "経理"}],
        },
    })
}

struct Office {
    folder: tempfile::TempDir,
    root: PathBuf,
    policy: PathBuf,
}

impl Office {
    fn of(machine: &WindowsMachine) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = machine.write(&folder.path().join("PC 1　号")).unwrap();
        let file = folder.path().join("policy.json");
        std::fs::write(&file, policy().to_string()).unwrap();
        Self { root, policy: file, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn inventory(&self) -> Value {
        let mut command = program::agent().unwrap();
        command.args(["inventory", "--format", "json", "--as-of", NOW, "--root"]).arg(&self.root);
        json(&mut command).unwrap()
    }

    /// What `check` says, whose exit code is 1 where something fails.
    fn checked(&self) -> Judged {
        let mut command = program::agent().unwrap();
        command.args(["check", "--format", "json", "--as-of", NOW, "--root"]).arg(&self.root);
        let output = program::output(command.arg("--policy").arg(&self.policy)).unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        Judged::read(&serde_json::from_slice(&output.stdout).unwrap()).unwrap()
    }
}

#[test]
fn a_folder_is_judged_on_all_four_items_and_nothing_unknown_passes() {
    let office = Office::of(&WindowsMachine::japanese().unwrap());
    let judged = office.checked();
    judged.expect(&CARED_FOR, &CARED_FOR_STATES).unwrap();
    judged.expect(&NOT_KNOWN, &[]).unwrap();
    judged.passes_only_on_known_facts(&office.inventory()).unwrap();
}

#[test]
fn a_neglected_machine_fails_with_the_evidence() {
    let office = Office::of(&WindowsMachine::neglected().unwrap());
    let judged = office.checked();
    judged.expect(&NEGLECTED, &NEGLECTED_STATES).unwrap();
    judged.expect(&NOT_KNOWN, &[]).unwrap();
    judged.passes_only_on_known_facts(&office.inventory()).unwrap();
}

#[test]
fn the_page_says_what_a_folder_gives() {
    let office = Office::of(&WindowsMachine::japanese().unwrap());
    agrees(&office.inventory(), Place::Folder).unwrap();
}

/// The same machine, delivered: the collector comes to the same outcomes.
#[test]
fn a_collector_judges_a_folder_that_was_delivered() {
    if let Some(why) = clock::missing() {
        println!("skipped: {why}");
        return;
    }
    let office = Office::of(&WindowsMachine::japanese().unwrap());
    // Relative, so that all programs live on one clock.
    let now: Timestamp = NOW.parse().unwrap();
    let then = format!("{:+}", now.as_second() - Timestamp::now().as_second());
    let collector = Collector::start_living_at(&office.path("collector"), &then).unwrap();
    collector.json(&["policy".as_ref(), "set".as_ref(), office.policy.as_os_str()]).unwrap();
    let mut agent = Agent::of(&office.path("agent"), &office.root);
    agent.live_at(&then).unwrap();
    agent.enrol(&collector.token(1).unwrap()).unwrap();
    agent.report().unwrap();
    let host = agent.host().unwrap();
    let judged = wait_for("the host to be judged", || {
        let judged = Judged::read(&collector.json(&["criteria", "--host", &host])?)?;
        Ok((judged.state("4-4-1-2") == "met").then_some(judged))
    })
    .unwrap();
    judged.expect(&CARED_FOR, &CARED_FOR_STATES).unwrap();
    judged.expect(&NOT_KNOWN, &[]).unwrap();
    judged.passes_only_on_known_facts(&office.inventory()).unwrap();
}
