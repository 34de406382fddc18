//! Which backup program a command line, cron line or script runs, and on which repository.
//!
//! A reader of shell-like text, not a shell: words, quotes, `NAME=value` and `$NAME` are understood;
//! what would need running is left unknown. Only repository locations are taken, nothing else is kept.

use std::collections::BTreeMap;

/// Programs that make backups, with the words that tell a backup run from upkeep (`prune`, `check`).
/// Empty: any run is one.
const TOOLS: &[(&str, &[&str])] = &[
    ("restic", &["backup"]),
    ("rustic", &["backup"]),
    ("borg", &["create"]),
    ("borgmatic", &[]),
    ("kopia", &["create"]),
    ("duplicity", &[]),
    ("rdiff-backup", &[]),
    ("rsnapshot", &[]),
    ("timeshift", &["--create", "--check"]),
    ("btrbk", &["run", "snapshot"]),
    ("tarsnap", &["-c"]),
    ("autorestic", &["backup"]),
    ("resticprofile", &["backup"]),
    ("proxmox-backup-client", &["backup"]),
    ("duplicati-cli", &["backup"]),
    ("bacula-fd", &[]),
    ("bareos-fd", &[]),
];
const MAX_WORDS: usize = 20_000;
/// Longest text a word may become with its variables filled in, in bytes (`A=$A$A` doubles each time).
const MAX_FILLED: usize = 16 * 1024;

/// One use of a backup program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention {
    /// Program (`restic`).
    pub product: String,
    /// It makes a backup, as far as the words tell (not only upkeep of the repository).
    pub makes_backup: bool,
    /// Repository location as written, variables filled in; `None` where the text does not say.
    pub repository: Option<String>,
}

