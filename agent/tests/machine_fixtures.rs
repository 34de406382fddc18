//! The facts of every fixture of the machine's own kinds and of its update state, as snapshots.
#![cfg(unix)]

use std::path::Path;

use tenken_agent::probe::{Probe, ProbeConfig, agent, hardware, identity, network, os, volumes};
use tenken_agent::probe::{restart, update_history, update_settings};
use tenken_agent::sys::Sys;

const PROBES: [&Probe; 9] = [
    &agent::PROBE,
    &identity::PROBE,
    &hardware::PROBE,
    &os::PROBE,
    &network::PROBE,
    &volumes::PROBE,
    &update_history::PROBE,
    &update_settings::PROBE,
    &restart::PROBE,
];

#[test]
fn every_fixture_gives_its_facts() {
    for probe in PROBES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(probe.name);
        let mut cases: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        cases.retain(|path| path.is_dir());
        cases.sort();
        for case in cases {
            let sys = Sys::at_root(&case, Some("2026-11-23T00:00:00Z".parse().unwrap())).unwrap();
            let given = (probe.collect)(&sys, &ProbeConfig::default());
            let mut contents: Vec<_> = given.into_iter().map(|c| c.record.content).collect();
            for body in contents.iter_mut().filter_map(|content| content.body.as_mut()) {
                // Differ by build and by who runs the test.
                for name in ["version", "target", "elevated"].iter().filter(|_| probe.name == "agent") {
                    body[*name] = "[varies]".into();
                }
            }
            let name = format!("{}_{}", probe.name, case.file_name().unwrap().to_string_lossy());
            // A crate of the build may let JSON maps keep their order of insertion.
            insta::with_settings!({sort_maps => true}, {
                insta::assert_json_snapshot!(name, contents);
            });
        }
    }
}
