//! The audit log: every change by a person or program, in the transaction of the change itself.

use super::db::params;
use super::{Result, Store, Tx};
use crate::user::AuditRow;
use tenken_shared::ids::OrgId;
use tenken_shared::text::printable;

/// Longest text kept of one member.
const MAX_CHARS: usize = 500;

/// Adds one entry. `detail` never holds a secret.
pub fn record(
    tx: &mut (dyn Tx + '_),
    org: i64,
    actor: &str,
    action: &str,
    object: &str,
    detail: &str,
) -> Result<()> {
    let now = jiff::Timestamp::now();
    let short = |text: &str| printable(&text.chars().take(MAX_CHARS).collect::<String>());
    tx.execute(
        "insert into audit_log (org_id, at, actor, action, object, detail) values (?1, ?2, ?3, ?4, ?5, ?6)",
        params![org, now, &short(actor), action, &short(object), &short(detail)],
    )?;
    Ok(())
}

/// The store's number of an organisation.
pub(super) fn org_number(tx: &mut (dyn Tx + '_), org: &OrgId) -> Result<i64> {
    tx.one("select org_id from org where slug = ?1", params![org], |row| row.int(0))?
        .ok_or_else(|| super::StoreError::NotFound(format!("organisation {org}")))
}

impl Store {
    /// Notes a change that another operation of the store made just before.
    pub async fn note(
        &self,
        actor: &crate::user::Actor,
        action: &str,
        object: &str,
        detail: &str,
    ) -> Result<()> {
        let (actor, action) = (actor.clone(), action.to_owned());
        let (object, detail) = (object.to_owned(), detail.to_owned());
        self.write(move |tx| {
            let number = org_number(tx, &actor.org)?;
            record(tx, number, &actor.name, &action, &object, &detail)
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