/// Finds every use of a known backup program in `text`, sorted and without repeats.
/// `environment` holds `NAME=value` known from outside (a unit's `Environment=`).
#[must_use]
pub fn mentions(text: &str, environment: &BTreeMap<String, String>) -> Vec<Mention> {
    let mut vars = environment.clone();
    let mut found = Vec::new();
    let joined = text.replace("\\\n", " ");
    for line in joined.lines().take(MAX_WORDS) {
        let words = words(line);
        for command in words.split(|w| matches!(w.as_str(), ";" | "&&" | "||" | "|" | "&")) {
            found.extend(mention(command, &mut vars));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// `NAME=value` lines of an environment file, quotes removed.
#[must_use]
pub fn assignments(text: &str) -> BTreeMap<String, String> {
    text.lines().flat_map(words).filter_map(|w| assignment(&w)).collect()
}

fn mention(command: &[String], vars: &mut BTreeMap<String, String>) -> Option<Mention> {
    for word in command {
        if let Some((name, value)) = assignment(word) {
            let value = fill(&value, vars);
            vars.insert(name, value);
        }
    }
    let at = command.iter().position(|w| tool(w).is_some())?;
    let (product, actions) = tool(&command[at])?;
    let args: Vec<String> = command[at + 1..].iter().map(|w| fill(w, vars)).collect();
    if product == "borg" && args.iter().any(|a| a == "serve") {
        return None;
    }
    Some(Mention {
        product: product.to_owned(),
        makes_backup: actions.is_empty() || args.iter().any(|a| actions.contains(&a.as_str())),
        repository: repository(product, &args, vars).filter(|r| !r.is_empty() && !r.contains('$')),
    })
}

fn tool(word: &str) -> Option<(&'static str, &'static [&'static str])> {
    let base = word.rsplit('/').next()?;
    TOOLS.iter().find(|(name, _)| *name == base).copied()
}

fn repository(product: &str, args: &[String], vars: &BTreeMap<String, String>) -> Option<String> {
    let option = |names: &[&str]| {
        args.iter().enumerate().find_map(|(i, arg)| {
            names.iter().find_map(|name| match arg.strip_prefix(name) {
                Some("") => args.get(i + 1).cloned(),
                Some(rest) if name.starts_with("--") => rest.strip_prefix('=').map(str::to_owned),
                Some(rest) => Some(rest.to_owned()),
                None => None,
            })
        })
    };
    match product {
        "restic" | "rustic" => option(&["--repo", "-r"]).or_else(|| vars.get("RESTIC_REPOSITORY").cloned()),
        "borg" => {
            let named = option(&["--repo", "-r"]).or_else(|| vars.get("BORG_REPO").cloned());
            let positional = args.iter().filter(|a| !a.starts_with('-')).find_map(|a| a.split_once("::"));
            positional.map(|(repo, _)| repo.to_owned()).filter(|r| !r.is_empty()).or(named)
        }
        _ => None,
    }
}

fn assignment(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let fine = !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    fine.then(|| (name.to_owned(), value.to_owned()))
}

/// Fills in `$NAME` and `${NAME}` where known; unknown ones and what would pass [`MAX_FILLED`] stay a `$`,
/// so that the caller sees the gap.
fn fill(word: &str, vars: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let (name, after) = match tail.strip_prefix('{').and_then(|t| t.split_once('}')) {
            Some(braced) => braced,
            None => {
                let end = tail.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(tail.len());
                tail.split_at(end)
            }
        };
        match vars.get(name) {
            Some(value) if out.len() + value.len() <= MAX_FILLED => out.push_str(value),
            _ => out.push('$'),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Words of one line: quotes removed, comments cut, `;`, `|`, `&` as words of their own.
fn words(line: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), _) if c == q => quote = None,
            (Some(_), _) => word.push(c),
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') if word.is_empty() => break,
            (None, ';' | '|' | '&') => {
                push(&mut out, &mut word);
                word.push(c);
                if c != ';' && chars.peek() == Some(&c) {
                    word.extend(chars.next());
                }
                push(&mut out, &mut word);
            }
            (None, _) if c.is_whitespace() => push(&mut out, &mut word),
            (None, _) => word.push(c),
        }
        if out.len() >= MAX_WORDS {
            break;
        }
    }
    push(&mut out, &mut word);
    out
}

fn push(out: &mut Vec<String>, word: &mut String) {
    if !word.is_empty() {
        out.push(std::mem::take(word));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, bool, Option<String>)> {
        mentions(text, &BTreeMap::new())
            .into_iter()
            .map(|m| (m.product, m.makes_backup, m.repository))
            .collect()
    }

    #[test]
    fn repositories_are_found_in_options_variables_and_positions() {
        let restic = |repo: &str| ("restic".to_owned(), true, Some(repo.to_owned()));
        for text in [
            "/usr/bin/restic -r /srv/r backup /home",
            "restic --repo=/srv/r backup /home",
            "0 3 * * * root RESTIC_REPOSITORY=/srv/r restic backup /home > /dev/null",
            "export RESTIC_REPOSITORY=\"/srv/r\"\nnice -n 19 restic backup /home && restic check",
            "DIR=/srv\nrestic -r ${DIR}/r backup /home",
        ] {
            assert!(found(text).contains(&restic("/srv/r")), "{text}: {:?}", found(text));
        }
        assert_eq!(
            found("borg create --stats ssh://b@nas.local/./repo::'{now}' /etc"),
            [("borg".into(), true, Some("ssh://b@nas.local/./repo".into()))]
        );
    }

    #[test]
    fn upkeep_unknown_variables_comments_and_servers_are_told_apart() {
        assert_eq!(
            found("restic -r /srv/r forget --prune"),
            [("restic".into(), false, Some("/srv/r".into()))]
        );
        assert_eq!(found("restic -r $REPO backup /"), [("restic".into(), true, None)]);
        assert_eq!(found("# restic -r /srv/r backup /"), []);
        assert_eq!(found("borg serve --restrict-to-path /srv"), []);
        assert_eq!(found("rsync -a /a /b; cp restic.conf /etc"), []);
        assert_eq!(found("'\"$ ${ restic -r"), []);
    }

    #[test]
    fn variables_that_double_are_left_unknown_once_too_long() {
        let text = format!("A=/srv/r\n{}restic -r $A backup /home", "A=$A$A\n".repeat(64));
        assert_eq!(found(&text), [("restic".into(), true, None)]);
    }
}
