//! Brings waiting reports to the collector, one after the other, and knows the cure for every answer.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tenken_shared::api::{KeyPurpose, route};
use tenken_shared::ids::Digest;
use tenken_shared::policy::PolicyEnvelope;
use tenken_shared::report::{
    CLOCK_HEADER, MAX_PLAIN_BYTES, MEDIA_TYPE, MEDIA_TYPE_ZSTD, POLICY_HEADER, Reply, ReplyCode, Resync,
    TRUST_HEADER, split_lines,
};

use crate::config::Settings;
use crate::disk::{self, DiskError};
use crate::enrol::{self, EnrolError};
use crate::key::{About, Identity, KeyError, NextKey};
use crate::paths::Paths;
use crate::report::compress;
use crate::spool::entry::{Entry, Slot};
use crate::spool::{Limits, Spool};
use crate::status::{Problem, Status};
use crate::transport::backoff::{Backoff, random};
use crate::transport::client::Route;
use crate::transport::tls::{Anchor, reference_time};
use crate::transport::{Checked, Client, Request, TransportError, check_answer};

/// Pause before asking again a collector that cannot read this version, or will not take this machine back.
const LONG_PAUSE: Duration = Duration::from_secs(3600);
/// Signature refusals of one report before it is set aside: it may have been damaged on the way.
const MAX_BAD_SIGNATURES: u32 = 3;
/// Rounds of asking for bodies before the whole is started again.
const MAX_BODY_ROUNDS: u32 = 3;

/// Why delivery cannot go on at all.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The data folder.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The credential.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// What came of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing waits.
    Idle,
    /// Something was settled: take the next step at once.
    Next,
    /// A new report is needed before anything else can be sent.
    ReportNeeded,
    /// Not before this much time has passed.
    Wait(Duration),
    /// The host is retired or revoked.
    Stopped,
}

/// Everything delivery lives on.
#[derive(Debug)]
pub struct Delivery {
    settings: Settings,
    paths: Paths,
    /// The credential.
    pub identity: Identity,
    /// What waits.
    pub spool: Spool,
    /// What `status` shows.
    pub status: Status,
    /// The policy in force.
    pub policy: PolicyEnvelope,
    /// What is said of the machine in key requests.
    pub about: About,
    /// Set when the collector asked for a full report.
    pub resync: Option<Resync>,
    /// How many of the largest facts the next report leaves out, after `too_large`.
    pub shrink: usize,
    client: Option<Client>,
    backoff: Backoff,
    wanted: Option<(Digest, Vec<Digest>)>,
    body_rounds: u32,
    bad_signatures: u32,
    resyncs: u32,
}

impl Delivery {
    /// Opens spool, policy and status of an enrolled machine.
    pub fn open(settings: &Settings, paths: &Paths, identity: Identity) -> Result<Self, DeliveryError> {
        let limits = Limits { bytes: settings.spool_max_bytes, reports: settings.spool_max_reports };
        let spool = Spool::open(&paths.spool(), limits, identity.membership.host.as_str())?;
        let policy = disk::read(&paths.policy())?
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_else(|| PolicyEnvelope { version: 0, policy: Default::default() });
        let mut status = Status::load(paths);
        if status.key_id.as_ref() != Some(identity.key.key_id()) {
            status.stopped = None;
            status.last_error = None;
        }
        status.agent_version = env!("CARGO_PKG_VERSION").to_owned();
        let mut delivery = Self {
            settings: settings.clone(),
            paths: paths.clone(),
            identity,
            spool,
            status,
            policy,
            about: About::default(),
            resync: None,
            shrink: 0,
            client: None,
            backoff: Backoff::new(Duration::from_secs(settings.retry_max_s)),
            wanted: None,
            body_rounds: 0,
            bad_signatures: 0,
            resyncs: 0,
        };
        delivery.show_identity();
        Ok(delivery)
    }

