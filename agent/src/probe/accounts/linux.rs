//! Accounts of a Linux machine.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};

use jiff::{SignedDuration, Timestamp};
use tenken_shared::collected::{Reason, Status};
use tenken_shared::fact::accounts::{Account, AccountUse, Accounts, AccountsObserved};

use super::parse::{self, Shadow, User};
use super::sudoers::{Include, Sudoers, Who};
use crate::probe::Collection;
use crate::probe::sources::{Sources, collected};
use crate::sys::{FileKind, Sys, SysError};

const MAX_SUDOERS: usize = 200;
const MAX_WTMP: u64 = 64 * 1024 * 1024;
const LASTLOG: &str = "/var/log/lastlog";
/// Groups that desktop services (polkit) treat as administrators where their rules do not say otherwise.
const POLKIT_FOLDERS: [&str; 2] = ["/etc/polkit-1/rules.d", "/usr/share/polkit-1/rules.d"];

/// Collects both facts.
pub(super) fn collect(sys: &Sys) -> Vec<Collection> {
    let mut sources = Sources::new();
    let users = match sys.read_text("/etc/passwd") {
        Ok(text) => parse::passwd(&text),
        Err(error) => {
            return super::KINDS.iter().map(|k| Collection::missing(*k, &error, sys.now())).collect();
        }
    };
    sources.known("/etc/passwd", users.len());
    sources.require_programs(sys);
    let shadow = sources.text(sys, "/etc/shadow").map(|t| by_name(parse::shadow(&t)));
    let groups = sources.text(sys, "/etc/group").map(|t| parse::group(&t)).unwrap_or_default();
    let rules = admin_rules(sys, &mut sources);
    let directories = directories(sys, &mut sources);
    let admins = Admins::new(&users, &groups, &rules);
    let (items, system_accounts) = accounts(sys, &users, shadow.as_ref(), &admins);
    // Log-ons are a fact of their own: a log that cannot be read leaves the accounts whole.
    let mut uses = Sources::new();
    uses.require_programs(sys);
    let observed = observed(sys, &mut uses, &users, &items, shadow.as_ref());
    let states = sources.into_vec();
    let mut observed_states = uses.into_vec();
    observed_states.extend(states.iter().filter(|s| s.source == "/etc/shadow").cloned());
    let body = Accounts {
        items,
        system_accounts,
        admin_rules: rules.into_iter().map(|(who, source)| format!("{}:{source}", describe(&who))).collect(),
        directories,
        sources: states.clone(),
    };
    let source = "/etc/passwd; /etc/shadow; /etc/group; /etc/sudoers; polkit rules";
    vec![
        Collection::of(collected(body, &states), source, sys.now()),
        Collection::of(collected(observed, &observed_states), "lastlog; wtmp; /etc/shadow", sys.now()),
    ]
}

fn by_name(entries: Vec<Shadow>) -> BTreeMap<String, Shadow> {
    entries.into_iter().map(|s| (s.name.clone(), s)).collect()
}

fn describe(who: &Who) -> String {
    match who {
        Who::Everybody => "everybody".into(),
        Who::User(name) => format!("user:{name}"),
        Who::Uid(uid) => format!("uid:{uid}"),
        Who::Group(name) => format!("group:{name}"),
        Who::Gid(gid) => format!("gid:{gid}"),
    }
}

fn directories(sys: &Sys, sources: &mut Sources) -> Vec<String> {
    let text = match sys.read_text("/etc/nsswitch.conf") {
        Ok(text) => text,
        Err(error) => {
            sources.error("/etc/nsswitch.conf", &error);
            return vec![];
        }
    };
    let directories = parse::directories(&text);
    sources.known("/etc/nsswitch.conf", directories.len());
    for name in &directories {
        // Their users can log on here, and nobody but the directory can list them.
        sources.gap(
            format!("directory:{name}"),
            Status::Partial,
            Reason::with("directory_users_not_listed", name),
        );
    }
    directories
}

/// Rules that make administrators: sudoers with all it includes, and polkit's admin rules.
fn admin_rules(sys: &Sys, sources: &mut Sources) -> BTreeSet<(Who, String)> {
    let mut sudoers = Sudoers::default();
    let mut pending = vec!["/etc/sudoers".to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(path) = pending.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        if seen.len() > MAX_SUDOERS {
            sources.truncated("sudoers", MAX_SUDOERS);
            break;
        }
        let Some(text) = sources.text(sys, &path) else { continue };
        let unread = sudoers.unread_lines;
        for include in sudoers.read(&text, &format!("sudoers:{path}")) {
            match include {
                Include::File(file) => pending.push(absolute(&file)),
                Include::Folder(folder) => pending.extend(included(sys, sources, &absolute(&folder))),
            }
        }
        if sudoers.unread_lines > unread {
            sources.gap(&path, Status::Partial, Reason::with("unread_lines", sudoers.unread_lines - unread));
        }
    }
    let mut rules = sudoers.administrators();
    rules.extend(polkit(sys, sources));
    rules
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/etc/{path}") }
}

