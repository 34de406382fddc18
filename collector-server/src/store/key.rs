//! The collector's own keys and certificates, shared by every collector on one store.

use jiff::Timestamp;

use super::audit::Entry;
use super::db::params;
use super::{Result, Row, Store, Tx, policy};
use crate::audit::Action;
use crate::user::Actor;

/// One key.
#[derive(Clone, PartialEq, Eq)]
pub struct CollectorKey {
    /// Thumbprint of a signing key, fingerprint of a certificate.
    pub id: String,
    /// `sign` or `ca`.
    pub purpose: String,
    /// PKCS#8.
    pub private_key: Vec<u8>,
    /// PEM, for a CA.
    pub certificate: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it is used; before, it is only announced.
    pub active_from: Timestamp,
    /// When it left the bundle that agents trust.
    pub retired_at: Option<Timestamp>,
}

impl std::fmt::Debug for CollectorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CollectorKey({} {})", self.purpose, self.id)
    }
}

const SERIAL: &str = "trust_version";

fn read_key(row: &Row) -> Result<CollectorKey> {
    Ok(CollectorKey {
        id: row.text(0)?.to_owned(),
        purpose: row.text(1)?.to_owned(),
        private_key: row.bytes(2)?.to_vec(),
        certificate: row.opt_string(3)?,
        created_at: row.time(4)?,
        active_from: row.time(5)?,
        retired_at: row.opt_time(6)?,
    })
}

fn all(tx: &mut (dyn Tx + '_)) -> Result<(u64, Vec<CollectorKey>)> {
    let keys = tx.rows(
        "select key_id, purpose, private_key, certificate, created_at, active_from, retired_at \
         from collector_key order by active_from, created_at",
        &[],
        read_key,
    )?;
    let version = policy::setting(tx, SERIAL)?.and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok((version, keys))
}

fn insert(tx: &mut (dyn Tx + '_), key: &CollectorKey) -> Result<()> {
    tx.execute(
        "insert into collector_key (key_id, purpose, state, private_key, certificate, created_at, active_from) \
         values (?1, ?2, 'kept', ?3, ?4, ?5, ?6)",
        params![
            &key.id,
            &key.purpose,
            &key.private_key,
            &key.certificate,
            key.created_at,
            key.active_from
        ],
    )?;
    Ok(())
}

impl Store {
    /// Version of the trust bundle and every key, oldest first.
    pub async fn collector_keys(&self) -> Result<(u64, Vec<CollectorKey>)> {
        self.read(all).await
    }

    /// Stores the first keys, unless another collector was quicker.
    pub async fn found_keys(&self, first: Vec<CollectorKey>) -> Result<()> {
        self.write(move |tx| {
            let won = tx.execute(
                "insert into setting (name, value) values (?1, '1') on conflict (name) do nothing",
                params![SERIAL],
            )?;
            if won > 0 {
                first.iter().try_for_each(|key| insert(tx, key))?;
            }
            Ok(())
        })
        .await
    }

    /// Announces a successor. Keys of the same purpose whose successor has been in use since before
    /// `forget_before` leave the bundle.
    pub async fn add_collector_key(
        &self,
        actor: &Actor,
        key: CollectorKey,
        forget_before: Timestamp,
        now: Timestamp,
    ) -> Result<u64> {
        self.change_everywhere(actor, move |tx| {
            let (version, keys) = all(tx)?;
            insert(tx, &key)?;
            let of_purpose: Vec<&CollectorKey> =
                keys.iter().filter(|k| k.purpose == key.purpose && k.retired_at.is_none()).collect();
            for pair in of_purpose.windows(2) {
                if pair[1].active_from < forget_before {
                    tx.execute(
                        "update collector_key set state = 'retired', retired_at = ?2 where key_id = ?1",
                        params![&pair[0].id, now],
                    )?;
                }
            }
            policy::set_setting(tx, SERIAL, &(version + 1).to_string())?;
            let entry = Entry::new(Action::KeyRotate, &key.purpose);
            let detail = format!("trust bundle {}, in use from {}", version + 1, key.active_from);
            Ok((version + 1, entry.detail(detail)))
        })
        .await
    }
}
