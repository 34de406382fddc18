//! PAM stacks (`pam.conf(5)`) with their includes, as the log-on service sees them.

/// One module line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `auth`, `account`, `password`, `session`.
    pub kind: String,
    /// Control word or bracketed list.
    pub control: String,
    /// Module file name without folder (`pam_unix.so`).
    pub module: String,
    /// Arguments.
    pub args: Vec<String>,
}

impl Line {
    /// Value of `name=value`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.args.iter().find_map(|a| a.strip_prefix(name)?.strip_prefix('='))
    }

    /// A whole number given as `name=value`.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        self.value(name)?.parse().ok()
    }

    /// Whether a bare word is given.
    #[must_use]
    pub fn has(&self, word: &str) -> bool {
        self.args.iter().any(|a| a == word)
    }
}

/// What a line of a stack file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A module.
    Module(Line),
    /// `@include FILE`, or `TYPE include|substack FILE`; the kind is `None` for all.
    Include(Option<String>, String),
}

/// Reads a file of `/etc/pam.d`; lines that are neither are skipped.
#[must_use]
pub fn parse(text: &str) -> Vec<Item> {
    text.replace("\\\n", " ").lines().take(2_000).filter_map(item).collect()
}

fn item(line: &str) -> Option<Item> {
    let line = line.split('#').next()?.trim();
    if let Some(file) = line.strip_prefix("@include") {
        return Some(Item::Include(None, file.trim().to_owned()));
    }
    let (kind, rest) = line.split_once(char::is_whitespace)?;
    let kind = kind.trim_start_matches('-').to_ascii_lowercase();
    if !matches!(kind.as_str(), "auth" | "account" | "password" | "session") {
        return None;
    }
    let rest = rest.trim_start();
    let (control, rest) = match rest.strip_prefix('[') {
        Some(list) => list.split_once(']')?,
        None => rest.split_once(char::is_whitespace)?,
    };
    let mut words = rest.split_whitespace();
    let first = words.next()?;
    if matches!(control, "include" | "substack") {
        return Some(Item::Include(Some(kind), first.to_owned()));
    }
    Some(Item::Module(Line {
        kind,
        control: control.to_owned(),
        module: first.rsplit('/').next()?.to_owned(),
        args: words.map(str::to_owned).collect(),
    }))
}

/// `key = value` files (`faillock.conf`, `pwquality.conf`, `login.defs` with blanks); a bare word is `1`.
#[must_use]
pub fn settings(text: &str) -> std::collections::BTreeMap<String, String> {
    text.lines()
        .filter_map(|l| l.split('#').next())
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .map(|l| match l.split_once(['=', ' ', '\t']) {
            Some((key, value)) => {
                (key.trim().to_owned(), value.trim_start_matches([' ', '\t', '=']).trim().to_owned())
            }
            None => (l.to_owned(), "1".to_owned()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_controls_and_includes_are_read() {
        let items = parse(
            "# c\n@include common-auth\nauth substack system-auth\n-session optional pam_systemd.so\nauth [success=1 default=ignore] /lib/security/pam_unix.so nullok minlen=9\nnonsense here it is\n",
        );
        assert_eq!(items.len(), 4);
        assert_eq!(items[1], Item::Include(Some("auth".into()), "system-auth".into()));
        let Item::Module(line) = &items[3] else { panic!("{items:?}") };
        assert_eq!(
            (line.module.as_str(), line.control.as_str()),
            ("pam_unix.so", "success=1 default=ignore")
        );
        assert_eq!((line.number("minlen"), line.has("nullok"), line.number("deny")), (Some(9), true, None));
    }

    #[test]
    fn settings_are_read_in_every_spelling() {
        let map = settings("# x\ndeny = 3\nunlock_time=600\naudit\nPASS_MAX_DAYS\t99999\n");
        let get = |k: &str| map.get(k).map(String::as_str);
        assert_eq!(
            [get("deny"), get("unlock_time"), get("audit"), get("PASS_MAX_DAYS")],
            [Some("3"), Some("600"), Some("1"), Some("99999")]
        );
    }
}
