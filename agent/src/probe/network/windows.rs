//! Network of a Windows machine: the configuration of each interface in the registry, under the name people
//! gave it; addresses and MAC addresses from the running system.

use tenken_shared::collected::Reason;
use tenken_shared::fact::network::{Interface, Network};

use super::parse;
use crate::probe::Collection;
use crate::probe::sources::{Sources, collected};
use crate::probe::windows::{CONTROL_SET, missing, text};
use crate::sys::{RegistryKey, RegistryValue, Sys, SysError};

const SOURCE: &str =
    r"HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters\Interfaces; GetAdaptersAddresses";
/// Class of network adapters.
const ADAPTERS: &str = "{4D36E972-E325-11CE-BFC1-08002BE10318}";
/// Most interfaces listed.
const MAX_INTERFACES: usize = 512;

/// Collects `network`. Privilege: none.
#[must_use]
pub fn collect(sys: &Sys) -> Vec<Collection> {
    let path = format!(r"{CONTROL_SET}\Services\Tcpip\Parameters\Interfaces");
    let interfaces = match sys.registry(&path) {
        Ok(Some(key)) => key,
        Ok(None) => {
            let error = SysError::Absent { what: path };
            return vec![Collection::missing(super::PROBE.kinds[0], &error, sys.now())];
        }
        Err(error) => return vec![Collection::missing(super::PROBE.kinds[0], &error, sys.now())],
    };
    let mut sources = Sources::new();
    let mut body = Network::default();
    match interfaces.children() {
        Ok(all) => {
            let count = all.len();
            for key in all.into_iter().take(MAX_INTERFACES) {
                configured(sys, &key, &mut sources, &mut body);
            }
            if count > MAX_INTERFACES {
                sources.truncated(path, MAX_INTERFACES);
            } else {
                sources.known(path, count);
            }
        }
        Err(error) => sources.error(path, &error),
    }
    if interfaces.is_outdated() {
        let reason = Reason::with("hive_outdated", interfaces.path());
        sources.gap("SYSTEM", tenken_shared::collected::Status::Partial, reason);
    }
    running(sys, &mut sources, &mut body);
    body.interfaces.sort_by(|a, b| a.name.cmp(&b.name));
    for list in [&mut body.gateways, &mut body.name_servers] {
        list.sort();
        list.dedup();
    }
    body.sources = sources.into_vec();
    let states = body.sources.clone();
    vec![Collection::of(collected(body, &states), SOURCE, sys.now())]
}

/// One interface as configured. One that has neither a name nor an address is a leftover of a removed adapter.
fn configured(sys: &Sys, key: &RegistryKey, sources: &mut Sources, body: &mut Network) {
    let connection = format!(r"{CONTROL_SET}\Control\Network\{ADAPTERS}\{}\Connection", key.name());
    let name = match sys.registry(&connection) {
        Ok(found) => found.and_then(|key| text(&key, "Name", sources)),
        Err(error) => {
            sources.error(connection, &error);
            None
        }
    };
    let mut list = |name: &str| texts(key, name, sources);
    let mut addresses = with_prefix(&list("DhcpIPAddress"), &list("DhcpSubnetMask"));
    addresses.extend(with_prefix(&list("IPAddress"), &list("SubnetMask")));
    let gateways = [list("DhcpDefaultGateway"), list("DefaultGateway")].concat();
    let servers = [list("DhcpNameServer"), list("NameServer")].concat();
    let Some(name) = name else { return };
    body.gateways.extend(gateways.into_iter().filter(|address| address != "0.0.0.0"));
    body.name_servers.extend(servers);
    body.interfaces.push(Interface { name, addresses, ..Interface::default() });
}

/// Texts of a value: a list, or one text with blanks or commas between.
fn texts(key: &RegistryKey, name: &str, sources: &mut Sources) -> Vec<String> {
    match key.value(name) {
        Ok(Some(RegistryValue::Strings(list))) => list,
        Ok(Some(RegistryValue::String(text))) => {
            text.split([' ', ',']).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        }
        Ok(_) => vec![],
        Err(error) => {
            sources.error(key.path(), &error);
            vec![]
        }
    }
}

fn with_prefix(addresses: &[String], masks: &[String]) -> Vec<String> {
    let real = |address: &&String| *address != "0.0.0.0";
    let all = addresses.iter().zip(masks).filter(|(address, _)| real(address));
    all.filter_map(|(address, mask)| {
        let mask: std::net::Ipv4Addr = mask.parse().ok()?;
        Some(format!("{address}/{}", u32::from(mask).leading_ones()))
    })
    .collect()
}

/// What the running system says replaces what was configured.
fn running(sys: &Sys, sources: &mut Sources, body: &mut Network) {
    let (addresses, macs) = match (sys.addresses(), sys.mac_addresses()) {
        (Ok(addresses), Ok(macs)) => (addresses, macs),
        (Err(error), _) | (_, Err(error)) => return missing("GetAdaptersAddresses", &error, sources),
    };
    sources.known("GetAdaptersAddresses", addresses.len());
    for interface in &mut body.interfaces {
        interface.addresses.clear();
        interface.up = Some(false);
    }
    for (name, addresses) in addresses {
        let mac = macs.get(&name).and_then(|mac| parse::mac(mac));
        if addresses.iter().any(|address| address.starts_with("127.") || address.starts_with("::1/")) {
            continue;
        }
        let at = body.interfaces.iter().position(|interface| interface.name == name);
        let up = Some(!addresses.is_empty());
        match at {
            Some(at) => {
                let known = &mut body.interfaces[at];
                (known.addresses, known.mac, known.up) = (addresses, mac, up);
            }
            None => body.interfaces.push(Interface { name, mac, addresses, up, kind: None }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::ProbeConfig;
    use crate::probe::fixture::body;
    use crate::probe::winhive::Machine;

    #[test]
    fn a_resting_machine_shows_its_configuration_and_says_that_it_is_one() {
        let guid = "{11111111-2222-3333-4444-555555555555}";
        let of = format!(r"ControlSet001\Services\Tcpip\Parameters\Interfaces\{guid}");
        let mut machine = Machine::new();
        machine
            .system("Select", "Current", 1u32)
            .system(&of, "DhcpIPAddress", "192.168.1.23")
            .system(&of, "DhcpSubnetMask", "255.255.255.0")
            .system(&of, "DhcpDefaultGateway", vec!["192.168.1.1"])
            .system(&of, "DhcpNameServer", "192.168.1.1 8.8.8.8")
            .system(
                r"ControlSet001\Services\Tcpip\Parameters\Interfaces\{gone}",
                "IPAddress",
                vec!["10.0.0.1"],
            )
            .system(
                &format!(r"ControlSet001\Control\Network\{ADAPTERS}\{guid}\Connection"),
                "Name",
                "イーサネット",
            );
        let answer = machine.collect::<Network>(&super::super::PROBE, &ProbeConfig::default());
        assert_eq!(answer.reason().unwrap().code, "live_only");
        let found = body(answer);
        assert_eq!(found.interfaces.len(), 1);
        assert_eq!(found.interfaces[0].name, "イーサネット");
        assert_eq!(found.interfaces[0].addresses, ["192.168.1.23/24"]);
        assert_eq!((found.gateways, found.name_servers.len()), (vec!["192.168.1.1".to_owned()], 2));
    }
}