    fn show_identity(&mut self) {
        let membership = &self.identity.membership;
        self.status.org = Some(membership.org.clone());
        self.status.host = Some(membership.host.clone());
        self.status.key_id = Some(self.identity.key.key_id().clone());
        self.status.collectors.clone_from(&membership.urls);
        self.status.tls_trust = tls_trust(&self.settings).to_owned();
        self.status.policy_version = self.policy.version;
    }

    /// Writes the status; a failure to do so is only logged.
    pub fn show(&mut self) {
        self.status.spool_reports = self.spool.len() as u64;
        self.status.spool_bytes = self.spool.bytes();
        self.status.dropped_reports = self.spool.dropped_total();
        if let Err(error) = self.status.save(&self.paths) {
            tracing::warn!(%error, "The status file could not be written.");
        }
    }

    fn client(&mut self) -> Result<&mut Client, TransportError> {
        if self.client.is_none() {
            let anchor = if self.settings.trust_os_store {
                Anchor::OsStore
            } else {
                Anchor::Pinned(self.identity.membership.trust.ca_pem.clone())
            };
            self.client = Some(Client::new(&Route {
                urls: self.identity.membership.urls.clone(),
                proxy: self.settings.proxy.clone(),
                anchor,
                reference_s: reference_time(self.status.last_signed_ms),
                timeout: Duration::from_secs(self.settings.request_timeout_s),
            })?);
        }
        match &mut self.client {
            Some(client) => Ok(client),
            None => Err(TransportError::BadUrl(String::new())),
        }
    }

