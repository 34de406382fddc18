//! Pages of findings and of software: each reads along an index from where the page before ended. A cross
//! join tells SQLite, which keeps no statistics here, which table to begin with; PostgreSQL knows anyway.

use std::collections::HashMap;

use jiff::Timestamp;
use tenken_shared::finding::Outcome;

use super::along::Along;
use super::db::{Param, params};
use super::fact::software::BLOCK;
use super::lapse::{self, Lapsed};
use super::query::contains;
use super::{Result, Row, Store, Tx};
use crate::query::{
    Cursor, FindingFilter, FindingSort, HostFinding, List, Part, TitleFilter, TitleHost, TitleHostFilter,
    TitleHostSort, TitleRow, members, order,
};

/// Where the outcome to show comes from.
#[derive(Clone, Copy)]
enum Shown {
    /// As stored.
    Stored,
    /// Stored as something that holds no more.
    Lapsed,
}

/// What fails first. What is shown is few of many rows, so each is read along its index.
const WORST_FIRST: [(Outcome, Shown); 5] = [
    (Outcome::Fail, Shown::Stored),
    (Outcome::Unknown, Shown::Stored),
    (Outcome::Unknown, Shown::Lapsed),
    (Outcome::Pass, Shown::Stored),
    (Outcome::NotApplicable, Shown::Stored),
];

const FINDING_COLUMNS: &str = "h.uid, h.hostname, f.message, f.first_seen, coalesce(j.judged_at, f.last_seen), f.valid_until, h.host_id";

/// Findings of one control of one outcome, over confirmed hosts beyond a number.
struct Step<'a> {
    org: i64,
    control: &'a str,
    after: Option<i64>,
    desc: bool,
    limit: usize,
    now: Timestamp,
}

