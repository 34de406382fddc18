//! Management information (WMI) of a running Windows, asked for by a child process.

use serde_json::{Map, Value};

use super::{Sys, SysError};

impl Sys {
    /// Rows of a WQL query in a namespace (`ROOT\CIMV2`), one object per instance with its properties.
    /// Errors: `Unsupported` with `live_only` under a root folder or `no_wmi` on another system; `Denied`;
    /// `TimedOut`; `Failed` with the HRESULT (`0x80041010`: no such class).
    pub fn wmi(&self, namespace: &str, query: &str) -> Result<Vec<Map<String, Value>>, SysError> {
        let what = format!("{namespace}: {query}");
        self.require_live(&what)?;
        Err(SysError::Unsupported { what, reason: "no_wmi".into() })
    }
}
