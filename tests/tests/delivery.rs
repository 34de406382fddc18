//! Both real programs together: from a machine's files to findings, and back on their feet after trouble.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test file: helpers of tests are not seen as tests by the lint"
)]

use std::path::Path;

use e2e::clock;
use e2e::machine::Machine;
use e2e::process::wait_for;
use e2e::program::{self, Agent};
use e2e::scene::{Scene, copy};

#[test]
fn a_machines_files_become_findings_and_answers() {
    let scene = Scene::new("whole-path").unwrap();
    scene.agent.report().unwrap();
    assert_eq!(scene.stored().unwrap().software, 3);
    let host = scene.agent.host().unwrap();
    let result = wait_for("findings", || {
        let result = scene.collector.json(&["criteria", "--host", &host])?;
        Ok(result["findings"].as_array().is_some_and(|f| !f.is_empty()).then_some(result))
    })
    .unwrap();
    assert_eq!(result["host"]["id"], host.as_str());
    let criteria = result["criteria"].as_array().unwrap();
    for wanted in ["3-1-1-1", "4-4-4-2", "4-3-4-1", "4-1-9-1"] {
        assert!(criteria.iter().any(|c| c["criterion"] == wanted), "{wanted} is missing");
    }
    // Nothing is installed to judge these by: they must not pass.
    let outcome = |control: &str| {
        let findings = result["findings"].as_array().unwrap();
        findings.iter().find(|f| f["control"] == control).map(|f| f["outcome"].clone())
    };
    assert_ne!(outcome("patch.applied_in_time"), Some("pass".into()));
    assert_ne!(outcome("backup.declared_targets_met"), Some("pass".into()));
    // The same digest twice changes nothing.
    scene.agent.report().unwrap();
    assert_eq!(scene.stored().unwrap().software, 3);
}

#[test]
fn reports_wait_while_the_collector_is_away() {
    let mut scene = Scene::new("away").unwrap();
    scene.agent.report().unwrap();
    scene.collector.kill();
    for version in ["1", "2", "3"] {
        scene.machine.packages(&[("bash", version), ("late", "1")]).unwrap();
        assert!(!scene.agent.once().unwrap().status.success());
    }
    assert!(scene.agent.spooled() > 0);
    scene.collector.resume().unwrap();
    scene.agent.report().unwrap();
    let stored = scene.stored().unwrap();
    assert_eq!(stored.software, 2);
    assert!(stored.head_seq >= 4, "{stored:?}");
    assert_eq!(scene.agent.spooled(), 0);
}

#[test]
fn a_collector_put_back_to_yesterdays_copy_is_resynchronised() {
    let mut scene = Scene::new("yesterday").unwrap();
    scene.agent.report().unwrap();
    scene.collector.stop().unwrap();
    copy(&scene.path("collector"), &scene.path("backup")).unwrap();
    scene.collector.resume().unwrap();
    for version in ["1", "2"] {
        scene.machine.packages(&[("bash", version)]).unwrap();
        scene.agent.report().unwrap();
    }
    let host = scene.agent.host().unwrap();
    // Enrolled since: the copy has never heard of it.
    let (_, newcomer) = scene.another("newcomer").unwrap();
    newcomer.report().unwrap();
    let newcomer_host = newcomer.host().unwrap();
    scene.collector.kill();
    std::fs::remove_dir_all(scene.path("collector")).unwrap();
    copy(&scene.path("backup"), &scene.path("collector")).unwrap();
    scene.collector.resume().unwrap();
    scene.machine.packages(&[("bash", "3"), ("new", "1")]).unwrap();
    scene.agent.report().unwrap();
    assert_eq!(scene.stored().unwrap().software, 2);
    assert_eq!(scene.agent.host().unwrap(), host, "same key, same host");
    let events = scene.events().unwrap();
    assert!(events.contains(&"chain.resync".to_owned()), "the break is recorded: {events:?}");
    newcomer.report().unwrap();
    assert_eq!(newcomer.host().unwrap(), newcomer_host, "taken back by its receipt");
    assert_eq!(scene.stored_of(&newcomer).unwrap().software, 3);
}

#[test]
fn a_rolled_back_agent_stays_the_same_host() {
    let scene = Scene::new("rollback").unwrap();
    scene.agent.report().unwrap();
    copy(&scene.path("agent"), &scene.path("agent.old")).unwrap();
    for version in ["1", "2"] {
        scene.machine.packages(&[("bash", version)]).unwrap();
        scene.agent.report().unwrap();
    }
    let host = scene.agent.host().unwrap();
    std::fs::remove_dir_all(scene.path("agent")).unwrap();
    copy(&scene.path("agent.old"), &scene.path("agent")).unwrap();
    scene.machine.packages(&[("bash", "3"), ("after", "1")]).unwrap();
    scene.agent.report().unwrap();
    assert_eq!(scene.agent.host().unwrap(), host);
    assert_eq!(scene.stored().unwrap().software, 2);
    let events = scene.events().unwrap();
    assert!(events.contains(&"chain.rollback".to_owned()), "the fork is recorded: {events:?}");
}

