//! The cures, one by one, against a collector that says what the test tells it to. The real one's rules
//! are shown end to end elsewhere; here every code is made to come.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use serde_json::json;
use tenken_shared::api::{EnrolToken, KeyProof, KeyReply, KeyRequest};
use tenken_shared::jws::{Purpose, SigningKey, Unverified, verify};
use tenken_shared::redact::Secret;
use tenken_shared::report::{
    Event, MAX_PLAIN_BYTES, Manifest, Receipt, TrustUpdate, decode_manifest, report_digest, split_lines,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::enrol::enrol;
use crate::report::{Collected, Moment};

/// What the collector has seen and what it is to say.
#[derive(Default)]
struct Script {
    answers: VecDeque<serde_json::Value>,
    manifests: Vec<Manifest>,
    bodies: Vec<usize>,
    keys: Vec<KeyProof>,
    hosts: u32,
    unsigned: bool,
}

struct Fake {
    url: String,
    ca: Digest,
    ca_pem: String,
    key: SigningKey,
    script: Arc<Mutex<Script>>,
}

fn new_key() -> SigningKey {
    SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap()
}

impl Fake {
    async fn start() -> Arc<Self> {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);
        let leaf_key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone(), ca.der().clone()],
                PrivateKeyDer::try_from(leaf_key.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Arc::new(Self {
            url: format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port()),
            ca: Digest::of(ca.der()),
            ca_pem: ca.pem(),
            key: new_key(),
            script: Arc::default(),
        });
        let server = Arc::clone(&fake);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (server, acceptor) = (Arc::clone(&server), acceptor.clone());
                tokio::spawn(async move {
                    if let Ok(mut stream) = acceptor.accept(stream).await {
                        while let Some((path, body)) = read_request(&mut stream).await {
                            let reply = server.answer(&path, &body);
                            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", reply.len());
                            let _ = stream.write_all(head.as_bytes()).await;
                            let _ = stream.write_all(reply.as_bytes()).await;
                        }
                    }
                });
            }
        });
        fake
    }

    fn trust(&self) -> TrustUpdate {
        TrustUpdate { version: 1, ca_pem: vec![self.ca_pem.clone()], keys: vec![self.key.public()] }
    }

    fn sign(&self, re: Digest, mut value: serde_json::Value) -> String {
        let map = value.as_object_mut().unwrap();
        map.entry("re").or_insert_with(|| json!(re));
        map.entry("time").or_insert_with(|| json!(Timestamp::now().as_millisecond()));
        self.key.sign(Purpose::Reply, &serde_json::to_vec(&value).unwrap())
    }

    fn answer(&self, path: &str, body: &[u8]) -> String {
        let mut script = self.script.lock().unwrap();
        if script.unsigned {
            return "<html>This site is blocked</html>".into();
        }
        let scripted = script.answers.pop_front();
        if path != route::REPORT {
            return self.answer_key(&mut script, path, body, scripted);
        }
        let plain = zstd::bulk::decompress(body, MAX_PLAIN_BYTES).unwrap_or_else(|_| body.to_vec());
        let (jws, bodies) = split_lines(&plain).unwrap();
        let payload = Unverified::parse(jws, Purpose::Report).unwrap();
        let last = script.keys.last().unwrap().key.clone();
        let manifest = decode_manifest(&payload.verify(&last).unwrap()).unwrap();
        script.manifests.push(manifest);
        script.bodies.push(bodies.len());
        self.sign(report_digest(jws), scripted.unwrap_or_else(|| json!({"code": "accepted"})))
    }

    fn answer_key(
        &self,
        script: &mut Script,
        path: &str,
        body: &[u8],
        scripted: Option<serde_json::Value>,
    ) -> String {
        let value: serde_json::Value = serde_json::from_slice(body).unwrap();
        let proof = value["proof"].as_str().unwrap().to_owned();
        if path == route::KEY {
            let request: KeyRequest = serde_json::from_value(value.clone()).unwrap();
            let old = script.keys.last().unwrap().key.clone();
            assert_eq!(verify(&request.by_old, Purpose::Key, &old).unwrap(), proof.as_bytes());
        }
        let parsed = proof.split('.').nth(1).unwrap();
        use base64::Engine as _;
        let parsed = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(parsed).unwrap();
        let said: KeyProof = serde_json::from_slice(&parsed).unwrap();
        verify(&proof, Purpose::Key, &said.key).unwrap();
        let new_host = path == route::ENROL || value["purpose"] == "clone";
        script.hosts += u32::from(new_host);
        let receipt = Receipt {
            org: "org".parse().unwrap(),
            host: format!("h{}", script.hosts).parse().unwrap(),
            key: said.key.clone(),
            group: None,
            ephemeral: false,
            issued_at: Timestamp::now(),
        };
        let reply = scripted.unwrap_or_else(|| json!({"code": "accepted", "trust": self.trust()}));
        let accepted = reply["code"] == "accepted";
        if accepted {
            script.keys.push(said);
        }
        let receipt = self.key.sign(Purpose::Receipt, &serde_json::to_vec(&receipt).unwrap());
        let reply = self.sign(Digest::of(proof.as_bytes()), reply);
        serde_json::to_string(&KeyReply { reply, receipt: accepted.then_some(receipt), host: None }).unwrap()
    }

    fn say(&self, answers: impl IntoIterator<Item = serde_json::Value>) {
        self.script.lock().unwrap().answers.extend(answers);
    }

    fn token(&self) -> EnrolToken {
        EnrolToken {
            urls: vec![self.url.clone()],
            ca: self.ca,
            key: self.key.public(),
            secret: Secret::new("s".into()),
        }
    }
}

