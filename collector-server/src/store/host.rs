//! Organisations and hosts.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tenken_shared::ids::{HostId, InvalidId, OrgId};
use tenken_shared::jws::PublicKey;

use super::audit::{self, Entry};
use super::db::params;
use super::{EngineKind, FILE_NAME, Location, Result, Row, Rule, Store, StoreError, Tx};
use crate::audit::Action;
use crate::user::{Actor, SYSTEM};

/// A host in the store's own numbers: what every table's key begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostRef {
    /// Organisation.
    pub org: i64,
    /// Host within it.
    pub host: i64,
}

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Org {
    /// The store's own number.
    pub number: i64,
    /// Id that people and programs see.
    pub id: OrgId,
    /// Name.
    pub name: String,
}

/// Where a host stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// Enrolled, not yet confirmed to be the company's: reports are stored, coverage does not count it.
    Pending,
    /// Counts.
    Confirmed,
    /// Taken out of service by a person; its reports are refused.
    Retired,
    /// Its key is not trusted any more; its reports are refused.
    Revoked,
}

impl HostState {
    /// The word stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Retired => "retired",
            Self::Revoked => "revoked",
        }
    }

    /// What the audit log calls the move there.
    #[must_use]
    pub fn action(self) -> Action {
        match self {
            Self::Pending => Action::HostPending,
            Self::Confirmed => Action::HostConfirm,
            Self::Retired => Action::HostRetire,
            Self::Revoked => Action::HostRevoke,
        }
    }

    /// Whether reports of such a host are taken.
    #[must_use]
    pub fn reports(self) -> bool {
        matches!(self, Self::Pending | Self::Confirmed)
    }
}

impl fmt::Display for HostState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for HostState {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        [Self::Pending, Self::Confirmed, Self::Retired, Self::Revoked]
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| InvalidId { what: "host state", value: text.chars().take(80).collect() })
    }
}

/// One host as kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    /// The store's own numbers.
    pub at: HostRef,
    /// Id that everybody else sees.
    pub id: HostId,
    /// Where it stands.
    pub state: HostState,
    /// From a token of class `ephemeral` (pooled virtual desktops).
    pub ephemeral: bool,
    /// The host it was cloned from, where the collector found that out.
    pub cloned_from: Option<HostId>,
    /// Name as last told at enrolment or in its `identity` fact.
    pub hostname: String,
    /// Group.
    pub group: Option<String>,
    /// Labels set by people.
    pub labels: BTreeMap<String, String>,
    /// `linux`, `windows`, `macos`.
    pub os_family: Option<String>,
    /// System serial.
    pub serial: Option<String>,
    /// Hardware print of the last report.
    pub print: Option<String>,
    /// Agent version.
    pub agent_version: Option<String>,
    /// When it was enrolled, collector clock.
    pub enrolled_at: Timestamp,
    /// Since when it stands where it stands.
    pub state_at: Timestamp,
    /// Who put it there: a user name, `token`, `ledger`, `enrolment`.
    pub state_by: String,
    /// First report, collector clock.
    pub first_report_at: Option<Timestamp>,
    /// Last report, collector clock.
    pub last_report_at: Option<Timestamp>,
    /// Facts were last confirmed, host clock corrected.
    pub confirmed_at: Option<Timestamp>,
    /// Number of the last report.
    pub head_seq: u64,
    /// Host clock minus collector clock, milliseconds, at the last report.
    pub offset_ms: i64,
}

const HOST_COLUMNS: &str = "h.org_id, h.host_id, h.uid, h.state, h.ephemeral, h.cloned_from, h.hostname, \
     h.group_name, h.labels, h.os_family, h.serial, coalesce(c.print, h.print), h.agent_version, \
     h.enrolled_at, h.state_at, h.state_by, c.first_report_at, c.last_report_at, c.confirmed_at, \
     c.head_seq, c.offset_ms";
const HOST_FROM: &str = "host h join host_chain c on c.org_id = h.org_id and c.host_id = h.host_id";

