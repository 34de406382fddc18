//! What the Windows probes share: keys of the registry as sources, services, and what the Security Center says.

use serde_json::{Map, Value};
use tenken_shared::collected::{Reason, Status};

use super::sources::Sources;
use crate::sys::{RegistryKey, RegistryValue, Sys, SysError, WindowsService, utf16};

/// The part of `SYSTEM` the machine runs by.
pub const CONTROL_SET: &str = r"HKLM\SYSTEM\CurrentControlSet";

/// Opens a key that may be missing; a success or a gap is recorded, absence is not. A hive that lacks its
/// transaction logs is a gap, though it is read.
pub fn key(sys: &Sys, path: &str, sources: &mut Sources) -> Option<RegistryKey> {
    match sys.registry(path) {
        Ok(None) => None,
        Ok(Some(key)) => {
            if key.is_outdated() {
                sources.gap(path, Status::Partial, Reason::with("hive_outdated", path));
            } else {
                sources.known(path, 1);
            }
            Some(key)
        }
        Err(error) => {
            sources.error(path, &error);
            None
        }
    }
}

/// A text value with something in it; an error is recorded.
pub fn text(key: &RegistryKey, name: &str, sources: &mut Sources) -> Option<String> {
    let text = noted(key, key.string(name), sources)?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A number; an error is recorded.
pub fn number(key: &RegistryKey, name: &str, sources: &mut Sources) -> Option<u64> {
    noted(key, key.number(name), sources)
}

fn noted<T>(key: &RegistryKey, value: Result<Option<T>, SysError>, sources: &mut Sources) -> Option<T> {
    value.unwrap_or_else(|error| {
        sources.error(key.path(), &error);
        None
    })
}

/// Records a door that only a running system has, or that failed: what it would have told is missing, so the
/// fact is partial, whatever the cause.
pub fn missing(source: &str, error: &SysError, sources: &mut Sources) {
    sources.gap(source, Status::Partial, error.reason());
}

/// Start type of a service that is disabled.
pub const DISABLED: u64 = 4;

/// How a service starts (`Start` of its key: 2 by itself, 3 on demand, 4 not at all); `None` where it is not
/// installed.
pub fn start_of(sys: &Sys, service: &str, sources: &mut Sources) -> Option<u64> {
    let service = key(sys, &format!(r"{CONTROL_SET}\Services\{service}"), sources)?;
    number(&service, "Start", sources)
}

/// Which services run; `None` under a root folder and where the service manager does not answer.
pub struct Running(Option<Vec<WindowsService>>);

impl Running {
    /// Asks the service manager; a gap is recorded where it does not answer.
    pub fn ask(sys: &Sys, sources: &mut Sources) -> Self {
        match sys.windows_services() {
            Ok(services) => {
                sources.known("service manager", services.len());
                Self(Some(services))
            }
            // What nobody knows to run says so itself.
            Err(error @ SysError::Unsupported { .. }) if !sys.is_live() => {
                sources.aside("service manager", &error);
                Self(None)
            }
            Err(error) => {
                missing("service manager", &error, sources);
                Self(None)
            }
        }
    }

    /// Whether a service runs; one that is not installed does not.
    #[must_use]
    pub fn is(&self, name: &str) -> Option<bool> {
        let services = self.0.as_ref()?;
        Some(services.iter().any(|s| s.running && s.name.eq_ignore_ascii_case(name)))
    }

    /// All services.
    #[must_use]
    pub fn all(&self) -> Option<&[WindowsService]> {
        self.0.as_deref()
    }

    /// What a system with these services would give.
    #[cfg(test)]
    pub fn of(services: Vec<WindowsService>) -> Self {
        Self(Some(services))
    }
}

/// Whether this is a server edition, which has no Security Center; `None` where no hive says it.
pub fn is_server(sys: &Sys, sources: &mut Sources) -> Option<bool> {
    let version = key(sys, r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion", sources)?;
    let kind = text(&version, "InstallationType", sources)?;
    // `Client`, `Server`, `Server Core`, `Nano Server`: never translated.
    Some(kind.to_ascii_lowercase().contains("server"))
}

/// Directories whose people can log on here: the Active Directory domain the machine is joined to, and `entra`.
/// A place that could not be looked at is a gap.
pub fn directories(sys: &Sys, sources: &mut Sources) -> Vec<String> {
    let mut out = Vec::new();
    match domain(sys) {
        Ok(domain) => {
            sources.known("domain", usize::from(domain.is_some()));
            out.extend(domain);
        }
        Err(error) => missing("domain", &error, sources),
    }
    if let Some(joins) = key(sys, &format!(r"{CONTROL_SET}\Control\CloudDomainJoin\JoinInfo"), sources) {
        match joins.subkeys() {
            Ok(joins) if joins.is_empty() => {}
            Ok(_) => out.push("entra".into()),
            Err(error) => sources.error(joins.path(), &error),
        }
    }
    out
}

fn domain(sys: &Sys) -> Result<Option<String>, SysError> {
    const POLICY: &str = r"HKLM\SECURITY\Policy";
    if sys.is_live() {
        return sys.joined_domain();
    }
    let policy = sys.registry(POLICY)?.ok_or_else(|| SysError::malformed(POLICY, "no such key"))?;
    let value = |name: &str| match policy.open(name)?.map(|key| key.value("")).transpose()?.flatten() {
        Some(RegistryValue::Binary(bytes) | RegistryValue::Other { bytes, .. }) => Ok(bytes),
        _ => Err(SysError::malformed(POLICY, name)),
    };
    // The SID of the domain; empty in a workgroup.
    if value("PolPrDmS")?.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let name = value("PolPrDmN").ok().and_then(|bytes| policy_text(&bytes));
    Ok(Some(name.unwrap_or_else(|| "active_directory".into())))
}

/// A text of the security policy: length in bytes, room, offset, then UTF-16.
pub fn policy_text(bytes: &[u8]) -> Option<String> {
    let length = usize::from(u16::from_le_bytes(bytes.get(..2)?.try_into().ok()?));
    let text = utf16(bytes.get(8..8 + length)?);
    let text = text.trim_matches('\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// Products that the Security Center knows of one class (`AntiVirusProduct`, `FirewallProduct`).
/// A server edition has none, which is no gap.
pub fn security_center(sys: &Sys, class: &str, sources: &mut Sources) -> Vec<SecurityProduct> {
    let source = format!(r"root\SecurityCenter2 {class}");
    let query =
        format!("SELECT displayName, instanceGuid, pathToSignedProductExe, productState FROM {class}");
    match sys.wmi(r"ROOT\SecurityCenter2", &query) {
        Ok(rows) => {
            let products: Vec<_> = rows.iter().filter_map(SecurityProduct::of).collect();
            if products.len() < rows.len() {
                sources.gap(
                    source,
                    Status::Partial,
                    Reason::with("unread_rows", rows.len() - products.len()),
                );
            } else {
                sources.known(source, products.len());
            }
            products
        }
        Err(error @ SysError::Unsupported { .. }) if !sys.is_live() => {
            sources.error(source, &error);
            vec![]
        }
        Err(SysError::Unsupported { .. }) if is_server(sys, sources) == Some(true) => {
            sources.error(source, &SysError::Absent { what: "Security Center of a server edition".into() });
            vec![]
        }
        Err(error) => {
            missing(&source, &error, sources);
            vec![]
        }
    }
}

/// One product as the Security Center has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityProduct {
    /// Name the product gave itself.
    pub name: String,
    /// Its program, as it was registered.
    pub program: Option<String>,
    /// `on`, `off`, `snoozed` or `expired`.
    pub state: &'static str,
    /// Whether its signatures are current, by its own word.
    pub signatures_current: bool,
}

impl SecurityProduct {
    /// Whether its program is certainly not there: what is left of a product that was removed may still call
    /// itself on.
    #[must_use]
    pub fn is_gone(&self, sys: &Sys) -> bool {
        let path = self.program.as_deref().and_then(|program| sys.windows_path(program).ok());
        path.is_some_and(|path| matches!(sys.exists(&path), Ok(false)))
    }

    /// From a row; `None` where name or state is missing.
    /// `productState` holds the product's state in bits 12 to 15 and that of its signatures in bits 4 to 7.
    #[must_use]
    pub fn of(row: &Map<String, Value>) -> Option<Self> {
        let word = |name: &str| row.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        let state = row.get("productState").and_then(Value::as_u64)?;
        Some(Self {
            name: word("displayName")?.trim().to_owned(),
            program: word("pathToSignedProductExe").map(str::to_owned),
            state: match state & 0xf000 {
                0x1000 => "on",
                0x2000 => "snoozed",
                0x3000 => "expired",
                _ => "off",
            },
            signatures_current: state & 0x00f0 == 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::probe::fixture::corpus;

    fn product(state: u32) -> SecurityProduct {
        let row = json!({"displayName": " ウイルスバスター クラウド ", "productState": state});
        SecurityProduct::of(row.as_object().unwrap()).unwrap()
    }

    #[test]
    fn states_of_the_security_center_differ() {
        let state = |number| {
            let found = product(number);
            (found.state, found.signatures_current)
        };
        assert_eq!(product(397_568).name, "ウイルスバスター クラウド");
        assert_eq!(state(397_568), ("on", true));
        assert_eq!(state(0x06_1110), ("on", false));
        assert_eq!(state(0x06_0100), ("off", true));
        assert_eq!(state(0x06_2100), ("snoozed", true));
        assert_eq!(state(0x06_3110), ("expired", false));
    }

    #[test]
    fn a_row_without_state_is_no_product() {
        let row = json!({"displayName": "ESET Security"});
        assert_eq!(SecurityProduct::of(row.as_object().unwrap()), None);
    }

    #[test]
    fn a_captured_row_is_read() {
        let Some(folder) = corpus("security-posture") else { return };
        let text = std::fs::read_to_string(folder.join("cnquery/security_products_antivirus.json")).unwrap();
        let capture: Value = serde_json::from_str(&text).unwrap();
        let found = SecurityProduct::of(capture["antiVirus"][0].as_object().unwrap()).unwrap();
        assert_eq!(
            (found.name.as_str(), found.state, found.signatures_current),
            ("Windows Defender", "on", true)
        );
        assert_eq!(found.program.as_deref(), Some("windowsdefender://"));
    }
}
