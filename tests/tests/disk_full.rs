//! Full disks on either side: nothing acknowledged is lost, what is dropped is said, and both recover by
//! themselves once there is space.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test file: helpers of tests are not seen as tests by the lint"
)]

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::driver::{Connection, Fleet, Host, Outgoing, Trust};
use e2e::postgres::{self, Postgres};
use e2e::process::wait_for;
use e2e::program::{Agent, Collector, Store};
use e2e::scene::Scene;
use e2e::stored;
use e2e::tmpfs::Tmpfs;
use jiff::Timestamp;
use ring::rand::SecureRandom as _;
use tenken_shared::collected::Status;
use tenken_shared::fact::{FactContent, FactRecord};
use tenken_shared::ids::Digest;
use tenken_shared::report::{Reply, ReplyCode};

/// A small file system, or `None` with the reason printed.
fn small_disk(size_kib: u64) -> Option<Tmpfs> {
    Tmpfs::mount(size_kib).inspect_err(|why| skip::skip(why)).ok()
}

#[test]
fn an_agent_on_a_full_disk_keeps_what_waits_and_recovers() {
    let Some(disk) = small_disk(2048) else { return };
    let mut scene = Scene::new("full-agent").unwrap();
    scene.agent.report().unwrap();
    // Moved to the small disk.
    let data = disk.path().join("agent");
    e2e::scene::copy(scene.agent.data(), &data).unwrap();
    scene.agent = Agent::of(&data, scene.machine.root()).env("TENKEN_INTERVAL_S", "1");

    scene.collector.kill();
    scene.machine.packages(&[("bash", "waiting")]).unwrap();
    assert!(!scene.agent.once().unwrap().status.success());
    let waiting = scene.agent.spooled();
    assert!(waiting > 0);
    disk.fill().unwrap();
    scene.machine.packages(&[("bash", "no-room")]).unwrap();
    let output = scene.agent.once().unwrap();
    assert!(!output.status.success());
    assert_eq!(scene.agent.spooled(), waiting, "what waited is whole: {output:?}");

    // The service lives on over the full disk, delivers what waited, and tells of it once it can.
    scene.agent.start().unwrap();
    scene.collector.resume().unwrap();
    wait_for("the waiting report to arrive", || {
        let version = scene.version_of("bash")?;
        Ok(version.filter(|v| v != "5.2.15-2+b7"))
    })
    .unwrap();
    disk.fill().unwrap();
    scene.machine.packages(&[("bash", "after"), ("space", "1")]).unwrap();
    disk.free().unwrap();
    wait_for("the newest state to arrive", || Ok((scene.stored()?.software == 2).then_some(()))).unwrap();
    assert_eq!(scene.version_of("bash").unwrap().as_deref(), Some("after"));
    let events = wait_for("the record of the full disk", || {
        let events = scene.events()?;
        Ok(events.contains(&"spool.disk_failed".to_owned()).then_some(events))
    });
    events.unwrap();
    scene.agent.stop().unwrap();
    assert_eq!(scene.agent.spooled(), 0);
}

#[test]
fn what_a_full_spool_drops_is_a_signed_record() {
    let mut scene = Scene::new("full-spool").unwrap();
    scene.agent.set_env("TENKEN_SPOOL_MAX_REPORTS", "3");
    scene.agent.report().unwrap();
    scene.collector.kill();
    for number in 0..8 {
        scene.machine.packages(&[("bash", &format!("offline-{number}")), ("two", "2")]).unwrap();
        assert!(!scene.agent.once().unwrap().status.success());
        assert!(scene.agent.spooled() <= 3);
    }
    scene.collector.resume().unwrap();
    scene.agent.report().unwrap();
    let stored = scene.stored().unwrap();
    assert_eq!((stored.software, scene.agent.spooled()), (2, 0));
    assert_eq!(
        scene.version_of("bash").unwrap().as_deref(),
        Some("offline-7"),
        "the newest state is never dropped"
    );
    let events = scene.events().unwrap();
    assert!(events.contains(&"chain.dropped".to_owned()), "{events:?}");
    // Events are no state: each start of the agent is told, dropped reports or not.
    let starts = events.iter().filter(|kind| *kind == "agent.started").count();
    assert_eq!(starts, 10, "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_on_a_full_disk_says_so_and_loses_nothing_it_acknowledged() {
    let Some(disk) = small_disk(16 * 1024) else { return };
    let scene = Filled::up(&disk, &disk.path().join("collector"), Store::Sqlite).await;
    scene.holds_what_it_acknowledged().await;
    disk.free().unwrap();
    scene.takes_the_refused().await;
}

/// The disk of the database's tables; its log lies elsewhere, as PostgreSQL ends itself when that is full.
#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_on_a_full_disk_is_told_of_and_loses_nothing_that_was_acknowledged() {
    let Some(disk) = small_disk(48 * 1024) else { return };
    if postgres::installed().is_none() {
        skip::skip("PostgreSQL is not installed");
        return;
    }
    let server = Postgres::start().unwrap();
    let tables = disk.path().join("tables");
    std::fs::create_dir(&tables).unwrap();
    let url = server.database_in(&tables, "tenken_full").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let scene = Filled::up(&disk, &folder.path().join("collector"), Store::Postgres(url)).await;
    scene.holds_what_it_acknowledged().await;
    disk.free().unwrap();
    scene.takes_the_refused().await;
}

