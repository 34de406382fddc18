//! USBGuard rules (`usbguard-rules.conf(5)`): the grammar, and what a policy lets a USB stick do.

use std::collections::BTreeSet;

/// What a rule does with a device it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Use it.
    Allow,
    /// Keep it from being used.
    Block,
    /// Remove it from the system.
    Reject,
}

/// How several values of an attribute are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOperator {
    /// Every value must be present.
    AllOf,
    /// At least one.
    OneOf,
    /// None of them.
    NoneOf,
    /// Exactly these (also what a plain value means).
    Equals,
    /// Exactly these, in this order.
    EqualsOrdered,
}

/// One rule, as far as it decides about storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What it does.
    pub target: Target,
    /// Attributes that narrow it, each at most once (`id`, `hash`, `name` ...).
    pub attributes: BTreeSet<&'static str>,
    /// The `id` values include `*:*` or there is no `id`.
    pub any_id: bool,
    /// Interfaces it wants.
    pub interfaces: Option<(SetOperator, Vec<String>)>,
    /// It has a condition (`if ...`).
    pub conditional: bool,
}

const ATTRIBUTES: [&str; 9] = [
    "id",
    "hash",
    "parent-hash",
    "name",
    "serial",
    "via-port",
    "with-interface",
    "with-connect-type",
    "label",
];
const MAX_RULES: usize = 10_000;

/// Reads a rules file. Empty lines and comments are skipped.
/// Errors: the number of the first line that is no rule; the daemon refuses such a file as well.
pub fn parse_rules(text: &str) -> Result<Vec<Rule>, usize> {
    let lines = text.lines().enumerate().map(|(i, l)| (i + 1, l.trim()));
    let rules = lines.filter(|(_, l)| !l.is_empty() && !l.starts_with('#')).take(MAX_RULES);
    rules.map(|(number, line)| parse_rule(line).ok_or(number)).collect()
}

/// Reads one rule; `None` where the line is none.
#[must_use]
pub fn parse_rule(line: &str) -> Option<Rule> {
    let tokens = tokens(line)?;
    let mut rest = tokens.as_slice();
    let target = match word(&mut rest)? {
        "allow" => Target::Allow,
        "block" => Target::Block,
        "reject" => Target::Reject,
        _ => return None,
    };
    let mut rule =
        Rule { target, attributes: BTreeSet::new(), any_id: true, interfaces: None, conditional: false };
    if let Some(Token::Word(id)) = rest.first()
        && is_id(id)
    {
        rule.any_id = *id == "*:*";
        rule.attributes.insert("id");
        rest = &rest[1..];
    }
    while let Some(name) = word(&mut rest) {
        if name == "if" {
            if rule.conditional {
                return None;
            }
            conditions(&mut rest)?;
            rule.conditional = true;
        } else {
            attribute(&mut rule, name, &mut rest)?;
        }
    }
    rest.is_empty().then_some(rule)
}

fn attribute(rule: &mut Rule, name: &str, rest: &mut &[Token<'_>]) -> Option<()> {
    let name = ATTRIBUTES.into_iter().find(|a| *a == name)?;
    if !rule.attributes.insert(name) {
        return None;
    }
    let (operator, values) = values(rest)?;
    match name {
        "id" => {
            let ids = words(&values)?;
            if !ids.iter().all(|v| is_id(v)) {
                return None;
            }
            rule.any_id = ids.contains(&"*:*") || operator == SetOperator::NoneOf;
        }
        "with-interface" => {
            let types = words(&values)?;
            if !types.iter().all(|v| is_interface(v)) {
                return None;
            }
            rule.interfaces = Some((operator, types.into_iter().map(str::to_owned).collect()));
        }
        _ if values.iter().all(|v| matches!(v, Token::Text)) => {}
        _ => return None,
    }
    Some(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    /// A quoted string; what it says does not matter here.
    Text,
    Open,
    Close,
}

fn tokens(line: &str) -> Option<Vec<Token<'_>>> {
    let mut out = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let used = match first {
            '#' => break,
            '{' | '}' => {
                out.push(if first == '{' { Token::Open } else { Token::Close });
                1
            }
            '"' => {
                out.push(Token::Text);
                quoted(rest)?
            }
            _ => {
                let end = word_end(rest)?;
                out.push(Token::Word(&rest[..end]));
                end
            }
        };
        let after = &rest[used..];
        let separated = after.is_empty() || after.starts_with([' ', '\t', '}']);
        if !separated && !matches!(out.last(), Some(Token::Open)) {
            return None;
        }
        rest = after.trim_start();
    }
    Some(out)
}

