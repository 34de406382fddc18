//! What was judged and no longer holds by itself: a `pass` or `not_applicable` whose validity ended, or
//! of a host that has been due for judging for longer than [`GRACE`], reads as `unknown` in every list,
//! view, roll-up and snapshot. So a collector that stood still, or whose judging is stuck, shows no pass
//! that its own clock has overtaken. [`Finding::as_of`] says the same of whole findings.
//!
//! Every host that reports has a row in `due`, never later than the end of validity of any of its
//! findings: what lapses is always found among hosts whose mark is past.

use jiff::{SignedDuration, Timestamp};
use tenken_shared::finding::{Finding, Message, NOT_JUDGED, Outcome};

use super::db::params;
use super::host::HostRef;
use super::judgement;
use super::{Result, Tx};

/// How long a host may wait to be judged before what stands of it is in doubt.
pub const GRACE: SignedDuration = SignedDuration::from_hours(1);

/// Condition in SQL over `f` (finding) and `d` (due, left joined): the stored outcome holds no more at
/// `now`, an expression in milliseconds.
pub(super) fn condition(now: &str) -> String {
    let grace = GRACE.as_millis();
    format!(
        "(f.outcome in ('pass', 'not_applicable') and (f.valid_until < {now} \
         or coalesce(d.due_at, 0) < {now} - {grace}))"
    )
}

/// The outcome to show, as SQL over `f` and `d`.
pub(super) fn outcome(now: &str) -> String {
    format!("case when {} then 'unknown' else f.outcome end", condition(now))
}

/// The message to show, as SQL over `f` and `d`; `judged_at` is the text of when the host was judged.
pub(super) fn message(now: &str, judged_at: &str) -> String {
    format!(
        "case when {} then '{{\"code\":\"{NOT_JUDGED}\",\"params\":{{\"judged_at\":\"' || {judged_at} || '\"}}}}' \
         else f.message end",
        condition(now)
    )
}

/// The message of what nobody judged since `judged_at`.
pub(super) fn not_judged(judged_at: Timestamp) -> Message {
    Message::new(NOT_JUDGED).with("judged_at", judged_at.strftime("%Y-%m-%dT%H:%M:%SZ"))
}

/// One stored outcome that holds no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lapsed {
    /// Number of the host.
    pub host: i64,
    /// Control.
    pub control: String,
    /// What is stored.
    pub stored: Outcome,
}

/// Every outcome of confirmed hosts that holds no more at `now`, by host and control. The cross join makes
/// SQLite begin with the few hosts that are due, not with all findings.
pub(super) fn all(tx: &mut (dyn Tx + '_), org: i64, now: Timestamp) -> Result<Vec<Lapsed>> {
    let sql = format!(
        "select f.host_id, f.control, f.outcome from host h \
         left join due d on d.org_id = h.org_id and d.host_id = h.host_id \
         cross join finding f where f.org_id = h.org_id and f.host_id = h.host_id \
         and h.org_id = ?1 and h.state = 'confirmed' and coalesce(d.due_at, 0) < ?2 and {} \
         order by f.host_id, f.control",
        condition("?2")
    );
    tx.rows(&sql, params![org, now], |row| {
        Ok(Lapsed { host: row.int(0)?, control: row.text(1)?.to_owned(), stored: row.parse(2)? })
    })
}

/// Whether a host has waited too long to be judged.
pub(super) fn overdue(tx: &mut (dyn Tx + '_), at: HostRef, now: Timestamp) -> Result<bool> {
    let since =
        tx.one("select due_at from due where org_id = ?1 and host_id = ?2", params![at.org, at.host], |r| {
            r.time(0)
        })?;
    let limit = now.saturating_sub(GRACE).unwrap_or(Timestamp::MIN);
    Ok(since.is_none_or(|since| since < limit))
}

/// The findings of a host as they read at `now`; empty before its first judgement.
pub(super) fn findings(tx: &mut (dyn Tx + '_), at: HostRef, now: Timestamp) -> Result<Vec<Finding>> {
    let Some(kept) = judgement::kept(tx, at)? else { return Ok(vec![]) };
    let overdue = overdue(tx, at, now)?;
    Ok(kept.findings.into_iter().map(|f| f.as_of(now, kept.judged_at, overdue)).collect())
}

/// Writes down what holds no more, so that a snapshot freezes what the collector really knew: hosts with
/// lapsed outcomes get their findings as they read at `now`. They stay due; `judged_at` stays true.
pub(super) fn settle(tx: &mut (dyn Tx + '_), org: i64, now: Timestamp) -> Result<()> {
    let mut hosts: Vec<i64> = all(tx, org, now)?.into_iter().map(|l| l.host).collect();
    hosts.dedup();
    for host in hosts {
        let at = HostRef { org, host };
        let Some(kept) = judgement::kept(tx, at)? else { continue };
        let overdue = overdue(tx, at, now)?;
        let judged_at = kept.judged_at;
        let findings: Vec<Finding> = kept
            .findings
            .iter()
            .map(|f| {
                let shown = f.clone().as_of(now, judged_at, overdue);
                if shown.verdict.outcome == f.verdict.outcome { f.clone() } else { shown }
            })
            .collect();
        judgement::restate(tx, at, &kept, &findings, now)?;
    }
    Ok(())
}