/// PostgreSQL ends itself then, and does not come up before there is space.
#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_whose_log_has_no_space_left_loses_nothing_that_was_acknowledged() {
    let Some(disk) = small_disk(24 * 1024) else { return };
    if postgres::installed().is_none() {
        skip::skip("PostgreSQL is not installed");
        return;
    }
    let server = Postgres::start_log_in(&disk.path().join("log")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Postgres(server.url());
    let mut scene = Filled::up(&disk, &folder.path().join("collector"), store).await;
    wait_for("the server to end", || Ok(server.has_ended()?.then_some(()))).unwrap();
    let reply = scene.send().await;
    assert_eq!(reply.code, ReplyCode::Unavailable, "{:?}", reply.message);
    assert!(reply.retry_after_s.is_some());

    disk.free().unwrap();
    server.resume().unwrap();
    scene.holds_what_it_acknowledged().await;
    scene.takes_the_refused().await;
}

/// A fact that needs its space: nothing of it can be compressed or was there before.
fn bulk() -> FactRecord {
    let mut noise = vec![0; 150_000];
    ring::rand::SystemRandom::new().fill(&mut noise).unwrap();
    let content = FactContent {
        kind: "bulk".parse().unwrap(),
        schema: 1,
        status: Status::Known,
        reason: None,
        source: "story".into(),
        body: Some(serde_json::json!({"noise": STANDARD.encode(noise)})),
    };
    FactRecord::from_content(content, Timestamp::now()).unwrap()
}

/// A host whose last report a collector refused, its disk being full.
struct Filled {
    /// Answers as long as it lives.
    collector: Collector,
    store: Store,
    trust: Trust,
    connection: Connection,
    host: Host,
    refused: Outgoing,
}

impl Filled {
    /// Fills the disk and reports until the store's own space is used up: a signed, coded answer.
    async fn up(disk: &Tmpfs, data: &Path, store: Store) -> Self {
        let collector = Collector::start(data, store.clone()).unwrap();
        let trust = collector.trust(10).unwrap();
        let mut connection = Connection::open(&trust).await.unwrap();
        let fleet = Fleet::at(Timestamp::now());
        let mut host = Host::new("full").unwrap();
        host.enrol(&trust, &mut connection).await.unwrap();
        let first = host.report(&fleet.inventory(1).unwrap(), Timestamp::now()).unwrap();
        assert_eq!(host.send(&trust, &mut connection, &first).await.unwrap().0.code, ReplyCode::Accepted);
        host.accepted(&first);
        disk.fill().unwrap();
        for _ in 0..200 {
            let report = host.report(&[bulk()], Timestamp::now()).unwrap();
            let reply = host.send(&trust, &mut connection, &report).await.unwrap().0;
            if reply.code != ReplyCode::Accepted {
                assert_eq!(reply.code, ReplyCode::Unavailable, "{:?}", reply.message);
                assert!(reply.retry_after_s.is_some());
                return Self { collector, store, trust, connection, host, refused: report };
            }
            host.accepted(&report);
            disk.fill().unwrap();
        }
        panic!("a full disk took 200 reports");
    }

    /// Sends again what was refused.
    async fn send(&mut self) -> Reply {
        self.host.send(&self.trust, &mut self.connection, &self.refused).await.unwrap().0
    }

    async fn head(&self) -> Option<Digest> {
        let id = self.host.id.clone().unwrap();
        stored::hosts(&self.store, self.collector.data()).await.unwrap()[id.as_str()].head
    }

    async fn holds_what_it_acknowledged(&self) {
        assert_eq!(self.head().await, self.host.head, "all that was acknowledged is there, and nothing else");
    }

    async fn takes_the_refused(mut self) {
        let reply = self.send().await;
        assert_eq!(reply.code, ReplyCode::Accepted, "{:?}", reply.message);
        assert_eq!(self.head().await, Some(self.refused.digest));
    }
}