fn read_host(row: &Row) -> Result<Host> {
    Ok(Host {
        at: HostRef { org: row.int(0)?, host: row.int(1)? },
        id: row.parse(2)?,
        state: row.parse(3)?,
        ephemeral: row.flag(4)?,
        cloned_from: row.opt_text(5)?.map(|_| row.parse(5)).transpose()?,
        hostname: row.text(6)?.to_owned(),
        group: row.opt_string(7)?,
        labels: row.json(8)?,
        os_family: row.opt_string(9)?,
        serial: row.opt_string(10)?,
        print: row.opt_string(11)?,
        agent_version: row.opt_string(12)?,
        enrolled_at: row.time(13)?,
        state_at: row.time(14)?,
        state_by: row.text(15)?.to_owned(),
        first_report_at: row.opt_time(16)?,
        last_report_at: row.opt_time(17)?,
        confirmed_at: row.opt_time(18)?,
        head_seq: u64::try_from(row.int(19)?).unwrap_or_default(),
        offset_ms: row.int(20)?,
    })
}

/// A host to be made.
#[derive(Debug, Clone)]
pub struct NewHost {
    /// Organisation.
    pub org: i64,
    /// Id; random, never reused.
    pub id: HostId,
    /// Its key.
    pub key: PublicKey,
    /// First state.
    pub state: HostState,
    /// Who decided the state.
    pub state_by: String,
    /// Pooled virtual desktop.
    pub ephemeral: bool,
    /// Original, for a clone.
    pub cloned_from: Option<HostId>,
    /// Name it told.
    pub hostname: String,
    /// Group of its token.
    pub group: Option<String>,
    /// Told at enrolment.
    pub os_family: Option<String>,
    /// Told at enrolment.
    pub serial: Option<String>,
    /// Told at enrolment.
    pub print: Option<String>,
    /// Told at enrolment.
    pub agent_version: Option<String>,
    /// Token it came with.
    pub token_id: Option<String>,
    /// Collector clock.
    pub now: Timestamp,
}

