//! sudoers (`sudoers(5)`): who may run anything as root.
//!
//! Read are aliases, user specifications with host, run-as, tags and commands, and the include lines.
//! Only `ALL` commands as root (or as anybody) make an administrator; single commands do not.

use std::collections::{BTreeMap, BTreeSet};

/// What one or several sudoers files say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sudoers {
    user_aliases: BTreeMap<String, Vec<String>>,
    command_aliases: BTreeMap<String, Vec<String>>,
    grants: Vec<Grant>,
    /// Lines that did not read as anything known.
    pub unread_lines: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Grant {
    users: Vec<String>,
    commands: Vec<String>,
    as_root: bool,
    source: String,
}

/// A file or folder to read next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Include {
    /// One file.
    File(String),
    /// Every file of a folder whose name has no dot and no `~` at its end.
    Folder(String),
}

/// Whom a rule names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// Every user.
    Everybody,
    /// User name.
    User(String),
    /// Uid (`#1000`).
    Uid(u32),
    /// Group name (`%sudo`).
    Group(String),
    /// Gid (`%#27`).
    Gid(u32),
}

impl Sudoers {
    /// Takes one file; gives what it includes, in order.
    pub fn read(&mut self, text: &str, source: &str) -> Vec<Include> {
        let joined = text.replace("\\\n", " ");
        let mut includes = Vec::new();
        for line in joined.lines().take(100_000) {
            if let Some(include) = include(line) {
                includes.push(include);
                continue;
            }
            let line = uncommented(line).trim();
            if !line.is_empty() && !line.starts_with("Defaults") {
                self.line(line, source);
            }
        }
        includes
    }

    fn line(&mut self, line: &str, source: &str) {
        let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match first {
            "User_Alias" => aliases(rest, &mut self.user_aliases),
            "Cmnd_Alias" | "Cmd_Alias" => aliases(rest, &mut self.command_aliases),
            "Host_Alias" | "Runas_Alias" => {}
            _ => match self.specification(line, source) {
                Some(grants) => self.grants.extend(grants),
                None => self.unread_lines += 1,
            },
        }
    }

    /// `users hosts = (runas) TAG: commands : hosts = ...`
    fn specification(&self, line: &str, source: &str) -> Option<Vec<Grant>> {
        let (left, right) = line.split_once('=')?;
        // The last word before `=` names the hosts; rules of other hosts are rare and counted as ours.
        let users = left.trim().rsplit_once(char::is_whitespace)?.0;
        let users: Vec<String> = list(users);
        let mut as_root = true;
        let mut commands = Vec::new();
        for part in list(right) {
            let mut part = part.as_str();
            if let Some(rest) = part.strip_prefix('(') {
                let (runas, command) = rest.split_once(')')?;
                let users = runas.split(':').next().unwrap_or_default();
                as_root = users.trim().is_empty()
                    || users.split(',').any(|u| matches!(u.trim(), "ALL" | "root" | "#0"));
                part = command.trim();
            }
            while let Some((tag, rest)) = part.split_once(':').filter(|(t, _)| is_tag(t)) {
                let _ = tag;
                part = rest.trim();
            }
            if as_root {
                commands.push(part.to_owned());
            }
        }
        Some(vec![Grant { users, as_root: !commands.is_empty(), commands, source: source.to_owned() }])
    }

    /// Everybody who may run all commands as root, with the file that says so, sorted.
    /// Each alias is opened once per file, however often and deeply aliases name one another.
    #[must_use]
    pub fn administrators(&self) -> BTreeSet<(Who, String)> {
        let anything = self.aliases_of_all();
        let mut opened = BTreeSet::new();
        let mut out = BTreeSet::new();
        for grant in self.grants.iter().filter(|g| g.as_root) {
            if grant.commands.iter().any(|c| anything.contains(c.as_str())) {
                self.resolve(grant, &mut opened, &mut out);
            }
        }
        out
    }

    /// `ALL`, and every command alias that has it among its members or theirs.
    fn aliases_of_all(&self) -> BTreeSet<&str> {
        let mut named_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (alias, members) in &self.command_aliases {
            for member in members {
                named_by.entry(member).or_default().push(alias);
            }
        }
        let mut found = BTreeSet::from(["ALL"]);
        let mut pending = vec!["ALL"];
        while let Some(name) = pending.pop() {
            let aliases = named_by.get(name).into_iter().flatten();
            pending.extend(aliases.filter(|alias| found.insert(alias)));
        }
        found
    }

    /// Adds whom a grant names. `opened` holds the aliases already followed, with the file of the grant.
    fn resolve<'a>(
        &'a self,
        grant: &'a Grant,
        opened: &mut BTreeSet<(&'a str, &'a str)>,
        out: &mut BTreeSet<(Who, String)>,
    ) {
        let mut pending: Vec<&'a str> = grant.users.iter().map(String::as_str).collect();
        while let Some(user) = pending.pop() {
            if let Some(members) = self.user_aliases.get(user) {
                if opened.insert((&grant.source, user)) {
                    pending.extend(members.iter().map(String::as_str));
                }
            } else if let Some(who) = Who::read(user) {
                out.insert((who, grant.source.clone()));
            }
        }
    }
}