/// End of a word: white space outside of round brackets, which a condition's argument may hold.
fn word_end(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut in_text = false;
    for (i, c) in text.char_indices() {
        match c {
            '"' if depth > 0 => in_text = !in_text,
            '"' => return None,
            _ if in_text => {}
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            ' ' | '\t' | '{' | '}' if depth == 0 => return Some(i),
            _ => {}
        }
    }
    (depth == 0 && !in_text).then_some(text.len())
}

/// Bytes of a quoted string, quotes included; backslash escapes the next character.
fn quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(i + 1),
            _ => {}
        }
    }
    None
}

fn word<'a>(rest: &mut &[Token<'a>]) -> Option<&'a str> {
    match rest.first() {
        Some(Token::Word(word)) => {
            *rest = &rest[1..];
            Some(word)
        }
        _ => None,
    }
}

fn words<'a>(values: &[Token<'a>]) -> Option<Vec<&'a str>> {
    values.iter().map(|v| if let Token::Word(w) = v { Some(*w) } else { None }).collect()
}

/// One value, or a set in braces with an optional operator before it.
fn values<'a>(rest: &mut &[Token<'a>]) -> Option<(SetOperator, Vec<Token<'a>>)> {
    let operator = match rest.first()? {
        Token::Word("all-of") => Some(SetOperator::AllOf),
        Token::Word("one-of") => Some(SetOperator::OneOf),
        Token::Word("none-of") => Some(SetOperator::NoneOf),
        Token::Word("equals") => Some(SetOperator::Equals),
        Token::Word("equals-ordered") => Some(SetOperator::EqualsOrdered),
        _ => None,
    };
    if operator.is_some() {
        *rest = &rest[1..];
    }
    match *rest.first()? {
        Token::Open => {
            let end = rest.iter().position(|t| *t == Token::Close)?;
            let values = rest[1..end].to_vec();
            *rest = &rest[end + 1..];
            let flat = !values.is_empty() && !values.contains(&Token::Open);
            flat.then(|| (operator.unwrap_or(SetOperator::Equals), values))
        }
        Token::Close => None,
        value if operator.is_none() => {
            *rest = &rest[1..];
            Some((SetOperator::Equals, vec![value]))
        }
        _ => None,
    }
}

