//! Identity of a Windows machine: MachineGuid, names, and what it is joined to.

use tenken_shared::collected::{Collected, Reason};
use tenken_shared::fact::identity::Identity;

use crate::probe::Collection;
use crate::probe::sources::{Sources, collected};
use crate::probe::windows::{CONTROL_SET, key, policy_text, text};
use crate::sys::{RegistryKey, RegistryValue, Sys, SysError};

const CRYPTOGRAPHY: &str = r"HKLM\SOFTWARE\Microsoft\Cryptography";
const POLICY: &str = r"HKLM\SECURITY\Policy";
const SOURCE: &str =
    r"HKLM\SOFTWARE\Microsoft\Cryptography; HKLM\SYSTEM\CurrentControlSet; HKLM\SECURITY\Policy";

/// What is watched.
pub(super) const WATCH: &[&str] = &[r"HKLM\SYSTEM\CurrentControlSet\Control\ComputerName"];

/// Collects `identity`. Privilege: SYSTEM for the domain or workgroup.
#[must_use]
pub fn collect(sys: &Sys) -> Vec<Collection> {
    let mut sources = Sources::new();
    let guid = key(sys, CRYPTOGRAPHY, &mut sources).and_then(|key| text(&key, "MachineGuid", &mut sources));
    let mut body = Identity { machine_id: guid.map(|guid| guid.to_lowercase()), ..Identity::default() };
    names(sys, &mut sources, &mut body);
    // The firmware's UUID as Windows recorded it: `{…}`.
    let config = key(sys, r"HKLM\SYSTEM\HardwareConfig", &mut sources);
    let uuid = config.and_then(|key| text(&key, "LastConfig", &mut sources));
    body.product_uuid = uuid.map(|uuid| uuid.trim_matches(['{', '}']).to_lowercase());
    join(sys, &mut sources, &mut body);
    let answer = if body.machine_id.is_none() && body.hostname.is_none() && !sources.has_gap() {
        Collected::Absent(Reason::with("not_present", "MachineGuid and host name"))
    } else {
        collected(body, &sources.into_vec())
    };
    vec![Collection::of(answer, SOURCE, sys.now())]
}

/// The host name with its case and its domain; the NetBIOS name where that is not recorded.
fn names(sys: &Sys, sources: &mut Sources, body: &mut Identity) {
    let mut domain = None;
    if let Some(key) = key(sys, &format!(r"{CONTROL_SET}\Services\Tcpip\Parameters"), sources) {
        body.hostname = ["NV Hostname", "Hostname"].into_iter().find_map(|name| text(&key, name, sources));
        domain = ["NV Domain", "Domain"].into_iter().find_map(|name| text(&key, name, sources));
    }
    if body.hostname.is_none() {
        let path = format!(r"{CONTROL_SET}\Control\ComputerName\ComputerName");
        body.hostname = key(sys, &path, sources).and_then(|key| text(&key, "ComputerName", sources));
    }
    body.fqdn = body.hostname.as_ref().zip(domain.as_ref()).map(|(host, domain)| format!("{host}.{domain}"));
    body.domain = domain;
}

/// Join by Active Directory or Entra ID. `none` only where both could be looked at.
fn join(sys: &Sys, sources: &mut Sources, body: &mut Identity) {
    let mut own = Sources::new();
    let entra = key(sys, &format!(r"{CONTROL_SET}\Control\CloudDomainJoin\JoinInfo"), &mut own);
    let entra = entra.is_some_and(|key| {
        let joined = key.subkeys().map(|keys| !keys.is_empty());
        joined.unwrap_or_else(|error| {
            own.error(key.path(), &error);
            false
        })
    });
    match sys.registry(POLICY) {
        Ok(Some(policy)) => {
            own.known(POLICY, 1);
            let read = |name: &str, own: &mut Sources| {
                unnamed(&policy, name).unwrap_or_else(|error| {
                    own.error(POLICY, &error);
                    None
                })
            };
            let sid = read("PolPrDmS", &mut own).is_some_and(|sid| sid.iter().any(|byte| *byte != 0));
            let name = read("PolPrDmN", &mut own).and_then(|bytes| policy_text(&bytes));
            if sid {
                body.join = Some("active_directory".into());
                let full = read("PolDnDDN", &mut own).and_then(|bytes| policy_text(&bytes));
                body.domain = full.or(name).or(body.domain.take());
            } else {
                body.workgroup = name;
            }
        }
        Ok(None) => own.error(POLICY, &SysError::Absent { what: POLICY.into() }),
        Err(error) => own.error(POLICY, &error),
    }
    if body.join.is_none() && entra {
        body.join = Some("entra".into());
    } else if body.join.is_none() && !own.has_gap() && body.workgroup.is_some() {
        body.join = Some("none".into());
    }
    sources.extend(own);
}

