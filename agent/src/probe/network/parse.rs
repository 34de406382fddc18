//! Pure parsers of `/proc/net` tables and `resolv.conf`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most entries taken from one table.
const MAX: usize = 1024;
/// `IFA_F_TEMPORARY`: a privacy address that changes by itself.
const TEMPORARY: u32 = 0x01;
/// `RTF_UP | RTF_GATEWAY`.
const UP_GATEWAY: u32 = 0x3;

/// IPv6 addresses with prefix length by interface (`/proc/net/if_inet6`); temporary ones left out,
/// because they change by themselves.
#[must_use]
pub fn if_inet6(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines().take(MAX) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [address, _, prefix, _, flags, name] = words[..] else { continue };
        let (Ok(address), Ok(prefix), Ok(flags)) = (
            u128::from_str_radix(address, 16),
            u8::from_str_radix(prefix, 16),
            u32::from_str_radix(flags, 16),
        ) else {
            continue;
        };
        if flags & TEMPORARY == 0 {
            out.entry(name.to_owned()).or_default().push(format!("{}/{prefix}", Ipv6Addr::from(address)));
        }
    }
    out.values_mut().for_each(|list| list.sort());
    out
}

/// Default gateways of `/proc/net/route`: little-endian hexadecimal as the kernel prints its own words.
#[must_use]
pub fn gateways_v4(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in text.lines().skip(1).take(MAX) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, destination, gateway, flags, _, _, _, mask, ..] = words[..] else { continue };
        let number = |text: &str| u32::from_str_radix(text, 16).ok();
        let (Some(0), Some(0), Some(gateway), Some(flags)) =
            (number(destination), number(mask), number(gateway), number(flags))
        else {
            continue;
        };
        if flags & UP_GATEWAY == UP_GATEWAY {
            out.push(Ipv4Addr::from(gateway.to_le_bytes()).to_string());
        }
    }
    out
}

/// Default gateways of `/proc/net/ipv6_route`.
#[must_use]
pub fn gateways_v6(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in text.lines().take(MAX) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [destination, prefix, _, _, next_hop, _, _, _, flags, _] = words[..] else { continue };
        let is_default = prefix == "00" && destination.bytes().all(|b| b == b'0');
        let flags = u32::from_str_radix(flags, 16).unwrap_or(0);
        if let (true, Ok(next_hop)) = (is_default, u128::from_str_radix(next_hop, 16))
            && flags & UP_GATEWAY == UP_GATEWAY
            && next_hop != 0
        {
            out.push(Ipv6Addr::from(next_hop).to_string());
        }
    }
    out
}

/// `nameserver` lines of `resolv.conf`, in order.
#[must_use]
pub fn name_servers(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for line in text.lines().take(MAX) {
        let mut words = line.split_whitespace();
        if words.next() == Some("nameserver")
            && let Some(server) = words.next()
        {
            let address = server.split('%').next().unwrap_or_default();
            if address.parse::<IpAddr>().is_ok() && !out.iter().any(|known| known == server) {
                out.push(server.to_owned());
            }
        }
    }
    out
}

/// A MAC address in lower case with colons; all zero is none.
#[must_use]
pub fn mac(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let groups = text.split(':').collect::<Vec<_>>();
    let sound =
        groups.len() == 6 && groups.iter().all(|g| g.len() == 2 && g.bytes().all(|b| b.is_ascii_hexdigit()));
    (sound && groups.iter().any(|g| *g != "00")).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_addresses_are_left_out() {
        let text = "fe80000000000000021122fffe334455 02 40 20 80 eth0\n20010db8000000000000000000000001 02 40 00 00 eth0\n20010db800000000aaaaaaaaaaaaaaaa 02 40 00 01 eth0\nrubbish\n";
        assert_eq!(if_inet6(text)["eth0"], ["2001:db8::1/64", "fe80::211:22ff:fe33:4455/64"]);
    }

    #[test]
    fn default_routes_give_their_gateway() {
        let v4 = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\neth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth0\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(gateways_v4(v4), ["192.168.2.1"]);
        let v6 = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n";
        assert_eq!(gateways_v6(v6), ["fe80::1"]);
    }

    #[test]
    fn name_servers_are_addresses_only() {
        let text = "# x\nnameserver 192.0.2.53\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver evil.example\nsearch example\n";
        assert_eq!(name_servers(text), ["192.0.2.53", "fe80::1%eth0"]);
        assert_eq!(mac("00:1A:2b:3c:4d:5e\n").as_deref(), Some("00:1a:2b:3c:4d:5e"));
        assert_eq!((mac("00:00:00:00:00:00"), mac("x")), (None, None));
    }
}
