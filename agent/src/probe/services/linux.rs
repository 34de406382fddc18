//! Services of a Linux machine: systemd units, else System V or OpenRC run levels; sockets from procfs.

use std::collections::{BTreeMap, BTreeSet};

use tenken_shared::fact::services::{Listener, Service, Services};

use super::parse;
use crate::probe::Collection;
use crate::probe::sources::{Sources, collected};
use crate::probe::systemd::{self, UnitState, Units};
use crate::sys::{FileKind, Sys, SysError};

const TABLES: [(&str, &str); 4] = [("tcp", "tcp"), ("tcp6", "tcp"), ("udp", "udp"), ("udp6", "udp")];

/// Collects the fact.
pub(super) fn collect(sys: &Sys) -> Collection {
    let mut sources = Sources::new();
    sources.require_programs(sys);
    let mut body = Services { items: services(sys, &mut sources), ..Services::default() };
    match sys.require_live("/proc/net") {
        Ok(()) => body.listening = listening(sys, &mut sources),
        Err(error) => sources.error("/proc/net", &error),
    }
    body.sources = sources.into_vec();
    let states = body.sources.clone();
    Collection::of(collected(body, &states), "systemd units; run levels; /proc/net", sys.now())
}

fn services(sys: &Sys, sources: &mut Sources) -> Vec<Service> {
    let mut items = Vec::new();
    // A unit replaces the script of the same name, enabled or not.
    let mut have = BTreeSet::new();
    match Units::load(sys, |name| name.ends_with(".service")) {
        Ok(units) => {
            units.errors.iter().for_each(|e| sources.error("systemd", e));
            let running = running(sys, sources);
            have.extend(units.iter().map(|u| u.name.clone()));
            items = from_units(&units, running.as_ref());
            sources.known("systemd", items.len());
        }
        Err(error) => sources.error("systemd", &error),
    }
    for (source, found) in [("sysv", sysv(sys)), ("openrc", openrc(sys))] {
        match found {
            Ok(names) => {
                let fresh: Vec<_> =
                    names.iter().filter(|n| !have.contains(&format!("{n}.service"))).collect();
                sources.known(source, fresh.len());
                items.extend(fresh.into_iter().map(|name| Service {
                    name: name.clone(),
                    start: Some("enabled".into()),
                    ..Service::default()
                }));
            }
            Err(error) => sources.error(source, &error),
        }
    }
    items.sort_by(|a, b| a.name.cmp(&b.name));
    items.dedup_by(|a, b| a.name == b.name);
    items
}

/// State of every loaded service; `None` where no manager could be asked.
fn running(sys: &Sys, sources: &mut Sources) -> Option<BTreeMap<String, UnitState>> {
    match systemd::show(sys, &["*.service"], &["ActiveState", "UnitFileState", "Description"]) {
        Ok(states) => {
            sources.known("systemctl show", states.len());
            Some(states)
        }
        Err(error) => {
            // A service of which nobody knows whether it runs says so itself.
            sources.aside("systemctl show", &error);
            None
        }
    }
}

/// Enabled services, and whatever runs; started by nobody and not running says nothing.
fn from_units(units: &Units, running: Option<&BTreeMap<String, UnitState>>) -> Vec<Service> {
    let mut items: BTreeMap<String, Service> = BTreeMap::new();
    for unit in units.iter().filter(|u| u.name.ends_with(".service") && u.state == "enabled") {
        items.insert(
            unit.name.clone(),
            Service {
                name: unit.name.clone(),
                title: unit.file.as_ref().and_then(|f| f.get("Unit", "Description")).map(str::to_owned),
                start: Some(unit.state.clone()),
                running: running.map(|r| r.get(&unit.name).is_some_and(is_active)),
            },
        );
    }
    for (name, state) in running.into_iter().flatten().filter(|(_, s)| is_active(s)) {
        items.entry(name.clone()).or_insert_with(|| Service {
            name: name.clone(),
            title: state.get("Description").map(str::to_owned),
            start: state.get("UnitFileState").map(str::to_owned),
            running: Some(true),
        });
    }
    items.into_values().collect()
}

fn is_active(state: &UnitState) -> bool {
    matches!(state.get("ActiveState"), Some("active" | "activating" | "reloading"))
}

