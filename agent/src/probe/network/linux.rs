//! Network of a Linux machine: sysfs, `/proc/net`, `resolv.conf`; IPv4 addresses from the running kernel.

use std::collections::BTreeMap;

use tenken_shared::collected::{Collected, Reason, Status};
use tenken_shared::fact::network::{Interface, Network};

use super::parse;
use crate::probe::Collection;
use crate::probe::sources::{Sources, collected};
use crate::sys::{Sys, SysError};

const FOLDER: &str = "/sys/class/net";
const SOURCE: &str =
    "/sys/class/net; /proc/net/if_inet6; /proc/net/route; /proc/net/ipv6_route; /etc/resolv.conf";
/// Most interfaces listed.
const MAX_INTERFACES: usize = 512;

/// Collects `network`. Privilege: none.
pub fn collect(sys: &Sys) -> Vec<Collection> {
    let mut sources = Sources::new();
    let interfaces = match sys.list(FOLDER) {
        Ok(entries) => entries,
        Err(SysError::Absent { .. }) if !sys.is_live() => {
            let answer = Collected::<Network>::Unsupported(Reason::new("live_only"));
            return vec![Collection::of(answer, SOURCE, sys.now())];
        }
        Err(error) => return vec![Collection::missing(super::PROBE.kinds[0], &error, sys.now())],
    };
    let mut addresses = addresses(sys, &mut sources);
    let names = interfaces.iter().map(|entry| entry.name.as_str()).filter(|name| *name != "lo");
    let mut list: Vec<Interface> =
        names.take(MAX_INTERFACES + 1).filter_map(|name| interface(sys, name, &mut addresses)).collect();
    if list.len() > MAX_INTERFACES {
        list.truncate(MAX_INTERFACES);
        sources.truncated(FOLDER, list.len());
    } else {
        sources.known(FOLDER, list.len());
    }
    let v4 = sources.optional_text(sys, "/proc/net/route").map(|text| parse::gateways_v4(&text));
    let v6 = sources.optional_text(sys, "/proc/net/ipv6_route").map(|text| parse::gateways_v6(&text));
    let mut gateways: Vec<String> = [v4, v6].into_iter().flatten().flatten().collect();
    gateways.sort();
    gateways.dedup();
    let name_servers = name_servers(sys, &mut sources);
    let states = sources.into_vec();
    let body = Network { interfaces: list, gateways, name_servers, sources: states.clone() };
    vec![Collection::of(collected(body, &states), SOURCE, sys.now())]
}

/// IPv4 from the running kernel, IPv6 from `/proc/net/if_inet6`, which tells temporary addresses apart.
fn addresses(sys: &Sys, sources: &mut Sources) -> BTreeMap<String, Vec<String>> {
    let v6 = sources.optional_text(sys, "/proc/net/if_inet6").map(|text| parse::if_inet6(&text));
    let mut all = match sys.addresses() {
        Ok(all) => {
            sources.known("getifaddrs", all.len());
            all
        }
        Err(error) => {
            // Without it the IPv4 addresses are missing, whatever the cause.
            sources.gap("getifaddrs", Status::Partial, error.reason());
            BTreeMap::new()
        }
    };
    for list in all.values_mut() {
        list.retain(|address| !address.contains(':'));
    }
    for (name, list) in v6.unwrap_or_default() {
        all.entry(name).or_default().extend(list);
    }
    all
}

/// One interface. Virtual ends of containers (`veth*`) come and go and say nothing of the machine.
fn interface(sys: &Sys, name: &str, addresses: &mut BTreeMap<String, Vec<String>>) -> Option<Interface> {
    let path = |file: &str| format!("{FOLDER}/{name}/{file}");
    let addresses = addresses.remove(name).unwrap_or_default();
    if name.starts_with("veth") && addresses.is_empty() {
        return None;
    }
    let line = |file: &str| sys.read_line(&path(file)).ok().flatten();
    // `/sys/class/net` also holds plain files, such as `bonding_masters`.
    let kind_code = line("type")?;
    let has = |file: &str| matches!(sys.exists(&path(file)), Ok(true));
    let place = sys.read_link(&format!("{FOLDER}/{name}")).unwrap_or_default();
    let kind = match () {
        () if has("wireless") || has("phy80211") => "wifi",
        () if has("bridge") => "bridge",
        () if has("tun_flags")
            || matches!(kind_code.as_str(), "65534" | "768" | "769" | "776" | "778" | "512") =>
        {
            "tunnel"
        }
        () if has("device") && kind_code == "1" => "ethernet",
        () if place.contains("/virtual/") => "virtual",
        () => "other",
    };
    let up = match line("operstate").as_deref() {
        Some("up") => Some(true),
        Some("down" | "lowerlayerdown" | "notpresent" | "dormant") => Some(false),
        // Tunnels and some drivers do not say: the carrier does, while the interface is switched on.
        _ => line("carrier").map(|carrier| carrier == "1"),
    };
    let mac = line("address").and_then(|text| parse::mac(&text));
    Some(Interface { name: name.to_owned(), mac, kind: Some(kind.into()), addresses, up })
}

/// The servers behind systemd-resolved's stub where it is in use, else those of `resolv.conf`.
fn name_servers(sys: &Sys, sources: &mut Sources) -> Vec<String> {
    let servers = sources.optional_text(sys, "/etc/resolv.conf").map(|text| parse::name_servers(&text));
    let servers = servers.unwrap_or_default();
    if servers.iter().any(|server| server == "127.0.0.53")
        && let Some(text) = sources.optional_text(sys, "/run/systemd/resolve/resolv.conf")
    {
        return parse::name_servers(&text);
    }
    servers
}