fn included(sys: &Sys, sources: &mut Sources, folder: &str) -> Vec<String> {
    match sys.list(folder) {
        Ok(entries) => entries
            .into_iter()
            .filter(|e| e.kind != FileKind::Dir && !e.name.contains('.') && !e.name.ends_with('~'))
            .map(|e| format!("{folder}/{}", e.name))
            .collect(),
        Err(error) => {
            sources.error(folder, &error);
            vec![]
        }
    }
}

/// `unix-group:NAME` and `unix-user:NAME` in the answers of polkit's `addAdminRule`.
fn polkit(sys: &Sys, sources: &mut Sources) -> BTreeSet<(Who, String)> {
    let mut out = BTreeSet::new();
    for folder in POLKIT_FOLDERS {
        let entries = match sys.list(folder) {
            Ok(entries) => entries,
            Err(SysError::Absent { .. }) => continue,
            Err(error) => {
                sources.error(folder, &error);
                continue;
            }
        };
        let rules = entries.iter().filter(|e| e.name.ends_with(".rules"));
        if rules.clone().nth(MAX_SUDOERS).is_some() {
            sources.truncated(folder, MAX_SUDOERS);
        }
        for entry in rules.take(MAX_SUDOERS) {
            let path = format!("{folder}/{}", entry.name);
            let Some(text) = sources.optional_text(sys, &path) else { continue };
            let source = format!("polkit:{path}");
            out.extend(polkit_admins(&text).into_iter().map(|who| (who, source.clone())));
        }
    }
    out
}

fn polkit_admins(text: &str) -> Vec<Who> {
    let mut out = Vec::new();
    for part in text.split("addAdminRule").skip(1) {
        let body = part.split("addRule").next().unwrap_or_default();
        for quoted in body.split(['"', '\'']) {
            if let Some(group) = quoted.strip_prefix("unix-group:") {
                out.push(Who::Group(group.to_owned()));
            } else if let Some(user) = quoted.strip_prefix("unix-user:") {
                out.push(Who::User(user.to_owned()));
            }
        }
    }
    out
}

/// Who is administrator through what.
struct Admins(BTreeMap<String, BTreeSet<String>>);

impl Admins {
    fn new(users: &[User], groups: &[(String, u32, Vec<String>)], rules: &BTreeSet<(Who, String)>) -> Self {
        let mut out = Self(BTreeMap::new());
        for user in users.iter().filter(|u| u.uid == 0) {
            out.add(&user.name, "uid:0".into());
        }
        for (who, source) in rules {
            match who {
                Who::Everybody => users.iter().for_each(|u| out.add(&u.name, source.clone())),
                Who::User(name) => out.add(name, source.clone()),
                Who::Uid(uid) => {
                    users.iter().filter(|u| u.uid == *uid).for_each(|u| out.add(&u.name, source.clone()))
                }
                Who::Group(_) | Who::Gid(_) => {
                    let found = groups.iter().find(|(name, gid, _)| match who {
                        Who::Group(wanted) => name == wanted,
                        _ => *who == Who::Gid(*gid),
                    });
                    let Some((name, gid, members)) = found else { continue };
                    let primary = users.iter().filter(|u| u.gid == *gid).map(|u| &u.name);
                    for member in members.iter().chain(primary) {
                        out.add(member, format!("group:{name}"));
                    }
                }
            }
        }
        // Whoever may write to the disks, or start containers as root, can become root.
        for (name, _, members) in
            groups.iter().filter(|g| matches!(g.0.as_str(), "disk" | "docker" | "lxd" | "shadow"))
        {
            members.iter().for_each(|m| out.add(m, format!("group:{name}")));
        }
        out
    }

    fn add(&mut self, user: &str, via: String) {
        self.0.entry(user.to_owned()).or_default().insert(via);
    }
}

