//! A simulated host: its key, its chain, its facts.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::rand::SecureRandom as _;
use tenken_shared::api::{EnrolRequest, KeyProof, KeyPurpose, KeyReply, KeyRequest, ReadmitRequest, route};
use tenken_shared::fact::{FactRecord, KindName};
use tenken_shared::ids::{Digest, HostId};
use tenken_shared::jws::{Purpose, SigningKey};
use tenken_shared::report::{
    self, FactEntry, MEDIA_TYPE, MEDIA_TYPE_ZSTD, Manifest, Reply, ReplyCode, Resync, VERSION,
};

use super::{Answer, Connection, Trust};

/// A host as its agent would keep it.
#[derive(Debug)]
pub struct Host {
    key: SigningKey,
    name: String,
    print: String,
    /// Id given at enrolment.
    pub id: Option<HostId>,
    /// Receipt given at enrolment.
    pub receipt: Option<String>,
    /// Last report the collector accepted.
    pub seq: u64,
    /// Its digest.
    pub head: Option<Digest>,
    /// What it last told of each kind; bodies are not kept, so that a large fleet fits into memory.
    facts: BTreeMap<KindName, FactEntry>,
}

/// A report ready to be sent.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// What is signed.
    pub manifest: Manifest,
    /// Digest that names it.
    pub digest: Digest,
    /// Media type of `bytes`.
    pub media_type: &'static str,
    /// The request body.
    pub bytes: Vec<u8>,
}

impl Host {
    /// A host with a fresh key, not yet enrolled.
    pub fn new(name: &str) -> Result<Self> {
        let print = URL_SAFE_NO_PAD.encode(&Digest::of(name.as_bytes()).as_bytes()[..16]);
        Ok(Self {
            key: new_key()?,
            name: name.to_owned(),
            print,
            id: None,
            receipt: None,
            seq: 0,
            head: None,
            facts: BTreeMap::new(),
        })
    }

    /// Enrols with the token of `trust`.
    pub async fn enrol(&mut self, trust: &Trust, connection: &mut Connection) -> Result<Reply> {
        let proof = self.proof(&self.key)?;
        let request = EnrolRequest { secret: trust.token.secret.clone(), proof: proof.clone() };
        let answer = post_json(connection, route::ENROL, &request).await?;
        self.admit(trust, &answer, &proof)
    }

    /// Shows its receipt to a collector that does not know it.
    pub async fn readmit(&mut self, trust: &Trust, connection: &mut Connection) -> Result<Reply> {
        let proof = self.proof(&self.key)?;
        let receipt = self.receipt.clone().context("never enrolled")?;
        let request = ReadmitRequest { receipt, proof: proof.clone() };
        let answer = post_json(connection, route::READMIT, &request).await?;
        self.admit(trust, &answer, &proof)
    }

    /// Takes a new key: same host (`Rotate`) or a new pending one (`Clone`).
    pub async fn change_key(
        &mut self,
        trust: &Trust,
        connection: &mut Connection,
        purpose: KeyPurpose,
    ) -> Result<Reply> {
        let key = new_key()?;
        let proof = self.proof(&key)?;
        let by_old = self.key.sign(Purpose::Key, proof.as_bytes());
        let request = KeyRequest { purpose, proof: proof.clone(), by_old };
        let answer = post_json(connection, route::KEY, &request).await?;
        let reply = self.admit(trust, &answer, &proof)?;
        if reply.code == ReplyCode::Accepted {
            self.key = key;
            (self.seq, self.head) = (0, None);
        }
        Ok(reply)
    }

    fn proof(&self, key: &SigningKey) -> Result<String> {
        let mut nonce = [0u8; 16];
        ring::rand::SystemRandom::new().fill(&mut nonce).map_err(|_| anyhow::anyhow!("no random bytes"))?;
        let proof = KeyProof {
            key: key.public(),
            nonce: URL_SAFE_NO_PAD.encode(nonce),
            hostname: Some(self.name.clone()),
            print: Some(self.print.clone()),
            agent_version: Some("0.1.0".into()),
            os_family: Some("linux".into()),
            serial: None,
        };
        Ok(key.sign(Purpose::Key, &serde_json::to_vec(&proof)?))
    }

