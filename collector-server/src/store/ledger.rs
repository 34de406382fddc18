//! The company ledger, and hosts that it confirms.

use jiff::Timestamp;

use super::audit::Entry;
use super::db::{Column, params};
use super::host::{Host, HostState};
use super::{Result, Store, StoreError, Tx, audit, due};
use crate::audit::Action;
use crate::ledger::Machine;
use crate::user::{Actor, LEDGER};

/// Whether the ledger holds a machine of the host's serial. A name alone confirms nobody: anyone can take
/// any name.
pub fn confirms(tx: &mut (dyn Tx + '_), host: &Host) -> Result<bool> {
    let found = tx.one(
        "select 1 from ledger l left join host_summary s on s.org_id = ?1 and s.host_id = ?2 \
         where l.org_id = ?1 and l.serial is not null and l.serial = coalesce(s.serial, ?3)",
        params![host.at.org, host.at.host, &host.serial],
        |row| row.int(0),
    )?;
    Ok(found.is_some())
}

/// Confirms a pending host that the ledger knows by its serial, unless another host with that serial is
/// confirmed already: of two with one serial a person decides.
pub fn confirm(tx: &mut (dyn Tx + '_), host: &Host, now: Timestamp) -> Result<bool> {
    if host.state != HostState::Pending || host.cloned_from.is_some() || !confirms(tx, host)? {
        return Ok(false);
    }
    let twin = tx.one(
        "select 1 from host h left join host_summary s on s.org_id = h.org_id and s.host_id = h.host_id \
         where h.org_id = ?1 and h.host_id <> ?2 and h.state = 'confirmed' and coalesce(s.serial, h.serial) = \
         (select coalesce(s2.serial, h2.serial) from host h2 left join host_summary s2 \
         on s2.org_id = h2.org_id and s2.host_id = h2.host_id where h2.org_id = ?1 and h2.host_id = ?2)",
        params![host.at.org, host.at.host],
        |row| row.int(0),
    )?;
    if twin.is_some() {
        return Ok(false);
    }
    tx.execute(
        "update host set state = 'confirmed', state_at = ?3, state_by = 'ledger' \
         where org_id = ?1 and host_id = ?2 and state = 'pending'",
        params![host.at.org, host.at.host, now],
    )?;
    let entry = Entry::new(Action::HostConfirm, &host.id).detail("serial");
    audit::record(tx, host.at.org, LEDGER, &entry)?;
    Ok(true)
}

impl Store {
    /// Replaces the ledger, and looks again at hosts that wait for confirmation.
    pub async fn put_ledger(&self, actor: &Actor, machines: Vec<Machine>, now: Timestamp) -> Result<()> {
        self.change(actor, move |tx, org| {
            tx.execute("delete from ledger where org_id = ?1", params![org])?;
            let ids: Vec<&str> = machines.iter().map(|e| e.asset_id.as_str()).collect();
            let names: Vec<Option<&str>> = machines.iter().map(|e| e.hostname.as_deref()).collect();
            let serials: Vec<Option<&str>> = machines.iter().map(|e| e.serial.as_deref()).collect();
            let data: Vec<String> = machines
                .iter()
                .map(|e| serde_json::to_string(&e.data).map_err(|e| StoreError::Statement(e.to_string())))
                .collect::<Result<_>>()?;
            let data: Vec<&str> = data.iter().map(String::as_str).collect();
            tx.insert_many(
                "ledger",
                &[
                    ("org_id", Column::All(org.into())),
                    ("asset_id", Column::Texts(&ids)),
                    ("hostname", Column::OptTexts(&names)),
                    ("serial", Column::OptTexts(&serials)),
                    ("data", Column::Texts(&data)),
                    ("imported_at", Column::All(now.into())),
                ],
                "",
            )?;
            for host in super::host::list(tx, org)?.iter().filter(|h| h.state == HostState::Pending) {
                due::mark(tx, host.at, now, "ledger")?;
            }
            let entry = Entry::new(Action::LedgerImport, "ledger");
            Ok(((), entry.detail(format_args!("{} machines", ids.len()))))
        })
        .await
    }
}
