//! When snapshots are taken.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenken_shared::jws::SigningKey;

use super::take::take;
use super::{NewSnapshot, SnapshotSummary};
use crate::audit::Action;
use crate::store::audit::Entry;
use crate::store::db::params;
use crate::store::{Result, Row, Store, audit};
use crate::user::Actor;

/// A schedule of snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Organisation.
    pub org: i64,
    /// Cron expression, five fields.
    pub cron: String,
    /// IANA time zone it is read in.
    pub time_zone: String,
    /// Who set it.
    pub created_by: String,
    /// When the next one is due.
    pub next_at: Timestamp,
}

fn read_schedule(row: &Row) -> Result<Schedule> {
    Ok(Schedule {
        org: row.int(0)?,
        cron: row.text(1)?.to_owned(),
        time_zone: row.text(2)?.to_owned(),
        created_by: row.text(3)?.to_owned(),
        next_at: row.time(4)?,
    })
}

impl Store {
    /// The schedule of an organisation.
    pub async fn snapshot_schedule(&self, org: i64) -> Result<Option<Schedule>> {
        self.read(move |tx| {
            tx.one(
                "select org_id, cron, time_zone, created_by, next_at from snapshot_schedule where org_id = ?1",
                params![org],
                read_schedule,
            )
        })
        .await
    }

    /// Sets the schedule of an organisation, or ends it.
    pub async fn set_snapshot_schedule(
        &self,
        actor: &Actor,
        schedule: Option<Schedule>,
        now: Timestamp,
    ) -> Result<()> {
        let by = actor.name.clone();
        self.change(actor, move |tx, org| {
            tx.execute("delete from snapshot_schedule where org_id = ?1", params![org])?;
            let Some(s) = &schedule else {
                return Ok(((), Entry::new(Action::SnapshotSchedule, "off")));
            };
            tx.execute(
                "insert into snapshot_schedule (org_id, cron, time_zone, created_at, created_by, next_at) \
                 values (?1, ?2, ?3, ?4, ?5, ?6)",
                params![org, &s.cron, &s.time_zone, now, &by, s.next_at],
            )?;
            Ok(((), Entry::new(Action::SnapshotSchedule, &s.cron).detail(&s.time_zone)))
        })
        .await
    }

    /// Schedules due at `now`.
    pub async fn due_schedules(&self, now: Timestamp) -> Result<Vec<Schedule>> {
        self.read(move |tx| {
            tx.rows(
                "select org_id, cron, time_zone, created_by, next_at from snapshot_schedule where next_at <= ?1",
                params![now],
                read_schedule,
            )
        })
        .await
    }

    /// Takes a scheduled snapshot and moves the schedule on, both or neither; `None` where another
    /// collector was quicker.
    pub async fn take_scheduled(
        &self,
        due: Schedule,
        next_at: Timestamp,
        new: NewSnapshot,
        key: Arc<SigningKey>,
    ) -> Result<Option<SnapshotSummary>> {
        self.write(move |tx| {
            let moved = tx.execute(
                "update snapshot_schedule set next_at = ?3 where org_id = ?1 and next_at = ?2",
                params![due.org, due.next_at, next_at],
            )?;
            if moved == 0 {
                return Ok(None);
            }
            let (taken, entry) = take(tx, due.org, &new, &key)?;
            audit::record(tx, due.org, &new.by.name, &entry)?;
            Ok(Some(taken))
        })
        .await
    }
}
