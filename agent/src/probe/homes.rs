//! People's home folders, from `passwd`: where per-user settings lie.

use crate::sys::{Sys, SysError};

/// Lowest uid of a person's account on today's distributions; 0 is root.
const FIRST_USER: u32 = 1000;
/// `nobody` and what lies beyond it.
const LAST_USER: u32 = 60_000;
const MAX_HOMES: usize = 1_000;

/// One person's home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// User name.
    pub user: String,
    /// Uid, for owner checks.
    pub uid: u32,
    /// Folder, absolute.
    pub path: String,
}

/// Homes of root and of every person in `/etc/passwd`, in file order.
pub fn list(sys: &Sys) -> Result<Vec<Home>, SysError> {
    let text = sys.read_text("/etc/passwd")?;
    Ok(text.lines().filter_map(parse).take(MAX_HOMES).collect())
}

fn parse(line: &str) -> Option<Home> {
    let mut fields = line.split(':');
    let user = fields.next()?;
    let uid: u32 = fields.nth(1)?.parse().ok()?;
    let path = fields.nth(2)?;
    let person = uid == 0 || (FIRST_USER..LAST_USER).contains(&uid);
    (person && path.starts_with('/') && path != "/").then(|| Home {
        user: user.to_owned(),
        uid,
        path: path.trim_end_matches('/').to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_root_have_homes_and_services_do_not() {
        let home = |line| parse(line).map(|h| (h.user, h.uid, h.path));
        assert_eq!(home("root:x:0:0:root:/root:/bin/bash"), Some(("root".into(), 0, "/root".into())));
        assert_eq!(
            home("ito:x:1000:1000::/home/ito/:/bin/sh"),
            Some(("ito".into(), 1000, "/home/ito".into()))
        );
        for line in
            ["www-data:x:33:33::/var/www:/sbin/nologin", "nobody:x:65534:1::/x:/y", "a:x:1000", "+::::::"]
        {
            assert_eq!(home(line), None, "{line}");
        }
    }
}
