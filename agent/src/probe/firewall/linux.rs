//! Firewall of a Linux machine. What is loaded now decides, for IPv4 and, where the machine has it, for IPv6;
//! under a root folder only what would be loaded at boot is known, and `active` stays unknown.

use tenken_shared::fact::firewall::{Firewall, FirewallProduct, FirewallProfile};

use super::parse;
use crate::probe::Collection;
use crate::probe::sources::{Sources, collected};
use crate::probe::systemd::Units;
use crate::sys::{Command, Sys, SysError};

const NFT: [&str; 2] = ["/usr/sbin/nft", "/sbin/nft"];
const IPTABLES: [(&str, &str); 4] = [
    ("/usr/sbin/iptables-save", "ip"),
    ("/usr/sbin/ip6tables-save", "ip6"),
    ("/usr/sbin/iptables-legacy-save", "ip-legacy"),
    ("/usr/sbin/ip6tables-legacy-save", "ip6-legacy"),
];

const IPV6: &str = "/proc/sys/net/ipv6/conf";
const NFTABLES_UNIT: &str = "nftables.service";
const FIREWALLD_UNIT: &str = "firewalld.service";
const UFW_UNIT: &str = "ufw.service";
const IPTABLES_UNITS: [&str; 3] =
    ["netfilter-persistent.service", "iptables.service", "iptables-restore.service"];

fn is_asked_for(unit: &str) -> bool {
    [NFTABLES_UNIT, FIREWALLD_UNIT, UFW_UNIT].contains(&unit) || IPTABLES_UNITS.contains(&unit)
}

/// Collects the fact.
pub(super) fn collect(sys: &Sys) -> Collection {
    let mut sources = Sources::new();
    sources.require_programs(sys);
    let units =
        Units::load(sys, is_asked_for).inspect_err(|e| sources.error("systemd", e)).unwrap_or_default();
    let loaded = loaded(sys, &mut sources);
    let mut products = Vec::new();
    products.extend(nftables(sys, &units, &mut sources, loaded.nft));
    products.extend(iptables(&units, loaded.iptables));
    products.extend(firewalld(sys, &units, &mut sources));
    products.extend(ufw(sys, &units, &mut sources));
    let body = Firewall {
        active: loaded.active,
        unfiltered: loaded.unfiltered,
        products,
        sources: sources.into_vec(),
    };
    let states = body.sources.clone();
    Collection::of(
        collected(body, &states),
        "nft; iptables-save; /etc/nftables.conf; ufw; firewalld",
        sys.now(),
    )
}

/// What the kernel holds now.
#[derive(Debug, Default)]
struct Loaded {
    active: Option<bool>,
    unfiltered: Vec<String>,
    nft: Option<Vec<FirewallProfile>>,
    iptables: Option<Vec<FirewallProfile>>,
}

/// Asks nft first (it also shows rules loaded by iptables-nft), then the iptables tools. "Nothing
/// loaded" needs an answer: tools that are missing or refused leave it unknown.
fn loaded(sys: &Sys, sources: &mut Sources) -> Loaded {
    let mut out = Loaded::default();
    match run(sys, &NFT, &["-j", "list", "ruleset"]) {
        Ok(bytes) => match parse::nft_ruleset(&bytes) {
            Ok(profiles) => {
                sources.known("nft list ruleset", profiles.len());
                out.nft = Some(profiles);
            }
            Err(detail) => sources.error("nft list ruleset", &SysError::malformed("nft", detail)),
        },
        Err(error) => sources.error("nft list ruleset", &error),
    }
    for (program, family) in IPTABLES {
        match run(sys, &[program], &[]) {
            Ok(bytes) => {
                let profile = parse::iptables_save(&String::from_utf8_lossy(&bytes), family);
                sources.known(program, usize::from(profile.is_some()));
                out.iptables.get_or_insert_default().extend(profile);
            }
            Err(error) => sources.error(program, &error),
        }
    }
    let answers: Vec<&FirewallProfile> = out.nft.iter().chain(&out.iptables).flatten().collect();
    (out.active, out.unfiltered) = judge(&answers, ipv6(sys));
    // That a tool shows no filter means there is none only where every kind of table was looked into.
    if out.active == Some(false) && out.nft.is_none() && !legacy_tables_empty(sys) {
        (out.active, out.unfiltered) = (None, vec![]);
    }
    out
}

/// Whether each protocol in use is filtered, and those that are not. Whether IPv6 is in use matters only
/// where IPv4 is filtered and IPv6 is not.
fn judge(answers: &[&FirewallProfile], ipv6: Option<bool>) -> (Option<bool>, Vec<String>) {
    let is_filtered =
        |protocol: &str| answers.iter().any(|p| parse::filters(p) && parse::protocols(p).contains(&protocol));
    let mut unfiltered = vec![];
    if !is_filtered("ipv4") {
        unfiltered.push("ipv4".to_owned());
    }
    if ipv6 != Some(false) && !is_filtered("ipv6") {
        if ipv6.is_none() && unfiltered.is_empty() {
            return (None, vec![]);
        }
        unfiltered.push("ipv6".to_owned());
    }
    (Some(unfiltered.is_empty()), unfiltered)
}

