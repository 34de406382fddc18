//! `/proc/net/{tcp,tcp6,udp,udp6}`: sockets of the kernel (`proc(5)`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One listening socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Socket {
    /// Local port.
    pub port: u16,
    /// Local address.
    pub address: IpAddr,
    /// Inode, joined with `/proc/PID/fd`.
    pub inode: u64,
}

/// State word of a listening TCP socket, and of an unconnected UDP socket.
const TCP_LISTEN: &str = "0A";
const UDP_UNCONNECTED: &str = "07";
const MAX_LINES: usize = 100_000;

/// Listening sockets of one table. UDP sockets count when they are not connected to a peer.
/// Lines that do not read as sockets are skipped (the first is the heading).
#[must_use]
pub fn sockets(text: &str, tcp: bool) -> Vec<Socket> {
    let wanted = if tcp { TCP_LISTEN } else { UDP_UNCONNECTED };
    text.lines().take(MAX_LINES).filter_map(|line| socket(line, wanted)).collect()
}

fn socket(line: &str, wanted: &str) -> Option<Socket> {
    let mut fields = line.split_whitespace().skip(1);
    let local = fields.next()?;
    let _remote = fields.next()?;
    if fields.next()? != wanted {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    let (address, port) = local.split_once(':')?;
    Some(Socket {
        port: u16::from_str_radix(port, 16).ok().filter(|p| *p != 0)?,
        address: address_of(address)?,
        inode,
    })
}

/// Words of 32 bits, each printed as a number in the byte order of the machine (little endian on every
/// target of this agent).
fn address_of(hex: &str) -> Option<IpAddr> {
    if !hex.is_ascii() {
        return None;
    }
    let words: Option<Vec<[u8; 4]>> = (0..hex.len() / 8)
        .map(|i| u32::from_str_radix(&hex[i * 8..i * 8 + 8], 16).ok().map(u32::to_le_bytes))
        .collect();
    match words?.as_slice() {
        [v4] if hex.len() == 8 => Some(Ipv4Addr::from(*v4).into()),
        [a, b, c, d] if hex.len() == 32 => {
            let bytes: Vec<u8> = [a, b, c, d].into_iter().flatten().copied().collect();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into())
        }
        _ => None,
    }
}

/// The inode of a `socket:[123]` link.
#[must_use]
pub fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The ephemeral port range of `/proc/sys/net/ipv4/ip_local_port_range`.
#[must_use]
pub fn port_range(text: &str) -> Option<(u16, u16)> {
    let mut words = text.split_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_sockets_are_read() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 103 1 0000\n   1: 0100007F:1539 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 104 1 0000\n";
        let found = sockets(text, true);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].address.to_string().as_str(), found[0].port, found[0].inode),
            ("127.0.0.1", 5432, 103)
        );
        let six = "0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 7 1";
        assert_eq!(sockets(six, true)[0].address.to_string(), "::1");
        assert_eq!(sockets(six, false), []);
    }

    #[test]
    fn rubbish_is_skipped() {
        for text in [
            "",
            "x",
            "0: 0100007F 0 0A",
            "0: ééééé:0050 0:0 0A 0 0 0 0 0 1",
            "0: 0100007F:0000 0:0 0A 0 0 0 0 0 1",
        ] {
            assert_eq!(sockets(text, true), [], "{text}");
        }
        assert_eq!(socket_inode("socket:[12]"), Some(12));
        assert_eq!(socket_inode("pipe:[12]"), None);
        assert_eq!(port_range("32768\t60999\n"), Some((32768, 60999)));
    }
}
