//! Settings files of automatic updates: INI files, shell assignments, lock lists.

/// Value of `key` in section `[section]` of an INI file; the last one wins. Names compare without case.
#[must_use]
pub fn ini<'a>(text: &'a str, section: &str, key: &str) -> Option<&'a str> {
    let mut inside = false;
    let mut found = None;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            inside = name.trim().eq_ignore_ascii_case(section);
        } else if inside && !line.starts_with(['#', ';']) {
            let pair = line.split_once('=').map(|(k, v)| (k.trim(), v.trim()));
            if let Some((_, value)) = pair.filter(|(k, _)| k.eq_ignore_ascii_case(key)) {
                found = Some(value);
            }
        }
    }
    found
}

/// Whether a value means yes, as dnf and shell files write it.
#[must_use]
pub fn is_yes(value: &str) -> bool {
    matches!(value.trim_matches('"').to_ascii_lowercase().as_str(), "1" | "yes" | "true" | "on")
}

/// Value of a shell assignment `KEY="value"`.
#[must_use]
pub fn assignment<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let value =
        |line: &'a str| line.trim().strip_prefix(key)?.strip_prefix('=').map(|v| v.trim().trim_matches('"'));
    text.lines().rev().find_map(value)
}

/// Entries of a list file: one a line, comments and a leading `!` (an exception) left out.
#[must_use]
pub fn entries(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with(['#', '!', '[']));
    lines.take(10_000).map(str::to_owned).collect()
}

/// Package names that zypper's lock file holds (`solvable_name: kernel*`).
#[must_use]
pub fn zypper_locks(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|l| l.trim().strip_prefix("solvable_name:"));
    names.take(10_000).map(|n| n.trim().to_owned()).collect()
}

/// A number of days or a switch of `APT::Periodic`: `0` is off, `always` and numbers are on.
#[must_use]
pub fn is_periodic_on(value: Option<&str>) -> bool {
    value.is_some_and(|v| !matches!(v.trim(), "" | "0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_files() {
        let text = "[commands]\n# apply_updates = no\napply_updates = yes\n[emitters]\nemit_via=stdio\napply_updates=no\n";
        assert_eq!(ini(text, "commands", "apply_updates"), Some("yes"));
        assert_eq!(ini(text, "base", "x"), None);
        assert!(is_yes("\"Yes\"") && !is_yes("no"));
        assert_eq!(assignment("A=1\nAOU_ENABLE_CRONJOB=\"true\"\n", "AOU_ENABLE_CRONJOB"), Some("true"));
        assert_eq!(entries("# c\nkernel-*\n!foo\n\n"), ["kernel-*"]);
        assert_eq!(zypper_locks("\ntype: package\nmatch_type: glob\nsolvable_name: kernel*\n"), ["kernel*"]);
        assert!(is_periodic_on(Some("1")) && is_periodic_on(Some("always")));
        assert!(!is_periodic_on(Some("0")) && !is_periodic_on(None));
    }
}
