//! Enrolment tokens, and hosts that come with them. Secrets are kept as SHA-256 (they are 256 random bits).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenken_shared::ids::{Digest, HostId, KeyId};
use tenken_shared::jws::PublicKey;

use super::audit::Entry;
use super::db::params;
use super::host::{self, Host, HostRef, HostState, NewHost};
use super::{Result, Row, Store, StoreError, Tx, due, report};
use crate::audit::Action;
use crate::user::Actor;

/// An enrolment token as kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Organisation, the store's number.
    #[serde(skip)]
    pub org: i64,
    /// Its id, to list and revoke it.
    pub id: String,
    /// What it is for.
    pub label: String,
    /// Group its hosts join.
    pub group: Option<String>,
    /// From pooled virtual desktops.
    pub ephemeral: bool,
    /// Addresses it may be used from (`192.168.1.0/24`).
    pub address_range: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// How often it may be used.
    pub max_uses: i64,
    /// How often it was.
    pub uses: i64,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

impl Token {
    /// Whether it can be used at `now`.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at && self.uses < self.max_uses
    }
}

const COLUMNS: &str = "org_id, token_id, label, group_name, class, address_range, created_at, created_by, \
     expires_at, max_uses, uses, revoked_at";

fn read_token(row: &Row) -> Result<Token> {
    Ok(Token {
        org: row.int(0)?,
        id: row.text(1)?.to_owned(),
        label: row.text(2)?.to_owned(),
        group: row.opt_string(3)?,
        ephemeral: row.text(4)? == "ephemeral",
        address_range: row.opt_string(5)?,
        created_at: row.time(6)?,
        created_by: row.text(7)?.to_owned(),
        expires_at: row.time(8)?,
        max_uses: row.int(9)?,
        uses: row.int(10)?,
        revoked_at: row.opt_time(11)?,
    })
}

