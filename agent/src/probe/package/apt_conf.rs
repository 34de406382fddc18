//! The grammar of `apt.conf`(5): nested scopes, lists, three kinds of comments, `#clear`.

/// Most settings of one configuration.
const MAX_SETTINGS: usize = 20_000;
/// Deepest nesting.
const MAX_DEPTH: usize = 32;

/// A configuration: settings in order, later ones win.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AptConf {
    /// Full name (`APT::Periodic::Enable`; items of a list end in `::`) and value.
    settings: Vec<(String, String)>,
}

impl AptConf {
    /// Reads one file on top of what is there. Bytes that are not UTF-8 are replaced; what does not read
    /// as the grammar is skipped up to the next statement.
    pub fn read(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let mut scopes: Vec<String> = vec![];
        let mut words: Vec<Word> = vec![];
        for token in tokens(&text) {
            match token {
                Token::Word(word) if words.len() < 64 => words.push(word),
                Token::Word(_) => {}
                Token::Open => {
                    if scopes.len() < MAX_DEPTH {
                        scopes.push(words.first().map(|w| w.text.clone()).unwrap_or_default());
                    }
                    words.clear();
                }
                Token::End => self.statement(&scopes, &std::mem::take(&mut words)),
                Token::Close => {
                    self.statement(&scopes, &std::mem::take(&mut words));
                    scopes.pop();
                }
                Token::Clear(name) => {
                    let inside = format!("{}::", name.to_ascii_lowercase());
                    self.settings.retain(|(key, _)| {
                        let key = key.to_ascii_lowercase();
                        key != name.to_ascii_lowercase() && !key.starts_with(&inside)
                    });
                }
            }
        }
    }

    fn statement(&mut self, scopes: &[String], words: &[Word]) {
        if self.settings.len() >= MAX_SETTINGS {
            return;
        }
        let scope = scopes.join("::");
        let (name, value) = match words {
            [] => return,
            // A value alone is one more item of the scope's list.
            [value] if !scope.is_empty() => (format!("{scope}::"), value.text.clone()),
            [name, value, ..] if !name.quoted => (join(&scope, &name.text), value.text.clone()),
            _ => return,
        };
        self.settings.push((name, value));
    }

    /// The last value of a setting, names compared without case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Items of a list, named ones included.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<&str> {
        let inside = format!("{}::", name.to_ascii_lowercase());
        let is_item = |key: &str| {
            key.to_ascii_lowercase().strip_prefix(&inside).is_some_and(|rest| !rest.contains("::"))
        };
        self.settings.iter().filter(|(key, _)| is_item(key)).map(|(_, v)| v.as_str()).collect()
    }

    /// A switch in any of apt's spellings.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name)?.to_ascii_lowercase().as_str() {
            "no" | "false" | "without" | "off" | "disable" | "0" => Some(false),
            "yes" | "true" | "with" | "on" | "enable" | "1" => Some(true),
            _ => None,
        }
    }
}

fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}::{name}") }
}

struct Word {
    text: String,
    quoted: bool,
}

enum Token {
    Word(Word),
    Open,
    Close,
    End,
    Clear(String),
}

fn tokens(text: &str) -> impl Iterator<Item = Token> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start();
            let first = rest.chars().next()?;
            if let Some(after) = rest.strip_prefix("#clear ") {
                let (name, after) = after.split_once(';').unwrap_or((after, ""));
                rest = after;
                return Some(Token::Clear(name.trim().trim_end_matches(':').to_owned()));
            }
            if let Some(after) = rest.strip_prefix("/*") {
                rest = after.split_once("*/").map_or("", |(_, after)| after);
                continue;
            }
            if first == '#' || rest.starts_with("//") {
                rest = rest.split_once('\n').map_or("", |(_, after)| after);
                continue;
            }
            let single = match first {
                '{' => Some(Token::Open),
                '}' => Some(Token::Close),
                ';' => Some(Token::End),
                _ => None,
            };
            if single.is_some() {
                rest = &rest[1..];
                return single;
            }
            if let Some(after) = rest.strip_prefix('"') {
                let (text, after) = after.split_once('"').unwrap_or((after, ""));
                rest = after;
                return Some(Token::Word(Word { text: text.to_owned(), quoted: true }));
            }
            let end = rest.find(|c: char| c.is_whitespace() || "{};\"".contains(c)).unwrap_or(rest.len());
            let (text, after) = rest.split_at(end);
            rest = after;
            return Some(Token::Word(Word { text: text.to_owned(), quoted: false }));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_lists_comments_and_clear() {
        let mut conf = AptConf::default();
        conf.read(
            br#"// comment with "quotes"
            APT::Periodic::Update-Package-Lists "1"; # why
            APT { Periodic { Unattended-Upgrade "0"; }; Default-Release stable; };
            /* APT::Periodic::Enable "0"; */
            Unattended-Upgrade::Origins-Pattern {
                "origin=Debian,label=Debian";   // one
                "origin=Debian,label=Debian-Security";
            };
            Acquire::http::Proxy "http://proxy.example:3128/";
            List:: "a"; List:: "b";"#,
        );
        assert_eq!(conf.get("apt::periodic::unattended-upgrade"), Some("0"));
        assert_eq!(conf.flag("APT::Periodic::Update-Package-Lists"), Some(true));
        assert_eq!(conf.get("APT::Default-Release"), Some("stable"));
        assert_eq!(conf.get("APT::Periodic::Enable"), None);
        assert_eq!(conf.list("Unattended-Upgrade::Origins-Pattern").len(), 2);
        assert_eq!(conf.get("Acquire::http::Proxy"), Some("http://proxy.example:3128/"));
        assert_eq!(conf.list("List"), ["a", "b"]);
        conf.read(b"#clear List;\nAPT::Periodic::Unattended-Upgrade \"1\";");
        assert_eq!(conf.list("List"), Vec::<&str>::new());
        assert_eq!(conf.flag("APT::Periodic::Unattended-Upgrade"), Some(true));
    }

    #[test]
    fn nonsense_does_not_panic() {
        for text in ["}}}};;{{{", "\"open", "#clear", "/* open", "a b c d", "é{\"", "#clear ;"] {
            let mut conf = AptConf::default();
            conf.read(text.as_bytes());
            assert!(conf.list("a").is_empty());
        }
        let mut conf = AptConf::default();
        conf.read(&b"a{".repeat(10_000));
        assert_eq!(conf, AptConf::default());
    }
}
