//! Exceptions and attestations: what people answer for.

use jiff::Timestamp;
use tenken_shared::control;
use tenken_shared::criterion::{self, Attestation, Exception};

use super::db::params;
use super::{Result, Row, Store, StoreError, Tx, audit};

/// Most exceptions in force and most attestations of one organisation.
pub const MAX_ANSWERS: i64 = 10_000;
/// Longest text of an exception or attestation, characters.
pub const MAX_CHARS: usize = 4_000;

fn read_exception(row: &Row) -> Result<Exception> {
    Ok(Exception {
        id: row.text(0)?.to_owned(),
        target: row.text(1)?.to_owned(),
        control: row.text(2)?.to_owned(),
        reason: row.text(3)?.to_owned(),
        mitigation: row.parse(4)?,
        owner: row.text(5)?.to_owned(),
        deadline: row.time(6)?,
        created_at: row.time(7)?,
        created_by: row.text(8)?.to_owned(),
    })
}

fn read_attestation(row: &Row) -> Result<Attestation> {
    Ok(Attestation {
        id: row.text(0)?.to_owned(),
        criterion: row.text(1)?.to_owned(),
        holds: row.flag(2)?,
        by: row.text(3)?.to_owned(),
        statement: row.text(4)?.to_owned(),
        document: row.opt_string(5)?,
        at: row.time(6)?,
        next_review: row.time(7)?,
        recorded_by: row.text(8)?.to_owned(),
    })
}

/// Exceptions that were not removed, past their deadline or not, oldest first.
pub fn exceptions(tx: &mut (dyn Tx + '_), org: i64) -> Result<Vec<Exception>> {
    tx.rows(
        "select exception_id, target, control, reason, mitigation, owner, deadline, created_at, created_by \
         from exception where org_id = ?1 and removed_at is null order by created_at, exception_id",
        params![org],
        read_exception,
    )
}

/// Every attestation, oldest first.
pub fn attestations(tx: &mut (dyn Tx + '_), org: i64) -> Result<Vec<Attestation>> {
    tx.rows(
        "select attestation_id, criterion, holds, stated_by, statement, document, stated_at, next_review, \
         recorded_by from attestation where org_id = ?1 order by stated_at, attestation_id",
        params![org],
        read_attestation,
    )
}

fn check_texts(texts: &[&str]) -> Result<()> {
    if texts.iter().any(|t| t.trim().is_empty()) {
        return Err(StoreError::Refused("an empty text is no answer".into()));
    }
    if texts.iter().any(|t| t.chars().count() > MAX_CHARS) {
        return Err(StoreError::Refused(format!("a text has more than {MAX_CHARS} characters")));
    }
    Ok(())
}

fn check_room(tx: &mut (dyn Tx + '_), sql: &str, org: i64) -> Result<()> {
    let count = tx.one(sql, params![org], |row| row.int(0))?.unwrap_or_default();
    if count >= MAX_ANSWERS {
        return Err(StoreError::Refused(format!("more than {MAX_ANSWERS} entries")));
    }
    Ok(())
}

impl Store {
    /// Exceptions that were not removed.
    pub async fn exceptions(&self, org: i64) -> Result<Vec<Exception>> {
        self.read(move |tx| exceptions(tx, org)).await
    }

    /// Records an exception. The deadline must lie ahead and the control must exist.
    pub async fn add_exception(&self, org: i64, exception: Exception) -> Result<()> {
        check_texts(&[&exception.target, &exception.reason, &exception.owner])?;
        if control::find(&exception.control).is_none() {
            return Err(StoreError::NotFound(format!("control {}", exception.control)));
        }
        if exception.deadline <= exception.created_at {
            return Err(StoreError::Refused("the deadline is past".into()));
        }
        self.write(move |tx| {
            let e = &exception;
            check_room(tx, "select count(*) from exception where org_id = ?1 and removed_at is null", org)?;
            tx.execute(
                "insert into exception (org_id, exception_id, target, control, reason, mitigation, owner, \
                 deadline, created_at, created_by) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                params![
                    org,
                    &e.id,
                    &e.target,
                    &e.control,
                    &e.reason,
                    e.mitigation.as_str(),
                    &e.owner,
                    e.deadline,
                    e.created_at,
                    &e.created_by
                ],
            )?;
            let detail = format!("{} {} until {}", e.control, e.mitigation.as_str(), e.deadline);
            audit::record(tx, org, &e.created_by, "exception.add", &e.target, &detail)
        })
        .await
    }

    /// Ends an exception; it stays on record.
    pub async fn remove_exception(&self, org: i64, id: &str, by: &str, now: Timestamp) -> Result<()> {
        let (id, by) = (id.to_owned(), by.to_owned());
        self.write(move |tx| {
            let changed = tx.execute(
                "update exception set removed_at = ?3, removed_by = ?4 \
                 where org_id = ?1 and exception_id = ?2 and removed_at is null",
                params![org, &id, now, &by],
            )?;
            if changed == 0 {
                return Err(StoreError::NotFound(format!("exception {id}")));
            }
            audit::record(tx, org, &by, "exception.remove", &id, "")
        })
        .await
    }

    /// Every attestation.
    pub async fn attestations(&self, org: i64) -> Result<Vec<Attestation>> {
        self.read(move |tx| attestations(tx, org)).await
    }

    /// Records an attestation. The criterion must exist and the review must lie ahead.
    pub async fn add_attestation(&self, org: i64, attestation: Attestation) -> Result<()> {
        check_texts(&[&attestation.by, &attestation.statement])?;
        if criterion::find(&attestation.criterion).is_none() {
            return Err(StoreError::NotFound(format!("criterion {}", attestation.criterion)));
        }
        if attestation.next_review <= attestation.at {
            return Err(StoreError::Refused("the next review is not after the statement".into()));
        }
        self.write(move |tx| {
            let a = &attestation;
            check_room(tx, "select count(*) from attestation where org_id = ?1", org)?;
            tx.execute(
                "insert into attestation (org_id, attestation_id, criterion, holds, stated_by, statement, \
                 document, stated_at, next_review, recorded_by) \
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                params![
                    org,
                    &a.id,
                    &a.criterion,
                    a.holds,
                    &a.by,
                    &a.statement,
                    &a.document,
                    a.at,
                    a.next_review,
                    &a.recorded_by
                ],
            )?;
            let detail = if a.holds { "holds" } else { "does not hold" };
            audit::record(tx, org, &a.recorded_by, "attestation.add", &a.criterion, detail)
        })
        .await
    }
}
