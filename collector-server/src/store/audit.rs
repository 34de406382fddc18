//! The audit log: every change by a person or program, in the transaction of the change itself.
//!
//! [`Store::change`] is the door for whatever an [`Actor`] changes: the work answers what the log shall
//! say of it, and both are committed or neither is.

use tenken_shared::ids::OrgId;
use tenken_shared::text::printable;

use super::db::params;
use super::{Result, Rule, Store, StoreError, Tx};
use crate::audit::Action;
use crate::user::{Actor, AuditRow};

/// Longest text kept of one member.
const MAX_CHARS: usize = 500;

/// What the log says of one change. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    action: Action,
    object: String,
    detail: String,
}

impl Entry {
    /// What was done, and to what.
    pub fn new(action: Action, object: impl std::fmt::Display) -> Self {
        Self { action, object: object.to_string(), detail: String::new() }
    }

    /// More about it.
    #[must_use]
    pub fn detail(mut self, detail: impl std::fmt::Display) -> Self {
        self.detail = detail.to_string();
        self
    }
}

/// Adds one entry, inside the transaction of the change.
pub fn record(tx: &mut (dyn Tx + '_), org: i64, actor: &str, entry: &Entry) -> Result<()> {
    let now = jiff::Timestamp::now();
    let short = |text: &str| printable(&text.chars().take(MAX_CHARS).collect::<String>());
    tx.execute(
        "insert into audit_log (org_id, at, actor, action, object, detail) values (?1, ?2, ?3, ?4, ?5, ?6)",
        params![org, now, &short(actor), entry.action.as_str(), &short(&entry.object), &short(&entry.detail)],
    )?;
    Ok(())
}

/// The store's number of an organisation.
pub(super) fn org_number(tx: &mut (dyn Tx + '_), org: &OrgId) -> Result<i64> {
    tx.one("select org_id from org where slug = ?1", params![org], |row| row.int(0))?
        .ok_or_else(|| StoreError::NotFound(format!("organisation {org}")))
}

impl Store {
    /// Changes something of the actor's organisation, whose number the work is handed, and notes it.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        actor: &Actor,
        mut work: impl FnMut(&mut (dyn Tx + '_), i64) -> Result<(T, Entry)> + Send + 'static,
    ) -> Result<T> {
        let actor = actor.clone();
        self.write(move |tx| {
            let org = org_number(tx, &actor.org)?;
            let (value, entry) = work(tx, org)?;
            record(tx, org, &actor.name, &entry)?;
            Ok(value)
        })
        .await
    }

    /// Changes something of the whole installation and notes it in the log of every organisation.
    pub(super) async fn change_everywhere<T: Send + 'static>(
        &self,
        actor: &Actor,
        mut work: impl FnMut(&mut (dyn Tx + '_)) -> Result<(T, Entry)> + Send + 'static,
    ) -> Result<T> {
        if !actor.everywhere {
            return Err(StoreError::Rule(Rule::EveryOrganisation));
        }
        let name = actor.name.clone();
        self.write(move |tx| {
            let (value, entry) = work(tx)?;
            for org in tx.rows("select org_id from org order by org_id", &[], |row| row.int(0))? {
                record(tx, org, &name, &entry)?;
            }
            Ok(value)
        })
        .await
    }

    /// The newest entries before `before` (an entry's number), newest first.
    pub async fn audit_log(&self, org: &OrgId, before: Option<i64>, limit: u32) -> Result<Vec<AuditRow>> {
        let org = org.clone();
        self.read(move |tx| {
            let number = org_number(tx, &org)?;
            tx.rows(
                "select audit_id, at, actor, action, object, detail from audit_log
                 where org_id = ?1 and audit_id < ?2 order by audit_id desc limit ?3",
                params![number, before.unwrap_or(i64::MAX), limit.min(1000)],
                |row| {
                    Ok(AuditRow {
                        id: row.int(0)?,
                        at: row.time(1)?,
                        actor: row.text(2)?.to_owned(),
                        action: row.text(3)?.to_owned(),
                        object: row.text(4)?.to_owned(),
                        detail: row.text(5)?.to_owned(),
                    })
                },
            )
        })
        .await
    }
}
