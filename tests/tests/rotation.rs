//! Keys and certificates change hands: the successor is announced in signed replies, agents that report follow,
//! and one that slept through all of it is told what happened.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test file: helpers of tests are not seen as tests by the lint"
)]

use e2e::clock;
use e2e::process::wait_for;
use e2e::program::Agent;
use e2e::scene::Scene;
use serde_json::Value;

/// Whether programs can live at another time here; says so where not.
fn can_run() -> bool {
    let missing = clock::missing();
    if let Some(why) = missing {
        skip::skip(why);
    }
    missing.is_none()
}

fn trust(agent: &Agent) -> Value {
    let identity = std::fs::read(agent.data().join("identity.json")).unwrap();
    let identity: Value = serde_json::from_slice(&identity).unwrap();
    identity.pointer("/membership/trust").unwrap().clone()
}

fn announce(scene: &Scene, what: &str) {
    let mut announce = scene.collector.command(&[what, "rotate", "--after-s", "86400"]).unwrap();
    e2e::program::succeed(&mut announce).unwrap();
}

/// Reports until the agent has heard of what was announced.
fn hear(scene: &Scene) {
    let before = trust(&scene.agent)["version"].clone();
    wait_for("the successor to be announced", || {
        scene.agent.report()?;
        Ok((trust(&scene.agent)["version"] != before).then_some(()))
    })
    .unwrap();
}

/// Announces a successor of `what` (`ca`, `key`), lets the agent hear of it and moves to the day on which it is
/// in use. `part`: where the agent keeps what it trusts.
fn rotate(scene: &mut Scene, what: &str, in_use: &str, part: &str) {
    announce(scene, what);
    hear(scene);
    assert_eq!(trust(&scene.agent)[part].as_array().unwrap().len(), 2, "both count for a while");
    scene.collector.stop().unwrap();
    scene.collector.live_at(in_use).unwrap();
    scene.collector.resume().unwrap();
}

fn retired(scene: &Scene, what: &str) -> usize {
    let list = scene.collector.json(&[what, "list"]).unwrap();
    list["keys"].as_array().unwrap().iter().filter(|key| !key["retired_at"].is_null()).count()
}

#[test]
fn a_new_certificate_authority_is_followed_and_the_old_one_retired() {
    if !can_run() {
        return;
    }
    let mut scene = Scene::new("follows").unwrap();
    let (_, sleeper) = scene.another("sleeps").unwrap();
    sleeper.report().unwrap();
    rotate(&mut scene, "ca", "+2d", "ca_pem");
    // The successor is in use: who heard of it goes on, who slept is told.
    scene.machine.packages(&[("bash", "new-ca")]).unwrap();
    scene.agent.report().unwrap();
    assert_eq!(scene.version_of("bash").unwrap().as_deref(), Some("new-ca"));
    assert!(!sleeper.once().unwrap().status.success());
    let (level, words) = sleeper.doctor().unwrap().of("tls").unwrap();
    assert_eq!(level, "problem");
    assert!(words.contains("replaced") && words.contains("enrol --replace"), "{words}");
    assert!(!words.contains("trust_os_store"), "no advice to trust more than needed: {words}");

    // Long after, at the next rotation, the first one is retired and the agent forgets it.
    scene.collector.stop().unwrap();
    scene.collector.live_at("+300d").unwrap();
    scene.collector.resume().unwrap();
    scene.agent.report().unwrap();
    let first = trust(&scene.agent)["ca_pem"][0].clone();
    announce(&scene, "ca");
    assert_eq!(retired(&scene, "ca"), 1);
    hear(&scene);
    let held = trust(&scene.agent)["ca_pem"].as_array().unwrap().clone();
    assert_eq!(held.len(), 2, "the one in use and its successor");
    assert!(!held.contains(&first));
    scene.agent.report().unwrap();
}

#[test]
fn a_new_signing_key_is_followed_and_its_absence_named() {
    if !can_run() {
        return;
    }
    let mut scene = Scene::new("signed").unwrap();
    let (machine, sleeper) = scene.another("asleep").unwrap();
    sleeper.report().unwrap();
    rotate(&mut scene, "key", "+2d", "keys");
    scene.machine.packages(&[("bash", "new-key")]).unwrap();
    scene.agent.report().unwrap();
    assert_eq!(scene.version_of("bash").unwrap().as_deref(), Some("new-key"));

    machine.packages(&[("bash", "5"), ("kept", "1")]).unwrap();
    assert!(!sleeper.once().unwrap().status.success(), "a reply by an unknown key is no acknowledgement");
    assert!(sleeper.spooled() > 0);
    let (level, words) = sleeper.doctor().unwrap().of("connection").unwrap();
    assert_eq!(level, "problem");
    assert!(words.contains("replaced") && words.contains("enrol --replace"), "{words}");
    // The cure it names is one.
    let token = scene.collector.token(1).unwrap();
    sleeper.enrol_anew(&token).unwrap();
    sleeper.report().unwrap();
    assert_eq!(scene.stored_of(&sleeper).unwrap().software, 2);
}

#[test]
fn a_machine_with_a_new_key_stays_the_same_host() {
    let scene = Scene::new("rekeyed").unwrap();
    scene.agent.report().unwrap();
    let (host, before) = (scene.agent.host().unwrap(), scene.stored().unwrap());
    scene.agent.must(&["rotate-key"]).unwrap();
    scene.machine.packages(&[("bash", "6"), ("more", "1")]).unwrap();
    scene.agent.report().unwrap();
    let after = scene.stored().unwrap();
    assert_eq!(scene.agent.host().unwrap(), host);
    assert_eq!(after.software, 2);
    assert!(after.head_seq > before.head_seq, "the chain goes on: {before:?} {after:?}");
    let events = scene.events().unwrap();
    assert!(events.contains(&"host.key_rotated".to_owned()), "{events:?}");
}
