//! Windows Defender Firewall per profile, and firewalls of others that the Security Center knows.
//!
//! A setting of group policy goes before one of device management (MDM), and that before the machine's own. The
//! inbound default that nobody set is "block"; a switch that nobody set is unknown here, because Windows always
//! writes it. Without its service (`MpsSvc` on `BFE`) nothing is filtered, whatever the profiles say.
//!
//! `active` is only ever `true` on a running system: the service runs and all three profiles are on and block, or
//! another product is on whose program is still there. Source: the registry, live or from hives; the service manager; `root\SecurityCenter2`.
//! Privilege: none.

use tenken_shared::fact::firewall::{Firewall, FirewallProduct, FirewallProfile};

use crate::probe::Collection;
use crate::probe::sources::{Sources, collected};
use crate::probe::windows::{
    CONTROL_SET, DISABLED, Running, SecurityProduct, key, number, security_center, start_of,
};
use crate::sys::{RegistryKey, RegistryValue, Sys};

const LOCAL: &str = r"Services\SharedAccess\Parameters\FirewallPolicy";
const POLICY: &str = r"HKLM\SOFTWARE\Policies\Microsoft\WindowsFirewall";
const SOURCE: &str = r"SharedAccess\Parameters\FirewallPolicy; Policies\Microsoft\WindowsFirewall; service manager; root\SecurityCenter2";
/// The firewall and the engine it stands on.
const SERVICES: [&str; 2] = ["MpsSvc", "BFE"];
/// Most rules counted.
const MAX_RULES: usize = 50_000;

/// What is watched.
pub(super) const WATCH: &[&str] = &[
    r"HKLM\SOFTWARE\Policies\Microsoft\WindowsFirewall",
    r"HKLM\SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy\DomainProfile",
    r"HKLM\SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy\StandardProfile",
    r"HKLM\SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy\PublicProfile",
];

/// One profile: its name here, its key among the machine's own settings, its keys in group policy.
struct Profile {
    name: &'static str,
    own: &'static str,
    policy: &'static [&'static str],
}

/// What older policies set for "standard" holds for private networks; for public ones only what it forbids
/// is believed.
const PROFILES: [Profile; 3] = [
    Profile { name: "domain", own: "DomainProfile", policy: &["DomainProfile"] },
    Profile { name: "private", own: "StandardProfile", policy: &["PrivateProfile", "StandardProfile"] },
    Profile { name: "public", own: "PublicProfile", policy: &["PublicProfile"] },
];

/// Collects the fact.
pub(super) fn collect(sys: &Sys) -> Collection {
    let mut sources = Sources::new();
    let running = Running::ask(sys, &mut sources);
    let others = security_center(sys, "FirewallProduct", &mut sources);
    let body = firewall(sys, &running, &others, sources);
    let states = body.sources.clone();
    Collection::of(collected(body, &states), SOURCE, sys.now())
}

fn firewall(sys: &Sys, running: &Running, others: &[SecurityProduct], mut sources: Sources) -> Firewall {
    let starts = SERVICES.map(|service| start_of(sys, service, &mut sources));
    let enabled = match starts {
        [Some(a), Some(b)] => Some(a != DISABLED && b != DISABLED),
        [Some(DISABLED), _] | [_, Some(DISABLED)] => Some(false),
        _ => None,
    };
    let profiles = profiles(sys, &mut sources);
    let runs = SERVICES.iter().map(|service| running.is(service)).min().flatten();
    let active = if enabled == Some(false) || runs == Some(false) || profiles.iter().any(is_open) {
        Some(false)
    } else {
        (runs == Some(true) && profiles.iter().all(is_closed)).then_some(true)
    };
    let mut products = vec![FirewallProduct { name: "windows_firewall".into(), enabled, active, profiles }];
    products.extend(others.iter().map(|other| FirewallProduct {
        name: other.name.clone(),
        enabled: None,
        active: Some(other.state == "on" && !other.is_gone(sys)),
        profiles: vec![],
    }));
    let active =
        if products.iter().any(|p| p.active == Some(true)) { Some(true) } else { products[0].active };
    Firewall { active, products, sources: sources.into_vec(), ..Firewall::default() }
}

/// Certainly lets everything in.
fn is_open(profile: &FirewallProfile) -> bool {
    profile.enabled == Some(false) || profile.default_inbound.as_deref() == Some("accept")
}

