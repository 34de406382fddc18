//! Management information (WMI) of a running Windows, asked for by a child process.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::child::{self, Job};
use super::{Family, Sys, SysError};

/// Longest a query may take; providers of disks wake them up.
const LIMIT: Duration = Duration::from_secs(30);

impl Sys {
    /// Rows of a WQL query in a namespace (`ROOT\CIMV2`), one object per instance with its properties.
    /// Errors: `Unsupported` with `live_only` under a root folder or `no_wmi` on another system; `Denied`;
    /// `TimedOut`; `Failed` with the HRESULT (`0x80041010`: no such class).
    pub fn wmi(&self, namespace: &str, query: &str) -> Result<Vec<Map<String, Value>>, SysError> {
        let what = format!("{namespace}: {query}");
        self.require_live(&what)?;
        if self.family() != Family::Windows {
            return Err(SysError::Unsupported { what, reason: "no_wmi".into() });
        }
        self.tracer.volatile(&what);
        let rows = child::ask(Job::Wmi, &json!({"namespace": namespace, "query": query}), LIMIT)?;
        let rows: Vec<_> = serde_json::from_value(rows).map_err(|error| SysError::malformed(&what, error))?;
        Ok(rows.into_iter().map(|row| as_asked(query, row)).collect())
    }
}

/// Properties by the names the query uses: WMI knows no case, and providers answer in their own.
fn as_asked(query: &str, row: Map<String, Value>) -> Map<String, Value> {
    let mut words = query.split([' ', ',']).filter(|word| !word.is_empty()).skip(1);
    let names: Vec<&str> = words.by_ref().take_while(|word| !word.eq_ignore_ascii_case("from")).collect();
    let asked = |name: String| {
        let found = names.iter().find(|asked| asked.eq_ignore_ascii_case(&name));
        found.map_or(name.clone(), |asked| (*asked).to_owned())
    };
    row.into_iter().map(|(name, value)| (asked(name), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_found_whatever_case_the_provider_writes() {
        let row = |value: Value| value.as_object().unwrap().clone();
        let answered = row(json!({"DeviceId": "C:", "SIZE": 1, "Other": null}));
        let query = "SELECT DeviceID, Size FROM Win32_LogicalDisk WHERE DriveType = 3";
        let asked = row(json!({"DeviceID": "C:", "Size": 1, "Other": null}));
        assert_eq!(as_asked(query, answered), asked);
        assert_eq!(as_asked("SELECT * FROM Win32_Bios", asked.clone()), asked);
    }
}
