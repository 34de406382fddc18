//! A real agent's reports, carried to real collectors by somebody who doubles and reorders them: each counts
//! once, and the agent that comes with the same reports itself is told that they are there.
#![allow(clippy::unwrap_used, reason = "a test file: helpers of tests are not seen as tests by the lint")]

use anyhow::{Context as _, Result};
use e2e::driver::{Connection, Trust};
use e2e::machine::Machine;
use e2e::postgres::{self, Postgres};
use e2e::program::{Agent, Collector, Store};
use e2e::scene::Scene;
use e2e::stored;
use tenken_agent::spool::entry::{self, Entry};
use tenken_shared::api::route;
use tenken_shared::report::{MEDIA_TYPE, MEDIA_TYPE_ZSTD, Reply, ReplyCode, report_digest};

/// What waits in an agent's spool, oldest first.
fn waiting(agent: &Agent) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    for item in std::fs::read_dir(agent.data().join("spool"))? {
        let path = item?.path();
        let name = path.file_name().context("a name")?.to_string_lossy().into_owned();
        if let Some(named) = entry::parse_name(&name) {
            found.push((named.seq, entry::read(&path, named)?.context("a torn entry")?));
        }
    }
    found.sort_by_key(|(seq, _)| *seq);
    Ok(found.into_iter().map(|(_, entry)| entry).collect())
}

/// Carries an entry to the collector as the agent would.
async fn carry(trust: &Trust, connection: &mut Connection, entry: &Entry) -> Result<Reply> {
    let (media_type, bytes) = if entry.frame.is_empty() {
        (MEDIA_TYPE, entry.meta.jws.clone().into_bytes())
    } else {
        (MEDIA_TYPE_ZSTD, entry.frame.clone())
    };
    let answer = connection.post(route::REPORT, media_type, bytes).await?;
    trust.reply(answer.text()?, report_digest(&entry.meta.jws))
}

#[test]
fn doubled_and_reordered_reports_of_an_agent_count_once() {
    let mut scene = Scene::new("carried").unwrap();
    scene.agent.report().unwrap();
    let before = scene.stored().unwrap();
    scene.collector.kill();
    for version in ["1", "2"] {
        scene.machine.packages(&[("bash", version), ("carried", version)]).unwrap();
        assert!(!scene.agent.once().unwrap().status.success());
    }
    let reports = waiting(&scene.agent).unwrap();
    assert_eq!(reports.len(), 2);
    scene.collector.resume().unwrap();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let trust = scene.collector.trust(1).unwrap();
    runtime.block_on(async {
        let mut connection = Connection::open(&trust).await.unwrap();
        let mut send = async |at: usize| carry(&trust, &mut connection, &reports[at]).await.unwrap();
        let early = send(1).await;
        assert_eq!((early.code, early.head_seq), (ReplyCode::Resync, Some(before.head_seq)));
        for at in [0, 0, 1, 1, 0] {
            let reply = send(at).await;
            assert_eq!(reply.code, ReplyCode::Accepted, "report {at}: {:?}", reply.message);
        }
    });
    let carried = scene.stored().unwrap();
    assert_eq!(carried.head_seq, before.head_seq + 2);
    assert_eq!(scene.version_of("carried").unwrap().as_deref(), Some("2"));

    // Now itself: repeats, then the next one; nobody sees a break.
    scene.agent.report().unwrap();
    assert_eq!(scene.agent.spooled(), 0);
    assert_eq!(scene.stored().unwrap().head_seq, carried.head_seq + 1);
    let events = scene.events().unwrap();
    assert!(!events.iter().any(|kind| kind.starts_with("chain.")), "{events:?}");
    assert_eq!(events.iter().filter(|kind| *kind == "agent.started").count(), 4, "{events:?}");
}

#[test]
fn one_report_of_an_agent_at_two_collectors_of_one_store_counts_once() {
    if postgres::installed().is_none() {
        skip::skip("PostgreSQL is not installed");
        return;
    }
    let server = Postgres::start().unwrap();
    let store = Store::Postgres(server.url());
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut one = Collector::start(&at("one"), store.clone()).unwrap();
    let mut two = Collector::start(&at("two"), store.clone()).unwrap();
    let machine = Machine::at(&at("machine"), "pair").unwrap();
    let agent = Agent::of(&at("agent"), machine.root());
    agent.enrol(&one.token(1).unwrap()).unwrap();
    agent.report().unwrap();
    let trust = one.trust(1).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for round in 1..=3_u64 {
        one.kill();
        two.kill();
        machine.packages(&[("bash", &round.to_string())]).unwrap();
        assert!(!agent.once().unwrap().status.success());
        let reports = waiting(&agent).unwrap();
        assert_eq!(reports.len(), 1);
        one.resume().unwrap();
        two.resume().unwrap();
        runtime.block_on(async {
            let mut to_one = Connection::open(&trust).await.unwrap();
            let there = trust.clone().at(&two.address());
            let mut to_two = Connection::open(&there).await.unwrap();
            let (a, b) = tokio::join!(
                carry(&trust, &mut to_one, &reports[0]),
                carry(&there, &mut to_two, &reports[0])
            );
            for reply in [a.unwrap(), b.unwrap()] {
                assert_eq!(reply.code, ReplyCode::Accepted, "round {round}: {:?}", reply.message);
            }
        });
        agent.report().unwrap();
        let trails = runtime.block_on(stored::trails(&store, one.data())).unwrap();
        let trail = &trails[agent.host().unwrap().as_str()];
        assert_eq!((trail.reports, trail.head_seq), (1 + 2 * round, 1 + 2 * round));
        let package = ("bash".to_owned(), round.to_string());
        assert!(trail.software.len() == 1 && trail.software.contains(&package), "{:?}", trail.software);
        assert!(!trail.events.iter().any(|kind| kind.starts_with("chain.")), "{:?}", trail.events);
    }
}
