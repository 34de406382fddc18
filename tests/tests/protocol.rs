//! What a collector answers to reports that a well-behaved agent never sends, and the cure of each.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test file: helpers of tests are not seen as tests by the lint"
)]

use std::path::Path;

use anyhow::Result;
use e2e::driver::{Connection, Fleet, Host, Outgoing, Trust};
use e2e::postgres::{self, Postgres};
use e2e::program::{Collector, Store};
use e2e::stored;
use jiff::Timestamp;
use tenken_shared::api::{KeyPurpose, route};
use tenken_shared::fact::{FactContent, FactRecord};
use tenken_shared::ids::Digest;
use tenken_shared::report::{self, MEDIA_TYPE, MEDIA_TYPE_ZSTD, Reply, ReplyCode};

struct Scene {
    collector: Collector,
    trust: Trust,
    connection: Connection,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let collector = Collector::start(&folder.path().join("collector"), Store::Sqlite).unwrap();
        let trust = collector.trust(100).unwrap();
        let connection = Connection::open(&trust).await.unwrap();
        Self { collector, trust, connection, _folder: folder }
    }

    async fn enrolled(&mut self, name: &str) -> Host {
        let mut host = Host::new(name).unwrap();
        let reply = host.enrol(&self.trust, &mut self.connection).await.unwrap();
        assert_eq!(reply.code, ReplyCode::Accepted, "{:?}", reply.message);
        host
    }

    async fn send(&mut self, host: &Host, outgoing: &Outgoing) -> Reply {
        host.send(&self.trust, &mut self.connection, outgoing).await.unwrap().0
    }

    /// Sends bytes as they are; the signed answer.
    async fn raw(&mut self, media_type: &str, bytes: Vec<u8>) -> Reply {
        let plain = if media_type == MEDIA_TYPE_ZSTD {
            zstd::stream::decode_all(bytes.as_slice()).unwrap_or_default()
        } else {
            bytes.clone()
        };
        // What cannot be unpacked is named by its first line as it came; what did not arrive, by nothing.
        let named = [plain.as_slice(), bytes.as_slice(), b""].map(first_line);
        let answer = self.connection.post(route::REPORT, media_type, bytes).await.unwrap();
        let text = answer.text().unwrap();
        named
            .iter()
            .find_map(|re| self.trust.reply(text, *re).ok())
            .unwrap_or_else(|| panic!("unsigned: {text}"))
    }

    async fn stored(&self, host: &Host) -> stored::StoredHost {
        let hosts = stored::hosts(&Store::Sqlite, self.collector.data()).await.unwrap();
        hosts.get(host.id.as_ref().unwrap().as_str()).cloned().unwrap_or_default()
    }
}

