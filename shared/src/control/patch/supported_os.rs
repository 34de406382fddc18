//! The operating system still gets security updates (4-4-4-1, 4-4-2-1).

use jiff::civil::Date;

use crate::control::date::{end_of, time_zone};
use crate::control::rule::{Decision, Rule, Ruling, plus_days};
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::os::Os;
use crate::finding::{Message, Severity, Verdict};
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "patch.supported_os",
    version: 1,
    criteria: &["4-4-2-1", "4-4-4-1"],
    title: Text::new("OSがサポート期間内である", "The operating system is supported"),
    severity: Severity::High,
    families: &[],
    facts: &[FactKind::Os],
    remediation: Text::new(
        "サポートの続くOSへ更改してください。それまでは、インターネットとの通信を遮断するか、例外として軽減策と更改計画を登録してください。",
        "Replace it with a supported OS. Until then cut it off from the Internet, or record an exception with a mitigation and a replacement plan.",
    ),
    messages: &[
        ("supported", Text::new("{os} は{end}までサポートされます", "{os} is supported until {end}")),
        (
            "no_end_announced",
            Text::new(
                "{os} はサポート対象で、終了日は公表されていません",
                "{os} is supported, and no end has been announced",
            ),
        ),
        ("ended", Text::new("{os} のサポートは{end}に終了しました", "Support of {os} ended on {end}")),
        (
            "extended",
            Text::new(
                "{os} の通常サポートは{end}に終了しました。有償の延長サポート({extended}まで)を契約しているかどうかは機械では確認できません",
                "Standard support of {os} ended on {end}; whether paid extended support (until {extended}) is under contract cannot be measured",
            ),
        ),
        (
            "not_in_catalog",
            Text::new(
                "{os} のサポート期限がカタログにありません",
                "The catalogue has no support dates for {os}",
            ),
        ),
        (
            "catalog_undated",
            Text::new("サポート期限カタログの作成日が分かりません", "The support catalogue is not dated"),
        ),
        (
            "catalog_stale",
            Text::new(
                "サポート期限カタログが古いため判定できません(作成日 {compiled})",
                "The support catalogue is too old to judge by (compiled {compiled})",
            ),
        ),
    ],
    evaluate,
};

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, judge)
}

fn judge(rule: &mut Rule<'_>) -> Ruling {
    let os = rule.need::<Os>()?;
    let name = readable(&os);
    rule.cite(FactKind::Os, "/id", os.id.clone());
    rule.cite(FactKind::Os, "/version", os.version.clone());
    if let Some(end) = os.support_end.as_deref().and_then(|d| d.parse::<Date>().ok()) {
        rule.cite(FactKind::Os, "/support_end", end.to_string());
        return by_end(rule, &name, end, None);
    }
    let catalog = &rule.ctx.catalog.support;
    let compiled = catalog.compiled_at.ok_or_else(|| Message::new("catalog_undated"))?;
    let fresh_until = plus_days(compiled, rule.ctx.policy.freshness.catalog_days);
    if fresh_until.is_none_or(|until| until <= rule.ctx.now) {
        return Err(Message::new("catalog_stale").with("compiled", rule.local(compiled)));
    }
    let (product, version) = key(&os);
    let Some(cycle) = catalog.find(product, version, os.edition.as_deref()) else {
        return Err(Message::new("not_in_catalog").with("os", name));
    };
    let field = format!("/products/{product}/{}", cycle.cycle);
    let value = serde_json::json!({"support_end": cycle.support_end, "extended_end": cycle.extended_end});
    rule.cite_other("catalog", &field, value, &catalog.source, Some(compiled));
    rule.until(fresh_until);
    match cycle.support_end {
        None => Ok(Decision::Pass(Message::new("no_end_announced").with("os", name))),
        Some(end) => by_end(rule, &name, end, cycle.extended_end),
    }
}

