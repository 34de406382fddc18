//! WMI of the running system; only called in a child process.

use std::collections::HashMap;

use serde_json::Value;
use wmi::{Variant, WMIConnection, WMIError};

use crate::sys::SysError;

/// Answers a query.
pub fn answer(request: &Value) -> Result<Value, SysError> {
    let part = |name: &str| request.get(name).and_then(Value::as_str).unwrap_or_default();
    let (namespace, query) = (part("namespace"), part("query"));
    let what = format!("{namespace}: {query}");
    let failed = |error: WMIError| refused(&what, &error);
    let connection = WMIConnection::with_namespace_path(namespace).map_err(failed)?;
    let rows: Vec<HashMap<String, Variant>> = connection.raw_query(query).map_err(failed)?;
    serde_json::to_value(rows).map_err(|error| SysError::malformed(&what, error))
}

fn refused(what: &str, error: &WMIError) -> SysError {
    let code = match error {
        WMIError::HResultError { hres } => hres.cast_unsigned(),
        other => {
            return SysError::Failed {
                what: what.into(),
                reason: "wmi_error".into(),
                detail: other.to_string(),
            };
        }
    };
    match code {
        // E_ACCESSDENIED, WBEM_E_ACCESS_DENIED
        0x8007_0005 | 0x8004_1003 => SysError::Denied { what: what.into() },
        // WBEM_E_INVALID_NAMESPACE, WBEM_E_INVALID_CLASS: this edition or build does not have it.
        0x8004_100e | 0x8004_1010 => {
            SysError::Unsupported { what: what.into(), reason: "no_such_wmi_class".into() }
        }
        code => SysError::Failed {
            what: what.into(),
            reason: "wmi_error".into(),
            detail: format!("{code:#010x}"),
        },
    }
}