/// Whether any interface but the loopback one may use IPv6. Without the module, or with it switched off at
/// boot, the folder is not there; `all` only passes its value on.
fn ipv6(sys: &Sys) -> Option<bool> {
    let interfaces = match sys.list(IPV6) {
        Ok(interfaces) => interfaces,
        Err(SysError::Absent { .. }) => return sys.is_live().then_some(false),
        Err(_) => return None,
    };
    let mut any = false;
    for interface in interfaces.iter().filter(|i| !matches!(i.name.as_str(), "all" | "lo")) {
        match sys.read_line(&format!("{IPV6}/{}/disable_ipv6", interface.name)) {
            Ok(Some(value)) => any |= value != "1",
            // An interface that went away in between.
            Ok(None) | Err(SysError::Absent { .. }) => {}
            Err(_) => return None,
        }
    }
    Some(any)
}

/// The kernel names the legacy tables in use; together with no nft table support there is no filter.
fn legacy_tables_empty(sys: &Sys) -> bool {
    let names = ["/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"];
    let nft_loaded = sys.read_text("/proc/modules").map_or(true, |m| m.contains("nf_tables"));
    sys.is_live()
        && !nft_loaded
        && names.iter().all(|p| match sys.read_text(p) {
            Ok(text) => text.trim().is_empty(),
            Err(SysError::Absent { .. }) => false,
            Err(_) => false,
        })
}

fn run(sys: &Sys, programs: &[&str], args: &[&str]) -> Result<Vec<u8>, SysError> {
    let mut last = None;
    for program in programs {
        match sys.command(&Command::new(program).args(args)) {
            Ok(output) if output.code == Some(0) => return Ok(output.stdout),
            Ok(output) => {
                let stderr = String::from_utf8_lossy(&output.stderr);
                let denied =
                    ["not permitted", "ermission denied", "must be root"].iter().any(|w| stderr.contains(w));
                last = Some(if denied {
                    SysError::Denied { what: (*program).into() }
                } else {
                    SysError::Failed {
                        what: (*program).into(),
                        reason: "command_failed".into(),
                        detail: output.code.map_or_else(|| "signal".into(), |c| c.to_string()),
                    }
                });
            }
            Err(error @ SysError::Absent { .. }) => drop(last.get_or_insert(error)),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| SysError::Absent { what: "no program".into() }))
}

fn active_of(profiles: Option<&Vec<FirewallProfile>>) -> Option<bool> {
    profiles.map(|p| p.iter().any(parse::filters))
}

fn nftables(
    sys: &Sys,
    units: &Units,
    sources: &mut Sources,
    loaded: Option<Vec<FirewallProfile>>,
) -> Option<FirewallProduct> {
    let config = sources.optional_text(sys, "/etc/nftables.conf");
    let enabled = units.is_enabled(NFTABLES_UNIT);
    if config.is_none() && enabled.is_none() && loaded.as_ref().is_none_or(Vec::is_empty) {
        return None;
    }
    Some(FirewallProduct {
        name: "nftables".into(),
        enabled,
        active: active_of(loaded.as_ref()),
        profiles: loaded.unwrap_or_default(),
    })
}

fn iptables(units: &Units, loaded: Option<Vec<FirewallProfile>>) -> Option<FirewallProduct> {
    let enabled = IPTABLES_UNITS.iter().filter_map(|s| units.is_enabled(s)).max();
    if enabled.is_none() && loaded.as_ref().is_none_or(Vec::is_empty) {
        return None;
    }
    Some(FirewallProduct {
        name: "iptables".into(),
        enabled,
        active: active_of(loaded.as_ref()),
        profiles: loaded.unwrap_or_default(),
    })
}

fn firewalld(sys: &Sys, units: &Units, sources: &mut Sources) -> Option<FirewallProduct> {
    let enabled = units.is_enabled(FIREWALLD_UNIT);
    let config = sources.optional_text(sys, "/etc/firewalld/firewalld.conf");
    if enabled.is_none() && config.is_none() {
        return None;
    }
    let settings = parse::shell_settings(&config.unwrap_or_default());
    let zone =
        settings.get("DefaultZone").filter(|z| !z.contains(['/', '.'])).map_or("public", String::as_str);
    let file = [format!("/etc/firewalld/zones/{zone}.xml"), format!("/usr/lib/firewalld/zones/{zone}.xml")];
    let xml = file.iter().find_map(|path| sources.optional_text(sys, path));
    Some(FirewallProduct {
        name: "firewalld".into(),
        enabled,
        active: process_runs(sys, "firewalld"),
        profiles: xml.map(|xml| parse::firewalld_zone(zone, &xml)).into_iter().collect(),
    })
}

/// Whether a process of that name runs; `None` under a root folder.
fn process_runs(sys: &Sys, name: &str) -> Option<bool> {
    sys.is_running(name).ok()
}