/// The unnamed value of a key below.
fn unnamed(policy: &RegistryKey, name: &str) -> Result<Option<Vec<u8>>, SysError> {
    let Some(key) = policy.open(name)? else { return Ok(None) };
    Ok(match key.value("")? {
        Some(RegistryValue::Binary(bytes) | RegistryValue::Other { bytes, .. }) => Some(bytes),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::ProbeConfig;
    use crate::probe::fixture::body;
    use crate::probe::winhive::Machine;

    fn policy(text: &str) -> Vec<u8> {
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let length = (wide.len() as u16).to_le_bytes();
        [&length[..], &length[..], &[8, 0, 0, 0], &wide].concat()
    }

    fn machine() -> Machine {
        let mut machine = Machine::new();
        machine
            .software(r"Microsoft\Cryptography", "MachineGuid", "0F5C9F6E-1111-2222-3333-444455556666")
            .system("Select", "Current", 2u32)
            .system(r"ControlSet002\Services\Tcpip\Parameters", "NV Hostname", "経理-PC")
            .system("HardwareConfig", "LastConfig", "{4C4C4544-0000-1000-8000-000000000000}");
        machine
    }

    fn identity(machine: &Machine) -> tenken_shared::collected::Collected<Identity> {
        machine.collect::<Identity>(&super::super::PROBE, &ProbeConfig::default())
    }

    #[test]
    fn a_workgroup_machine_is_joined_to_nothing() {
        let mut machine = machine();
        machine.security(r"Policy\PolPrDmN", policy("WORKGROUP")).security(r"Policy\PolPrDmS", vec![0; 4]);
        let found = body(identity(&machine));
        assert_eq!(found.machine_id.as_deref(), Some("0f5c9f6e-1111-2222-3333-444455556666"));
        assert_eq!(found.product_uuid.as_deref(), Some("4c4c4544-0000-1000-8000-000000000000"));
        assert_eq!((found.hostname.as_deref(), found.fqdn), (Some("経理-PC"), None));
        assert_eq!((found.join.as_deref(), found.workgroup.as_deref()), (Some("none"), Some("WORKGROUP")));
    }

    #[test]
    fn a_domain_has_a_sid_and_a_cloud_join_its_own_key() {
        let mut machine = machine();
        machine
            .security(r"Policy\PolPrDmN", policy("EXAMPLE"))
            .security(r"Policy\PolDnDDN", policy("ad.example.co.jp"))
            .security(r"Policy\PolPrDmS", vec![1, 4, 0, 0, 0, 0, 0, 5]);
        let found = body(identity(&machine));
        assert_eq!(
            (found.join.as_deref(), found.domain.as_deref()),
            (Some("active_directory"), Some("ad.example.co.jp"))
        );
        let mut cloud = self::machine();
        cloud.security(r"Policy\PolPrDmN", policy("WORKGROUP")).system(
            r"ControlSet002\Control\CloudDomainJoin\JoinInfo\AB12",
            "TenantId",
            "x",
        );
        assert_eq!(body(identity(&cloud)).join.as_deref(), Some("entra"));
    }

    #[test]
    fn without_the_security_hive_nothing_is_said_of_the_join() {
        let answer = identity(&machine());
        assert_eq!(answer.reason().unwrap().code, "hive_missing");
        assert_eq!(body(answer).join, None);
    }
}
