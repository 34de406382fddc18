//! Exceptions and attestations: what people answer for.

use jiff::Timestamp;
use tenken_shared::control;
use tenken_shared::criterion::{self, Attestation, Exception};

use super::audit::Entry;
use super::db::params;
use super::{Result, Row, Rule, Store, StoreError, Tx};
use crate::audit::Action;
use crate::user::Actor;

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

/// Every attestation that was not withdrawn, oldest first.
pub fn attestations(tx: &mut (dyn Tx + '_), org: i64) -> Result<Vec<Attestation>> {
    tx.rows(
        "select attestation_id, criterion, holds, stated_by, statement, document, stated_at, next_review, \
         recorded_by from attestation where org_id = ?1 and ended_at is null \
         order by stated_at, attestation_id",
        params![org],
        read_attestation,
    )
}

/// Something a person answered for, and how that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended<T> {
    /// What it was.
    pub what: T,
    /// When it ended.
    pub at: Timestamp,
    /// Who ended it.
    pub by: String,
    /// Why; may be empty.
    pub reason: String,
}

/// Reads the last three columns, which begin at `column`, around `what`.
fn read_ended<T>(row: &Row, column: usize, what: T) -> Result<Ended<T>> {
    Ok(Ended {
        what,
        at: row.time(column)?,
        by: row.opt_string(column + 1)?.unwrap_or_default(),
        reason: row.opt_string(column + 2)?.unwrap_or_default(),
    })
}

fn check_texts(texts: &[&str]) -> Result<()> {
    if texts.iter().any(|t| t.trim().is_empty()) {
        return Err(StoreError::Rule(Rule::EmptyText));
    }
    check_lengths(texts)
}

fn check_lengths(texts: &[&str]) -> Result<()> {
    if texts.iter().any(|t| t.chars().count() > MAX_CHARS) {
        return Err(StoreError::Rule(Rule::LongText(MAX_CHARS)));
    }
    Ok(())
}