async fn read_request<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap_or("0");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.ok()?;
    Some((path, body))
}

struct Machine {
    fake: Arc<Fake>,
    settings: Settings,
    paths: Paths,
    collected: Collected,
    delivery: Delivery,
    _dir: tempfile::TempDir,
}

impl Machine {
    async fn enrolled() -> Self {
        let fake = Fake::start().await;
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::create(dir.path().join("data")).unwrap();
        let settings = Settings { proxy: Secret::new("none".into()), ..Settings::default() };
        let enrolled = enrol(&settings, &paths, &fake.token(), &About::default(), false).await.unwrap();
        let delivery = Delivery::open(&settings, &paths, enrolled.identity).unwrap();
        Self { fake, settings, paths, collected: Collected::default(), delivery, _dir: dir }
    }

    fn reopen(&mut self) {
        let identity = Identity::load(&self.paths).unwrap().unwrap();
        self.delivery = Delivery::open(&self.settings, &self.paths, identity).unwrap();
    }

    fn collect(&mut self, value: i64) {
        let content = tenken_shared::fact::FactContent {
            kind: "os".parse().unwrap(),
            schema: 1,
            status: tenken_shared::collected::Status::Known,
            reason: None,
            source: "test".into(),
            body: Some(json!({"v": value})),
        };
        let now = Timestamp::now();
        let record = tenken_shared::fact::FactRecord::from_content(content, now).unwrap();
        self.collected.take([record], now);
    }

    fn spool(&mut self, events: &[&str]) {
        let events: Vec<Event> =
            events.iter().map(|e| Event { at: 1, kind: (*e).into(), data: json!(null) }).collect();
        let place = match self.delivery.resync.take() {
            Some(resync) => self.delivery.spool.place_resync(resync, events.len()),
            None => self.delivery.spool.place(events.len(), 600),
        };
        let moment = Moment { now: Timestamp::now(), observed_interval_s: 1, shrink: self.delivery.shrink };
        let key = &self.delivery.identity.key;
        let (manifest, entry) = self.collected.report(&place, &events, moment, key).unwrap();
        self.delivery.spool.append(&place, &manifest, &entry).unwrap();
    }

    /// Steps until nothing waits; pauses are not waited for.
    async fn settle(&mut self) {
        for _ in 0..30 {
            match self.delivery.step().await.unwrap() {
                Step::Idle | Step::Stopped => return,
                Step::ReportNeeded => self.spool(&[]),
                Step::Next | Step::Wait(_) => {}
            }
        }
        panic!("does not settle: {:?}", self.delivery.status.last_error);
    }

    fn seen(&self) -> (Vec<u64>, Vec<usize>) {
        let script = self.fake.script.lock().unwrap();
        (script.manifests.iter().map(|m| m.seq).collect(), script.bodies.clone())
    }

    fn last(&self) -> Manifest {
        self.fake.script.lock().unwrap().manifests.last().unwrap().clone()
    }
}