/// People's accounts and administrators; the others are counted.
fn accounts(
    sys: &Sys,
    users: &[User],
    shadow: Option<&BTreeMap<String, Shadow>>,
    admins: &Admins,
) -> (Vec<Account>, u64) {
    let today = sys.now().as_second().div_euclid(86_400);
    let mut items = Vec::new();
    let mut system = 0;
    for user in users {
        let via: Vec<String> = admins.0.get(&user.name).into_iter().flatten().cloned().collect();
        let shell = parse::is_login_shell(&user.shell);
        let entry = shadow.and_then(|s| s.get(&user.name));
        let state = match user.password.as_str() {
            "x" => entry.map(|s| s.state),
            other => Some(parse::password_state(other)),
        };
        let service = user.uid != 0 && !(1000..60_000).contains(&user.uid);
        let used = !service || matches!(state, Some("set" | "empty"));
        if via.is_empty() && !(shell && used) {
            system += 1;
            continue;
        }
        let expired = entry.and_then(|s| s.expires_days).map(|day| day <= today);
        items.push(Account {
            name: user.name.clone(),
            id: user.uid.to_string(),
            enabled: match (shell, expired, state) {
                (false, _, _) | (_, Some(true), _) => Some(false),
                (true, _, Some("set" | "empty")) => Some(true),
                // Without a password a key or another service may still let the user in.
                _ => None,
            },
            administrator: Some(!via.is_empty()),
            administrator_via: via,
            password: state.map(str::to_owned),
            built_in: user.uid == 0 && user.name == "root",
        });
    }
    items.sort_by(|a, b| a.name.cmp(&b.name));
    (items, system)
}

fn observed(
    sys: &Sys,
    sources: &mut Sources,
    users: &[User],
    items: &[Account],
    shadow: Option<&BTreeMap<String, Shadow>>,
) -> AccountsObserved {
    let wtmp = match sys.read_capped("/var/log/wtmp", MAX_WTMP) {
        Ok(bytes) => {
            let found = parse::wtmp(&bytes);
            sources.known("/var/log/wtmp", found.len());
            found
        }
        Err(error) => {
            sources.error("/var/log/wtmp", &error);
            BTreeMap::new()
        }
    };
    let lastlog = match lastlog(sys, users, items) {
        Ok(found) => {
            sources.known(LASTLOG, found.len());
            found
        }
        Err(error) => {
            sources.error(LASTLOG, &error);
            BTreeMap::new()
        }
    };
    let items = items.iter().filter_map(|account| {
        let changed = shadow.and_then(|s| s.get(&account.name)?.changed_days).filter(|d| *d > 0);
        let row = AccountUse {
            name: account.name.clone(),
            last_logon: lastlog.get(account.name.as_str()).copied().max(wtmp.get(&account.name).copied()),
            password_changed_at: changed.and_then(|days| {
                Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_hours(days.checked_mul(24)?)).ok()
            }),
        };
        (row.last_logon.is_some() || row.password_changed_at.is_some()).then_some(row)
    });
    AccountsObserved { items: items.collect() }
}

