//! Both lists walked: every kind has its probe, every probe its text, its files per system and its fixture.

use std::collections::BTreeMap;
use std::path::Path;

use tenken_agent::probe::registry;
use tenken_shared::fact::FactKind;

/// Made at delivery, where spool and clock offset are known, not by a probe.
const MADE_AT_DELIVERY: [FactKind; 1] = [FactKind::AgentObserved];
/// The same on every system: no file per system, and its fixture is that of any machine.
const SAME_EVERYWHERE: [&str; 1] = ["agent"];

#[test]
fn every_kind_comes_from_exactly_one_probe() {
    let mut givers: BTreeMap<&str, Vec<&str>> = FactKind::ALL.iter().map(|k| (k.as_str(), vec![])).collect();
    for probe in registry::ALL {
        for kind in probe.kinds {
            givers.get_mut(kind.as_str()).unwrap().push(probe.name);
        }
    }
    for kind in MADE_AT_DELIVERY {
        assert_eq!(givers.remove(kind.as_str()).unwrap().len(), 0, "{kind} has a probe now");
    }
    let wrong: Vec<_> = givers.into_iter().filter(|(_, probes)| probes.len() != 1).collect();
    assert!(wrong.is_empty(), "kinds without exactly one probe: {wrong:?}");
}

#[test]
fn every_probe_has_its_files_its_fixture_and_its_text() {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut missing = Vec::new();
    for probe in registry::ALL {
        let name = probe.name;
        if probe.what.ja.is_empty()
            || probe.what.en.is_empty()
            || probe.why.ja.is_empty()
            || probe.why.en.is_empty()
        {
            missing.push(format!("{name}: text in both languages"));
        }
        for system in ["linux", "windows", "macos"] {
            let file = crate_folder.join(format!("src/probe/{name}/{system}.rs"));
            if !SAME_EVERYWHERE.contains(&name) && !file.is_file() {
                missing.push(format!("{name}: src/probe/{name}/{system}.rs"));
            }
        }
        let fixtures =
            std::fs::read_dir(crate_folder.join("fixtures").join(name)).into_iter().flatten().flatten();
        let cases = fixtures.filter(|entry| entry.path().is_dir()).count();
        if cases == 0 {
            missing.push(format!("{name}: a fixture folder in fixtures/{name}"));
        }
    }
    assert!(missing.is_empty(), "missing:\n{}", missing.join("\n"));
}
