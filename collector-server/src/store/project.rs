//! Spreads current facts into searchable rows. Never the only copy: everything here can be made again
//! from the facts.

use jiff::Timestamp;
use tenken_shared::fact::accounts::Accounts;
use tenken_shared::fact::agent::Agent;
use tenken_shared::fact::backups::Backups;
use tenken_shared::fact::hardware::Hardware;
use tenken_shared::fact::identity::Identity;
use tenken_shared::fact::os::Os;
use tenken_shared::fact::removable::RemovableDevices;
use tenken_shared::fact::updates::Updates;
use tenken_shared::fact::{FactKind, FactRecord};

use super::db::params;
use super::host::HostRef;
use super::{Column, Result, Tx};

/// Spreads one fact, replacing the rows of its kind. A fact without body leaves the rows of the last
/// known one: readers join the status of the fact.
pub fn project(tx: &mut (dyn Tx + '_), at: HostRef, record: &FactRecord) -> Result<()> {
    let Some(kind) = record.content.kind.known() else { return Ok(()) };
    match kind {
        FactKind::Updates => with(record, |body: &Updates| updates(tx, at, body)),
        FactKind::Backups => with(record, |body: &Backups| backups(tx, at, body)),
        FactKind::RemovableDevices => with(record, |body: &RemovableDevices| media(tx, at, body)),
        FactKind::Accounts => with(record, |body: &Accounts| accounts(tx, at, body)),
        FactKind::Identity => with(record, |body: &Identity| {
            label(tx, at, "hostname", body.hostname.as_deref().filter(|name| !name.is_empty()))
        }),
        FactKind::Os => with(record, |body: &Os| label(tx, at, "os_family", Some(&body.family))),
        FactKind::Hardware => with(record, |body: &Hardware| label(tx, at, "serial", body.serial.as_deref())),
        FactKind::Agent => with(record, |body: &Agent| label(tx, at, "agent_version", Some(&body.version))),
        _ => Ok(()),
    }?;
    super::summary::project(tx, at.org, at.host, record)
}

fn with<T: tenken_shared::fact::FactBody>(
    record: &FactRecord,
    act: impl FnOnce(&T) -> Result<()>,
) -> Result<()> {
    match record.typed::<T>().value() {
        Some(body) => act(body),
        None => Ok(()),
    }
}

/// Sets one column of the host's row; `column` is one of the names above.
fn label(tx: &mut (dyn Tx + '_), at: HostRef, column: &'static str, value: Option<&str>) -> Result<()> {
    let Some(value) = value else { return Ok(()) };
    let short: String = value.chars().take(255).collect();
    tx.execute(
        &format!("update host set {column} = ?3 where org_id = ?1 and host_id = ?2 and ({column} is null or {column} <> ?3)"),
        params![at.org, at.host, &short],
    )?;
    Ok(())
}

fn ms(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_millisecond)
}

fn count(value: Option<u64>) -> Option<i64> {
    value.map(|v| i64::try_from(v).unwrap_or(i64::MAX))
}

/// Replaces all rows of a host in one projection.
fn replace(
    tx: &mut (dyn Tx + '_),
    table: &str,
    at: HostRef,
    rows: usize,
    columns: &[(&str, Column<'_>)],
) -> Result<()> {
    tx.execute(&format!("delete from {table} where org_id = ?1 and host_id = ?2"), params![at.org, at.host])?;
    if rows == 0 {
        return Ok(());
    }
    let positions: Vec<i64> = (0..i64::try_from(rows).unwrap_or(0)).collect();
    let mut all = vec![
        ("org_id", Column::All(at.org.into())),
        ("host_id", Column::All(at.host.into())),
        ("position", Column::Ints(&positions)),
    ];
    all.extend_from_slice(columns);
    tx.insert_many(table, &all, "")?;
    Ok(())
}

fn ints<T>(items: &[T], get: impl Fn(&T) -> Option<i64>) -> Vec<Option<i64>> {
    items.iter().map(get).collect()
}

fn texts<'a, T>(items: &'a [T], get: impl Fn(&'a T) -> &'a str) -> Vec<&'a str> {
    items.iter().map(get).collect()
}

fn opt_texts<'a, T>(items: &'a [T], get: impl Fn(&'a T) -> &'a Option<String>) -> Vec<Option<&'a str>> {
    items.iter().map(|item| get(item).as_deref()).collect()
}

fn updates(tx: &mut (dyn Tx + '_), at: HostRef, body: &Updates) -> Result<()> {
    let items = &body.pending;
    replace(
        tx,
        "host_update",
        at,
        items.len(),
        &[
            ("update_id", Column::Texts(&texts(items, |u| &u.id))),
            ("title", Column::OptTexts(&opt_texts(items, |u| &u.title))),
            ("package", Column::OptTexts(&opt_texts(items, |u| &u.package))),
            ("installed", Column::OptTexts(&opt_texts(items, |u| &u.installed))),
            ("candidate", Column::OptTexts(&opt_texts(items, |u| &u.candidate))),
            ("origin", Column::OptTexts(&opt_texts(items, |u| &u.origin))),
            ("class", Column::OptTexts(&opt_texts(items, |u| &u.class))),
            ("security", Column::OptInts(&ints(items, |u| u.security.map(i64::from)))),
            ("severity", Column::OptTexts(&opt_texts(items, |u| &u.severity))),
            ("cvss", Column::OptTexts(&opt_texts(items, |u| &u.cvss))),
            ("released_at", Column::OptInts(&ints(items, |u| ms(u.released_at)))),
            ("held", Column::OptInts(&ints(items, |u| Some(i64::from(u.held))))),
        ],
    )
}

fn backups(tx: &mut (dyn Tx + '_), at: HostRef, body: &Backups) -> Result<()> {
    let items = &body.jobs;
    replace(
        tx,
        "host_backup",
        at,
        items.len(),
        &[
            ("product", Column::Texts(&texts(items, |j| &j.product))),
            ("name", Column::Texts(&texts(items, |j| &j.name))),
            ("role", Column::Texts(&texts(items, |j| &j.role))),
            ("last_success", Column::OptInts(&ints(items, |j| ms(j.last_success)))),
            ("result", Column::OptTexts(&opt_texts(items, |j| &j.result))),
            ("copies", Column::OptInts(&ints(items, |j| count(j.copies)))),
            ("oldest_copy", Column::OptInts(&ints(items, |j| ms(j.oldest_copy)))),
            ("size_bytes", Column::OptInts(&ints(items, |j| count(j.size_bytes)))),
            ("destination", Column::OptTexts(&opt_texts(items, |j| &j.destination))),
            ("destination_class", Column::OptTexts(&opt_texts(items, |j| &j.destination_class))),
            ("encrypted", Column::OptInts(&ints(items, |j| j.encrypted.map(i64::from)))),
            ("evidence", Column::Texts(&texts(items, |j| &j.evidence))),
        ],
    )
}

fn media(tx: &mut (dyn Tx + '_), at: HostRef, body: &RemovableDevices) -> Result<()> {
    let items = &body.items;
    let sources: Vec<Option<&str>> =
        items.iter().map(|d| d.first_seen.as_ref().map(|s| s.source.as_str())).collect();
    replace(
        tx,
        "host_medium",
        at,
        items.len(),
        &[
            ("class", Column::Texts(&texts(items, |d| &d.class))),
            ("vendor_id", Column::OptTexts(&opt_texts(items, |d| &d.vendor_id))),
            ("product_id", Column::OptTexts(&opt_texts(items, |d| &d.product_id))),
            ("serial", Column::OptTexts(&opt_texts(items, |d| &d.serial))),
            ("serial_genuine", Column::OptInts(&ints(items, |d| Some(i64::from(d.serial_genuine))))),
            ("vendor", Column::OptTexts(&opt_texts(items, |d| &d.vendor))),
            ("product", Column::OptTexts(&opt_texts(items, |d| &d.product))),
            ("size_bytes", Column::OptInts(&ints(items, |d| count(d.size_bytes)))),
            ("present", Column::OptInts(&ints(items, |d| d.present.map(i64::from)))),
            (
                "first_seen_at",
                Column::OptInts(&ints(items, |d| d.first_seen.as_ref().and_then(|s| ms(Some(s.at))))),
            ),
            ("first_seen_source", Column::OptTexts(&sources)),
        ],
    )
}

fn accounts(tx: &mut (dyn Tx + '_), at: HostRef, body: &Accounts) -> Result<()> {
    let items = &body.items;
    replace(
        tx,
        "host_account",
        at,
        items.len(),
        &[
            ("name", Column::Texts(&texts(items, |a| &a.name))),
            ("account_id", Column::Texts(&texts(items, |a| &a.id))),
            ("enabled", Column::OptInts(&ints(items, |a| a.enabled.map(i64::from)))),
            ("administrator", Column::OptInts(&ints(items, |a| a.administrator.map(i64::from)))),
            ("built_in", Column::OptInts(&ints(items, |a| Some(i64::from(a.built_in))))),
        ],
    )
}