/// Last log-on of the listed accounts. The file has a record for every uid up to the highest that ever logged
/// on, so that uids of a directory make it seem terabytes large: only the records asked for are read.
fn lastlog<'a>(
    sys: &Sys,
    users: &[User],
    items: &'a [Account],
) -> Result<BTreeMap<&'a str, Timestamp>, SysError> {
    let mut file = sys.open(LASTLOG)?;
    let io = |e: std::io::Error| SysError::from_io(LASTLOG, &e);
    let uids: BTreeMap<&str, u32> = users.iter().map(|u| (u.name.as_str(), u.uid)).collect();
    let mut out = BTreeMap::new();
    for name in items.iter().map(|a| a.name.as_str()) {
        let Some(uid) = uids.get(name) else { continue };
        let mut time = [0; 4];
        file.seek(SeekFrom::Start(u64::from(*uid) * parse::LASTLOG_RECORD)).map_err(io)?;
        match file.read_exact(&mut time) {
            Ok(()) => out.extend(parse::lastlog_time(&time).map(|at| (name, at))),
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => {}
            Err(e) => return Err(io(e)),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::PROBE;
    use super::*;
    use crate::probe::ProbeConfig;
    use crate::probe::fixture::{Fixture, body};

    fn machine() -> Fixture {
        let fixture = Fixture::empty();
        fixture.write(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\ntoor:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\nito:x:1000:1000::/home/ito:/bin/bash\nabe:x:1001:1001::/home/abe:/bin/bash\n",
        );
        fixture.write(
            "etc/shadow",
            "root:*:19000:0:99999:7:::\nito:$y$x:20000:0:99999:7:::\nabe:!$y$x:20000:0:99999:7:::\n",
        );
        fixture
            .write("etc/group", "root:x:0:\nsudo:x:27:ito\n")
            .write("etc/nsswitch.conf", "passwd: files systemd\n");
        fixture.write(
            "etc/sudoers",
            "root ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n",
        );
        fixture
            .write("etc/sudoers.d/abe", "abe ALL=(ALL) NOPASSWD: /usr/bin/apt\n")
            .write("etc/sudoers.d/x.bak", "abe ALL=ALL\n");
        fixture
    }

    #[test]
    fn administrators_and_people_are_listed_with_their_reason() {
        let accounts = body(machine().collect::<Accounts>(&PROBE, &ProbeConfig::default()));
        let rows: Vec<_> = accounts
            .items
            .iter()
            .map(|a| (a.name.as_str(), a.administrator, a.enabled, a.password.as_deref()))
            .collect();
        assert_eq!(
            rows,
            [
                ("abe", Some(false), None, Some("locked")),
                ("ito", Some(true), Some(true), Some("set")),
                ("root", Some(true), None, Some("none")),
                ("toor", Some(true), None, None),
            ]
        );
        assert_eq!(accounts.system_accounts, 1);
        assert_eq!(accounts.items[1].administrator_via, ["group:sudo"]);
        let observed = body(machine().collect::<AccountsObserved>(&PROBE, &ProbeConfig::default()));
        let ito = observed.items.iter().find(|u| u.name == "ito").unwrap();
        assert_eq!(ito.password_changed_at.unwrap().to_string(), "2024-10-04T00:00:00Z");
    }

    #[test]
    fn a_directory_or_an_unreadable_rule_leaves_a_gap() {
        let fixture = machine();
        fixture.write("etc/nsswitch.conf", "passwd: files sss\n");
        let fact = fixture.collect::<Accounts>(&PROBE, &ProbeConfig::default());
        assert_eq!(fact.reason().map(|r| r.code.as_str()), Some("directory_users_not_listed"));
        let fixture = machine();
        fixture.write("etc/sudoers.d/new", "what is this\n");
        let fact = fixture.collect::<Accounts>(&PROBE, &ProbeConfig::default());
        assert_eq!(fact.reason().map(|r| r.code.as_str()), Some("unread_lines"));
    }

    #[test]
    fn more_rules_than_are_read_leave_a_gap() {
        let fixture = machine();
        for number in 0..=MAX_SUDOERS {
            fixture.write(&format!("etc/sudoers.d/r{number}"), "ito ALL=(ALL) ALL\n");
        }
        let fact = fixture.collect::<Accounts>(&PROBE, &ProbeConfig::default());
        assert_eq!(
            fact.reason().map(|r| (r.code.as_str(), r.detail.as_deref())),
            Some(("truncated", Some("sudoers")))
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_vast_lastlog_is_read_where_the_accounts_are() {
        let fixture = machine();
        let path = "/var/log/lastlog";
        fixture.write(path, vec![0; 1000 * 292]);
        let mut file = std::fs::File::options().append(true).open(fixture.path(path)).unwrap();
        std::io::Write::write_all(&mut file, &1_790_000_000_u32.to_le_bytes()).unwrap();
        // A uid of a directory: the file is sparse.
        file.set_len(2_000_000_000 * 292).unwrap();
        let used = body(fixture.collect::<AccountsObserved>(&PROBE, &ProbeConfig::default()));
        let last = |name: &str| used.items.iter().find(|u| u.name == name).and_then(|u| u.last_logon);
        assert_eq!(last("ito"), Timestamp::from_second(1_790_000_000).ok());
        assert_eq!(last("abe"), None);
        let accounts = fixture.collect::<Accounts>(&PROBE, &ProbeConfig::default());
        assert_eq!(accounts.status(), Status::Known);
    }

    #[test]
    fn log_ons_that_cannot_be_read_leave_the_accounts_whole() {
        let fixture = machine();
        fixture.folder("/var/log/lastlog");
        let accounts = fixture.collect::<Accounts>(&PROBE, &ProbeConfig::default());
        assert_eq!(accounts.status(), Status::Known, "{:?}", accounts.reason());
        let used = fixture.collect::<AccountsObserved>(&PROBE, &ProbeConfig::default());
        assert_eq!(used.status(), Status::Partial);
    }

    #[test]
    fn polkit_admin_rules_name_groups() {
        let text = "polkit.addAdminRule(function(action, subject) {\n return [\"unix-group:wheel\", 'unix-user:0'];\n});\npolkit.addRule(function(){ return 'unix-group:x'; });";
        assert_eq!(polkit_admins(text), [Who::Group("wheel".into()), Who::User("0".into())]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn live_machine_has_root() {
        let given = collect(&Sys::live());
        let accounts = given[0].record.typed::<Accounts>();
        assert!(
            accounts.value().unwrap().items.iter().any(|a| a.name == "root" && a.administrator == Some(true))
        );
    }
}
