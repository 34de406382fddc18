//! Services of a Windows machine that start by themselves, and its listening sockets with their program.
//!
//! Services come from the registry, live or from hives. Whether one runs is asked of the service manager; for one
//! that starts delayed or on a trigger it is left out, because such services come and go by themselves. Sockets
//! are known on a running system only; the program is followed by the services in its process
//! (`svchost.exe (Dnscache)`). Privilege: none; administrator for the program of protected processes.

use std::collections::BTreeMap;

use tenken_shared::fact::services::{Listener, Service, Services};

use crate::probe::Collection;
use crate::probe::sources::{Sources, collected};
use crate::probe::windows::{CONTROL_SET, Running, key};
use crate::sys::{ListeningSocket, RegistryKey, Sys, SysError, WindowsService};

const SOURCE: &str = r"HKLM\SYSTEM\CurrentControlSet\Services; service manager; socket tables";
const SOCKETS: &str = "socket tables";
/// Types of services in processes of their own or shared (`SERVICE_WIN32`); the rest are drivers.
const WIN32: u64 = 0x30;
/// A copy made for one logged-on user, with a number of that log-on in its name.
const INSTANCE: u64 = 0x80;
const AUTOMATIC: u64 = 2;
/// First port that Windows gives to programs which ask for any.
const DYNAMIC: u16 = 49_152;
/// Most services.
const MAX_SERVICES: usize = 20_000;
/// Most services named beside a program.
const MAX_NAMES: usize = 8;

/// Collects the fact.
pub(super) fn collect(sys: &Sys) -> Collection {
    let mut sources = Sources::new();
    let running = Running::ask(sys, &mut sources);
    let items = services(sys, &running, &mut sources);
    let listening = listening(sys, &running, &mut sources);
    let body = Services { items, listening, sources: sources.into_vec() };
    let states = body.sources.clone();
    Collection::of(collected(body, &states), SOURCE, sys.now())
}

fn services(sys: &Sys, running: &Running, sources: &mut Sources) -> Vec<Service> {
    let place = format!(r"{CONTROL_SET}\Services");
    let mut listed = Sources::new();
    let Some(root) = key(sys, &place, &mut listed) else {
        if !listed.has_gap() {
            listed.error(&place, &SysError::malformed(&place, "no such key"));
        }
        sources.extend(listed);
        return vec![];
    };
    if listed.has_gap() {
        sources.extend(listed);
    }
    let children = match root.children() {
        Ok(children) => children,
        Err(error) => {
            sources.error(&place, &error);
            return vec![];
        }
    };
    let cut = children.len() > MAX_SERVICES;
    let mut items = Vec::new();
    for child in children.iter().take(MAX_SERVICES) {
        match service(child, running) {
            Ok(found) => items.extend(found),
            Err(error) => sources.error(child.path(), &error),
        }
    }
    items.sort_by(|a, b| a.name.cmp(&b.name));
    if cut {
        sources.truncated(place, items.len())
    } else {
        sources.known(place, items.len())
    }
    items
}

/// A service that starts by itself; `None` for drivers and all others.
fn service(of: &RegistryKey, running: &Running) -> Result<Option<Service>, SysError> {
    let (Some(kind), Some(start)) = (of.number("Type")?, of.number("Start")?) else { return Ok(None) };
    if kind & WIN32 == 0 || kind & INSTANCE != 0 || start != AUTOMATIC {
        return Ok(None);
    }
    let name = of.name().to_owned();
    let delayed = of.number("DelayedAutostart")?.is_some_and(|n| n != 0);
    let triggered = of.open("TriggerInfo")?.is_some();
    let known = running.all().and_then(|all| all.iter().find(|s| s.name.eq_ignore_ascii_case(&name)));
    // Most names stand in a library (`@%SystemRoot%\...,-103`), which only the running system looks up.
    let own = of.string("DisplayName")?.filter(|title| !title.starts_with('@') && !title.is_empty());
    Ok(Some(Service {
        title: known.and_then(|s| s.title.clone()).or(own),
        start: Some("automatic".into()),
        running: if delayed || triggered { None } else { running.is(&name) },
        name,
    }))
}

/// `None` where the tables could not be read.
fn listening(sys: &Sys, running: &Running, sources: &mut Sources) -> Option<Vec<Listener>> {
    let sockets = match sys.windows_sockets() {
        Ok(sockets) => sockets,
        Err(error) => {
            sources.error(SOCKETS, &error);
            return None;
        }
    };
    let listeners = listeners(&sockets, running.all().unwrap_or_default(), |pid| sys.windows_program(pid));
    sources.known(SOCKETS, listeners.len());
    Some(listeners)
}

fn listeners(
    sockets: &[ListeningSocket],
    services: &[WindowsService],
    program: impl Fn(u32) -> Option<String>,
) -> Vec<Listener> {
    let mut programs: BTreeMap<u32, Option<String>> = BTreeMap::new();
    // A UDP socket of the dynamic range is a client waiting for its answer.
    let waiting = sockets.iter().filter(|s| s.is_tcp || s.port < DYNAMIC);
    let mut out: Vec<Listener> = waiting
        .map(|socket| Listener {
            protocol: if socket.is_tcp { "tcp" } else { "udp" }.into(),
            address: socket.address.to_string(),
            port: socket.port,
            program: programs
                .entry(socket.pid)
                .or_insert_with(|| describe(socket.pid, services, program(socket.pid)))
                .clone(),
        })
        .collect();
    out.sort_by(|a, b| {
        (&a.protocol, a.port, &a.address, &a.program).cmp(&(&b.protocol, b.port, &b.address, &b.program))
    });
    out.dedup();
    out
}

/// The program and the services in it.
fn describe(pid: u32, services: &[WindowsService], program: Option<String>) -> Option<String> {
    // The kernel itself, which serves files and HTTP.
    if pid == 4 {
        return Some("System".into());
    }
    let mut names: Vec<&str> =
        services.iter().filter(|s| s.pid == pid && pid != 0).map(|s| s.name.as_str()).collect();
    names.sort_unstable();
    names.truncate(MAX_NAMES);
    match (program, names.is_empty()) {
        (program, true) => program,
        (Some(program), false) => Some(format!("{program} ({})", names.join(", "))),
        (None, false) => Some(names.join(", ")),
    }
}

#[cfg(test)]
mod tests;