fn conditions(rest: &mut &[Token<'_>]) -> Option<()> {
    let (_, values) = values(rest)?;
    words(&values)?.into_iter().all(is_condition).then_some(())
}

fn is_condition(text: &str) -> bool {
    let text = text.strip_prefix('!').unwrap_or(text);
    let (name, argument) = match text.split_once('(') {
        None => (text, None),
        Some((name, rest)) => match rest.strip_suffix(')') {
            Some(argument) => (name, Some(argument)),
            None => return false,
        },
    };
    match (name, argument) {
        ("true" | "false", argument) => argument.is_none(),
        ("allowed-matches", Some(query)) => parse_rule(&format!("allow {query}")).is_some(),
        ("localtime", Some(range)) => !range.is_empty(),
        ("random" | "rule-applied" | "rule-evaluated", argument) => {
            argument.is_none_or(|a| !a.contains(['(', ')']))
        }
        _ => false,
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_id(text: &str) -> bool {
    match text.split_once(':') {
        Some(("*", "*")) => true,
        Some((vendor, product)) => is_hex(vendor, 4) && (product == "*" || is_hex(product, 4)),
        None => false,
    }
}

fn is_interface(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [class, "*", "*"] => is_hex(class, 2),
        [class, sub, "*"] => is_hex(class, 2) && is_hex(sub, 2),
        [class, sub, protocol] => [class, sub, protocol].iter().all(|p| is_hex(p, 2)),
        _ => false,
    }
}

/// What a policy does with USB storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageEffect {
    /// Any stick can be used.
    Allowed,
    /// Only sticks that rules name.
    AllowList,
    /// None.
    Blocked,
}

/// The effect of rules in order on a stick no rule knows. Doubt (conditions, ports, names that any
/// device can bear) counts as allowed.
#[must_use]
pub fn storage_effect(rules: &[Rule], implicit_blocks: bool) -> StorageEffect {
    let mut named = false;
    for rule in rules.iter().filter(|r| may_match_storage(r)) {
        let narrow = rule.attributes.iter().any(|a| *a != "with-interface")
            && !(rule.attributes.contains("id")
                && rule.any_id
                && rule.attributes.iter().all(|a| matches!(*a, "id" | "with-interface")));
        match rule.target {
            Target::Allow if identifies(rule) => named = true,
            Target::Allow => return StorageEffect::Allowed,
            Target::Block | Target::Reject if !narrow && !rule.conditional && catches_all_storage(rule) => {
                return if named { StorageEffect::AllowList } else { StorageEffect::Blocked };
            }
            Target::Block | Target::Reject => {}
        }
    }
    match (implicit_blocks, named) {
        (false, _) => StorageEffect::Allowed,
        (true, true) => StorageEffect::AllowList,
        (true, false) => StorageEffect::Blocked,
    }
}

fn identifies(rule: &Rule) -> bool {
    let has = |name| rule.attributes.contains(name);
    (has("id") && !rule.any_id) || has("hash") || has("serial")
}

fn is_storage(interface: &str) -> bool {
    interface.starts_with("08:")
}

fn may_match_storage(rule: &Rule) -> bool {
    match &rule.interfaces {
        None => true,
        Some((SetOperator::NoneOf, types)) => !types.iter().any(|t| t == "08:*:*"),
        Some((_, types)) => types.iter().any(|t| is_storage(t)),
    }
}

/// Whether every stick is caught, composite ones included.
fn catches_all_storage(rule: &Rule) -> bool {
    match &rule.interfaces {
        None => true,
        Some((SetOperator::OneOf, types)) => types.iter().any(|t| t == "08:*:*"),
        Some((SetOperator::AllOf, types)) => types.iter().all(|t| t == "08:*:*"),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::fixture::corpus;

    fn effect(rules: &str) -> StorageEffect {
        storage_effect(&parse_rules(rules).unwrap(), true)
    }

    #[test]
    fn policies_are_judged_for_an_unknown_stick() {
        let keyboard =
            "allow id 046d:c31c serial \"\" name \"Keyboard\" with-interface { 03:01:01 03:00:00 }\n";
        let stick = "allow id 13fe:6500 serial \"07001A\" name \"USB DISK 3.2\" hash \"x=\"\n";
        assert_eq!(effect(keyboard), StorageEffect::Blocked);
        assert_eq!(effect(&format!("{keyboard}{stick}")), StorageEffect::AllowList);
        assert_eq!(effect("allow\n"), StorageEffect::Allowed);
        assert_eq!(effect("allow id *:*\n"), StorageEffect::Allowed);
        assert_eq!(effect("allow with-interface one-of { 03:00:01 08:*:* }"), StorageEffect::Allowed);
        assert_eq!(effect("allow via-port \"1-2\""), StorageEffect::Allowed);
        assert_eq!(effect("block with-interface one-of { 08:*:* }\nallow\n"), StorageEffect::Blocked);
        assert_eq!(effect("reject with-interface all-of { 08:*:* 03:00:* }\nallow"), StorageEffect::Allowed);
        assert_eq!(
            effect("block with-interface 08:*:*\nallow"),
            StorageEffect::Allowed,
            "a composite stick passes"
        );
        assert_eq!(storage_effect(&[], false), StorageEffect::Allowed);
    }

    #[test]
    fn a_bad_line_is_named() {
        assert_eq!(parse_rules("# c\n\nallow id 1234:abcd\nallow id 12:34\n"), Err(4));
    }

    #[test]
    fn corpus_rules_parse_and_bad_lines_are_rejected() {
        let Some(folder) = corpus("usbguard") else { return };
        let read = |name: &str| std::fs::read_to_string(folder.join("usbguard").join(name)).unwrap();
        for line in read("test-rules.good").lines() {
            assert!(
                line.trim().is_empty() || line.trim_start().starts_with('#') || parse_rule(line).is_some(),
                "{line}"
            );
        }
        for line in read("test-rules.bad").lines().filter(|l| !l.trim().is_empty()) {
            assert_eq!(parse_rule(line), None, "{line}");
        }
        let policy = std::fs::read_to_string(folder.join("nixos-configs/generated-policy.rules")).unwrap();
        let rules = parse_rules(&policy).unwrap();
        assert_eq!((rules.len(), storage_effect(&rules, true)), (5, StorageEffect::AllowList));
    }
}
