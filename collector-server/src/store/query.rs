//! Lists over prepared rows, in pages by key. Sort keys are text, so that one cursor serves every order.

use jiff::Timestamp;
use tenken_shared::finding::Outcome;

use super::db::{Param, params};
use super::{Result, Row, Store, Tx, lapse};
use crate::query::{
    CLEAR, ControlCounts, CoverageCounts, Cursor, FactCoverage, HostFilter, HostRow, HostSort, OutcomeCounts,
    Page, page_size,
};

/// Conditions and their values, in step.
struct Where {
    sql: String,
    values: Vec<Owned>,
}

enum Owned {
    Int(i64),
    Text(String),
}

impl Where {
    fn new(org: i64) -> Self {
        Self { sql: "h.org_id = ?1".into(), values: vec![Owned::Int(org)] }
    }

    /// Adds a value; answers its place.
    fn bind(&mut self, value: Owned) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }

    /// Adds a condition; `{}` in it is the place of `value`.
    fn and(&mut self, condition: &str, value: Owned) {
        let place = self.bind(value);
        self.sql.push_str(" and ");
        self.sql.push_str(&condition.replace("{}", &place));
    }

    fn params(&self) -> Vec<Param<'_>> {
        self.values
            .iter()
            .map(|value| match value {
                Owned::Int(number) => Param::Int(*number),
                Owned::Text(text) => Param::Text(text),
            })
            .collect()
    }
}

const FROM: &str = "from host h
    left join host_chain c on c.org_id = h.org_id and c.host_id = h.host_id
    left join host_summary s on s.org_id = h.org_id and s.host_id = h.host_id";

const COLUMNS: &str =
    "h.host_id, h.uid, h.hostname, h.state, h.group_name, h.os_family, s.os_name, s.os_version,
    s.maker, s.model, coalesce(s.serial, h.serial), s.chassis, s.address, h.agent_version, h.enrolled_at,
    c.last_report_at, h.labels, h.ephemeral, h.cloned_from, h.state_at, h.state_by, c.first_report_at,
    c.confirmed_at, coalesce(c.head_seq, 0), coalesce(c.offset_ms, 0)";

/// The text a list is sorted by. Times are made into text of equal length.
fn sort_key(sort: HostSort) -> &'static str {
    match sort {
        HostSort::Name => "h.hostname",
        HostSort::LastReport => "cast(1000000000000000 + coalesce(c.last_report_at, 0) as text)",
        HostSort::Os => "coalesce(s.os_name, h.os_family, '') || ' ' || coalesce(s.os_version, '')",
        HostSort::Group => "coalesce(h.group_name, '')",
        HostSort::State => "h.state",
    }
}

/// `%text%` with the wildcards of `like` taken literally (escape character `\`).
pub(super) fn contains(text: &str) -> String {
    let escaped = text.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

fn conditions(org: i64, filter: &HostFilter, silent_before: i64, now: Timestamp) -> Where {
    let mut place = Where::new(org);
    if let Some(text) = HostFilter::chosen(&filter.text) {
        let condition = "(lower(h.hostname) like {} escape '\\' or lower(h.uid) like {} escape '\\'
            or lower(coalesce(s.serial, h.serial, '')) like {} escape '\\'
            or lower(coalesce(s.model, '')) like {} escape '\\' or lower(coalesce(s.address, '')) like {} escape '\\')";
        place.and(condition, Owned::Text(contains(text)));
    }
    for (member, column) in [
        (&filter.state, "h.state = {}"),
        (&filter.os, "h.os_family = {}"),
        (&filter.group, "h.group_name = {}"),
    ] {
        if let Some(value) = HostFilter::chosen(member) {
            place.and(column, Owned::Text(value.to_owned()));
        }
    }
    let outcome = HostFilter::chosen(&filter.outcome);
    if outcome == Some(CLEAR) {
        let shown = lapse::outcome(&place.bind(Owned::Int(now.as_millisecond())));
        let finding = format!(
            "exists (select 1 from finding f left join due d on d.org_id = f.org_id and d.host_id = f.host_id
             where f.org_id = h.org_id and f.host_id = h.host_id and {shown}"
        );
        place.sql.push_str(&format!(" and {finding} = 'pass') and not {finding} in ('fail', 'unknown'))"));
    } else if let Some(outcome) = outcome {
        let control = HostFilter::chosen(&filter.control).map(|c| place.bind(Owned::Text(c.to_owned())));
        let by_control = control.map_or_else(String::new, |p| format!("and f.control = {p}"));
        let shown = lapse::outcome(&place.bind(Owned::Int(now.as_millisecond())));
        place.and(
            &format!(
                "exists (select 1 from finding f left join due d on d.org_id = f.org_id and d.host_id = f.host_id
                 where f.org_id = h.org_id and f.host_id = h.host_id and {shown} = {{}} {by_control})"
            ),
            Owned::Text(outcome.to_owned()),
        );
    }
    match HostFilter::chosen(&filter.silent) {
        Some("true") => {
            place.and("coalesce(c.last_report_at, h.enrolled_at) < {}", Owned::Int(silent_before))
        }
        Some("false") => {
            place.and("coalesce(c.last_report_at, h.enrolled_at) >= {}", Owned::Int(silent_before))
        }
        _ => {}
    }
    place
}