fn ufw(sys: &Sys, units: &Units, sources: &mut Sources) -> Option<FirewallProduct> {
    let config = parse::shell_settings(&sources.optional_text(sys, "/etc/ufw/ufw.conf")?);
    let defaults = sources.optional_text(sys, "/etc/default/ufw").unwrap_or_default();
    let on = config.get("ENABLED").map(|v| v.eq_ignore_ascii_case("yes"));
    let rules = ["/etc/ufw/user.rules", "/etc/ufw/user6.rules"];
    let texts: Vec<String> = rules.iter().filter_map(|p| sources.optional_text(sys, p)).collect();
    let unit = units.is_enabled(UFW_UNIT);
    Some(FirewallProduct {
        name: "ufw".into(),
        enabled: match (on, unit) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        },
        active: if on == Some(false) { Some(false) } else { None },
        profiles: vec![FirewallProfile {
            name: "input".into(),
            enabled: on,
            default_inbound: parse::shell_settings(&defaults)
                .get("DEFAULT_INPUT_POLICY")
                .map(|p| p.to_ascii_lowercase()),
            rules: (!texts.is_empty()).then(|| texts.iter().map(|t| parse::ufw_rules(t)).sum()),
        }],
    })
}

#[cfg(test)]
mod tests {
    use tenken_shared::collected::Status;

    use super::super::PROBE;
    use super::*;
    use crate::probe::ProbeConfig;
    use crate::probe::fixture::{Fixture, body};

    #[test]
    fn under_a_root_nothing_is_known_to_be_active() {
        let fixture = Fixture::empty();
        fixture
            .write("etc/ufw/ufw.conf", "ENABLED=yes\n")
            .write("etc/default/ufw", "DEFAULT_INPUT_POLICY=\"DROP\"\n");
        fixture.write("etc/ufw/user.rules", "### tuple ### allow any 22 0.0.0.0/0 any 0.0.0.0/0 in\n");
        let fact = fixture.collect::<Firewall>(&PROBE, &ProbeConfig::default());
        assert_eq!(fact.status(), Status::Partial, "rules in force are not known");
        let firewall = body(fact);
        assert_eq!(firewall.active, None);
        let ufw = &firewall.products[0];
        assert_eq!((ufw.name.as_str(), ufw.enabled, ufw.active), ("ufw", None, None));
        assert_eq!(ufw.profiles[0].default_inbound.as_deref(), Some("drop"));
        assert_eq!(ufw.profiles[0].rules, Some(1));
    }

    #[test]
    fn a_firewall_switched_off_is_not_enabled() {
        let fixture = Fixture::empty();
        fixture.write("etc/ufw/ufw.conf", "ENABLED=no\n");
        let firewall = body(fixture.collect::<Firewall>(&PROBE, &ProbeConfig::default()));
        assert_eq!((firewall.products[0].enabled, firewall.products[0].active), (Some(false), Some(false)));
    }

    #[test]
    fn every_protocol_in_use_must_be_filtered() {
        let chain = |name: &str, word: &str| FirewallProfile {
            name: name.into(),
            default_inbound: Some(word.into()),
            ..FirewallProfile::default()
        };
        let (v4, v6) = (chain("ip filter INPUT", "drop"), chain("ip6-legacy filter INPUT", "reject"));
        let (both, open6) = (chain("inet filter input", "drop"), chain("ip6 filter INPUT", "accept"));
        let bridge = chain("bridge filter input", "drop");
        type Case<'c> = (&'c [&'c FirewallProfile], Option<bool>, Option<bool>, &'c [&'c str]);
        let cases: [Case<'_>; 9] = [
            (&[&both], Some(true), Some(true), &[]),
            (&[&v4, &v6], Some(true), Some(true), &[]),
            (&[&v4, &open6], Some(true), Some(false), &["ipv6"]),
            (&[&v4], Some(true), Some(false), &["ipv6"]),
            (&[&v4], Some(false), Some(true), &[]),
            (&[&v4], None, None, &[]),
            (&[&v6], Some(true), Some(false), &["ipv4"]),
            (&[&bridge], Some(false), Some(false), &["ipv4"]),
            (&[], None, Some(false), &["ipv4", "ipv6"]),
        ];
        for (answers, ipv6, active, unfiltered) in cases {
            let found = judge(answers, ipv6);
            let open: Vec<&str> = found.1.iter().map(String::as_str).collect();
            assert_eq!((found.0, open.as_slice()), (active, unfiltered), "{answers:?} {ipv6:?}");
        }
    }

    #[test]
    fn ipv6_is_in_use_where_an_interface_may_have_it() {
        let fixture = Fixture::empty();
        assert_eq!(ipv6(&fixture.sys()), None, "a folder without /proc tells nothing");
        let set = |name: &str, value: &str| {
            fixture.write(&format!("{IPV6}/{name}/disable_ipv6"), format!("{value}\n"));
        };
        set("all", "0");
        set("lo", "0");
        set("default", "1");
        set("eth0", "1");
        assert_eq!(ipv6(&fixture.sys()), Some(false));
        set("eth0", "0");
        assert_eq!(ipv6(&fixture.sys()), Some(true));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn live_machine_gives_a_body() {
        let record = collect(&Sys::live()).record;
        assert!(record.content.status.has_body(), "{record:?}");
    }
}