#[tokio::test(flavor = "current_thread")]
async fn enrolment_is_pinned_kept_and_not_repeated() {
    let mut machine = Machine::enrolled().await;
    let (settings, paths, token) = (machine.settings.clone(), machine.paths.clone(), machine.fake.token());
    let again = enrol(&settings, &paths, &token, &About::default(), false).await.unwrap();
    assert!(again.already);
    let elsewhere = Fake::start().await;
    let other = enrol(&settings, &paths, &elsewhere.token(), &About::default(), false).await;
    assert!(matches!(other, Err(EnrolError::Enrolled { .. })));
    // A token that pins another CA: nothing is sent to this server.
    let wrong = EnrolToken { ca: elsewhere.ca, ..machine.fake.token() };
    let refused = enrol(&settings, &paths, &wrong, &About::default(), true).await;
    assert!(matches!(refused, Err(EnrolError::Transport(TransportError::Certificate { .. }))), "{refused:?}");
    // The right CA and another signing key: its word does not count.
    let wrong = EnrolToken { key: new_key().public(), ..machine.fake.token() };
    let refused = enrol(&settings, &paths, &wrong, &About::default(), true).await;
    assert!(matches!(refused, Err(EnrolError::Transport(TransportError::Unsigned { .. }))), "{refused:?}");
    machine.reopen();
    assert_eq!(machine.delivery.identity.membership.host.as_str(), "h1");
}

#[tokio::test(flavor = "current_thread")]
async fn accepted_report_leaves_the_spool_and_the_clock_is_measured() {
    let mut machine = Machine::enrolled().await;
    machine.collect(1);
    machine.spool(&["a"]);
    let ahead = Timestamp::now().as_millisecond() - 3_600_000;
    machine.fake.say([json!({"code": "accepted", "time": ahead})]);
    machine.settle().await;
    machine.spool(&[]);
    machine.settle().await;
    assert_eq!(machine.seen(), (vec![1, 2], vec![1, 0]));
    assert_eq!(machine.last().base, Some(1));
    assert!(machine.delivery.spool.is_empty());
    let offset = machine.delivery.status.clock_offset_ms.unwrap();
    assert!(offset.abs() < 60_000, "{offset}");
}

#[tokio::test(flavor = "current_thread")]
async fn needed_bodies_are_sent_and_only_those() {
    let mut machine = Machine::enrolled().await;
    machine.collect(1);
    let digest = machine.collected.record(tenken_shared::fact::FactKind::Os).unwrap().digest;
    machine.delivery.resync = Some(Resync { cause: "resync".into(), head_seq: 0, head: None });
    machine.spool(&[]);
    machine.fake.say([json!({"code": "need_bodies", "need": [digest]})]);
    machine.settle().await;
    assert_eq!(machine.seen(), (vec![1, 1], vec![0, 1]));
}

#[tokio::test(flavor = "current_thread")]
async fn resync_brings_a_full_report_above_both_heads_with_the_events_that_waited() {
    let mut machine = Machine::enrolled().await;
    machine.collect(1);
    machine.spool(&["a"]);
    machine.spool(&["b"]);
    let head = Digest::of(b"theirs");
    machine.fake.say([json!({"code": "resync", "head_seq": 90, "head": head})]);
    machine.settle().await;
    let last = machine.last();
    assert_eq!((last.seq, last.base), (91, None));
    assert_eq!(last.resync, Some(Resync { cause: "resync".into(), head_seq: 90, head: Some(head) }));
    let kinds: Vec<&str> = last.events.iter().map(|e| e.kind.as_str()).collect();
    assert_eq!(kinds, ["a", "b"]);
    machine.spool(&[]);
    machine.settle().await;
    assert_eq!((machine.last().seq, machine.last().base), (92, Some(91)));
}

#[tokio::test(flavor = "current_thread")]
async fn clone_gets_its_own_key_and_chain() {
    let mut machine = Machine::enrolled().await;
    let original = machine.delivery.identity.key.key_id().clone();
    machine.collect(1);
    machine.spool(&["a"]);
    machine.fake.say([json!({"code": "rekey"})]);
    machine.settle().await;
    assert_ne!(machine.delivery.identity.key.key_id(), &original);
    let last = machine.last();
    assert_eq!((last.seq, last.prev, last.base), (1, None, None));
    let kinds: Vec<&str> = last.events.iter().map(|e| e.kind.as_str()).collect();
    assert_eq!(kinds, ["a", "chain.restarted"]);
    machine.reopen();
    assert_eq!(machine.delivery.identity.membership.host.as_str(), "h2");
}