fn by_end(rule: &mut Rule<'_>, os: &str, end: Date, extended: Option<Date>) -> Ruling {
    let zone = time_zone(rule.ctx.policy)?;
    let now = rule.ctx.now;
    let message = |code| Message::new(code).with("os", os).with("end", end);
    if end_of(end, &zone).is_some_and(|until| now < until) {
        rule.until(end_of(end, &zone));
        return Ok(Decision::Pass(message("supported")));
    }
    match extended.and_then(|day| Some((day, end_of(day, &zone)?))) {
        Some((day, until)) if now < until => {
            rule.until(Some(until));
            Err(message("extended").with("extended", day))
        }
        _ => Ok(Decision::Fail(message("ended"))),
    }
}

/// Product and version in the words of the catalogue: Windows is told apart by build, servers apart.
fn key(os: &Os) -> (&str, &str) {
    if os.family == "windows" {
        let server =
            os.installation_type.as_deref().is_some_and(|t| t.to_ascii_lowercase().contains("server"));
        return (if server { "windows-server" } else { "windows" }, os.build.as_deref().unwrap_or_default());
    }
    (os.id.as_str(), os.version.as_deref().unwrap_or_default())
}

fn readable(os: &Os) -> String {
    let name = os.name.as_deref().unwrap_or(&os.id);
    let parts = [Some(name), os.edition.as_deref(), os.version.as_deref()];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collected::Status;
    use crate::control::fixture::{World, at, table};
    use crate::finding::Outcome::{Fail, Pass, Unknown};

    fn os(world: &mut World, id: &str, version: &str) {
        world.edit::<Os>(|o| {
            o.id = id.into();
            o.version = Some(version.into());
        });
    }

    fn windows(world: &mut World, build: &str, edition: &str) {
        world.edit::<Os>(|o| {
            o.family = "windows".into();
            o.id = "windows".into();
            o.build = Some(build.into());
            o.edition = Some(edition.into());
            o.installation_type = Some("Client".into());
        });
    }

    #[test]
    fn cases() {
        table(
            &CONTROL,
            &[
                ("Debian 13", |_| {}, Pass, "supported"),
                ("Debian 11", |w| os(w, "debian", "11"), Fail, "ended"),
                ("Ubuntu 22.04", |w| os(w, "ubuntu", "22.04"), Pass, "supported"),
                ("Ubuntu 20.04 is paid for or not", |w| os(w, "ubuntu", "20.04"), Unknown, "extended"),
                ("CentOS 7", |w| os(w, "centos", "7"), Fail, "ended"),
                ("a rolling release", |w| os(w, "arch", ""), Pass, "no_end_announced"),
                ("an unknown distribution", |w| os(w, "gnoppix", "1"), Unknown, "not_in_catalog"),
                ("a release newer than the catalogue", |w| os(w, "debian", "14"), Unknown, "not_in_catalog"),
                ("Windows 11 24H2 Pro", |w| windows(w, "26100.2314", "Professional"), Fail, "ended"),
                ("Windows 11 24H2 Enterprise", |w| windows(w, "26100.2314", "Enterprise"), Pass, "supported"),
                ("Windows 10 22H2", |w| windows(w, "19045.5000", "Professional"), Unknown, "extended"),
                (
                    "on the last day by the OS's own word",
                    |w| w.edit::<Os>(|o| o.support_end = Some("2026-11-23".into())),
                    Pass,
                    "supported",
                ),
                (
                    "the day after",
                    |w| w.edit::<Os>(|o| o.support_end = Some("2026-11-22".into())),
                    Fail,
                    "ended",
                ),
                (
                    "a stale catalogue judges nothing",
                    |w| w.catalog.support.compiled_at = Some(at("2026-05-01T00:00:00Z")),
                    Unknown,
                    "catalog_stale",
                ),
                (
                    "an undated one neither",
                    |w| w.catalog.support.compiled_at = None,
                    Unknown,
                    "catalog_undated",
                ),
                ("not collected", |w| w.degrade(FactKind::Os, Status::Denied), Unknown, "fact_denied"),
            ],
        );
    }
}