/// Certainly lets in only what a rule allows.
fn is_closed(profile: &FirewallProfile) -> bool {
    profile.enabled == Some(true) && profile.default_inbound.as_deref() == Some("drop")
}

fn profiles(sys: &Sys, sources: &mut Sources) -> Vec<FirewallProfile> {
    let own = key(sys, &format!(r"{CONTROL_SET}\{LOCAL}"), sources);
    let policy = key(sys, POLICY, sources);
    let rules = rules(sys, sources);
    PROFILES.iter().map(|profile| read(profile, own.as_ref(), policy.as_ref(), &rules, sources)).collect()
}

fn read(
    profile: &Profile,
    own: Option<&RegistryKey>,
    policy: Option<&RegistryKey>,
    rules: &Rules,
    sources: &mut Sources,
) -> FirewallProfile {
    let open = |from: Option<&RegistryKey>, path: &str, sources: &mut Sources| {
        let opened = from.map(|key| key.open(path)).transpose();
        opened.inspect_err(|error| sources.error(path, error)).ok().flatten().flatten()
    };
    let mut layers: Vec<RegistryKey> =
        profile.policy.iter().filter_map(|name| open(policy, name, sources)).collect();
    layers.extend(open(own, &format!(r"Mdm\{}", profile.own), sources));
    let machine = open(own, profile.own, sources);
    let known = machine.is_some();
    layers.extend(machine);
    let first = |name: &str, sources: &mut Sources| layers.iter().find_map(|key| number(key, name, sources));
    let mut enabled = first("EnableFirewall", sources).map(|n| n != 0);
    // 1 is block, which is also what holds where nobody set it.
    let inbound = first("DefaultInboundAction", sources);
    let mut closed = inbound.map_or(known.then_some(true), |n| Some(n == 1));
    if profile.name == "public"
        && let Some(standard) = open(policy, "StandardProfile", sources)
    {
        if number(&standard, "EnableFirewall", sources) == Some(0) {
            enabled = Some(false);
        }
        if number(&standard, "DefaultInboundAction", sources) == Some(0) {
            closed = Some(false);
        }
    }
    FirewallProfile {
        name: profile.name.into(),
        enabled,
        default_inbound: closed.map(|closed| if closed { "drop" } else { "accept" }.into()),
        rules: rules.count(profile.name),
    }
}

/// Rules that let something in: for each profile how many.
struct Rules(Option<[u64; 3]>);

impl Rules {
    fn count(&self, name: &str) -> Option<u64> {
        let at = PROFILES.iter().position(|p| p.name == name)?;
        self.0?.get(at).copied()
    }
}

/// Counts the rules of the machine and of policies.
fn rules(sys: &Sys, sources: &mut Sources) -> Rules {
    let places = [
        format!(r"{CONTROL_SET}\{LOCAL}\FirewallRules"),
        format!(r"{CONTROL_SET}\{LOCAL}\Mdm\FirewallRules"),
        format!(r"{POLICY}\FirewallRules"),
    ];
    let mut counts = None;
    for place in places {
        let Some(key) = key(sys, &place, sources) else { continue };
        match key.values() {
            Ok(values) => {
                if values.len() > MAX_RULES {
                    sources.truncated(format!("{place} rules"), MAX_RULES);
                }
                let counts = counts.get_or_insert([0_u64; 3]);
                for (_, value) in values.into_iter().take(MAX_RULES) {
                    let RegistryValue::String(rule) = value else { continue };
                    for (count, profile) in counts.iter_mut().zip(&PROFILES) {
                        *count += u64::from(lets_in(&rule, profile.name));
                    }
                }
            }
            Err(error) => sources.error(place, &error),
        }
    }
    Rules(counts)
}

/// Whether a rule (`v2.31|Action=Allow|Active=TRUE|Dir=In|Profile=Public|...`) lets something in on a profile; one
/// that names none holds for all.
fn lets_in(rule: &str, profile: &str) -> bool {
    let fields = || rule.split('|').filter_map(|field| field.split_once('='));
    let is = |name: &str, wanted: &str| fields().any(|(n, v)| n == name && v.eq_ignore_ascii_case(wanted));
    let named: Vec<_> = fields().filter(|(name, _)| *name == "Profile").map(|(_, value)| value).collect();
    let here = named.is_empty() || named.iter().any(|name| name.eq_ignore_ascii_case(profile));
    is("Action", "Allow") && is("Active", "TRUE") && is("Dir", "In") && here
}

#[cfg(test)]
mod tests;