    fn admit(&mut self, trust: &Trust, answer: &Answer, proof: &str) -> Result<Reply> {
        let body: KeyReply = serde_json::from_slice(&answer.body)
            .with_context(|| format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)))?;
        let reply = trust.reply(&body.reply, Digest::of(proof.as_bytes()))?;
        if reply.code == ReplyCode::Accepted {
            self.id = reply.host.clone().or_else(|| self.id.take());
            self.receipt = body.receipt.or_else(|| self.receipt.take());
        }
        Ok(reply)
    }

    /// The next report: `changed` replace what was known of their kinds. The first one sends all it has.
    pub fn report(&self, changed: &[FactRecord], now: Timestamp) -> Result<Outgoing> {
        let mut manifest = self.manifest(changed, now);
        manifest.changed = changed.iter().map(FactEntry::from).collect();
        self.seal(manifest, &changed.iter().collect::<Vec<_>>())
    }

    /// A full report of `all` that answers `resync`.
    pub fn resync(&self, reply: &Reply, all: &[FactRecord], now: Timestamp) -> Result<Outgoing> {
        let mut manifest = self.manifest(all, now);
        let head_seq = reply.head_seq.unwrap_or(0);
        manifest.seq = self.seq.max(head_seq) + 1;
        manifest.base = None;
        manifest.changed = all.iter().map(FactEntry::from).collect();
        manifest.resync = Some(Resync { cause: reply.code.as_str().into(), head_seq, head: reply.head });
        self.seal(manifest, &all.iter().collect::<Vec<_>>())
    }

    /// A manifest that follows the last accepted report and changes nothing but `changed`.
    pub fn manifest(&self, changed: &[FactRecord], now: Timestamp) -> Manifest {
        let mut facts: BTreeMap<_, _> =
            self.facts.iter().map(|(kind, entry)| (kind, &entry.digest)).collect();
        facts.extend(changed.iter().map(|f| (&f.content.kind, &f.digest)));
        Manifest {
            version: VERSION,
            seq: self.seq + 1,
            prev: self.head,
            root: report::root_digest(facts),
            created_at: now.as_millisecond(),
            confirmed_at: now.as_millisecond(),
            confirmed: BTreeMap::new(),
            base: self.head.map(|_| self.seq),
            changed: vec![],
            gone: vec![],
            print: Some(self.print.clone()),
            resync: None,
            dropped: None,
            events: vec![],
        }
    }

    /// Signs a manifest and packs it with its bodies.
    pub fn seal(&self, manifest: Manifest, bodies: &[&FactRecord]) -> Result<Outgoing> {
        let compact = self.key.sign(Purpose::Report, &serde_json::to_vec(&manifest)?);
        let digest = report::report_digest(&compact);
        if bodies.is_empty() {
            return Ok(Outgoing { manifest, digest, media_type: MEDIA_TYPE, bytes: compact.into_bytes() });
        }
        let contents = bodies.iter().map(|f| f.content.to_bytes()).collect::<Result<Vec<_>, _>>()?;
        let plain = report::join_lines(&compact, contents.iter().map(Vec::as_slice));
        let bytes = zstd::bulk::compress(&plain, 3)?;
        Ok(Outgoing { manifest, digest, media_type: MEDIA_TYPE_ZSTD, bytes })
    }

    /// Sends a report; the signed reply and the bytes of the request.
    pub async fn send(
        &self,
        trust: &Trust,
        connection: &mut Connection,
        outgoing: &Outgoing,
    ) -> Result<(Reply, u64)> {
        let answer = connection.post(route::REPORT, outgoing.media_type, outgoing.bytes.clone()).await?;
        let reply = trust
            .reply(answer.text()?, outgoing.digest)
            .with_context(|| format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)))?;
        Ok((reply, answer.request_bytes))
    }

    /// Moves on after an acknowledgement.
    pub fn accepted(&mut self, outgoing: &Outgoing) {
        self.seq = outgoing.manifest.seq;
        self.head = Some(outgoing.digest);
        let changed = outgoing.manifest.changed.iter();
        self.facts.extend(changed.map(|entry| (entry.kind.clone(), entry.clone())));
    }
}

fn new_key() -> Result<SigningKey> {
    Ok(SigningKey::from_pkcs8(&SigningKey::generate()?)?)
}

async fn post_json<T: serde::Serialize>(connection: &mut Connection, path: &str, body: &T) -> Result<Answer> {
    connection.post(path, "application/json", serde_json::to_vec(body)?).await
}