fn host_row(row: &Row, silent_before: i64) -> Result<(i64, HostRow)> {
    let enrolled_at = row.time(14)?;
    let last_report_at = row.opt_time(15)?;
    let host = HostRow {
        host: row.text(1)?.to_owned(),
        name: row.text(2)?.to_owned(),
        state: row.parse(3)?,
        group: row.opt_string(4)?,
        os_family: row.opt_string(5)?,
        os_name: row.opt_string(6)?,
        os_version: row.opt_string(7)?,
        maker: row.opt_string(8)?,
        model: row.opt_string(9)?,
        serial: row.opt_string(10)?,
        chassis: row.opt_string(11)?,
        address: row.opt_string(12)?,
        agent_version: row.opt_string(13)?,
        enrolled_at,
        last_report_at,
        labels: row.json(16)?,
        ephemeral: row.flag(17)?,
        cloned_from: row.opt_string(18)?,
        state_at: row.time(19)?,
        state_by: row.text(20)?.to_owned(),
        first_report_at: row.opt_time(21)?,
        confirmed_at: row.opt_time(22)?,
        reports: row.int(23)?.unsigned_abs(),
        clock_offset_ms: row.int(24)?,
        silent: last_report_at.unwrap_or(enrolled_at).as_millisecond() < silent_before,
        findings: OutcomeCounts::default(),
    };
    Ok((row.int(0)?, host))
}