fn first_line(bytes: &[u8]) -> Digest {
    Digest::of(bytes.split(|b| *b == b'\n').next().unwrap_or_default())
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn facts(number: u64) -> Vec<FactRecord> {
    Fleet::at(now()).inventory(number).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_are_acknowledged_and_change_nothing() {
    let mut scene = Scene::new().await;
    let mut host = scene.enrolled("repeat").await;
    let first = host.report(&facts(1), now()).unwrap();
    for _ in 0..3 {
        assert_eq!(scene.send(&host, &first).await.code, ReplyCode::Accepted);
    }
    host.accepted(&first);
    let second = host.report(&[], now()).unwrap();
    assert_eq!(scene.send(&host, &second).await.code, ReplyCode::Accepted);
    // An old repeat after newer reports is still only a repeat.
    assert_eq!(scene.send(&host, &first).await.code, ReplyCode::Accepted);
    let stored = scene.stored(&host).await;
    assert_eq!((stored.head_seq, stored.head), (2, Some(second.digest)));
    assert_eq!(stored.software, 700);
}

#[tokio::test(flavor = "multi_thread")]
async fn reordered_reports_ask_for_resync_and_the_full_report_cures() {
    let mut scene = Scene::new().await;
    let mut host = scene.enrolled("reorder").await;
    let all = facts(2);
    let first = host.report(&all, now()).unwrap();
    assert_eq!(scene.send(&host, &first).await.code, ReplyCode::Accepted);
    host.accepted(&first);
    let second = host.report(&[], now()).unwrap();
    host.accepted(&second);
    let third = host.report(&[], now()).unwrap();
    let reply = scene.send(&host, &third).await;
    assert_eq!((reply.code, reply.head_seq), (ReplyCode::Resync, Some(1)));
    let cure = host.resync(&reply, &all, now()).unwrap();
    assert_eq!(scene.send(&host, &cure).await.code, ReplyCode::Accepted);
    host.accepted(&cure);
    let next = host.report(&[], now()).unwrap();
    assert_eq!(scene.send(&host, &next).await.code, ReplyCode::Accepted);
    assert_eq!(scene.stored(&host).await.head, Some(next.digest));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_content_under_a_used_number_is_a_fork() {
    let mut scene = Scene::new().await;
    let mut host = scene.enrolled("fork").await;
    let first = host.report(&facts(3), now()).unwrap();
    assert_eq!(scene.send(&host, &first).await.code, ReplyCode::Accepted);
    let rolled_back = host.report(&facts(3), now() + jiff::SignedDuration::from_secs(1)).unwrap();
    assert_eq!(scene.send(&host, &rolled_back).await.code, ReplyCode::Resync);
    let mut manifest = host.manifest(&[], now());
    manifest.print = Some("BBBBBBBBBBBBBBBBBBBBBA".into());
    let clone = host.seal(manifest, &[]).unwrap();
    assert_eq!(scene.send(&host, &clone).await.code, ReplyCode::Rekey);
    let original = host.id.clone();
    let reply = host.change_key(&scene.trust, &mut scene.connection, KeyPurpose::Clone).await.unwrap();
    assert_eq!(reply.code, ReplyCode::Accepted);
    assert_ne!(host.id, original);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_keeps_the_host() {
    let mut scene = Scene::new().await;
    let mut host = scene.enrolled("rotate").await;
    let all = facts(4);
    let first = host.report(&all, now()).unwrap();
    assert_eq!(scene.send(&host, &first).await.code, ReplyCode::Accepted);
    host.accepted(&first);
    let (id, seq, head) = (host.id.clone(), host.seq, host.head);
    let reply = host.change_key(&scene.trust, &mut scene.connection, KeyPurpose::Rotate).await.unwrap();
    assert_eq!(reply.code, ReplyCode::Accepted);
    assert_eq!(host.id, id);
    // Same host, same chain: the next report follows the last one of the old key.
    (host.seq, host.head) = (seq, head);
    let next = host.report(&[], now()).unwrap();
    assert_eq!(scene.send(&host, &next).await.code, ReplyCode::Accepted);
    assert_eq!(scene.stored(&host).await.software, 700);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_host_is_told_so() {
    let mut scene = Scene::new().await;
    let mut host = scene.enrolled("revoked").await;
    let first = host.report(&facts(5), now()).unwrap();
    assert_eq!(scene.send(&host, &first).await.code, ReplyCode::Accepted);
    host.accepted(&first);
    let id = host.id.clone().unwrap();
    let output =
        e2e::program::output(&mut scene.collector.command(&["host", "revoke", id.as_str()]).unwrap())
            .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let second = host.report(&[], now()).unwrap();
    assert_eq!(scene.send(&host, &second).await.code, ReplyCode::Revoked);
    assert_eq!(scene.stored(&host).await.head, Some(first.digest));
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_reports_get_a_coded_answer_and_harm_nobody() {
    let mut scene = Scene::new().await;
    let host = scene.enrolled("hostile").await;
    let good = host.report(&facts(6), now()).unwrap();
    let half = good.bytes[..good.bytes.len() / 2].to_vec();
    assert_eq!(scene.raw(MEDIA_TYPE_ZSTD, half).await.code, ReplyCode::Malformed);
    assert_eq!(scene.raw(MEDIA_TYPE, b"no.jws.here".to_vec()).await.code, ReplyCode::Malformed);
    // A wrong signature: the last characters changed.
    let plain = zstd::stream::decode_all(good.bytes.as_slice()).unwrap();
    let end = plain.iter().position(|b| *b == b'\n').unwrap();
    let mut forged = plain[..end].to_vec();
    forged[end - 10] = if forged[end - 10] == b'A' { b'B' } else { b'A' };
    assert_eq!(scene.raw(MEDIA_TYPE, forged).await.code, ReplyCode::BadSignature);
    // A bomb: a gigabyte of zeros in a few kilobytes.
    let bomb = zstd::bulk::compress(&vec![0; 256 << 20], 19).unwrap();
    assert_eq!(scene.raw(MEDIA_TYPE_ZSTD, bomb).await.code, ReplyCode::TooLarge);
    // A body nested deeper than any parser may follow.
    let mut manifest = host.manifest(&[], now());
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let body = format!(r#"{{"body":{deep},"kind":"os","schema":1,"source":"x","status":"known"}}"#);
    manifest.changed = vec![report::FactEntry {
        kind: "os".parse().unwrap(),
        digest: Digest::of(body.as_bytes()),
        collected_at: 0,
    }];
    let sealed = host.seal(manifest, &[]).unwrap();
    let bytes = report::join_lines(std::str::from_utf8(&sealed.bytes).unwrap(), [body.as_bytes()]);
    let reply = scene.raw(MEDIA_TYPE_ZSTD, zstd::bulk::compress(&bytes, 3).unwrap()).await;
    assert_eq!(reply.code, ReplyCode::Malformed);
    // An envelope of the future.
    let mut manifest = host.manifest(&[], now());
    manifest.version = 99;
    let future = host.seal(manifest, &[]).unwrap();
    assert_eq!(scene.send(&host, &future).await.code, ReplyCode::UnsupportedVersion);
    // A stranger's key.
    let stranger = Host::new("stranger").unwrap();
    let report = stranger.report(&facts(6), now()).unwrap();
    assert_eq!(scene.send(&stranger, &report).await.code, ReplyCode::UnknownHost);
    // After all of that the host reports as if nothing had been.
    assert_eq!(scene.send(&host, &good).await.code, ReplyCode::Accepted);
    assert_eq!(scene.stored(&host).await.software, 700);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_wire_cap_is_refused() {
    let mut scene = Scene::new().await;
    let answer =
        scene.connection.post(route::REPORT, MEDIA_TYPE, vec![b'a'; report::MAX_WIRE_BYTES + 1]).await;
    // Refused with its code, or cut off while still sending: never taken.
    if let Ok(answer) = answer {
        assert_eq!(answer.status, 413);
    }
    let mut again = Connection::open(&scene.trust).await.unwrap();
    assert_eq!(again.get(&format!("{}?nonce=x", route::PING)).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_of_a_newer_agent_are_kept() {
    let mut scene = Scene::new().await;
    let host = scene.enrolled("newer").await;
    let mut all = facts(7);
    let content = FactContent {
        kind: "quantum".parse().unwrap(),
        schema: 9,
        status: tenken_shared::collected::Status::Known,
        reason: None,
        source: "/dev/quantum".into(),
        body: Some(serde_json::json!({"entangled": true, "items": [{"new": 1}]})),
    };
    all.push(FactRecord::from_content(content, now()).unwrap());
    all.sort_by(|a, b| a.content.kind.cmp(&b.content.kind));
    let report = host.report(&all, now()).unwrap();
    assert_eq!(scene.send(&host, &report).await.code, ReplyCode::Accepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_put_back_to_yesterday_takes_its_hosts_back() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("collector");
    let mut collector = Collector::start(&data, Store::Sqlite).unwrap();
    let trust = collector.trust(10).unwrap();
    let mut connection = Connection::open(&trust).await.unwrap();
    let all = facts(8);
    let mut old = Host::new("yesterday").unwrap();
    old.enrol(&trust, &mut connection).await.unwrap();
    deliver(&mut old, &trust, &mut connection, &all).await;
    drop(connection);
    collector.stop().unwrap();
    copy(&data, &folder.path().join("backup"));
    collector.resume().unwrap();
    let mut connection = Connection::open(&trust).await.unwrap();
    for _ in 0..3 {
        deliver(&mut old, &trust, &mut connection, &[]).await;
    }
    let mut new = Host::new("today").unwrap();
    new.enrol(&trust, &mut connection).await.unwrap();
    deliver(&mut new, &trust, &mut connection, &facts(9)).await;
    let id = new.id.clone();
    drop(connection);
    collector.kill();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&folder.path().join("backup"), &data);
    collector.resume().unwrap();

    let mut connection = Connection::open(&trust).await.unwrap();
    let next = old.report(&[], now()).unwrap();
    let reply = old.send(&trust, &mut connection, &next).await.unwrap().0;
    assert_eq!((reply.code, reply.head_seq), (ReplyCode::Resync, Some(1)));
    let cure = old.resync(&reply, &all, now()).unwrap();
    assert_eq!(old.send(&trust, &mut connection, &cure).await.unwrap().0.code, ReplyCode::Accepted);

    let next = new.report(&[], now()).unwrap();
    assert_eq!(new.send(&trust, &mut connection, &next).await.unwrap().0.code, ReplyCode::UnknownHost);
    let reply = new.readmit(&trust, &mut connection).await.unwrap();
    assert_eq!((reply.code, &new.id), (ReplyCode::Accepted, &id));
    let reply = new.send(&trust, &mut connection, &next).await.unwrap().0;
    assert_eq!(reply.code, ReplyCode::Resync);
    let cure = new.resync(&reply, &facts(9), now()).unwrap();
    assert_eq!(new.send(&trust, &mut connection, &cure).await.unwrap().0.code, ReplyCode::Accepted);
    let hosts = stored::hosts(&Store::Sqlite, &data).await.unwrap();
    assert_eq!(hosts[id.unwrap().as_str()].software, 700);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_report_at_two_collectors_of_one_store_counts_once() {
    let own;
    let server = match std::env::var(postgres::URL_VARIABLE) {
        Ok(url) => url,
        Err(_) if postgres::installed().is_some() => {
            own = Postgres::start().unwrap();
            own.url()
        }
        Err(_) => {
            skip::skip("PostgreSQL is not installed");
            return;
        }
    };
    let url = stored::fresh_database(&server, &format!("tenken_pair_{}", std::process::id())).await.unwrap();
    let store = Store::Postgres(url);
    let folder = tempfile::tempdir().unwrap();
    let one = Collector::start(&folder.path().join("one"), store.clone()).unwrap();
    let two = Collector::start(&folder.path().join("two"), store.clone()).unwrap();
    let trust = one.trust(100).unwrap();
    let mut to_one = Connection::open(&trust).await.unwrap();
    let mut to_two = Connection::open(&trust.clone().at(&two.address())).await.unwrap();
    let mut host = Host::new("pair").unwrap();
    host.enrol(&trust, &mut to_one).await.unwrap();
    for round in 0..20 {
        let changed =
            if round == 0 { facts(10) } else { vec![Fleet::at(now()).software(10, round).unwrap()] };
        let report = host.report(&changed, now()).unwrap();
        let (a, b) =
            tokio::join!(host.send(&trust, &mut to_one, &report), host.send(&trust, &mut to_two, &report));
        for reply in [a.unwrap().0, b.unwrap().0] {
            assert_eq!(reply.code, ReplyCode::Accepted, "round {round}: {:?}", reply.message);
        }
        host.accepted(&report);
    }
    let hosts = stored::hosts(&store, folder.path()).await.unwrap();
    let stored = &hosts[host.id.as_ref().unwrap().as_str()];
    assert_eq!((stored.head_seq, stored.head, stored.software), (20, host.head, 700));
}

async fn deliver(host: &mut Host, trust: &Trust, connection: &mut Connection, facts: &[FactRecord]) {
    let report = host.report(facts, now()).unwrap();
    let reply = host.send(trust, connection, &report).await.unwrap().0;
    assert_eq!(reply.code, ReplyCode::Accepted, "{:?}", reply.message);
    host.accepted(&report);
}

fn copy(from: &Path, to: &Path) {
    fn inner(from: &Path, to: &Path) -> Result<()> {
        std::fs::create_dir_all(to)?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            let target = to.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                inner(&entry.path(), &target)?;
            } else {
                std::fs::copy(entry.path(), target)?;
            }
        }
        Ok(())
    }
    inner(from, to).unwrap();
}
