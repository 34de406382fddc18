//! This very machine: properties of what is collected, not values.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests")]

use jiff::Timestamp;
use tenken_agent::probe::{Collection, ProbeConfig, registry, runner::Runner};
use tenken_agent::sys::Sys;
use tenken_shared::collected::Status;
use tenken_shared::fact::hardware::Hardware;
use tenken_shared::fact::os::Os;
use tenken_shared::fact::volumes::{Volumes, VolumesObserved};
use tenken_shared::fact::{FactBody, FactKind};

fn body<T: FactBody + Clone>(given: &[Collection]) -> T {
    let record = &given.iter().find(|c| c.kind == T::KIND).unwrap().record;
    record.typed::<T>().value().cloned().unwrap()
}

#[test]
fn this_machine_gives_plausible_facts() {
    let state = tempfile::tempdir().unwrap();
    let started = Timestamp::now();
    let mut runner = Runner::new(Sys::live(), Some(state.path().to_owned()));
    let given = runner.run(&ProbeConfig::default(), None);
    let kinds: Vec<FactKind> = given.iter().map(|c| c.kind).collect();
    assert!(kinds.is_sorted() && kinds.len() == registry::ALL.iter().map(|p| p.kinds.len()).sum::<usize>());
    for collection in &given {
        let content = &collection.record.content;
        assert!(collection.record.collected_at >= started);
        let code = content.reason.as_ref().map_or("", |r| r.code.as_str());
        assert!(
            !["panicked", "not_given", "not_yet_collected"].contains(&code),
            "{} is {code}",
            collection.kind
        );
        assert_ne!(
            content.status,
            Status::Unsupported,
            "{} on a live Linux: {:?}",
            collection.kind,
            content.reason
        );
    }
    let os: Os = body(&given);
    assert!(os.family == "linux" && !os.id.is_empty() && os.kernel_running.is_some() && os.arch.is_some());
    let hardware: Hardware = body(&given);
    assert!(hardware.memory_bytes.unwrap() > 64 << 20 && hardware.cpu.unwrap().threads.unwrap() >= 1);
    let volumes: Volumes = body(&given);
    assert!(
        volumes.items.iter().any(|v| v.mount == "/") && volumes.items.is_sorted_by(|a, b| a.mount < b.mount)
    );
    let space: VolumesObserved = body(&given);
    assert!(space.items.iter().all(|v| v.used_pct <= 100));
}

/// A second process finds what the first one kept, and says the same.
#[test]
fn a_repeated_run_says_the_same() {
    let state = tempfile::tempdir().unwrap();
    let only = [FactKind::Os, FactKind::Hardware, FactKind::Identity];
    let run = || {
        let mut runner = Runner::new(Sys::live(), Some(state.path().to_owned()));
        let given = runner.run(&ProbeConfig::default(), Some(&only));
        given.iter().map(|c| c.record.digest).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
    assert!(state.path().join("memo.json").is_file());
}