#[tokio::test(flavor = "current_thread")]
async fn revoked_host_stops_for_good_and_unknown_host_presents_its_receipt() {
    let mut machine = Machine::enrolled().await;
    machine.collect(1);
    machine.spool(&[]);
    machine.fake.say([json!({"code": "unknown_host"})]);
    machine.settle().await;
    assert_eq!(machine.delivery.identity.membership.host.as_str(), "h1");
    assert!(machine.delivery.spool.is_empty());
    machine.spool(&[]);
    machine.fake.say([json!({"code": "revoked"})]);
    machine.settle().await;
    let sent = machine.seen().0.len();
    machine.reopen();
    assert_eq!(machine.delivery.step().await.unwrap(), Step::Stopped);
    assert_eq!(machine.seen().0.len(), sent);
}

#[tokio::test(flavor = "current_thread")]
async fn refused_report_is_set_aside_recorded_and_the_next_one_gets_through() {
    for code in ["malformed", "too_large"] {
        let mut machine = Machine::enrolled().await;
        machine.collect(1);
        machine.spool(&["poison"]);
        machine.fake.say([json!({"code": code})]);
        machine.settle().await;
        let last = machine.last();
        let dropped = last.dropped.unwrap();
        assert_eq!((last.seq, dropped.from_seq, dropped.to_seq, dropped.events), (2, 1, 1, 1), "{code}");
        assert_eq!(std::fs::read_dir(machine.paths.quarantine()).unwrap().count(), 1);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn busy_or_full_collector_is_waited_for_and_nothing_is_lost() {
    let mut machine = Machine::enrolled().await;
    machine.collect(1);
    machine.spool(&[]);
    machine.fake.say([json!({"code": "slow_down", "retry_after_s": 7}), json!({"code": "unavailable"})]);
    let Step::Wait(pause) = machine.delivery.step().await.unwrap() else { panic!("no pause") };
    assert!(pause >= Duration::from_secs(7));
    machine.settle().await;
    assert_eq!(machine.seen().0, [1, 1, 1]);
}

#[tokio::test(flavor = "current_thread")]
async fn unsigned_answer_and_answer_to_another_report_change_nothing() {
    let mut machine = Machine::enrolled().await;
    machine.collect(1);
    machine.spool(&[]);
    machine.fake.script.lock().unwrap().unsigned = true;
    assert!(matches!(machine.delivery.step().await.unwrap(), Step::Wait(_)));
    assert_eq!(machine.delivery.status.last_error.as_ref().unwrap().code, "unsigned_answer");
    machine.fake.script.lock().unwrap().unsigned = false;
    machine.fake.say([json!({"code": "accepted", "re": Digest::of(b"another")})]);
    assert!(matches!(machine.delivery.step().await.unwrap(), Step::Wait(_)));
    assert_eq!(machine.delivery.spool.len(), 1);
    machine.settle().await;
}

#[tokio::test(flavor = "current_thread")]
async fn key_changes_when_asked_and_after_a_crash_in_between() {
    let mut machine = Machine::enrolled().await;
    let first = machine.delivery.identity.key.key_id().clone();
    disk::write_atomic(&machine.paths.rotate_request(), b"").unwrap();
    machine.settle().await;
    let second = machine.delivery.identity.key.key_id().clone();
    assert_ne!(first, second);
    assert!(!machine.paths.rotate_request().exists());
    // The collector took the next key, the answer was lost: what was signed since is signed anew.
    let next = NextKey::obtain(&machine.paths, Some(KeyPurpose::Rotate)).unwrap();
    machine.collect(1);
    machine.spool(&["kept"]);
    machine.settle().await;
    assert_eq!(machine.delivery.identity.key.key_id(), next.key.key_id());
    assert_eq!(machine.last().events.len(), 1);
    assert!(machine.delivery.spool.is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn announced_keys_and_policies_are_kept() {
    let mut machine = Machine::enrolled().await;
    let successor = new_key();
    let mut trust = machine.fake.trust();
    trust.version = 2;
    trust.keys.push(successor.public());
    let empty = json!({"version": 3, "ca_pem": [], "keys": []});
    machine.collect(1);
    machine.spool(&[]);
    let policy = json!({"version": 4, "policy": {"collection": {"interval_s": 77}}});
    machine.fake.say([json!({"code": "accepted", "trust": trust, "policy": policy})]);
    machine.settle().await;
    machine.spool(&[]);
    machine.fake.say([json!({"code": "accepted", "trust": empty})]);
    machine.settle().await;
    machine.reopen();
    assert_eq!(machine.delivery.identity.membership.trust, trust);
    assert_eq!(machine.delivery.policy.policy.collection.interval_s, 77);
}