/// A host by its public id.
pub fn find(tx: &mut (dyn Tx + '_), org: i64, id: &HostId) -> Result<Option<Host>> {
    let sql = format!("select {HOST_COLUMNS} from {HOST_FROM} where h.org_id = ?1 and h.uid = ?2");
    tx.one(&sql, params![org, id], read_host)
}

/// A host by its numbers.
pub fn get(tx: &mut (dyn Tx + '_), at: HostRef) -> Result<Option<Host>> {
    let sql = format!("select {HOST_COLUMNS} from {HOST_FROM} where h.org_id = ?1 and h.host_id = ?2");
    tx.one(&sql, params![at.org, at.host], read_host)
}

/// Every host of an organisation, by number.
pub fn list(tx: &mut (dyn Tx + '_), org: i64) -> Result<Vec<Host>> {
    let sql = format!("select {HOST_COLUMNS} from {HOST_FROM} where h.org_id = ?1 order by h.host_id");
    tx.rows(&sql, params![org], read_host)
}

/// Makes a host with its key and an empty chain.
pub fn insert(tx: &mut (dyn Tx + '_), new: &NewHost) -> Result<HostRef> {
    let host = tx
        .one(
            "update org set next_host = next_host + 1 where org_id = ?1 returning next_host - 1",
            params![new.org],
            |row| row.int(0),
        )?
        .ok_or_else(|| StoreError::NotFound(format!("organisation {}", new.org)))?;
    tx.execute(
        "insert into host (org_id, host_id, uid, state, ephemeral, cloned_from, hostname, group_name, labels, \
         os_family, serial, print, agent_version, token_id, enrolled_at, state_at, state_by) \
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, '{}', ?9, ?10, ?11, ?12, ?13, ?14, ?14, ?15)",
        params![
            new.org,
            host,
            &new.id,
            new.state.as_str(),
            new.ephemeral,
            new.cloned_from.as_ref().map(HostId::as_str),
            &new.hostname,
            &new.group,
            &new.os_family,
            &new.serial,
            &new.print,
            &new.agent_version,
            &new.token_id,
            new.now,
            &new.state_by
        ],
    )?;
    tx.execute(
        "insert into host_chain (org_id, host_id, head_seq, recent, offset_ms, confirmed, reports) \
         values (?1, ?2, 0, ?3, 0, '{}', 0)",
        params![new.org, host, &[][..]],
    )?;
    let at = HostRef { org: new.org, host };
    add_key(tx, at, &new.key, new.now)?;
    Ok(at)
}

/// Adds a key that may sign for a host.
pub fn add_key(tx: &mut (dyn Tx + '_), at: HostRef, key: &PublicKey, now: Timestamp) -> Result<()> {
    tx.execute(
        "insert into host_key (org_id, host_id, kid, public_key, state, created_at) \
         values (?1, ?2, ?3, ?4, 'current', ?5)",
        params![at.org, at.host, &key.key_id(), &key.as_bytes()[..], now],
    )?;
    Ok(())
}

impl Store {
    /// The organisation of a given id, made when it is not there.
    pub async fn ensure_org(&self, id: &OrgId, name: &str, now: Timestamp) -> Result<Org> {
        let (id, name) = (id.clone(), name.to_owned());
        self.write(move |tx| {
            let made = add_org(tx, &id, &name, now)?;
            let org = org(tx, &id)?.ok_or_else(|| StoreError::NotFound(format!("organisation {id}")))?;
            if made {
                audit::record(tx, org.number, SYSTEM, &Entry::new(Action::OrgCreate, &id).detail(&name))?;
            }
            Ok(org)
        })
        .await
    }

    /// Makes the actor's organisation, which must not be there yet.
    pub async fn create_org(&self, actor: &Actor, name: &str, now: Timestamp) -> Result<Org> {
        if !actor.everywhere {
            return Err(StoreError::Rule(Rule::EveryOrganisation));
        }
        let (actor, name) = (actor.clone(), name.to_owned());
        self.write(move |tx| {
            if !add_org(tx, &actor.org, &name, now)? {
                return Err(StoreError::Conflict(format!("organisation {}", actor.org)));
            }
            let missing = || StoreError::NotFound(format!("organisation {}", actor.org));
            let org = org(tx, &actor.org)?.ok_or_else(missing)?;
            let entry = Entry::new(Action::OrgCreate, &org.id).detail(&name);
            audit::record(tx, org.number, &actor.name, &entry)?;
            Ok(org)
        })
        .await
    }

    /// An organisation by id.
    pub async fn org(&self, id: &OrgId) -> Result<Option<Org>> {
        let id = id.clone();
        self.read(move |tx| org(tx, &id)).await
    }

    /// An organisation by number.
    pub async fn org_at(&self, number: i64) -> Result<Org> {
        let found = self
            .read(move |tx| {
                tx.one("select org_id, slug, name from org where org_id = ?1", params![number], read_org)
            })
            .await?;
        found.ok_or_else(|| StoreError::NotFound(format!("organisation {number}")))
    }

    /// Every organisation.
    pub async fn organisations(&self) -> Result<Vec<Org>> {
        self.read(|tx| tx.rows("select org_id, slug, name from org order by org_id", &[], read_org)).await
    }

    /// A host by its public id.
    pub async fn host(&self, org: i64, id: &HostId) -> Result<Option<Host>> {
        let id = id.clone();
        self.read(move |tx| find(tx, org, &id)).await
    }

    /// A host by its numbers.
    pub async fn host_at(&self, at: HostRef) -> Result<Option<Host>> {
        self.read(move |tx| get(tx, at)).await
    }

    /// Every host of an organisation.
    pub async fn hosts(&self, org: i64) -> Result<Vec<Host>> {
        self.read(move |tx| list(tx, org)).await
    }

    /// Moves a host to another state. A revoked host's keys end; revoked is final.
    pub async fn set_host_state(
        &self,
        actor: &Actor,
        id: &HostId,
        state: HostState,
        now: Timestamp,
    ) -> Result<Host> {
        let (id, by) = (id.clone(), actor.name.clone());
        self.change(actor, move |tx, org| {
            let missing = || StoreError::NotFound(format!("host {id}"));
            let host = find(tx, org, &id)?.ok_or_else(missing)?;
            if host.state == HostState::Revoked && state != HostState::Revoked {
                return Err(StoreError::Rule(Rule::Revoked));
            }
            tx.execute(
                "update host set state = ?3, state_at = ?4, state_by = ?5 where org_id = ?1 and host_id = ?2",
                params![org, host.at.host, state.as_str(), now, &by],
            )?;
            if state == HostState::Revoked {
                tx.execute(
                    "update host_key set state = 'revoked', ended_at = ?3 \
                     where org_id = ?1 and host_id = ?2 and state = 'current'",
                    params![org, host.at.host, now],
                )?;
            }
            super::due::mark(tx, host.at, now, "host_state")?;
            let entry = Entry::new(state.action(), &id).detail(&host.hostname);
            Ok((get(tx, host.at)?.ok_or_else(missing)?, entry))
        })
        .await
    }

    /// Sets group and labels of a host.
    pub async fn label_host(
        &self,
        actor: &Actor,
        id: &HostId,
        group: Option<String>,
        labels: BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<Host> {
        let id = id.clone();
        let text = serde_json::to_string(&labels).map_err(|e| StoreError::Statement(e.to_string()))?;
        self.change(actor, move |tx, org| {
            let missing = || StoreError::NotFound(format!("host {id}"));
            let host = find(tx, org, &id)?.ok_or_else(missing)?;
            tx.execute(
                "update host set group_name = ?3, labels = ?4 where org_id = ?1 and host_id = ?2",
                params![org, host.at.host, &group, &text],
            )?;
            super::due::mark(tx, host.at, now, "host_label")?;
            let entry = Entry::new(Action::HostLabel, &id);
            let entry = entry.detail(format_args!("{} {text}", group.as_deref().unwrap_or_default()));
            Ok((get(tx, host.at)?.ok_or_else(missing)?, entry))
        })
        .await
    }
}

/// Counts for the metrics page.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Hosts by state.
    pub hosts: Vec<(String, i64)>,
    /// Hosts waiting to be judged.
    pub due: i64,
    /// Since when the first of them waits.
    pub due_since: Option<Timestamp>,
    /// Newest snapshot; of several organisations, of the one where it is oldest.
    pub snapshot_at: Option<Timestamp>,
    /// Schedules of snapshots that were due more than ten minutes ago.
    pub schedules_overdue: i64,
    /// Size of the store.
    pub bytes: i64,
}

impl Store {
    /// Size of the embedded store's files.
    fn file_bytes(&self) -> i64 {
        let Location::Folder(folder) = self.location() else { return 0 };
        let size = |suffix: &str| {
            std::fs::metadata(folder.join(format!("{FILE_NAME}{suffix}"))).map_or(0, |file| file.len())
        };
        i64::try_from(size("") + size("-wal")).unwrap_or(i64::MAX)
    }

    /// Counts over the whole store.
    pub async fn totals(&self, now: Timestamp) -> Result<Totals> {
        let file = self.file_bytes();
        self.read(move |tx| {
            let hosts =
                tx.rows("select state, count(*) from host group by state order by state", &[], |row| {
                    Ok((row.text(0)?.to_owned(), row.int(1)?))
                })?;
            let due =
                tx.one("select count(*), min(due_at) from due where due_at <= ?1", params![now], |row| {
                    Ok((row.int(0)?, row.opt_time(1)?))
                })?;
            let snapshot_at = tx.one(
                "select min(newest) from (select max(recorded_at) as newest from snapshot group by org_id) s",
                &[],
                |row| row.opt_time(0),
            )?;
            let late = now - SignedDuration::from_mins(10);
            let overdue =
                tx.one("select count(*) from snapshot_schedule where next_at < ?1", params![late], |row| {
                    row.int(0)
                })?;
            let database = match tx.engine() {
                EngineKind::Sqlite => None,
                EngineKind::Postgres => {
                    tx.one("select pg_database_size(current_database())", &[], |row| row.int(0))?
                }
            };
            let (due, due_since) = due.unwrap_or_default();
            Ok(Totals {
                hosts,
                due,
                due_since,
                snapshot_at: snapshot_at.flatten(),
                schedules_overdue: overdue.unwrap_or_default(),
                bytes: database.unwrap_or(file),
            })
        })
        .await
    }
}

/// Adds an organisation; answers whether it was not there.
fn add_org(tx: &mut (dyn Tx + '_), id: &OrgId, name: &str, now: Timestamp) -> Result<bool> {
    let made = tx.execute(
        "insert into org (slug, name, next_host, created_at) values (?1, ?2, 1, ?3) \
         on conflict (slug) do nothing",
        params![id, name, now],
    )?;
    Ok(made > 0)
}

fn read_org(row: &Row) -> Result<Org> {
    Ok(Org { number: row.int(0)?, id: row.parse(1)?, name: row.text(2)?.to_owned() })
}

fn org(tx: &mut (dyn Tx + '_), id: &OrgId) -> Result<Option<Org>> {
    tx.one("select org_id, slug, name from org where slug = ?1", params![id], read_org)
}
