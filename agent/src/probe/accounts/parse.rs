//! passwd, shadow, group, nsswitch.conf and lastlog.

use jiff::Timestamp;

/// One line of `passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// The second field: `x` means the password stands in `shadow`.
    pub password: String,
    /// Log-on shell; empty means `/bin/sh`.
    pub shell: String,
}

const MAX_LINES: usize = 100_000;

/// Reads `passwd(5)`. Lines of the old NIS form (`+...`) and broken ones are skipped.
#[must_use]
pub fn passwd(text: &str) -> Vec<User> {
    text.lines()
        .take(MAX_LINES)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, password, uid, gid, _, _, shell] = fields.as_slice() else { return None };
            (!name.is_empty() && !name.starts_with(['+', '-', '#'])).then_some(())?;
            Some(User {
                name: (*name).into(),
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
                password: (*password).into(),
                shell: shell.trim().into(),
            })
        })
        .collect()
}

/// One line of `shadow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadow {
    /// Name.
    pub name: String,
    /// `set`, `locked`, `empty`, `none` (no password was ever given). Never the hash.
    pub state: &'static str,
    /// Last change, whole days since 1970; 0 means "must change".
    pub changed_days: Option<i64>,
    /// The account has expired by this day since 1970.
    pub expires_days: Option<i64>,
}

/// Reads `shadow(5)`; of the password only its state is kept.
#[must_use]
pub fn shadow(text: &str) -> Vec<Shadow> {
    text.lines()
        .take(MAX_LINES)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let name = fields.first().filter(|n| !n.is_empty())?;
            let number = |i: usize| fields.get(i).and_then(|f| f.parse::<i64>().ok());
            Some(Shadow {
                name: (*name).into(),
                state: password_state(fields.get(1)?),
                changed_days: number(2),
                expires_days: number(7),
            })
        })
        .collect()
}

/// State of a password field.
#[must_use]
pub fn password_state(field: &str) -> &'static str {
    match field {
        "" => "empty",
        "*" | "!*" | "x" | "*NP*" | "!!" | "!" => "none",
        f if f.starts_with('!') || f.starts_with('*') => "locked",
        _ => "set",
    }
}

/// Name, gid and members of each group of `group(5)`.
#[must_use]
pub fn group(text: &str) -> Vec<(String, u32, Vec<String>)> {
    text.lines()
        .take(MAX_LINES)
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|n| !n.is_empty() && !n.starts_with(['+', '-', '#']))?;
            let gid = fields.nth(1)?.parse().ok()?;
            let members = fields.next()?.split(',').map(str::trim).filter(|m| !m.is_empty());
            Some((name.into(), gid, members.map(str::to_owned).collect()))
        })
        .collect()
}

/// Directory services behind `passwd:` and `group:` of `nsswitch.conf`, sorted.
#[must_use]
pub fn directories(text: &str) -> Vec<String> {
    let mut out: Vec<String> = text
        .lines()
        .filter_map(|l| l.split('#').next()?.split_once(':'))
        .filter(|(database, _)| matches!(database.trim(), "passwd" | "group"))
        .flat_map(|(_, services)| services.split_whitespace())
        .filter(|s| {
            matches!(*s, "sss" | "winbind" | "ldap" | "nis" | "nisplus" | "extrausers" | "himmelblau")
        })
        .map(str::to_owned)
        .collect();
    out.sort();
    out.dedup();
    out
}

/// Whether a shell lets a person log on.
#[must_use]
pub fn is_login_shell(shell: &str) -> bool {
    let name = shell.rsplit('/').next().unwrap_or_default();
    !matches!(name, "nologin" | "false" | "sync" | "shutdown" | "halt" | "true")
}

/// Bytes of one `lastlog` record: 4 time, 32 line, 256 host.
pub const LASTLOG_RECORD: u64 = 292;

/// The time of a `lastlog` record; zero means never.
#[must_use]
pub fn lastlog_time(record: &[u8]) -> Option<Timestamp> {
    let raw: [u8; 4] = record.get(..4)?.try_into().ok()?;
    let seconds = u32::from_le_bytes(raw);
    if seconds == 0 { None } else { Timestamp::from_second(i64::from(seconds)).ok() }
}

/// Newest log-on of each user in a `wtmp` file (`utmp(5)`, 384-byte records of 64-bit Linux).
#[must_use]
pub fn wtmp(bytes: &[u8]) -> std::collections::BTreeMap<String, Timestamp> {
    const RECORD: usize = 384;
    const USER_PROCESS: i32 = 7;
    let mut out = std::collections::BTreeMap::new();
    for record in bytes.chunks_exact(RECORD) {
        let word = |at: usize| {
            let raw: [u8; 4] = record[at..at + 4].try_into().unwrap_or_default();
            i32::from_le_bytes(raw)
        };
        if word(0) != USER_PROCESS {
            continue;
        }
        let user = record[44..76].split(|b| *b == 0).next().unwrap_or_default();
        let time = Timestamp::from_second(i64::from(word(340))).ok().filter(|t| *t > Timestamp::UNIX_EPOCH);
        if let (Ok(user), Some(time)) = (std::str::from_utf8(user), time)
            && !user.is_empty()
        {
            let newest = out.entry(user.to_owned()).or_insert(time);
            *newest = (*newest).max(time);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_password_states_are_read() {
        let users = passwd(
            "root:x:0:0:root:/root:/bin/bash\n+::::::\nbroken\nito:x:1000:1000:Ito,,,:/home/ito:/bin/sh\n",
        );
        assert_eq!(
            users.iter().map(|u| (u.name.as_str(), u.uid)).collect::<Vec<_>>(),
            [("root", 0), ("ito", 1000)]
        );
        let states: Vec<_> =
            shadow("a:$y$j9T$x:20000:0:99999:7:::\nb:!:1::::::\nc::1::::::\nd:!$6$x:1::::::\ne:*:::::::\n")
                .into_iter()
                .map(|s| s.state)
                .collect();
        assert_eq!(states, ["set", "none", "empty", "locked", "none"]);
    }

    #[test]
    fn groups_directories_and_shells_are_read() {
        assert_eq!(group("sudo:x:27:ito, abe\nx\n"), [("sudo".into(), 27, vec!["ito".into(), "abe".into()])]);
        assert_eq!(
            directories("passwd: files sss # winbind\ngroup: files winbind\nhosts: dns ldap\n"),
            ["sss", "winbind"]
        );
        assert!(is_login_shell("/bin/bash") && is_login_shell("") && !is_login_shell("/usr/sbin/nologin"));
    }

    #[test]
    fn log_on_records_are_read_and_cut_ones_skipped() {
        let mut record = vec![0u8; LASTLOG_RECORD as usize];
        assert_eq!(lastlog_time(&record), None);
        record[..4].copy_from_slice(&1_700_000_000u32.to_le_bytes());
        assert_eq!(lastlog_time(&record), Timestamp::from_second(1_700_000_000).ok());
        let mut entry = vec![0u8; 384];
        entry[0] = 7;
        entry[44..47].copy_from_slice(b"ito");
        entry[340..344].copy_from_slice(&1_700_000_000u32.to_le_bytes());
        entry.extend_from_slice(&[7; 100]);
        assert_eq!(
            wtmp(&entry).into_iter().collect::<Vec<_>>(),
            [("ito".into(), Timestamp::from_second(1_700_000_000).unwrap())]
        );
    }
}