    /// Takes one step: sends the oldest report and does what the answer asks for.
    pub async fn step(&mut self) -> Result<Step, DeliveryError> {
        if self.status.stopped.is_some() {
            return Ok(Step::Stopped);
        }
        if self.resync.is_some() {
            return Ok(Step::ReportNeeded);
        }
        // The collector may have taken the new key before a crash: nothing signed by the old one counts then.
        if self.rotation_unfinished() {
            return self.rotate_now().await;
        }
        let Some((slot, entry)) = self.spool.oldest()? else {
            if self.spool.owes_a_record() {
                return Ok(Step::ReportNeeded);
            }
            return if self.rotation_due() { self.rotate_now().await } else { Ok(Step::Idle) };
        };
        let Some((media, body)) = self.bytes_to_send(&slot, &entry) else {
            tracing::warn!(
                report.seq = slot.seq,
                "The collector asks for a body that is not in this report."
            );
            self.ask_for_full("body_missing", None);
            return Ok(Step::ReportNeeded);
        };
        let headers = vec![
            (POLICY_HEADER, self.policy.version),
            (TRUST_HEADER, self.identity.membership.trust.version),
            (CLOCK_HEADER, u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)),
        ];
        let request = Request { path: route::REPORT, content: Some((media, body)), headers };
        match self.exchange(&request, slot.digest).await {
            Ok(checked) => self.obey(&slot, &entry, &checked).await,
            Err(error) => Ok(self.failed(&error)),
        }
    }

    /// Sends and checks; measures the clock by the signed time, half the round trip taken off.
    async fn exchange(&mut self, request: &Request<'_>, re: Digest) -> Result<Checked, TransportError> {
        self.status.last_attempt_at = Some(Timestamp::now());
        let keys = self.identity.membership.trust.keys.clone();
        let started = (Timestamp::now().as_millisecond(), Instant::now());
        let answer = self.client()?.send(request).await?;
        let round_trip_ms = i64::try_from(started.1.elapsed().as_millis()).unwrap_or(i64::MAX);
        let checked = check_answer(&answer, &keys, re)?;
        let offset = (started.0 + round_trip_ms / 2).saturating_sub(checked.reply.time);
        self.status.clock_offset_ms = Some(offset);
        self.heard(&checked).unwrap_or_else(
            |error| tracing::error!(%error, "What the collector announced could not be kept."),
        );
        Ok(checked)
    }

    /// Keeps what every reply may bring: time, policy, trust.
    fn heard(&mut self, checked: &Checked) -> Result<(), DeliveryError> {
        let reply = &checked.reply;
        self.status.last_signed_ms = self.status.last_signed_ms.max(Some(reply.time));
        if let Some(policy) = checked.policy.clone().filter(|p| p.version != self.policy.version) {
            let bytes = serde_json::to_vec(&policy).unwrap_or_default();
            disk::write_atomic(&self.paths.policy(), &bytes)?;
            tracing::info!(policy.version = policy.version, "A new policy is in force.");
            self.status.policy_version = policy.version;
            self.status.policy_ignored.clone_from(&checked.policy_ignored);
            self.policy = policy;
        }
        let known = self.identity.membership.trust.version;
        if let Some(trust) = reply.trust.as_ref().filter(|t| t.version > known && enrol::is_usable(t)) {
            self.identity.membership.trust = trust.clone();
            self.identity.save(&self.paths)?;
            // The next request is made with the new anchors.
            self.client = None;
            tracing::info!(
                trust.version = trust.version,
                "The collector announced new keys or certificates."
            );
        }
        Ok(())
    }

    fn bytes_to_send(&self, slot: &Slot, entry: &Entry) -> Option<(&'static str, Vec<u8>)> {
        let plain = || Some((MEDIA_TYPE, entry.meta.jws.clone().into_bytes()));
        match &self.wanted {
            Some((digest, need)) if *digest == slot.digest => {
                only_needed(entry, need).map(|frame| (MEDIA_TYPE_ZSTD, frame))
            }
            _ if entry.frame.is_empty() || entry.meta.lean => plain(),
            _ => Some((MEDIA_TYPE_ZSTD, entry.frame.clone())),
        }
    }

    async fn obey(&mut self, slot: &Slot, entry: &Entry, checked: &Checked) -> Result<Step, DeliveryError> {
        let reply = &checked.reply;
        if reply.code != ReplyCode::Accepted {
            let message = reply.message.as_deref().map(tenken_shared::text::printable).unwrap_or_default();
            tracing::info!(
                report.seq = slot.seq,
                code = reply.code.as_str(),
                message,
                "The collector did not accept the report."
            );
            self.status.problem(reply.code.as_str(), message);
        }
        match reply.code {
            ReplyCode::Accepted => self.accepted(slot, entry),
            ReplyCode::NeedBodies => Ok(self.need_bodies(slot, reply)),
            ReplyCode::Resync => Ok(self.needs_resync(reply)),
            ReplyCode::Rekey => self.rekey().await,
            ReplyCode::Revoked => Ok(self.stop(reply)),
            ReplyCode::UnknownHost => self.readmit().await,
            ReplyCode::BadSignature if self.bad_signatures + 1 < MAX_BAD_SIGNATURES => {
                self.bad_signatures += 1;
                Ok(self.pause(reply.retry_after_s))
            }
            ReplyCode::BadSignature | ReplyCode::Malformed => self.set_aside(slot, reply),
            ReplyCode::TooLarge => {
                self.shrink += 1;
                self.set_aside(slot, reply)
            }
            ReplyCode::UnsupportedVersion | ReplyCode::TokenRefused => {
                Ok(self.pause(Some(reply.retry_after_s.unwrap_or(0).max(LONG_PAUSE.as_secs()))))
            }
            ReplyCode::SlowDown | ReplyCode::Unavailable => Ok(self.pause(reply.retry_after_s)),
        }
    }

    fn accepted(&mut self, slot: &Slot, entry: &Entry) -> Result<Step, DeliveryError> {
        self.spool.accepted(slot.digest, entry)?;
        self.backoff.reset();
        self.wanted = None;
        (self.body_rounds, self.bad_signatures, self.resyncs, self.shrink) = (0, 0, 0, 0);
        self.status.last_accepted_at = Some(Timestamp::now());
        self.status.last_accepted_seq = Some(slot.seq);
        self.status.last_error = None;
        self.status.next_attempt_at = None;
        tracing::info!(report.seq = slot.seq, report.id = %slot.digest, "Report accepted.");
        self.show();
        Ok(Step::Next)
    }

    fn need_bodies(&mut self, slot: &Slot, reply: &Reply) -> Step {
        self.body_rounds += 1;
        if self.body_rounds > MAX_BODY_ROUNDS {
            self.body_rounds = 0;
            self.ask_for_full("bodies_again", reply.head_seq.zip(reply.head));
            return self.pause(reply.retry_after_s);
        }
        self.wanted = Some((slot.digest, reply.need.clone()));
        Step::Next
    }

    fn needs_resync(&mut self, reply: &Reply) -> Step {
        self.wanted = None;
        self.resync = Some(Resync {
            cause: reply.code.as_str().to_owned(),
            head_seq: reply.head_seq.unwrap_or(0),
            head: reply.head,
        });
        self.resyncs += 1;
        // A second time in a row: do not race with whatever keeps moving the head.
        if self.resyncs > 1 { self.pause(reply.retry_after_s) } else { Step::ReportNeeded }
    }

    /// Starts the chain again from our side, on the head the collector has by all we know.
    fn ask_for_full(&mut self, cause: &str, head: Option<(u64, Digest)>) {
        let ours = self.spool.head();
        let (head_seq, head) = head.map_or((ours.seq, ours.digest), |(seq, digest)| (seq, Some(digest)));
        self.wanted = None;
        self.resync = Some(Resync { cause: cause.to_owned(), head_seq, head });
    }

    async fn rekey(&mut self) -> Result<Step, DeliveryError> {
        self.change_key(KeyPurpose::Clone, "This machine is a copy of another one and got its own identity.")
            .await
    }

    async fn rotate_now(&mut self) -> Result<Step, DeliveryError> {
        self.change_key(KeyPurpose::Rotate, "This machine has a new key.").await
    }

    fn rotation_unfinished(&self) -> bool {
        matches!(NextKey::load(&self.paths), Ok(Some(next)) if next.purpose == Some(KeyPurpose::Rotate))
    }

    fn rotation_due(&self) -> bool {
        let days = i64::from(self.policy.policy.collection.key_rotation_days);
        let asked = || self.paths.rotate_request().exists();
        let unfinished = || matches!(NextKey::load(&self.paths), Ok(Some(next)) if next.purpose == Some(KeyPurpose::Rotate));
        asked() || unfinished() || (days > 0 && enrol::key_age_days(&self.identity, Timestamp::now()) >= days)
    }

    async fn change_key(&mut self, purpose: KeyPurpose, done: &str) -> Result<Step, DeliveryError> {
        if let Err(error) = self.client() {
            return Ok(self.failed(&error));
        }
        let Some(client) = self.client.as_mut() else { return Ok(self.pause(None)) };
        match enrol::change_key(client, &self.paths, &self.identity, purpose, &self.about).await {
            Ok((identity, checked)) => {
                self.identity = identity;
                self.heard(&checked)?;
                disk::remove(&self.paths.rotate_request())?;
                if purpose == KeyPurpose::Clone {
                    self.wanted = None;
                    self.spool.restart(self.identity.membership.host.as_str())?;
                } else if !self.spool.is_empty() {
                    self.ask_for_full("key_rotated", None);
                }
                self.show_identity();
                self.status.last_error = None;
                self.show();
                tracing::info!(host.id = %self.identity.membership.host, "{done}");
                Ok(Step::Next)
            }
            Err(error) => self.key_refused(error),
        }
    }

    async fn readmit(&mut self) -> Result<Step, DeliveryError> {
        if let Err(error) = self.client() {
            return Ok(self.failed(&error));
        }
        let Some(client) = self.client.as_mut() else { return Ok(self.pause(None)) };
        match enrol::readmit(client, &self.paths, &mut self.identity, &self.about).await {
            Ok(checked) => {
                self.heard(&checked)?;
                tracing::info!("The collector took this machine back by its receipt.");
                Ok(Step::Next)
            }
            Err(error) => self.key_refused(error),
        }
    }

    fn key_refused(&mut self, error: EnrolError) -> Result<Step, DeliveryError> {
        match error {
            EnrolError::Transport(error) => Ok(self.failed(&error)),
            EnrolError::Key(error) => Err(error.into()),
            EnrolError::Disk(error) => Err(error.into()),
            EnrolError::Refused { code, message, .. } if code == ReplyCode::Revoked.as_str() => {
                Ok(self.stopped(code, message.as_deref().unwrap_or_default()))
            }
            EnrolError::Refused { code, retry_after_s, .. } => {
                tracing::error!(code, "The collector refused the key request.");
                disk::remove(&self.paths.rotate_request())?;
                self.status.problem(code, &error);
                Ok(self.pause(Some(retry_after_s.unwrap_or(LONG_PAUSE.as_secs()))))
            }
            other => {
                tracing::error!(error = %other, "The key request failed.");
                self.status.problem("key_request", &other);
                Ok(self.pause(Some(LONG_PAUSE.as_secs())))
            }
        }
    }

    fn set_aside(&mut self, slot: &Slot, reply: &Reply) -> Result<Step, DeliveryError> {
        tracing::error!(
            report.seq = slot.seq,
            code = reply.code.as_str(),
            "The collector will never take this report; it is kept in the quarantine folder and the loss is recorded."
        );
        self.bad_signatures = 0;
        self.wanted = None;
        self.spool.quarantine(&self.paths.quarantine())?;
        Ok(self.pause(reply.retry_after_s))
    }

    fn stop(&mut self, reply: &Reply) -> Step {
        self.stopped(reply.code.as_str(), reply.message.as_deref().unwrap_or_default())
    }

    fn stopped(&mut self, code: &str, message: &str) -> Step {
        tracing::error!(
            code,
            "This host is retired or revoked: nothing is reported until it is enrolled anew."
        );
        let detail = tenken_shared::text::printable(message);
        self.status.stopped = Some(Problem { code: code.to_owned(), detail, at: Timestamp::now() });
        self.show();
        Step::Stopped
    }

    fn failed(&mut self, error: &TransportError) -> Step {
        if self.backoff.failures() == 0 {
            tracing::warn!(%error, code = error.code(), "Delivery failed; it is repeated.");
        } else {
            tracing::debug!(%error, code = error.code(), "Delivery failed again.");
        }
        self.status.problem(error.code(), error);
        // A fresh client: other anchors, another proxy, a new connection.
        self.client = None;
        self.pause(None)
    }

    fn pause(&mut self, asked_s: Option<u64>) -> Step {
        let pause = self.backoff.next(asked_s.map(Duration::from_secs), random());
        let ms = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        self.status.next_attempt_at =
            Timestamp::now().checked_add(jiff::SignedDuration::from_millis(ms)).ok();
        self.show();
        Step::Wait(pause)
    }
}

/// `pinned` or `os_store`, as in the `agent` fact.
#[must_use]
pub fn tls_trust(settings: &Settings) -> &'static str {
    if settings.trust_os_store { "os_store" } else { "pinned" }
}

/// The frame cut down to the bodies in `need`; `None` where one of them is not in it.
fn only_needed(entry: &Entry, need: &[Digest]) -> Option<Vec<u8>> {
    let plain = match entry.frame.as_slice() {
        [] => vec![],
        frame => zstd::bulk::decompress(frame, MAX_PLAIN_BYTES).ok()?,
    };
    let bodies = if plain.is_empty() { vec![] } else { split_lines(&plain).ok()?.1 };
    let bodies: Vec<&[u8]> = bodies.into_iter().filter(|body| need.contains(&Digest::of(body))).collect();
    let complete = need.iter().all(|digest| bodies.iter().any(|body| Digest::of(body) == *digest));
    if complete { compress(&entry.meta.jws, &bodies).ok() } else { None }
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
