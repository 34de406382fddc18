//! Prepared rows for host lists: the few fields of `os`, `hardware` and `network` that lists show and
//! filter by. Rebuilt from the facts at any time; a fact without a body leaves its fields unknown.

use tenken_shared::fact::{FactKind, FactRecord, hardware::Hardware, network::Network, os::Os};

use super::db::{Param, params};
use super::{Result, Tx};

/// Puts one fact's fields into the host's row; kinds that lists do not show change nothing.
pub fn project(tx: &mut (dyn Tx + '_), org: i64, host: i64, record: &FactRecord) -> Result<()> {
    match record.content.kind.known() {
        Some(FactKind::Os) => os(tx, org, host, record.typed::<Os>().value()),
        Some(FactKind::Hardware) => hardware(tx, org, host, record.typed::<Hardware>().value()),
        Some(FactKind::Network) => network(tx, org, host, record.typed::<Network>().value()),
        _ => Ok(()),
    }
}

fn os(tx: &mut (dyn Tx + '_), org: i64, host: i64, os: Option<&Os>) -> Result<()> {
    let name = os.and_then(|o| o.name.clone().or_else(|| (!o.id.is_empty()).then(|| o.id.clone())));
    let version = os.and_then(|o| o.version_full.clone().or_else(|| o.version.clone()));
    let edition = os.and_then(|o| o.edition.clone());
    let build = os.and_then(|o| o.build.clone());
    put(
        tx,
        org,
        host,
        &[("os_name", &name), ("os_version", &version), ("os_edition", &edition), ("os_build", &build)],
    )
}

fn hardware(tx: &mut (dyn Tx + '_), org: i64, host: i64, hw: Option<&Hardware>) -> Result<()> {
    let text = |get: fn(&Hardware) -> Option<String>| hw.and_then(get);
    let kind = |h: &Hardware| {
        let v = h.virtualization.as_ref()?;
        Some(v.hypervisor.clone().map_or_else(|| v.kind.clone(), |name| format!("{} ({name})", v.kind)))
    };
    put(
        tx,
        org,
        host,
        &[
            ("maker", &text(|h| h.maker.clone())),
            ("model", &text(|h| h.model.clone())),
            ("serial", &text(|h| h.serial.clone())),
            ("chassis", &text(|h| h.chassis.clone())),
            ("virtualization", &text(kind)),
        ],
    )
}

fn network(tx: &mut (dyn Tx + '_), org: i64, host: i64, network: Option<&Network>) -> Result<()> {
    let address = network.and_then(|n| {
        let all = n.interfaces.iter().flat_map(|i| i.addresses.iter());
        all.clone().find(|a| !a.contains(':')).or_else(|| all.clone().next()).cloned()
    });
    put(tx, org, host, &[("address", &address)])
}

fn put(tx: &mut (dyn Tx + '_), org: i64, host: i64, fields: &[(&str, &Option<String>)]) -> Result<()> {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let places: Vec<String> = (0..names.len()).map(|n| format!("?{}", n + 3)).collect();
    let sets: Vec<String> = names.iter().map(|n| format!("{n} = excluded.{n}")).collect();
    let sql = format!(
        "insert into host_summary (org_id, host_id, {}) values (?1, ?2, {})
         on conflict (org_id, host_id) do update set {}",
        names.join(", "),
        places.join(", "),
        sets.join(", ")
    );
    let mut values: Vec<Param<'_>> = params![org, host].to_vec();
    values.extend(fields.iter().map(|(_, value)| Param::from(*value)));
    tx.execute(&sql, &values)?;
    Ok(())
}