#[test]
fn a_cloned_agent_becomes_a_pending_host_of_its_own() {
    let scene = Scene::new("original").unwrap();
    scene.agent.report().unwrap();
    let original = scene.agent.host().unwrap();
    copy(&scene.path("agent"), &scene.path("clone")).unwrap();
    let machine = Machine::at(&scene.path("other-machine"), "copy").unwrap();
    let clone = Agent::of(&scene.path("clone"), machine.root());
    machine.packages(&[("bash", "9")]).unwrap();
    scene.agent.report().unwrap();
    wait_for("the clone to be taken as a host of its own", || {
        clone.once()?;
        Ok((clone.host()? != original).then_some(()))
    })
    .unwrap();
    clone.report().unwrap();
    scene.agent.report().unwrap();
    let hosts = scene.collector.json(&["host", "list"]).unwrap();
    let hosts = hosts.as_array().unwrap();
    let of = |id: &str| hosts.iter().find(|h| h["id"] == id).unwrap_or_else(|| panic!("{id}: {hosts:?}"));
    let made = of(&clone.host().unwrap());
    assert_eq!((&made["state"], &made["cloned_from"]), (&"pending".into(), &original.as_str().into()));
    assert_eq!(scene.stored().unwrap().software, 3, "the original is untouched");
    let events = scene.events().unwrap();
    assert!(events.contains(&"chain.clone".to_owned()), "the clone is recorded: {events:?}");
}

#[test]
fn a_revoked_agent_stops() {
    let scene = Scene::new("revoked").unwrap();
    scene.agent.report().unwrap();
    let before = scene.stored().unwrap();
    let host = scene.agent.host().unwrap();
    let output = program::output(&mut scene.collector.command(&["host", "revoke", &host]).unwrap()).unwrap();
    assert!(output.status.success());
    scene.machine.packages(&[("bash", "6")]).unwrap();
    assert!(!scene.agent.once().unwrap().status.success());
    assert_eq!(scene.stored().unwrap().head, before.head);
    assert_eq!(scene.agent.status().unwrap()["stopped"]["code"], "revoked");
}

/// A wrong clock never refuses a report; the offset is measured.
#[test]
fn wrong_clocks_report_all_the_same() {
    if let Some(why) = clock::missing() {
        skip::skip(why);
        return;
    }
    let scene = Scene::new("clock").unwrap();
    scene.agent.report().unwrap();
    let since_1970 = jiff::Timestamp::now().as_second() / 3600;
    for (time, hours) in [("+1d", 24), ("-365d", -365 * 24), ("@1970-01-01 09:00:00", 9 - since_1970)] {
        let version = format!("1-{}", time.len());
        scene.machine.packages(&[("bash", &version), ("clock", "1")]).unwrap();
        let mut agent = Agent::of(&scene.path("agent"), scene.machine.root());
        agent.live_at(time).unwrap();
        agent.report().unwrap_or_else(|error| panic!("{time}: {error:#}"));
        assert_eq!(scene.stored().unwrap().software, 2, "{time}");
        let hosts = scene.collector.json(&["host", "list"]).unwrap();
        let offset = hosts[0]["clock_offset_ms"].as_i64().unwrap();
        let wrong = offset - hours * 3_600_000;
        assert!(wrong.abs() < 3_600_000, "{time}: offset {offset} ms");
    }
    // And with the clock mended.
    scene.agent.report().unwrap();
    assert!(scene.query("select count(*) as n from hosts").unwrap().to_string().contains('1'));
}

#[test]
fn a_frozen_snapshot_verifies_until_one_byte_changes() {
    let scene = Scene::new("frozen").unwrap();
    scene.agent.report().unwrap();
    let taken = scene.collector.json(&["snapshot", "take"]).unwrap();
    let id = taken["id"].as_str().unwrap_or_else(|| panic!("{taken}")).to_owned();
    let pack = scene.path("pack.json");
    let mut export = scene.collector.command(&["snapshot", "export", &id]).unwrap();
    export.arg("-o").arg(&pack);
    let output = program::output(&mut export).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let verify =
        || program::output(program::collector().unwrap().arg("verify").arg(&pack)).unwrap().status.code();
    assert_eq!(verify(), Some(0));
    let whole = std::fs::read(&pack).unwrap();
    let text = String::from_utf8(whole.clone()).unwrap();
    for word in ["frozen", "\"outcome\":\"", "\"leaf", "\"root"] {
        let Some(at) = text.find(word) else { continue };
        let mut changed = whole.clone();
        let at = at + word.len() - 2;
        changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
        std::fs::write(&pack, &changed).unwrap();
        assert_ne!(verify(), Some(0), "a changed byte near {word:?} was not seen");
    }
}

#[test]
fn the_query_command_reads_and_does_nothing_else() {
    let scene = Scene::new("query").unwrap();
    scene.agent.report().unwrap();
    assert!(scene.query("select name from hosts").unwrap().to_string().contains("query"));
    let attacks = [
        "attach database '/tmp/x' as x",
        "vacuum into '/tmp/tenken-attack'",
        "pragma writable_schema = 1",
        "delete from host",
        "select 1; delete from host",
        "with x as (select 1) delete from host",
        "create table t (x)",
        "select load_extension('x')",
        "select * from host_key",
        "select * from collector_key",
        "select private_key from collector_key",
        "insert into org values (9,'x','x',1,1)",
        "select writefile('/tmp/tenken-attack', 'x')",
    ];
    for attack in attacks {
        let output = program::output(&mut scene.collector.command(&["query", attack]).unwrap()).unwrap();
        assert!(
            !output.status.success(),
            "{attack} was answered: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
    assert!(!Path::new("/tmp/tenken-attack").exists());
    scene.agent.report().unwrap();
}
