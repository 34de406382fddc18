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
        serde_json::from_value(rows).map_err(|error| SysError::malformed(&what, error))
    }
}
