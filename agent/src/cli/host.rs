//! Who the facts are about, as every JSON document of the agent names it.

use serde_json::{Map, Value, json};
use tenken_shared::fact::FactRecord;
use tenken_shared::fact::hardware::Hardware;
use tenken_shared::fact::identity::Identity;
use tenken_shared::fact::os::Os;

use crate::sys::Sys;

/// The `host` member: mode and family, and from the facts at hand the names, OS and serial. What was
/// not collected is left out.
#[must_use]
pub fn host_json(sys: &Sys, records: &[FactRecord]) -> Value {
    let mut host = Map::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            host.insert(name.to_owned(), value.into());
        }
    };
    put("mode", Some(if sys.is_live() { "live" } else { "root_folder" }.into()));
    put("family", Some(sys.family().as_str().into()));
    if let Some(identity) = body::<Identity>(records) {
        put("hostname", identity.hostname);
        put("fqdn", identity.fqdn);
        put("machine_id", identity.machine_id);
    }
    if let Some(os) = body::<Os>(records) {
        put("os", os.name);
        put("os_version", os.version_full.or(os.version));
    }
    if let Some(hardware) = body::<Hardware>(records) {
        put("maker", hardware.maker);
        put("model", hardware.model);
        put("serial", hardware.serial);
    }
    json!(host)
}

fn body<T: tenken_shared::fact::FactBody + Clone>(records: &[FactRecord]) -> Option<T> {
    let record = records.iter().find(|r| r.content.kind.known() == Some(T::KIND))?;
    record.typed::<T>().value().cloned()
}