/// Start links of the multi-user run levels.
fn sysv(sys: &Sys) -> Result<BTreeSet<String>, SysError> {
    let mut out = BTreeSet::new();
    for level in 2..=5 {
        match sys.list(&format!("/etc/rc{level}.d")) {
            Ok(links) => out.extend(links.iter().filter_map(|l| start_link(&l.name))),
            Err(SysError::Absent { .. }) if level > 2 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(out)
}

fn start_link(name: &str) -> Option<String> {
    let rest = name.strip_prefix('S')?;
    let service = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    (service.len() < rest.len() && !service.is_empty()).then(|| service.to_owned())
}

fn openrc(sys: &Sys) -> Result<BTreeSet<String>, SysError> {
    let mut out = BTreeSet::new();
    for level in sys.list("/etc/runlevels")?.iter().filter(|e| e.kind == FileKind::Dir).take(20) {
        out.extend(sys.list(&format!("/etc/runlevels/{}", level.name))?.into_iter().map(|e| e.name));
    }
    Ok(out)
}

/// `None` where no table could be read.
fn listening(sys: &Sys, sources: &mut Sources) -> Option<Vec<Listener>> {
    let range = sys.read_text("/proc/sys/net/ipv4/ip_local_port_range").ok();
    let ephemeral = range.and_then(|t| parse::port_range(&t)).unwrap_or((32_768, 60_999));
    let (mut found, mut read) = (Vec::new(), false);
    for (table, protocol) in TABLES {
        let path = format!("/proc/net/{table}");
        match sys.read_still(&path) {
            Ok(text) => {
                let mut sockets = parse::sockets(&text, protocol == "tcp");
                // An unconnected UDP socket in the ephemeral range is a client waiting for its answer.
                sockets.retain(|s| protocol == "tcp" || !(ephemeral.0..=ephemeral.1).contains(&s.port));
                sources.known(&path, sockets.len());
                read = true;
                found.extend(sockets.into_iter().map(|s| (protocol, s)));
            }
            // A kernel without IPv6 has no such table.
            Err(error) => sources.error(&path, &error),
        }
    }
    if !read {
        return None;
    }
    // Who holds a socket stays the same as long as its inode does, and that is noted.
    let programs = if found.is_empty() { BTreeMap::new() } else { programs(&sys.untraced()) };
    let mut out: Vec<Listener> = found
        .into_iter()
        .map(|(protocol, s)| Listener {
            protocol: protocol.into(),
            address: s.address.to_string(),
            port: s.port,
            program: programs.get(&s.inode).cloned(),
        })
        .collect();
    out.sort_by(|a, b| {
        (&a.protocol, a.port, &a.address, &a.program).cmp(&(&b.protocol, b.port, &b.address, &b.program))
    });
    out.dedup();
    Some(out)
}

/// Program names by socket inode, as far as this process may look into others.
fn programs(sys: &Sys) -> BTreeMap<u64, String> {
    let mut out = BTreeMap::new();
    for process in sys.processes().unwrap_or_default() {
        let folder = format!("/proc/{}/fd", process.pid);
        let inodes: Vec<u64> = sys
            .list(&folder)
            .unwrap_or_default()
            .iter()
            .filter_map(|fd| parse::socket_inode(&sys.read_link(&format!("{folder}/{}", fd.name)).ok()?))
            .collect();
        out.extend(inodes.into_iter().map(|inode| (inode, process.name.clone())));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_links_name_services() {
        assert_eq!(start_link("S01ssh").as_deref(), Some("ssh"));
        for other in ["K01ssh", "README", "S01", "Sssh"] {
            assert_eq!(start_link(other), None, "{other}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn under_a_root_units_are_known_and_their_running_is_not() {
        use tenken_shared::collected::Status;
        use tenken_shared::fact::services::Services;

        use super::super::PROBE;
        use crate::probe::ProbeConfig;
        use crate::probe::fixture::{Fixture, body};

        let fixture = Fixture::empty();
        fixture.write(
            "usr/lib/systemd/system/ssh.service",
            "[Unit]\nDescription=OpenSSH\n[Install]\nWantedBy=x\n",
        );
        fixture.link(
            "etc/systemd/system/multi-user.target.wants/ssh.service",
            "/usr/lib/systemd/system/ssh.service",
        );
        fixture.write("usr/lib/systemd/system/off.service", "[Install]\nWantedBy=x\n");
        let fact = fixture.collect::<Services>(&PROBE, &ProbeConfig::default());
        assert_eq!(fact.status(), Status::Partial, "no list of sockets is no empty list");
        let services = body(fact);
        assert_eq!((services.items.len(), &services.listening), (1, &None));
        let ssh = &services.items[0];
        assert_eq!(
            (ssh.name.as_str(), ssh.start.as_deref(), ssh.running),
            ("ssh.service", Some("enabled"), None)
        );
        let sockets = services.sources.iter().find(|s| s.source == "/proc/net").unwrap();
        assert_eq!(sockets.status, Status::Unsupported);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_listening_socket_of_this_process_is_seen_live() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let found = listening(&Sys::live(), &mut Sources::new()).unwrap();
        assert!(found.iter().any(|l| l.port == port && l.protocol == "tcp" && l.address == "127.0.0.1"));
    }
}