/// A token by the hash of its secret.
pub fn by_secret(tx: &mut (dyn Tx + '_), hash: &Digest) -> Result<Option<Token>> {
    let sql = format!("select {COLUMNS} from enrol_token where secret_hash = ?1");
    tx.one(&sql, params![hash], read_token)
}

/// Counts one use, if the token is still open. Answers whether it was.
fn use_token(tx: &mut (dyn Tx + '_), token: &Token, now: Timestamp) -> Result<bool> {
    let used = tx.execute(
        "update enrol_token set uses = uses + 1 where org_id = ?1 and token_id = ?2 and uses < max_uses \
         and revoked_at is null and expires_at > ?3",
        params![token.org, &token.id, now],
    )?;
    Ok(used > 0)
}

/// Whether the ledger of an organisation names a serial. Empty and filler serials match nothing.
fn in_ledger(tx: &mut (dyn Tx + '_), org: i64, serial: Option<&str>) -> Result<bool> {
    let Some(serial) = serial.map(str::trim).filter(|s| s.len() >= 4) else { return Ok(false) };
    let found = tx.one(
        "select count(*) from ledger where org_id = ?1 and lower(serial) = lower(?2)",
        params![org, serial],
        |row| row.int(0),
    )?;
    // Two entries with one serial tell nothing about this machine.
    Ok(found == Some(1))
}

/// What an enrolment came to.
#[derive(Debug, Clone)]
pub enum Enrolled {
    /// The host, made now or by an earlier try with the same key.
    Host(Box<Host>),
    /// Token unknown, used up, expired or revoked.
    TokenRefused,
    /// The key belongs to a host that may not report.
    Revoked,
}

/// What an agent tells of itself when it asks for a key to be taken.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Name.
    pub hostname: Option<String>,
    /// Hardware print.
    pub print: Option<String>,
    /// Agent version.
    pub agent_version: Option<String>,
    /// OS family.
    pub os_family: Option<String>,
    /// System serial.
    pub serial: Option<String>,
}

fn new_host(org: i64, id: HostId, key: &PublicKey, told: &Told, now: Timestamp) -> NewHost {
    NewHost {
        org,
        id,
        key: key.clone(),
        state: HostState::Pending,
        state_by: "enrolment".into(),
        ephemeral: false,
        cloned_from: None,
        hostname: told.hostname.clone().unwrap_or_default(),
        group: None,
        os_family: told.os_family.clone(),
        serial: told.serial.clone(),
        print: told.print.clone(),
        agent_version: told.agent_version.clone(),
        token_id: None,
        now,
    }
}

fn must_get(tx: &mut (dyn Tx + '_), at: HostRef) -> Result<Host> {
    host::get(tx, at)?.ok_or_else(|| StoreError::Damaged(format!("host {} has no chain", at.host)))
}

impl Store {
    /// Keeps a new token of the actor's organisation.
    pub async fn add_token(&self, actor: &Actor, token: Token, secret_hash: Digest) -> Result<()> {
        let by = actor.name.clone();
        self.change(actor, move |tx, org| {
            let class = if token.ephemeral { "ephemeral" } else { "standard" };
            tx.execute(
                "insert into enrol_token (org_id, token_id, secret_hash, label, group_name, class, address_range, \
                 created_at, created_by, expires_at, max_uses, uses) \
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0)",
                params![
                    org,
                    &token.id,
                    &secret_hash,
                    &token.label,
                    &token.group,
                    class,
                    &token.address_range,
                    token.created_at,
                    &by,
                    token.expires_at,
                    token.max_uses
                ],
            )?;
            let entry = Entry::new(Action::TokenCreate, &token.id);
            Ok(((), entry.detail(format_args!("{} uses {}", token.label, token.max_uses))))
        })
        .await
    }

    /// Tokens of an organisation, newest first.
    pub async fn tokens(&self, org: i64) -> Result<Vec<Token>> {
        let sql = format!("select {COLUMNS} from enrol_token where org_id = ?1 order by created_at desc");
        self.read(move |tx| tx.rows(&sql, params![org], read_token)).await
    }

    /// A token by the hash of its secret.
    pub async fn token_by_secret(&self, hash: Digest) -> Result<Option<Token>> {
        self.read(move |tx| by_secret(tx, &hash)).await
    }

    /// Takes a token back.
    pub async fn revoke_token(&self, actor: &Actor, id: &str, now: Timestamp) -> Result<()> {
        let id = id.to_owned();
        self.change(actor, move |tx, org| {
            let changed = tx.execute(
                "update enrol_token set revoked_at = ?3 where org_id = ?1 and token_id = ?2 and revoked_at is null",
                params![org, &id, now],
            )?;
            if changed == 0 {
                return Err(StoreError::NotFound(format!("open token {id}")));
            }
            Ok(((), Entry::new(Action::TokenRevoke, &id)))
        })
        .await
    }

    /// Makes a host with the token of a secret. A key that was taken already is answered again.
    pub async fn enrol(
        &self,
        secret_hash: Digest,
        key: PublicKey,
        id: HostId,
        told: Told,
        now: Timestamp,
    ) -> Result<Enrolled> {
        self.write(move |tx| {
            if let Some(owner) = report::key_owner(tx, &key.key_id())? {
                let host = must_get(tx, owner.at)?;
                let open = host.state.reports() && owner.state == "current";
                return Ok(if open { Enrolled::Host(Box::new(host)) } else { Enrolled::Revoked });
            }
            let Some(token) = by_secret(tx, &secret_hash)? else { return Ok(Enrolled::TokenRefused) };
            if !use_token(tx, &token, now)? {
                return Ok(Enrolled::TokenRefused);
            }
            let mut new = new_host(token.org, id.clone(), &key, &told, now);
            new.group.clone_from(&token.group);
            new.ephemeral = token.ephemeral;
            new.token_id = Some(token.id.clone());
            if token.max_uses == 1 {
                (new.state, new.state_by) = (HostState::Confirmed, "token".into());
            } else if in_ledger(tx, token.org, told.serial.as_deref())? {
                (new.state, new.state_by) = (HostState::Confirmed, "ledger".into());
            }
            let at = host::insert(tx, &new)?;
            due::mark(tx, at, now, "enrolled")?;
            Ok(Enrolled::Host(Box::new(must_get(tx, at)?)))
        })
        .await
    }

    /// Puts a new key in the place of an old one of the same host.
    pub async fn rotate_key(&self, old: KeyId, key: PublicKey, now: Timestamp) -> Result<Option<Host>> {
        self.write(move |tx| {
            let Some(owner) = report::key_owner(tx, &old)? else { return Ok(None) };
            let host = must_get(tx, owner.at)?;
            if let Some(taken) = report::key_owner(tx, &key.key_id())? {
                return Ok((taken.at == owner.at && host.state.reports()).then_some(host));
            }
            if !host.state.reports() || owner.state != "current" {
                return Ok(None);
            }
            host::add_key(tx, owner.at, &key, now)?;
            report::end_key(tx, owner.at, &old, "replaced", now)?;
            note(tx, owner.at, "host.key_rotated", serde_json::json!({"to": key.key_id()}), now)?;
            Ok(Some(host))
        })
        .await
    }

    /// Makes a clone with the key of its original a host of its own that names the original.
    pub async fn split_clone(
        &self,
        old: KeyId,
        key: PublicKey,
        id: HostId,
        told: Told,
        now: Timestamp,
    ) -> Result<Option<Host>> {
        self.write(move |tx| {
            let Some(owner) = report::key_owner(tx, &old)? else { return Ok(None) };
            let original = must_get(tx, owner.at)?;
            if let Some(taken) = report::key_owner(tx, &key.key_id())? {
                let host = must_get(tx, taken.at)?;
                let ours = host.cloned_from.as_ref() == Some(&original.id);
                return Ok((ours && host.state.reports()).then_some(host));
            }
            if !original.state.reports() {
                return Ok(None);
            }
            let mut new = new_host(owner.at.org, id.clone(), &key, &told, now);
            new.cloned_from = Some(original.id.clone());
            new.group.clone_from(&original.group);
            new.ephemeral = original.ephemeral;
            new.state_by = "clone".into();
            if original.ephemeral {
                new.state = original.state;
            }
            let at = host::insert(tx, &new)?;
            note(tx, at, "host.cloned", serde_json::json!({"from": original.id}), now)?;
            note(tx, owner.at, "host.has_clone", serde_json::json!({"clone": id}), now)?;
            due::mark(tx, at, now, "enrolled")?;
            Ok(Some(must_get(tx, at)?))
        })
        .await
    }

    /// Takes a host back that this store has lost: same id, same key, waiting for confirmation.
    pub async fn readmit(
        &self,
        receipt: &tenken_shared::report::Receipt,
        told: Told,
        now: Timestamp,
    ) -> Result<Option<Host>> {
        let receipt = receipt.clone();
        self.write(move |tx| {
            if let Some(owner) = report::key_owner(tx, &receipt.key.key_id())? {
                let host = must_get(tx, owner.at)?;
                let open = host.state.reports() && owner.state == "current" && host.id == receipt.host;
                return Ok(open.then_some(host));
            }
            let Some(org) =
                tx.one("select org_id from org where slug = ?1", params![&receipt.org], |row| row.int(0))?
            else {
                return Ok(None);
            };
            let at = match host::find(tx, org, &receipt.host)? {
                // The host is known by an older key: a rotation was lost with the newer copy.
                Some(host) if host.state.reports() => {
                    host::add_key(tx, host.at, &receipt.key, now)?;
                    host.at
                }
                Some(_) => return Ok(None),
                None => {
                    let mut new = new_host(org, receipt.host.clone(), &receipt.key, &told, now);
                    new.group.clone_from(&receipt.group);
                    new.ephemeral = receipt.ephemeral;
                    new.state_by = "readmitted".into();
                    host::insert(tx, &new)?
                }
            };
            note(tx, at, "host.readmitted", serde_json::json!({"issued_at": receipt.issued_at}), now)?;
            due::mark(tx, at, now, "enrolled")?;
            Ok(Some(must_get(tx, at)?))
        })
        .await
    }
}

fn note(
    tx: &mut (dyn Tx + '_),
    at: HostRef,
    kind: &str,
    data: serde_json::Value,
    now: Timestamp,
) -> Result<()> {
    let event = report::HostEvent { recorded_at: now, observed_at: now, seq: 0, kind: kind.into(), data };
    report::note(tx, at, &event, 0)
}
