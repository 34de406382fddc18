//! Rule sets as `nft -j` and `iptables-save` print them, and the settings of ufw and firewalld.

use std::collections::BTreeMap;

use serde_json::Value;
use tenken_shared::fact::firewall::FirewallProfile;

/// Base chains that filter inbound traffic, from `nft -j list ruleset`.
/// Shape: one profile per input base chain (`inet filter input`), in order of the rule set.
/// Errors: the text is no such document.
pub fn nft_ruleset(bytes: &[u8]) -> Result<Vec<FirewallProfile>, String> {
    let document: Value = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let objects = document.get("nftables").and_then(Value::as_array).ok_or("no nftables array")?;
    let mut rules: BTreeMap<(&str, &str, &str), (u64, Option<&str>)> = BTreeMap::new();
    for rule in objects.iter().filter_map(|o| o.get("rule")) {
        let entry = rules.entry(key(rule, "chain")).or_default();
        entry.0 += 1;
        entry.1 = entry.1.or_else(|| refuses_everything(rule));
    }
    let chains = objects.iter().filter_map(|o| o.get("chain"));
    Ok(chains
        .filter(|c| text(c, "hook") == "input" && text(c, "type") == "filter")
        .map(|chain| {
            let key = key(chain, "name");
            let (count, refuses) = rules.get(&key).copied().unwrap_or_default();
            let policy = Some(text(chain, "policy")).filter(|p| !p.is_empty());
            FirewallProfile {
                name: format!("{} {} {}", key.0, key.1, key.2),
                enabled: Some(true),
                default_inbound: refuses.or(policy).map(str::to_owned),
                rules: Some(count),
            }
        })
        .collect())
}

/// `drop` or `reject` for a rule without any condition: whatever reaches it is refused.
fn refuses_everything(rule: &Value) -> Option<&'static str> {
    let mut verdict = None;
    for statement in rule.get("expr")?.as_array()? {
        match statement.as_object()?.keys().next()?.as_str() {
            "counter" | "log" => {}
            "drop" => verdict = Some("drop"),
            "reject" => verdict = Some("reject"),
            _ => return None,
        }
    }
    verdict
}

fn key<'a>(object: &'a Value, name: &str) -> (&'a str, &'a str, &'a str) {
    (text(object, "family"), text(object, "table"), text(object, name))
}

fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The INPUT chain of the filter table, from `iptables-save`. `None` where that table is not there.
#[must_use]
pub fn iptables_save(output: &str, family: &str) -> Option<FirewallProfile> {
    let mut table = "";
    let mut profile = None;
    let mut rules = 0;
    for line in output.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name.trim();
        } else if table == "filter" && line.starts_with(":INPUT ") {
            profile = line.split_whitespace().nth(1).map(str::to_ascii_lowercase);
        } else if table == "filter" && line.starts_with("-A INPUT") {
            rules += 1;
            let refused = match line.strip_prefix("-A INPUT -j ").map(|t| t.split(' ').next()) {
                Some(Some("DROP")) => Some("drop"),
                Some(Some("REJECT")) => Some("reject"),
                _ => None,
            };
            if let Some(word) = refused {
                profile = profile.map(|_| word.to_owned());
            }
        }
    }
    profile.map(|policy| FirewallProfile {
        name: format!("{family} filter INPUT"),
        enabled: Some(true),
        default_inbound: Some(policy),
        rules: Some(rules),
    })
}

/// Whether a chain refuses what no rule allows. Single drop rules (a blocked address, a container's
/// forwarding) on an accepting chain make no firewall.
#[must_use]
pub fn filters(profile: &FirewallProfile) -> bool {
    profile.default_inbound.as_deref().is_some_and(|p| matches!(p, "drop" | "reject"))
}

/// Protocols whose traffic to the machine passes a chain, by the family its name begins with.
#[must_use]
pub fn protocols(profile: &FirewallProfile) -> &'static [&'static str] {
    match profile.name.split(' ').next().unwrap_or_default() {
        "inet" => &["ipv4", "ipv6"],
        "ip" | "ip-legacy" => &["ipv4"],
        "ip6" | "ip6-legacy" => &["ipv6"],
        _ => &[],
    }
}

/// `KEY=value` files of ufw (`ufw.conf`, `/etc/default/ufw`), quotes removed.
#[must_use]
pub fn shell_settings(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter(|l| !l.trim_start().starts_with('#'))
        .filter_map(|l| l.split_once('='))
        .map(|(k, v)| (k.trim().to_owned(), v.trim().trim_matches(['"', '\'']).to_owned()))
        .collect()
}

