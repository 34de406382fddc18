//! Hosts to be judged again, and leases of periodic work.

use jiff::Timestamp;

use super::db::params;
use super::host::HostRef;
use super::{Result, Store, Tx, judgement};

/// A host whose judgement is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub at: HostRef,
    /// Since when.
    pub due_at: Timestamp,
    /// Why: `report`, `valid_until`, `policy`, `daily` ...
    pub reason: String,
    /// How often it was marked.
    pub marks: i64,
}

/// What a mark does to one that is there.
const AGAIN: &str = "on conflict (org_id, host_id) do update set marks = due.marks + 1, \
     reason = case when due.due_at > excluded.due_at then excluded.reason else due.reason end, \
     due_at = case when due.due_at > excluded.due_at then excluded.due_at else due.due_at end";

/// Marks a host due at a moment; an earlier moment stays. The mark counts either way, so that a judgement
/// under way does not take it for its own.
pub fn mark(tx: &mut (dyn Tx + '_), at: HostRef, due_at: Timestamp, reason: &str) -> Result<()> {
    tx.execute(
        &format!("insert into due (org_id, host_id, due_at, reason) values (?1, ?2, ?3, ?4) {AGAIN}"),
        params![at.org, at.host, due_at, reason],
    )?;
    Ok(())
}

/// Marks every reporting host of an organisation due, to be judged by every control.
pub fn mark_all(tx: &mut (dyn Tx + '_), org: i64, due_at: Timestamp, reason: &str) -> Result<u64> {
    judgement::forget_full(tx, org)?;
    tx.execute(
        &format!(
            "insert into due (org_id, host_id, due_at, reason) \
             select org_id, host_id, ?2, ?3 from host \
             where org_id = ?1 and state in ('pending', 'confirmed') {AGAIN}"
        ),
        params![org, due_at, reason],
    )
}

/// Puts the mark of a judged host to its next moment, unless it became due again since it was taken.
/// Answers whether the mark was still the one taken.
pub fn settle(tx: &mut (dyn Tx + '_), taken: &Due, next: Timestamp, reason: &str) -> Result<bool> {
    let changed = tx.execute(
        "update due set due_at = ?4, reason = ?5 \
         where org_id = ?1 and host_id = ?2 and due_at = ?3 and marks = ?6",
        params![taken.at.org, taken.at.host, taken.due_at, next, reason, taken.marks],
    )?;
    Ok(changed > 0)
}

/// Takes away the mark of a host that is not judged any more.
pub fn forget(tx: &mut (dyn Tx + '_), taken: &Due) -> Result<()> {
    tx.execute(
        "delete from due where org_id = ?1 and host_id = ?2 and due_at = ?3 and marks = ?4",
        params![taken.at.org, taken.at.host, taken.due_at, taken.marks],
    )?;
    Ok(())
}

/// Up to `limit` hosts due at `now`, longest due first. They stay marked until settled.
pub fn at(tx: &mut (dyn Tx + '_), now: Timestamp, limit: u32) -> Result<Vec<Due>> {
    tx.rows(
        "select org_id, host_id, due_at, reason, marks from due where due_at <= ?1 \
         order by due_at, org_id, host_id limit ?2",
        params![now, limit],
        |row| {
            Ok(Due {
                at: HostRef { org: row.int(0)?, host: row.int(1)? },
                due_at: row.time(2)?,
                reason: row.text(3)?.to_owned(),
                marks: row.int(4)?,
            })
        },
    )
}

impl Store {
    /// Up to `limit` hosts due at `now`, longest due first. They stay marked until settled.
    pub async fn due_hosts(&self, now: Timestamp, limit: u32) -> Result<Vec<Due>> {
        self.read(move |tx| at(tx, now, limit)).await
    }

    /// The next moment at which any host is due.
    pub async fn next_due(&self) -> Result<Option<Timestamp>> {
        self.read(|tx| Ok(tx.one("select min(due_at) from due", &[], |row| row.opt_time(0))?.flatten())).await
    }

    /// Marks every reporting host of an organisation due (policy, catalogue or controls changed), to be
    /// judged by every control.
    pub async fn mark_all_due(&self, org: i64, now: Timestamp, reason: &str) -> Result<u64> {
        let reason = reason.to_owned();
        self.write(move |tx| mark_all(tx, org, now, &reason)).await
    }

    /// Takes the lease of a job until `until`, unless another holder has it. One collector at a time.
    pub async fn lease(&self, job: &str, holder: &str, now: Timestamp, until: Timestamp) -> Result<bool> {
        let (job, holder) = (job.to_owned(), holder.to_owned());
        self.write(move |tx| {
            let taken = tx.execute(
                "insert into job (name, holder, lease_until) values (?1, ?2, ?4) \
                 on conflict (name) do update set holder = excluded.holder, lease_until = excluded.lease_until \
                 where job.holder = excluded.holder or job.holder is null or job.lease_until <= ?3",
                params![&job, &holder, now, until],
            )?;
            Ok(taken > 0)
        })
        .await
    }

    /// When a job last ran to its end.
    pub async fn last_run(&self, job: &str) -> Result<Option<Timestamp>> {
        let job = job.to_owned();
        self.read(move |tx| {
            let at =
                tx.one("select last_run_at from job where name = ?1", params![&job], |r| r.opt_time(0))?;
            Ok(at.flatten())
        })
        .await
    }

    /// Remembers that a job ran to its end, and gives its lease back.
    pub async fn finish_job(&self, job: &str, holder: &str, now: Timestamp) -> Result<()> {
        let (job, holder) = (job.to_owned(), holder.to_owned());
        self.write(move |tx| {
            tx.execute(
                "update job set holder = null, lease_until = 0, last_run_at = ?3 where name = ?1 and holder = ?2",
                params![&job, &holder, now],
            )?;
            Ok(())
        })
        .await
    }
}