impl Who {
    /// One member of a user list. A negation takes somebody out: counting that user as administrator
    /// errs to the safe side. Netgroups (`+name`) cannot be opened here.
    fn read(user: &str) -> Option<Self> {
        if user.starts_with(['!', '+']) {
            return None;
        }
        Some(if user == "ALL" {
            Self::Everybody
        } else if let Some(gid) = user.strip_prefix("%#") {
            Self::Gid(gid.parse().ok()?)
        } else if let Some(group) = user.strip_prefix('%') {
            Self::Group(group.trim_start_matches(':').replace("\\ ", " "))
        } else if let Some(uid) = user.strip_prefix('#') {
            Self::Uid(uid.parse().ok()?)
        } else {
            Self::User(user.to_owned())
        })
    }
}

fn include(line: &str) -> Option<Include> {
    let line = line.trim();
    let (word, path) = line.split_once(char::is_whitespace)?;
    let path = path.trim().trim_matches('"').to_owned();
    match word {
        "#include" | "@include" => Some(Include::File(path)),
        "#includedir" | "@includedir" => Some(Include::Folder(path)),
        _ => None,
    }
}

/// Cuts a comment; `#` before a digit is a uid.
fn uncommented(line: &str) -> &str {
    let mut from = 0;
    while let Some(at) = line[from..].find('#').map(|i| from + i) {
        if !line[at + 1..].starts_with(|c: char| c.is_ascii_digit()) {
            return &line[..at];
        }
        from = at + 1;
    }
    line
}

fn aliases(rest: &str, into: &mut BTreeMap<String, Vec<String>>) {
    for definition in rest.split(':') {
        if let Some((name, members)) = definition.split_once('=') {
            into.insert(name.trim().to_owned(), list(members));
        }
    }
}

/// Parts between commas that are not inside brackets or quotes.
fn list(text: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let (mut depth, mut quoted) = (0usize, false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            ',' if depth == 0 && !quoted => {
                out.push(String::new());
                continue;
            }
            _ => {}
        }
        if c != '"'
            && let Some(last) = out.last_mut()
        {
            last.push(c);
        }
    }
    out.into_iter().map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()).collect()
}

fn is_tag(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') && text != "ALL"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(text: &str) -> Vec<Who> {
        let mut sudoers = Sudoers::default();
        sudoers.read(text, "s");
        sudoers.administrators().into_iter().map(|(w, _)| w).collect()
    }

    #[test]
    fn all_as_root_makes_an_administrator_and_single_commands_do_not() {
        let user = |n: &str| vec![Who::User(n.into())];
        let group = |n: &str| vec![Who::Group(n.into())];
        assert_eq!(who("root ALL=(ALL:ALL) ALL"), user("root"));
        assert_eq!(who("%sudo\tALL=(ALL:ALL) NOPASSWD: ALL # all"), group("sudo"));
        assert_eq!(
            who("User_Alias ADMINS = ito, %it\nADMINS ALL = ALL"),
            [Who::User("ito".into()), Who::Group("it".into())]
        );
        assert_eq!(who("Cmnd_Alias ANY = ALL\nito ALL = NOPASSWD: SETENV: ANY"), user("ito"));
        assert_eq!(who("#1000 ALL = ALL"), [Who::Uid(1000)]);
        assert_eq!(who("ALL ALL = (ALL) ALL"), [Who::Everybody]);
        assert_eq!(who("abe ALL = (www-data) ALL"), []);
        assert_eq!(who("abe ALL = /usr/bin/apt, /usr/bin/systemctl restart x"), []);
        assert_eq!(who("# abe ALL = ALL\nDefaults env_reset, timestamp_timeout=5"), []);
        assert_eq!(who("abe ALL = (root) /bin/ls, \\\n  (root) ALL"), user("abe"));
    }

    #[test]
    fn includes_are_named_and_rubbish_is_counted() {
        let mut sudoers = Sudoers::default();
        let includes = sudoers.read("@includedir /etc/sudoers.d\n#include /etc/x\n#comment\nrubbish\n", "s");
        assert_eq!(includes, [Include::Folder("/etc/sudoers.d".into()), Include::File("/etc/x".into())]);
        assert_eq!(sudoers.unread_lines, 1);
        assert_eq!(who("A = A\nUser_Alias A = A\nA ALL = ALL"), []);
    }

    #[test]
    fn aliases_that_name_one_another_many_times_are_each_opened_once() {
        // Each level names the one before eight times: 8^40 ways, and a cycle at the end.
        let mut text = String::from("User_Alias U0 = ito, U39\nCmnd_Alias C0 = ALL, C39\n");
        for level in 1..40 {
            let below = |letter: char| vec![format!("{letter}{}", level - 1); 8].join(",");
            text += &format!("User_Alias U{level} = {}\nCmnd_Alias C{level} = {}\n", below('U'), below('C'));
        }
        assert_eq!(who(&(text + "U39 ALL = C39")), [Who::User("ito".into())]);
    }
}
