//! Nothing listens for the network but what the company needs (4-4-1-4).
//!
//! Which services are needed only the company can say. Protocols that send passwords in the clear or have
//! been replaced for decades need nobody's list to fail.

use core::net::IpAddr;

use crate::control::rule::{Decision, Rule, Ruling};
use crate::control::sentence::setting_unknown;
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::services::{Listener, Services};
use crate::finding::{Message, Severity, Verdict};
use crate::text::{Text, fits};

pub static CONTROL: Control = Control {
    id: "network.unneeded_services_off",
    version: 2,
    criteria: &["4-4-1-4"],
    title: Text::new(
        "不要なサービスとプロトコルを無効にしている",
        "Services and protocols not needed are disabled",
    ),
    severity: Severity::Medium,
    families: &[],
    facts: &[FactKind::Services],
    remediation: Text::new(
        "不要なサービスを停止してください。業務に必要なものはポリシーの services.needed(例: tcp/443)に登録してください。",
        "Stop services that are not needed. List what business needs under services.needed in the policy (such as tcp/443).",
    ),
    messages: &[
        (
            "all_needed",
            Text::new(
                "ネットワークから接続できる{count}件はすべて必要と登録されています",
                "All {count} sockets that the network can reach are declared as needed",
            ),
        ),
        (
            "insecure",
            Text::new(
                "安全でない古いプロトコルが有効です({name}、{port})",
                "An old insecure protocol is on ({name}, {port})",
            ),
        ),
        (
            "not_needed",
            Text::new(
                "必要と登録されていないサービスが{count}件あります(例: {port} {program})",
                "{count} services are not declared as needed (such as {port} {program})",
            ),
        ),
        (
            "nothing_declared",
            Text::new(
                "必要なサービスの一覧がまだポリシーにありません(接続できるもの: {count}件)",
                "The policy does not say yet which services are needed ({count} can be reached)",
            ),
        ),
    ],
    evaluate,
};

/// Protocols without protection of passwords or contents that a better one replaced long ago.
const INSECURE: &[(&str, u16, &str)] = &[
    ("tcp", 23, "telnet"),
    ("tcp", 79, "finger"),
    ("tcp", 512, "rexec"),
    ("tcp", 513, "rlogin"),
    ("tcp", 514, "rsh"),
    ("udp", 69, "tftp"),
    ("tcp", 19, "chargen"),
    ("udp", 19, "chargen"),
];

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, judge)
}

/// Only this machine itself can reach it.
fn is_local(listener: &Listener) -> bool {
    let address = listener.address.split('%').next().unwrap_or_default().trim_matches(['[', ']']);
    address.parse::<IpAddr>().is_ok_and(|ip| match ip {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
    })
}

fn label(listener: &Listener) -> String {
    format!("{}/{}", listener.protocol, listener.port)
}

/// A port, or a program whose name is known.
fn is_needed(listener: &Listener, needed: &[String]) -> bool {
    let port = label(listener);
    needed.iter().any(|entry| {
        entry.eq_ignore_ascii_case(&port) || listener.program.as_deref().is_some_and(|p| fits(entry, p))
    })
}

fn judge(rule: &mut Rule<'_>) -> Ruling {
    let seen = rule.seen::<Services>()?;
    let Some(listening) = &seen.value.listening else {
        rule.cite(FactKind::Services, "/listening", serde_json::Value::Null);
        return Err(setting_unknown(FactKind::Services, "listening"));
    };
    let open: Vec<_> = listening.iter().enumerate().filter(|(_, l)| !is_local(l)).collect();
    rule.cite(FactKind::Services, "/listening/length", listening.len());
    let cite = |rule: &mut Rule<'_>, i: usize, l: &Listener| {
        let value = format!("{} {} {}", label(l), l.address, l.program.as_deref().unwrap_or("-"));
        rule.cite(FactKind::Services, &format!("/listening/{i}"), value);
    };
    for (i, listener) in &open {
        let known = |(protocol, port, _): &&(&str, u16, &str)| {
            *protocol == listener.protocol && *port == listener.port
        };
        if let Some((_, _, name)) = INSECURE.iter().find(known) {
            cite(rule, *i, listener);
            return Ok(Decision::Fail(
                Message::new("insecure").with("name", name).with("port", label(listener)),
            ));
        }
    }
    let needed = &rule.ctx.policy.services.needed;
    let extra: Vec<_> = open.iter().filter(|(_, l)| !is_needed(l, needed)).collect();
    for (i, listener) in &extra {
        cite(rule, *i, listener);
    }
    if needed.is_empty() {
        return Err(Message::new("nothing_declared").with("count", open.len()));
    }
    if let Some((_, first)) = extra.first() {
        let message = Message::new("not_needed")
            .with("count", extra.len())
            .with("port", label(first))
            .with("program", first.program.as_deref().unwrap_or("-"));
        return Ok(Decision::Fail(message));
    }
    let count = open.len();
    seen.whole()?;
    rule.cite_policy("/services/needed", serde_json::json!(needed));
    Ok(Decision::Pass(Message::new("all_needed").with("count", count)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture::table;
    use crate::finding::Outcome::{Fail, Pass, Unknown};

    fn listens(s: &mut Services, protocol: &str, address: &str, port: u16, program: Option<&str>) {
        s.listening.get_or_insert_default().push(Listener {
            protocol: protocol.into(),
            address: address.into(),
            port,
            program: program.map(str::to_owned),
        });
    }

    #[test]
    fn cases() {
        table(
            &CONTROL,
            &[
                ("nothing but what is needed", |_| {}, Pass, "all_needed"),
                ("nothing was declared", |w| w.policy.services.needed.clear(), Unknown, "nothing_declared"),
                (
                    "telnet, whatever was declared",
                    |w| {
                        w.edit::<Services>(|s| listens(s, "tcp", "0.0.0.0", 23, None));
                        w.policy.services.needed.push("tcp/23".into());
                    },
                    Fail,
                    "insecure",
                ),
                (
                    "only this machine reaches it",
                    |w| w.edit::<Services>(|s| listens(s, "tcp", "127.0.0.53", 23, None)),
                    Pass,
                    "all_needed",
                ),
                (
                    "not on the list",
                    |w| w.edit::<Services>(|s| listens(s, "tcp", "::", 8080, Some("java"))),
                    Fail,
                    "not_needed",
                ),
                (
                    "a program on the list",
                    |w| {
                        w.edit::<Services>(|s| listens(s, "tcp", "::", 8080, Some("java")));
                        w.policy.services.needed.push("java".into());
                    },
                    Pass,
                    "all_needed",
                ),
                (
                    "of a program that could not be read a name says nothing",
                    |w| {
                        w.edit::<Services>(|s| listens(s, "udp", "::", 9999, None));
                        w.policy.services.needed.push("*a*".into());
                    },
                    Fail,
                    "not_needed",
                ),
                (
                    "sockets not read",
                    |w| w.edit_partial::<Services>(|s| s.listening = None),
                    Unknown,
                    "setting_unknown",
                ),
                ("a gap", |w| w.edit_partial::<Services>(|_| {}), Unknown, "fact_partial"),
            ],
        );
    }
}
