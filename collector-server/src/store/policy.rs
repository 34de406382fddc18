//! Policies by organisation and version, catalogues, and the installation's own settings.

use jiff::Timestamp;
use tenken_shared::policy::{Policy, PolicyEnvelope};

use super::audit::Entry;
use super::db::params;
use super::{Result, Store, StoreError, Tx, due};
use crate::audit::Action;
use crate::user::Actor;

/// A catalogue as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogDocument {
    /// Version within its name, from 1.
    pub version: i64,
    /// The document as imported.
    pub document: Vec<u8>,
    /// When.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
}

/// One version of a policy, without its document.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct PolicyVersion {
    /// Number.
    pub version: u64,
    /// When it was put in force.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
}

/// The policy in force for an organisation; version 0 with all defaults where none was ever set.
pub fn current(tx: &mut (dyn Tx + '_), org: i64) -> Result<PolicyEnvelope> {
    let found = tx.one(
        "select version, document from policy where org_id = ?1 order by version desc limit 1",
        params![org],
        |row| Ok(PolicyEnvelope { version: row.int(0)?.unsigned_abs(), policy: row.json(1)? }),
    )?;
    Ok(found.unwrap_or_else(|| PolicyEnvelope { version: 0, policy: Policy::default() }))
}

impl Store {
    /// The policy in force.
    pub async fn policy(&self, org: i64) -> Result<PolicyEnvelope> {
        self.read(move |tx| current(tx, org)).await
    }

    /// One version of a policy (what a snapshot was judged by).
    pub async fn policy_version(&self, org: i64, version: u64) -> Result<Option<PolicyEnvelope>> {
        let number = i64::try_from(version).unwrap_or(i64::MAX);
        self.read(move |tx| {
            tx.one(
                "select document from policy where org_id = ?1 and version = ?2",
                params![org, number],
                |row| Ok(PolicyEnvelope { version, policy: row.json(0)? }),
            )
        })
        .await
    }

    /// Versions of a policy, newest first.
    pub async fn policy_history(&self, org: i64) -> Result<Vec<PolicyVersion>> {
        self.read(move |tx| {
            tx.rows(
                "select version, created_at, created_by from policy where org_id = ?1 order by version desc",
                params![org],
                |row| {
                    Ok(PolicyVersion {
                        version: row.int(0)?.unsigned_abs(),
                        created_at: row.time(1)?,
                        created_by: row.text(2)?.to_owned(),
                    })
                },
            )
        })
        .await
    }

    /// Puts a new policy in force and marks the organisation's hosts due.
    pub async fn set_policy(&self, actor: &Actor, policy: &Policy, now: Timestamp) -> Result<PolicyEnvelope> {
        let (policy, by) = (policy.clone(), actor.name.clone());
        let document = serde_json::to_string(&policy).map_err(|e| StoreError::Statement(e.to_string()))?;
        self.change(actor, move |tx, org| {
            let version = current(tx, org)?.version + 1;
            tx.execute(
                "insert into policy (org_id, version, document, created_at, created_by) \
                 values (?1, ?2, ?3, ?4, ?5)",
                params![org, i64::try_from(version).unwrap_or(i64::MAX), &document, now, &by],
            )?;
            due::mark_all(tx, org, now, "policy")?;
            let entry = Entry::new(Action::PolicySet, "policy").detail(format_args!("version {version}"));
            Ok((PolicyEnvelope { version, policy: policy.clone() }, entry))
        })
        .await
    }

    /// The newest catalogue of a name.
    pub async fn catalog(&self, name: &str) -> Result<Option<CatalogDocument>> {
        let name = name.to_owned();
        self.read(move |tx| {
            tx.one(
                "select version, document, created_at, created_by from catalog where name = ?1 \
                 order by version desc limit 1",
                params![&name],
                |row| {
                    Ok(CatalogDocument {
                        version: row.int(0)?,
                        document: row.bytes(1)?.to_vec(),
                        created_at: row.time(2)?,
                        created_by: row.text(3)?.to_owned(),
                    })
                },
            )
        })
        .await
    }

    /// Stores a new version of a catalogue and marks all hosts due; answers its number.
    pub async fn put_catalog(
        &self,
        actor: &Actor,
        name: &str,
        document: Vec<u8>,
        now: Timestamp,
    ) -> Result<i64> {
        let (name, by) = (name.to_owned(), actor.name.clone());
        self.change_everywhere(actor, move |tx| {
            let version = tx
                .one(
                    "select coalesce(max(version), 0) + 1 from catalog where name = ?1",
                    params![&name],
                    |row| row.int(0),
                )?
                .unwrap_or(1);
            tx.execute(
                "insert into catalog (name, version, document, created_at, created_by) values (?1, ?2, ?3, ?4, ?5)",
                params![&name, version, &document, now, &by],
            )?;
            for org in tx.rows("select org_id from org order by org_id", &[], |row| row.int(0))? {
                due::mark_all(tx, org, now, "catalog")?;
            }
            let entry = Entry::new(Action::CatalogImport, &name);
            Ok((version, entry.detail(format_args!("number {version}"))))
        })
        .await
    }

    /// A setting the programs keep for themselves.
    pub async fn setting(&self, name: &str) -> Result<Option<String>> {
        let name = name.to_owned();
        self.read(move |tx| setting(tx, &name)).await
    }

    /// Sets it.
    pub async fn set_setting(&self, name: &str, value: &str) -> Result<()> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.write(move |tx| set_setting(tx, &name, &value)).await
    }
}

/// A setting, inside a transaction.
pub fn setting(tx: &mut (dyn Tx + '_), name: &str) -> Result<Option<String>> {
    tx.one("select value from setting where name = ?1", params![name], |row| Ok(row.text(0)?.to_owned()))
}

/// Sets a setting, inside a transaction.
pub fn set_setting(tx: &mut (dyn Tx + '_), name: &str, value: &str) -> Result<()> {
    tx.execute(
        "insert into setting (name, value) values (?1, ?2) \
         on conflict (name) do update set value = excluded.value",
        params![name, value],
    )?;
    Ok(())
}