fn check_room(tx: &mut (dyn Tx + '_), sql: &str, org: i64) -> Result<()> {
    let count = tx.one(sql, params![org], |row| row.int(0))?.unwrap_or_default();
    if count >= MAX_ANSWERS {
        return Err(StoreError::Rule(Rule::Entries(MAX_ANSWERS)));
    }
    Ok(())
}

impl Store {
    /// Exceptions that were not removed.
    pub async fn exceptions(&self, org: i64) -> Result<Vec<Exception>> {
        self.read(move |tx| exceptions(tx, org)).await
    }

    /// Exceptions that were ended by a person, latest end first; at most `limit`.
    pub async fn ended_exceptions(&self, org: i64, limit: u32) -> Result<Vec<Ended<Exception>>> {
        self.read(move |tx| {
            tx.rows(
                "select exception_id, target, control, reason, mitigation, owner, deadline, created_at, \
                 created_by, removed_at, removed_by, remove_reason from exception \
                 where org_id = ?1 and removed_at is not null order by removed_at desc, exception_id limit ?2",
                params![org, limit],
                |row| read_ended(row, 9, read_exception(row)?),
            )
        })
        .await
    }

    /// Records an exception in the actor's name. The deadline must lie ahead and the control must exist.
    pub async fn add_exception(&self, actor: &Actor, exception: Exception) -> Result<Exception> {
        check_texts(&[&exception.target, &exception.reason, &exception.owner])?;
        if control::find(&exception.control).is_none() {
            return Err(StoreError::NotFound(format!("control {}", exception.control)));
        }
        if exception.deadline <= exception.created_at {
            return Err(StoreError::Rule(Rule::DeadlinePast));
        }
        let exception = Exception { created_by: actor.name.clone(), ..exception };
        self.change(actor, move |tx, org| {
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
            let detail = format!("{} {} {} until {}", e.id, e.control, e.mitigation.as_str(), e.deadline);
            Ok((e.clone(), Entry::new(Action::ExceptionAdd, &e.target).detail(detail)))
        })
        .await
    }

    /// Ends an exception; it stays on record.
    pub async fn remove_exception(
        &self,
        actor: &Actor,
        id: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<()> {
        check_lengths(&[reason])?;
        let (id, by, reason) = (id.to_owned(), actor.name.clone(), reason.to_owned());
        self.change(actor, move |tx, org| {
            let changed = tx.execute(
                "update exception set removed_at = ?3, removed_by = ?4, remove_reason = ?5 \
                 where org_id = ?1 and exception_id = ?2 and removed_at is null",
                params![org, &id, now, &by, &reason],
            )?;
            if changed == 0 {
                return Err(StoreError::NotFound(format!("exception {id}")));
            }
            Ok(((), Entry::new(Action::ExceptionRemove, &id).detail(&reason)))
        })
        .await
    }

    /// Attestations that were not withdrawn.
    pub async fn attestations(&self, org: i64) -> Result<Vec<Attestation>> {
        self.read(move |tx| attestations(tx, org)).await
    }

    /// Attestations that were withdrawn, latest first; at most `limit`.
    pub async fn ended_attestations(&self, org: i64, limit: u32) -> Result<Vec<Ended<Attestation>>> {
        self.read(move |tx| {
            tx.rows(
                "select attestation_id, criterion, holds, stated_by, statement, document, stated_at, \
                 next_review, recorded_by, ended_at, ended_by, end_reason from attestation \
                 where org_id = ?1 and ended_at is not null order by ended_at desc, attestation_id limit ?2",
                params![org, limit],
                |row| read_ended(row, 9, read_attestation(row)?),
            )
        })
        .await
    }

    /// Records an attestation in the actor's name. The criterion must exist and the review must lie ahead.
    pub async fn add_attestation(&self, actor: &Actor, attestation: Attestation) -> Result<Attestation> {
        check_texts(&[&attestation.by, &attestation.statement])?;
        check_lengths(&[attestation.document.as_deref().unwrap_or_default()])?;
        if criterion::find(&attestation.criterion).is_none() {
            return Err(StoreError::NotFound(format!("criterion {}", attestation.criterion)));
        }
        if attestation.next_review <= attestation.at {
            return Err(StoreError::Rule(Rule::ReviewPast));
        }
        let attestation = Attestation { recorded_by: actor.name.clone(), ..attestation };
        self.change(actor, move |tx, org| {
            let a = &attestation;
            check_room(tx, "select count(*) from attestation where org_id = ?1 and ended_at is null", org)?;
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
            let detail = format!("{} {}", a.id, if a.holds { "holds" } else { "does not hold" });
            Ok((a.clone(), Entry::new(Action::AttestationAdd, &a.criterion).detail(detail)))
        })
        .await
    }

    /// Withdraws an attestation and the earlier ones of its criterion, which it had replaced: none of them
    /// shall count again. They stay on record.
    pub async fn end_attestation(&self, actor: &Actor, id: &str, reason: &str, now: Timestamp) -> Result<()> {
        check_texts(&[reason])?;
        let (id, by, reason) = (id.to_owned(), actor.name.clone(), reason.to_owned());
        self.change(actor, move |tx, org| {
            let missing = || StoreError::NotFound(format!("attestation {id}"));
            let (criterion, at) = tx
                .one(
                    "select criterion, stated_at from attestation \
                     where org_id = ?1 and attestation_id = ?2 and ended_at is null",
                    params![org, &id],
                    |row| Ok((row.text(0)?.to_owned(), row.time(1)?)),
                )?
                .ok_or_else(missing)?;
            tx.execute(
                "update attestation set ended_at = ?4, ended_by = ?5, end_reason = ?6 \
                 where org_id = ?1 and criterion = ?2 and stated_at <= ?3 and ended_at is null",
                params![org, &criterion, at, now, &by, &reason],
            )?;
            let entry = Entry::new(Action::AttestationEnd, &criterion);
            Ok(((), entry.detail(format_args!("{id} {reason}"))))
        })
        .await
    }
}
