//! snapd's `state.json` and a snap's `meta/snap.yaml`.

use serde_json::Value;

/// One installed snap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snap {
    /// Name of the snap.
    pub name: String,
    /// Name of this instance (`name_key` for parallel installs).
    pub instance: String,
    /// Current revision (`x1` for snaps installed from a file).
    pub revision: String,
}

/// What a snap says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Yaml {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// The one architecture it is built for.
    pub arch: Option<String>,
}

/// Installed snaps, sorted by name; `None` where the text is no snapd state.
#[must_use]
pub fn parse_state(bytes: &[u8]) -> Option<Vec<Snap>> {
    let state: Value = serde_json::from_slice(bytes).ok()?;
    let Some(snaps) = state.get("data")?.get("snaps") else { return Some(vec![]) };
    let mut out: Vec<Snap> = snaps
        .as_object()?
        .iter()
        .take(10_000)
        .filter_map(|(instance, snap)| {
            let current = snap.get("current")?;
            let revision = current.as_str().map_or_else(|| current.to_string(), str::to_owned);
            let name = instance.split('_').next().unwrap_or(instance);
            Some(Snap { name: name.to_owned(), instance: instance.clone(), revision })
        })
        .collect();
    out.sort_by(|a, b| a.instance.cmp(&b.instance));
    Some(out)
}

/// Reads the top level of `snap.yaml`: plain scalars only, which is all that is needed of it.
/// `None` without name or version.
#[must_use]
pub fn parse_yaml(bytes: &[u8]) -> Option<Yaml> {
    let text = std::str::from_utf8(bytes).ok()?;
    let value = |key: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'))?;
        let line = line.split(" #").next().unwrap_or(line).trim();
        let line = line.strip_prefix(['"', '\'']).map_or(line, |l| l.trim_end_matches(['"', '\'']));
        (!line.is_empty()).then(|| line.to_owned())
    };
    let arch = value("architectures")
        .map(|list| list.trim_matches(['[', ']']).trim().to_owned())
        .or_else(|| {
            text.split_once("\narchitectures:\n")?
                .1
                .lines()
                .next()?
                .trim()
                .strip_prefix("- ")
                .map(str::to_owned)
        })
        .filter(|a| !a.is_empty() && !a.contains(','));
    Some(Yaml { name: value("name")?, version: value("version")?, arch })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_lists_current_revisions() {
        let state =
            br#"{"data":{"snaps":{"core22":{"current":"1380"},"hello_two":{"current":"x1"},"odd":{}}}}"#;
        let snaps = parse_state(state).unwrap();
        assert_eq!(snaps.len(), 2);
        assert_eq!((snaps[1].name.as_str(), snaps[1].revision.as_str()), ("hello", "x1"));
        assert_eq!(parse_state(b"{"), None);
        assert_eq!(parse_state(b"[]"), None);
        assert_eq!(parse_state(br#"{"data":{}}"#), Some(vec![]));
    }

    #[test]
    fn yaml_gives_name_and_version() {
        let yaml = parse_yaml(b"name: core\nversion: '16-2.61'\narchitectures:\n- amd64\n").unwrap();
        assert_eq!((yaml.version.as_str(), yaml.arch.as_deref()), ("16-2.61", Some("amd64")));
        assert_eq!(
            parse_yaml(b"name: a\nversion: 1\narchitectures: [arm64]").unwrap().arch.as_deref(),
            Some("arm64")
        );
        assert_eq!(parse_yaml(b"name: core\n"), None);
        assert_eq!(parse_yaml(b"\xff"), None);
    }
}
