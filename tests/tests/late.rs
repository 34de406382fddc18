//! A laptop that is away for weeks delivers late: its newest facts win, and what was known meanwhile stays as it
//! was known.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test file: helpers of tests are not seen as tests by the lint"
)]

use e2e::clock;
use e2e::program::{Collector, succeed};
use e2e::scene::Scene;
use jiff::{SignedDuration, Timestamp};

/// Moves the collector to another day.
fn live_at(scene: &mut Scene, time: &str) {
    scene.collector.stop().unwrap();
    scene.collector.live_at(time).unwrap();
    scene.collector.resume().unwrap();
}

fn days_ago(days: i64) -> i64 {
    (Timestamp::now() - SignedDuration::from_hours(24 * days)).as_millisecond()
}

#[test]
fn late_reports_do_not_change_what_was_known() {
    if let Some(why) = clock::missing() {
        skip::skip(why);
        return;
    }
    // Five weeks ago it was in the office, three weeks ago it was changed on the road, today it is back.
    let mut scene = Scene::living_at("late", "-35d").unwrap();
    scene.agent.report().unwrap();
    scene.collector.kill();
    scene.agent.live_at("-21d").unwrap();
    scene.machine.packages(&[("bash", "on-the-road")]).unwrap();
    assert!(!scene.agent.once().unwrap().status.success());
    assert!(scene.agent.spooled() > 0);

    // Two weeks ago the collector froze what it knew.
    scene.collector.resume().unwrap();
    live_at(&mut scene, "-14d");
    assert_eq!(scene.version_of("bash").unwrap().as_deref(), Some("5.2.15-2+b7"));
    let taken = scene.collector.json(&["snapshot", "take"]).unwrap();
    let id = taken["id"].as_str().unwrap().to_owned();
    let before = export(&scene.collector, &id, &scene.path("before.json"));

    // Today: the old report arrives, then the newest.
    live_at(&mut scene, "+0");
    scene.agent.live_at("+0").unwrap();
    scene.machine.packages(&[("bash", "back-home"), ("new", "1")]).unwrap();
    scene.agent.report().unwrap();
    assert_eq!(scene.agent.spooled(), 0);
    assert_eq!(scene.version_of("bash").unwrap().as_deref(), Some("back-home"));
    assert_eq!(export(&scene.collector, &id, &scene.path("after.json")), before, "frozen is frozen");

    // Three versions on both axes: the middle one was so three weeks ago and is known since today.
    let versions =
        e2e::stored::versions(scene.collector.data(), &scene.agent.host().unwrap(), "software").unwrap();
    let near = |left: i64, right: i64| (left - right).abs() < 3_600_000;
    for (observed, recorded) in [(35, 35), (21, 0), (0, 0)] {
        assert!(
            versions
                .iter()
                .any(|v| near(v.observed_from, days_ago(observed))
                    && near(v.recorded_from, days_ago(recorded))),
            "seen {observed} and known {recorded} days ago: {versions:?}"
        );
    }
}

fn export(collector: &Collector, id: &str, file: &std::path::Path) -> Vec<u8> {
    let mut export = collector.command(&["snapshot", "export", id]).unwrap();
    succeed(export.arg("-o").arg(file)).unwrap();
    std::fs::read(file).unwrap()
}