/// Before which moment a last report means silence.
fn silent_before(tx: &mut (dyn Tx + '_), org: i64, now: Timestamp) -> Result<i64> {
    let days = super::policy::current(tx, org)?.policy.freshness.silent_after_days;
    Ok(now.as_millisecond().saturating_sub(i64::from(days).saturating_mul(86_400_000)))
}

fn host_page(
    tx: &mut (dyn Tx + '_),
    org: i64,
    filter: &HostFilter,
    limit: u32,
    now: Timestamp,
) -> Result<Page<HostRow>> {
    let silent_before = silent_before(tx, org, now)?;
    let mut place = conditions(org, filter, silent_before, now);
    let count = format!("select count(*) {FROM} where {}", place.sql);
    let total = tx.one(&count, &place.params(), |row| row.int(0))?.unwrap_or_default();
    let key = sort_key(filter.sort);
    let (sign, order) = if filter.desc { ("<", "desc") } else { (">", "asc") };
    if let Some(cursor) = filter.cursor().unwrap_or_default() {
        let value = place.bind(Owned::Text(cursor.text(0).to_owned()));
        let number = place.bind(Owned::Int(cursor.int(1)));
        place.sql.push_str(&format!(" and ({key}, h.host_id) {sign} ({value}, {number})"));
    }
    let fetch = place.bind(Owned::Int(i64::from(limit) + 1));
    let sql = format!(
        "select {COLUMNS}, {key} {FROM} where {} order by {key} {order}, h.host_id {order} limit {fetch}",
        place.sql
    );
    let mut rows = tx.rows(&sql, &place.params(), |row| {
        let (number, host) = host_row(row, silent_before)?;
        Ok((number, Cursor::new(filter.order(), vec![row.text(25)?.into(), number.into()]), host))
    })?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = more.then(|| rows.last().map(|(_, cursor, _)| cursor.to_text())).flatten();
    let mut rows: Vec<(i64, HostRow)> = rows.into_iter().map(|(number, _, host)| (number, host)).collect();
    count_findings(tx, org, &mut rows, now)?;
    let items = rows.into_iter().map(|(_, host)| host).collect();
    Ok(Page { items, total: u64::try_from(total).unwrap_or_default(), next })
}

fn count_findings(
    tx: &mut (dyn Tx + '_),
    org: i64,
    rows: &mut [(i64, HostRow)],
    now: Timestamp,
) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let numbers: Vec<String> = rows.iter().map(|(number, _)| number.to_string()).collect();
    let sql = format!(
        "select f.host_id, {}, count(*) from finding f
         left join due d on d.org_id = f.org_id and d.host_id = f.host_id
         where f.org_id = ?1 and f.host_id in ({}) group by 1, 2",
        lapse::outcome("?2"),
        numbers.join(", ")
    );
    let counts = tx.rows(&sql, params![org, now], |row| {
        Ok((row.int(0)?, row.parse::<Outcome>(1)?, u64::try_from(row.int(2)?).unwrap_or_default()))
    })?;
    for (counted, outcome, count) in counts {
        if let Some((_, host)) = rows.iter_mut().find(|(number, _)| *number == counted) {
            host.findings.add(outcome, count);
        }
    }
    Ok(())
}

impl Store {
    /// One page of hosts.
    pub async fn host_page(&self, org: i64, filter: HostFilter, now: Timestamp) -> Result<Page<HostRow>> {
        self.read(move |tx| host_page(tx, org, &filter, page_size(filter.limit), now)).await
    }

    /// Hosts for an export: every page at once, up to `limit`.
    pub async fn host_export(
        &self,
        org: i64,
        filter: HostFilter,
        limit: u32,
        now: Timestamp,
    ) -> Result<Page<HostRow>> {
        self.read(move |tx| host_page(tx, org, &filter, limit, now)).await
    }

    /// One host as lists show it.
    pub async fn host_row(&self, org: i64, id: &str, now: Timestamp) -> Result<Option<HostRow>> {
        let id = id.to_owned();
        self.read(move |tx| {
            let silent_before = silent_before(tx, org, now)?;
            let sql = format!("select {COLUMNS} {FROM} where h.org_id = ?1 and h.uid = ?2");
            let found = tx.one(&sql, params![org, &id], |row| host_row(row, silent_before))?;
            let Some((number, host)) = found else { return Ok(None) };
            let mut rows = [(number, host)];
            count_findings(tx, org, &mut rows, now)?;
            let [(_, host)] = rows;
            Ok(Some(host))
        })
        .await
    }

    /// Names of groups in use.
    pub async fn groups(&self, org: i64) -> Result<Vec<String>> {
        self.read(move |tx| {
            tx.rows(
                "select distinct group_name from host where org_id = ?1 and group_name is not null order by group_name limit 500",
                params![org],
                |row| Ok(row.text(0)?.to_owned()),
            )
        })
        .await
    }

    /// How many machines there are and how many of them are covered.
    pub async fn coverage(&self, org: i64, now: Timestamp) -> Result<CoverageCounts> {
        self.read(move |tx| {
            let silent_before = silent_before(tx, org, now)?;
            let mut counts = CoverageCounts::default();
            let rows = tx.rows(
                "select h.state, case when coalesce(c.last_report_at, h.enrolled_at) < ?2 then 1 else 0 end, count(*)
                 from host h left join host_chain c on c.org_id = h.org_id and c.host_id = h.host_id
                 where h.org_id = ?1 group by 1, 2",
                params![org, silent_before],
                |row| Ok((row.text(0)?.to_owned(), row.flag(1)?, u64::try_from(row.int(2)?).unwrap_or_default())),
            )?;
            for (state, silent, count) in rows {
                match state.as_str() {
                    "confirmed" => {
                        counts.confirmed += count;
                        counts.silent += if silent { count } else { 0 };
                    }
                    "pending" => counts.pending += count,
                    _ => counts.retired += count,
                }
            }
            let number = |n: Option<i64>| u64::try_from(n.unwrap_or_default()).unwrap_or_default();
            counts.ledger =
                number(tx.one("select count(*) from ledger where org_id = ?1", params![org], |row| row.int(0))?);
            counts.ledger_only = number(tx.one(
                "select count(*) from ledger l where l.org_id = ?1
                 and lower(coalesce(l.hostname, '')) not in (
                     select lower(h.hostname) from host h where h.org_id = ?1 and h.state in ('confirmed', 'pending'))
                 and coalesce(l.serial, '') not in (
                     select coalesce(s.serial, h.serial, '-') from host h
                     left join host_summary s on s.org_id = h.org_id and s.host_id = h.host_id
                     where h.org_id = ?1 and h.state in ('confirmed', 'pending'))",
                params![org],
                |row| row.int(0),
            )?);
            Ok(counts)
        })
        .await
    }

    /// Confirmed hosts by control and outcome, as outcomes read at `now`.
    pub async fn control_counts(&self, org: i64, now: Timestamp) -> Result<Vec<ControlCounts>> {
        self.read(move |tx| {
            let rows = tx.rows(
                "select f.control, f.outcome, count(*) from finding f
                 join host h on h.org_id = f.org_id and h.host_id = f.host_id
                 where f.org_id = ?1 and h.state = 'confirmed' group by f.control, f.outcome order by f.control",
                params![org],
                |row| {
                    let count = u64::try_from(row.int(2)?).unwrap_or_default();
                    Ok((row.text(0)?.to_owned(), row.parse::<Outcome>(1)?, count))
                },
            )?;
            let mut all: Vec<ControlCounts> = Vec::new();
            for (control, outcome, count) in rows {
                if all.last().is_none_or(|last| last.control != control) {
                    all.push(ControlCounts { control, hosts: OutcomeCounts::default() });
                }
                if let Some(last) = all.last_mut() {
                    last.hosts.add(outcome, count);
                }
            }
            for lapsed in lapse::all(tx, org, now)? {
                if let Some(counts) = all.iter_mut().find(|c| c.control == lapsed.control) {
                    counts.hosts.lapse(lapsed.stored);
                }
            }
            Ok(all)
        })
        .await
    }
}

impl Store {
    /// Of how many confirmed hosts a kind of fact is known now.
    pub async fn fact_coverage(&self, org: i64, kind: &str, now: Timestamp) -> Result<FactCoverage> {
        let kind = kind.to_owned();
        self.read(move |tx| {
            let mut counts = FactCoverage::default();
            let silent_before = silent_before(tx, org, now)?;
            let rows = tx.rows(
                "select coalesce(f.status, 'missing'),
                 case when coalesce(c.last_report_at, h.enrolled_at) < ?3 then 1 else 0 end, count(*) from host h
                 left join host_chain c on c.org_id = h.org_id and c.host_id = h.host_id
                 left join host_fact f on f.org_id = h.org_id and f.host_id = h.host_id and f.observed_to is null
                 and f.kind_id = (select kind_id from kind where name = ?2)
                 where h.org_id = ?1 and h.state = 'confirmed' group by 1, 2",
                params![org, &kind, silent_before],
                |row| {
                    let count = u64::try_from(row.int(2)?).unwrap_or_default();
                    Ok((row.text(0)?.to_owned(), row.flag(1)?, count))
                },
            )?;
            for (status, silent, count) in rows {
                match (status.as_str(), silent) {
                    ("known" | "partial", true) => counts.silent += count,
                    ("known", false) => counts.known += count,
                    ("partial", false) => counts.partial += count,
                    _ => counts.missing += count,
                }
            }
            Ok(counts)
        })
        .await
    }
}