/// Number of rules the user gave ufw (`### tuple ###` lines of `user.rules`).
#[must_use]
pub fn ufw_rules(text: &str) -> u64 {
    text.lines().filter(|l| l.starts_with("### tuple ###")).count() as u64
}

/// Target of a firewalld zone file and its number of rules. No target means reject what no rule allows.
#[must_use]
pub fn firewalld_zone(name: &str, xml: &str) -> FirewallProfile {
    let attribute = |key: &str| {
        let head = xml.split_once("<zone")?.1.split_once('>')?.0;
        let value = head.split_once(&format!("{key}=\""))?.1;
        value.split_once('"').map(|(v, _)| v.to_owned())
    };
    let default_inbound = match attribute("target").as_deref() {
        Some("ACCEPT") => "accept",
        Some("DROP") => "drop",
        _ => "reject",
    };
    let rules = ["<service", "<port ", "<rule", "<protocol", "<source-port"].iter();
    FirewallProfile {
        name: name.to_owned(),
        enabled: None,
        default_inbound: Some(default_inbound.into()),
        rules: Some(rules.map(|tag| xml.matches(tag).count() as u64).sum()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nft_input_chains_are_found_and_nothing_loaded_is_empty() {
        let text = r#"{"nftables":[{"metainfo":{"version":"1.0.6"}},{"table":{"family":"inet","name":"filter","handle":1}},{"chain":{"family":"inet","table":"filter","name":"input","handle":1,"type":"filter","hook":"input","prio":0,"policy":"drop"}},{"chain":{"family":"inet","table":"filter","name":"output","type":"filter","hook":"output","prio":0,"policy":"accept"}},{"rule":{"family":"inet","table":"filter","chain":"input","handle":4,"expr":[]}}]}"#;
        let found = nft_ruleset(text.as_bytes()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].rules), ("inet filter input", Some(1)));
        assert!(filters(&found[0]));
        assert_eq!(nft_ruleset(br#"{"nftables":[{"metainfo":{}}]}"#).unwrap(), []);
        for bad in ["", "{}", "[1]", "{\"nftables\":1}"] {
            assert!(nft_ruleset(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_accepting_chain_without_rules_filters_nothing() {
        let open = iptables_save("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n", "ip").unwrap();
        assert!(!filters(&open));
        let shut = iptables_save(
            "*nat\n:INPUT ACCEPT\n*filter\n:INPUT DROP [1:2]\n-A INPUT -i lo -j ACCEPT\n",
            "ip",
        );
        assert_eq!(shut.as_ref().unwrap().default_inbound.as_deref(), Some("drop"));
        assert!(filters(&shut.unwrap()));
        assert_eq!(iptables_save("", "ip"), None);
    }

    #[test]
    fn a_closing_rule_is_a_default_and_a_single_drop_is_not() {
        let chain = |rules: &str| {
            let text = format!(
                r#"{{"nftables":[{{"chain":{{"family":"ip","table":"t","name":"i","type":"filter","hook":"input","policy":"accept"}}}}{rules}]}}"#
            );
            nft_ruleset(text.as_bytes()).unwrap().remove(0)
        };
        let rule =
            |expr: &str| format!(r#",{{"rule":{{"family":"ip","table":"t","chain":"i","expr":[{expr}]}}}}"#);
        let single = chain(&rule(r#"{"match":{"op":"==","left":1,"right":2}},{"drop":null}"#));
        assert!(!filters(&single), "{single:?}");
        let closing = chain(&rule(r#"{"counter":{"packets":0,"bytes":0}},{"reject":{"type":"icmpx"}}"#));
        assert_eq!((closing.default_inbound.as_deref(), filters(&closing)), (Some("reject"), true));
        let banned =
            iptables_save("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 1.2.3.4/32 -j DROP\n", "ip").unwrap();
        assert!(!filters(&banned));
        let closed = iptables_save(
            "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j REJECT --reject-with icmp-host-prohibited\n",
            "ip",
        );
        assert!(filters(&closed.unwrap()));
    }

    #[test]
    fn ufw_and_firewalld_settings_are_read() {
        assert_eq!(
            shell_settings("# x\nENABLED=yes\nA=\"b\"\n").get("ENABLED").map(String::as_str),
            Some("yes")
        );
        assert_eq!(ufw_rules("*filter\n### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in\n-A x\n"), 1);
        let zone =
            firewalld_zone("public", "<?xml?>\n<zone target=\"DROP\">\n <service name=\"ssh\"/>\n</zone>");
        assert_eq!((zone.default_inbound.as_deref(), zone.rules), (Some("drop"), Some(1)));
        assert_eq!(firewalld_zone("x", "").default_inbound.as_deref(), Some("reject"));
    }
}