impl Step<'_> {
    fn stored(&self, tx: &mut (dyn Tx + '_), outcome: Outcome) -> Result<Vec<(i64, HostFinding)>> {
        let select = format!(
            "select {FINDING_COLUMNS} from finding f
             join host h on h.org_id = f.org_id and h.host_id = f.host_id
             left join judgement j on j.org_id = f.org_id and j.host_id = f.host_id
             left join due d on d.org_id = f.org_id and d.host_id = f.host_id
             where f.org_id = ?1 and f.control = ?2 and f.outcome = ?3 and h.state = 'confirmed' and not {}",
            lapse::condition("?4")
        );
        let from: Vec<Part> = self.after.into_iter().map(Part::Int).collect();
        let along = Along { columns: &["f.host_id"], from: &from, desc: self.desc };
        let own = params![self.org, self.control, outcome.as_str(), self.now];
        along.rows(tx, &select, own, self.limit, |row| {
            Ok((row.int(6)?, host_finding(row, self.control, outcome)?))
        })
    }

    fn lapsed(&self, tx: &mut (dyn Tx + '_), all: &[Lapsed]) -> Result<Vec<(i64, HostFinding)>> {
        let beyond =
            |host: i64| self.after.is_none_or(|after| if self.desc { host < after } else { host > after });
        let own = all.iter().filter(|l| l.control == self.control && beyond(l.host)).map(|l| l.host);
        let hosts: Vec<String> = match self.desc {
            true => own.rev().take(self.limit).map(|host| host.to_string()).collect(),
            false => own.take(self.limit).map(|host| host.to_string()).collect(),
        };
        if hosts.is_empty() {
            return Ok(Vec::new());
        }
        let order = if self.desc { "desc" } else { "asc" };
        let sql = format!(
            "select {FINDING_COLUMNS} from finding f
             join host h on h.org_id = f.org_id and h.host_id = f.host_id
             left join judgement j on j.org_id = f.org_id and j.host_id = f.host_id
             where f.org_id = ?1 and f.control = ?2 and f.host_id in ({}) order by f.host_id {order}",
            hosts.join(", ")
        );
        tx.rows(&sql, params![self.org, self.control], |row| {
            Ok((row.int(6)?, lapsed_finding(row, self.control, self.now)?))
        })
    }
}

fn host_finding(row: &Row, control: &str, outcome: Outcome) -> Result<HostFinding> {
    Ok(HostFinding {
        host: row.text(0)?.to_owned(),
        host_name: row.text(1)?.to_owned(),
        control: control.to_owned(),
        outcome,
        message: row.json(2)?,
        first_seen: row.time(3)?,
        last_seen: row.time(4)?,
    })
}

/// A finding whose stored outcome holds no more at `now`.
fn lapsed_finding(row: &Row, control: &str, now: Timestamp) -> Result<HostFinding> {
    let stored = host_finding(row, control, Outcome::Unknown)?;
    let message = lapse::not_judged(stored.last_seen);
    let first_seen = row.opt_time(5)?.filter(|end| *end < now).unwrap_or(now).max(stored.first_seen);
    Ok(HostFinding { message, first_seen, ..stored })
}

/// Controls a filter chooses, sorted.
fn controls(filter: &FindingFilter) -> Vec<&str> {
    let mut chosen: Vec<&str> = members(&filter.control).take(200).collect();
    if chosen.is_empty() {
        chosen = tenken_shared::control::ALL.iter().map(|c| c.id).collect();
    }
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

fn is_chosen(filter: &FindingFilter, outcome: Outcome) -> bool {
    let mut chosen = members(&filter.outcome).peekable();
    chosen.peek().is_none() || chosen.any(|word| word == outcome.as_str())
}

fn by_outcome(
    tx: &mut (dyn Tx + '_),
    org: i64,
    filter: &FindingFilter,
    limit: u32,
    now: Timestamp,
) -> Result<List<HostFinding>> {
    let from = filter.cursor().unwrap_or_default();
    let controls = controls(filter);
    let mut steps: Vec<(i64, &str)> =
        (0..).zip(WORST_FIRST).flat_map(|(phase, _)| controls.iter().map(move |c| (phase, *c))).collect();
    if filter.desc {
        steps.reverse();
    }
    let fetch = limit as usize + 1;
    let (mut rows, mut lapsed) = (Vec::new(), None);
    for (phase, control) in steps {
        let mut after = None;
        if let Some(from) = &from {
            let place = (phase, control).cmp(&(from.int(0), from.text(1)));
            match if filter.desc { place.reverse() } else { place } {
                std::cmp::Ordering::Less => continue,
                std::cmp::Ordering::Equal => after = Some(from.int(2)),
                std::cmp::Ordering::Greater => {}
            }
        }
        let Some((outcome, shown)) = usize::try_from(phase).ok().and_then(|p| WORST_FIRST.get(p)) else {
            continue;
        };
        if !is_chosen(filter, *outcome) || rows.len() >= fetch {
            continue;
        }
        let step = Step { org, control, after, desc: filter.desc, limit: fetch - rows.len(), now };
        let found = match shown {
            Shown::Stored => step.stored(tx, *outcome)?,
            Shown::Lapsed => {
                let all = match lapsed.take() {
                    Some(all) => all,
                    None => lapse::all(tx, org, now)?,
                };
                let found = step.lapsed(tx, &all)?;
                lapsed = Some(all);
                found
            }
        };
        let place = |host: i64| {
            Cursor::new(order("outcome", filter.desc), vec![phase.into(), control.into(), host.into()])
        };
        rows.extend(found.into_iter().map(|(host, finding)| (place(host), finding)));
    }
    Ok(List::cut(rows, limit))
}

fn by_host(
    tx: &mut (dyn Tx + '_),
    org: i64,
    filter: &FindingFilter,
    limit: u32,
    now: Timestamp,
) -> Result<List<HostFinding>> {
    let from = filter.cursor().unwrap_or_default();
    let lapsed = lapse::condition("?2");
    // Ids of controls hold no quote.
    let known = tenken_shared::control::ALL.iter().map(|c| c.id);
    let (chosen, wanted) = (controls(filter), members(&filter.control).next().is_some());
    let listed: Vec<String> = known.filter(|id| chosen.contains(id)).map(|id| format!("'{id}'")).collect();
    let mut conditions = String::new();
    if wanted {
        conditions.push_str(&format!(
            " and f.control in ({})",
            if listed.is_empty() { "''".to_owned() } else { listed.join(", ") }
        ));
    }
    if members(&filter.outcome).next().is_some() {
        let words: Vec<String> = [Outcome::Fail, Outcome::Unknown, Outcome::Pass, Outcome::NotApplicable]
            .into_iter()
            .filter(|o| is_chosen(filter, *o))
            .map(|o| format!("'{}'", o.as_str()))
            .collect();
        let words = if words.is_empty() { "''".to_owned() } else { words.join(", ") };
        conditions.push_str(&format!(" and {} in ({words})", lapse::outcome("?2")));
    }
    let select = format!(
        "select {FINDING_COLUMNS}, f.control, f.outcome, case when {lapsed} then 1 else 0 end from host h cross join finding f
         left join judgement j on j.org_id = f.org_id and j.host_id = f.host_id
         left join due d on d.org_id = f.org_id and d.host_id = f.host_id
         where f.org_id = h.org_id and f.host_id = h.host_id and h.org_id = ?1 and h.state = 'confirmed'{conditions}"
    );
    let columns = &["h.hostname", "h.host_id", "f.control"];
    let along = Along { columns, from: Cursor::values(from.as_ref()), desc: filter.desc };
    along.page(tx, &select, params![org, now], (&order("host", filter.desc), limit), |row| {
        let control = row.text(7)?;
        let finding = if row.flag(9)? {
            lapsed_finding(row, control, now)?
        } else {
            host_finding(row, control, row.parse(8)?)?
        };
        Ok((vec![row.text(1)?.into(), row.int(6)?.into(), control.into()], finding))
    })
}

fn titles(tx: &mut (dyn Tx + '_), org: i64, filter: &TitleFilter, limit: u32) -> Result<List<TitleRow>> {
    let (like, from) = (contains(filter.text.trim()), filter.cursor().unwrap_or_default());
    let select = format!(
        "select t.title_id, t.name, t.version, t.arch, t.vendor, t.source, t.scope
         from software_title t where lower(t.name) like ?2 escape '\\'
         and exists (select 1 {TITLE_ROWS} ?1 and i.title_id = t.title_id)"
    );
    let columns = &["t.name", "t.title_id"];
    let along = Along { columns, from: Cursor::values(from.as_ref()), desc: filter.desc };
    let mut counted = Vec::new();
    let mut list =
        along.page(tx, &select, params![org, &like], (&order("name", filter.desc), limit), |row| {
            let title = TitleRow {
                name: row.text(1)?.to_owned(),
                version: row.text(2)?.to_owned(),
                arch: row.opt_string(3)?,
                vendor: row.opt_string(4)?,
                source: row.text(5)?.to_owned(),
                hosts: 0,
            };
            counted.push((row.int(0)?, row.text(6)? == "user"));
            Ok((vec![title.name.as_str().into(), row.int(0)?.into()], title))
        })?;
    counted.truncate(list.items.len());
    for (titles, rows) in counted.chunks(COUNTED).zip(list.items.chunks_mut(COUNTED)) {
        let counts = host_counts(tx, org, titles)?;
        for ((title, _), row) in titles.iter().zip(rows) {
            row.hosts = counts.get(title).copied().unwrap_or_default();
        }
    }
    Ok(list)
}

/// Most titles counted together: every block of machines is gone through once for all of them.
const COUNTED: usize = 100;
/// Their number is filled up to a multiple of this, so that few statements serve all.
const COUNTED_STEP: usize = 50;

/// Machines that have each of at most [`COUNTED`] titles; told with each whether a machine may have it for several
/// users.
fn host_counts(tx: &mut (dyn Tx + '_), org: i64, titles: &[(i64, bool)]) -> Result<HashMap<i64, u64>> {
    let number = titles.len().next_multiple_of(COUNTED_STEP);
    // No title has a number below zero.
    let padded = titles.iter().copied().chain(std::iter::repeat((-1, false))).take(number);
    let numbers = padded.flat_map(|(title, of_users)| [title, of_users.into()]);
    let values: Vec<Param<'_>> = std::iter::once(org).chain(numbers).map(Param::Int).collect();
    let place = |n: usize| format!("(cast(?{} as bigint), cast(?{} as bigint))", 2 * n + 2, 2 * n + 3);
    let places: Vec<String> = (0..number).map(place).collect();
    let rows =
        "from host_software i where i.org_id = b.org_id and i.block = b.block and i.title_id = t.column1";
    let sql = format!(
        "select t.column1, case t.column2 when 1 then (select count(distinct i.host_id) {rows})
         else (select count(*) {rows}) end
         from host_block b cross join (values {}) t where b.org_id = ?1",
        places.join(", ")
    );
    let mut out = HashMap::new();
    for (title, count) in tx.rows(&sql, &values, |row| Ok((row.int(0)?, row.int(1)?)))? {
        *out.entry(title).or_default() += u64::try_from(count).unwrap_or_default();
    }
    Ok(out)
}

/// Search rows of an organisation, block by block; a title is looked up in each.
const TITLE_ROWS: &str = "from host_block b cross join host_software i \
     where i.org_id = b.org_id and i.block = b.block and b.org_id =";

const TITLE_HOST_COLUMNS: &str =
    "h.uid, h.hostname, t.version, i.user_name, i.installed_at * 1000, i.host_id, i.title_id";

fn title_host(row: &Row) -> Result<TitleHost> {
    Ok(TitleHost {
        host: row.text(0)?.to_owned(),
        host_name: row.text(1)?.to_owned(),
        version: row.text(2)?.to_owned(),
        user: row.opt_string(3)?.filter(|user| !user.is_empty()),
        installed_at: row.opt_time(4)?,
    })
}

/// Machines with a title by version: title by title along the index, until the page is full.
fn title_hosts_by_version(
    tx: &mut (dyn Tx + '_),
    org: i64,
    filter: &TitleHostFilter,
    limit: u32,
) -> Result<List<TitleHost>> {
    let from = filter.cursor().unwrap_or_default();
    let (title_at, host_at) = Cursor::values(from.as_ref()).split_at_checked(2).unwrap_or_default();
    // Of the title where the page before ended, further machines may follow.
    let mut titles: Vec<(i64, String)> =
        from.as_ref().map(|from| (from.int(1), from.text(0).to_owned())).into_iter().collect();
    let select = "select t.title_id, t.version from software_title t
         where t.name = ?1 and (?2 is null or t.version = ?2)";
    let along = Along { columns: &["t.version", "t.title_id"], from: title_at, desc: filter.desc };
    titles.extend(along.rows(tx, select, params![&filter.name, &filter.version], usize::MAX, |row| {
        Ok((row.int(0)?, row.text(1)?.to_owned()))
    })?);
    let fetch = limit as usize + 1;
    let mut rows = Vec::new();
    for (index, (title, version)) in titles.into_iter().enumerate() {
        let mut select = format!(
            "select {TITLE_HOST_COLUMNS} from host_block b cross join host_software i
             cross join software_title t cross join host h
             where b.org_id = ?1 and i.org_id = b.org_id and i.block = b.block and i.title_id = ?2
             and t.title_id = i.title_id and h.org_id = i.org_id and h.host_id = i.host_id
             and t.name = ?3 and (?4 is null or t.version = ?4)"
        );
        let mut within = Vec::new();
        if let (0, [Part::Int(host), user]) = (index, host_at) {
            let (sign, block) = (if filter.desc { "<=" } else { ">=" }, host / BLOCK);
            select.push_str(&format!(" and b.block {sign} {block}"));
            within = vec![block.into(), Part::Int(*host), user.clone()];
        }
        let columns = &["b.block", "i.host_id", "i.user_name"];
        // A cursor may come from the list of another title.
        let own = params![org, title, &filter.name, &filter.version];
        let along = Along { columns, from: &within, desc: filter.desc };
        let found = along.rows(tx, &select, own, fetch - rows.len(), |row| {
            let place = vec![version.as_str().into(), title.into(), row.int(5)?.into(), row.text(3)?.into()];
            Ok((Cursor::new(order("version", filter.desc), place), title_host(row)?))
        })?;
        rows.extend(found);
        if rows.len() >= fetch {
            break;
        }
    }
    Ok(List::cut(rows, limit))
}

fn title_hosts_by_name(
    tx: &mut (dyn Tx + '_),
    org: i64,
    filter: &TitleHostFilter,
    limit: u32,
) -> Result<List<TitleHost>> {
    let from = filter.cursor().unwrap_or_default();
    let select = format!(
        "select {TITLE_HOST_COLUMNS} from host h cross join software_title t cross join host_software i
         where h.org_id = ?1 and i.org_id = h.org_id and i.block = h.host_id / {BLOCK} and i.host_id = h.host_id
         and i.title_id = t.title_id and t.name = ?2 and (?3 is null or t.version = ?3)"
    );
    let columns = &["h.hostname", "h.host_id", "i.title_id", "i.user_name"];
    let along = Along { columns, from: Cursor::values(from.as_ref()), desc: filter.desc };
    let own = params![org, &filter.name, &filter.version];
    along.page(tx, &select, own, (&order("host", filter.desc), limit), |row| {
        let place = vec![row.text(1)?.into(), row.int(5)?.into(), row.int(6)?.into(), row.text(3)?.into()];
        Ok((place, title_host(row)?))
    })
}

impl Store {
    /// Findings over confirmed hosts as they read at `now`, at most `limit`.
    pub async fn finding_list(
        &self,
        org: i64,
        filter: FindingFilter,
        limit: u32,
        now: Timestamp,
    ) -> Result<List<HostFinding>> {
        self.read(move |tx| match filter.sort {
            FindingSort::Outcome => by_outcome(tx, org, &filter, limit, now),
            FindingSort::Host => by_host(tx, org, &filter, limit, now),
        })
        .await
    }

    /// Software titles of the organisation with the number of machines, at most `limit`.
    pub async fn software_titles(&self, org: i64, filter: TitleFilter, limit: u32) -> Result<List<TitleRow>> {
        self.read(move |tx| titles(tx, org, &filter, limit)).await
    }

    /// Machines that have a title of a very name, at most `limit`.
    pub async fn software_hosts(
        &self,
        org: i64,
        filter: TitleHostFilter,
        limit: u32,
    ) -> Result<List<TitleHost>> {
        self.read(move |tx| match filter.sort {
            TitleHostSort::Version => title_hosts_by_version(tx, org, &filter, limit),
            TitleHostSort::Host => title_hosts_by_name(tx, org, &filter, limit),
        })
        .await
    }

    /// Ids of hosts from `id` on, in the order of ids.
    pub async fn host_ids_from(&self, org: i64, id: &str, limit: u32) -> Result<Vec<String>> {
        let id = id.to_owned();
        self.read(move |tx| {
            tx.rows(
                "select uid from host where org_id = ?1 and uid >= ?2 order by uid limit ?3",
                params![org, &id, i64::from(limit)],
                |row| Ok(row.text(0)?.to_owned()),
            )
        })
        .await
    }
}
