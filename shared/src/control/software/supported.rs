//! Applications and middleware still get security updates (4-4-2-1). Packages of a distribution's own package
//! manager are judged with their distribution, by `patch.supported_os`.

use crate::control::date::{end_of, time_zone};
use crate::control::rule::{Decision, Rule, Ruling, plus_days};
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::software::{Software, SoftwareItem};
use crate::finding::{Message, Severity, Verdict};
use crate::text::{Text, fits};

pub static CONTROL: Control = Control {
    id: "software.supported",
    version: 1,
    criteria: &["4-4-2-1"],
    title: Text::new("ソフトウェアがサポート期間内である", "Software is within its support period"),
    severity: Severity::High,
    families: &[],
    facts: &[FactKind::Software],
    remediation: Text::new(
        "サポートの終わったソフトウェアを更新または削除してください。カタログにないものは、提供元のサポートを確かめてポリシーの software.supported に登録してください。",
        "Upgrade or remove software whose support has ended. For titles the catalogue does not know, check with the vendor and list them under software.supported in the policy.",
    ),
    messages: &[
        (
            "ended",
            Text::new(
                "サポートの終わったソフトウェアが{count}件あります(例: {name}、{end}まで)",
                "The support of {count} titles has ended (such as {name}, on {end})",
            ),
        ),
        (
            "not_in_catalog",
            Text::new(
                "{count}件のサポート期限がカタログになく、確かめられません(例: {name})",
                "The catalogue does not know the support of {count} titles (such as {name})",
            ),
        ),
        (
            "catalog_stale",
            Text::new(
                "サポート期限のカタログが古いため判定できません(作成: {compiled})",
                "The catalogue of support dates is too old (compiled {compiled})",
            ),
        ),
        ("none_found", Text::new("ソフトウェアが1件も見つかりません", "No software was found")),
        (
            "supported",
            Text::new(
                "配布元のパッケージ以外の{count}件はすべてサポート期間内です(パッケージはOSとともに判定します)",
                "All {count} titles that do not come with the distribution are supported (its packages are judged with it)",
            ),
        ),
    ],
    evaluate,
};

/// Package managers whose packages the distribution supports.
const DISTRIBUTED: &[&str] = &["deb", "rpm", "apk", "pacman"];

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, judge)
}

fn judge(rule: &mut Rule<'_>) -> Ruling {
    let seen = rule.seen::<Software>()?;
    let zone = time_zone(rule.ctx.policy)?;
    let (now, catalog) = (rule.ctx.now, &rule.ctx.catalog.support);
    let own = |(_, item): &(usize, &SoftwareItem)| !DISTRIBUTED.contains(&item.source.as_str());
    let titles: Vec<_> = seen.value.items.iter().enumerate().filter(own).collect();
    let (mut ended, mut unknown, mut first_end) = (vec![], vec![], None);
    for (i, item) in &titles {
        match catalog.title(&item.name, &item.version).map(|t| (t.support_end, end_of(t.support_end, &zone)))
        {
            Some((_, Some(end))) if now < end => {
                first_end = first_end.map_or(Some(end), |first: jiff::Timestamp| Some(first.min(end)));
            }
            Some((day, _)) => ended.push((*i, *item, day)),
            None if rule.ctx.policy.software.supported.iter().any(|p| fits(p, &item.name)) => {}
            None => unknown.push((*i, *item)),
        }
    }
    rule.cite(FactKind::Software, "/items/length", seen.value.items.len());
    if let Some((_, first, day)) = ended.first() {
        for (i, item, day) in &ended {
            let value = format!("{} {} ({day})", item.name, item.version);
            rule.cite(FactKind::Software, &format!("/items/{i}"), value);
        }
        let message =
            Message::new("ended").with("count", ended.len()).with("name", &first.name).with("end", day);
        return Ok(Decision::Fail(message));
    }
    if let Some((_, first)) = unknown.first() {
        for (i, item) in &unknown {
            rule.cite(FactKind::Software, &format!("/items/{i}"), format!("{} {}", item.name, item.version));
        }
        return Err(Message::new("not_in_catalog").with("count", unknown.len()).with("name", &first.name));
    }
    if !titles.is_empty() {
        let compiled = catalog.compiled_at;
        let fresh = compiled.and_then(|at| plus_days(at, rule.ctx.policy.freshness.catalog_days));
        if fresh.is_none_or(|until| until <= now) {
            let compiled = compiled.map_or_else(|| "-".to_owned(), |at| rule.local(at));
            return Err(Message::new("catalog_stale").with("compiled", compiled));
        }
        rule.until(fresh);
        rule.until(first_end);
    }
    let count = titles.len();
    drop(titles);
    if seen.whole()?.items.is_empty() {
        return Err(Message::new("none_found"));
    }
    Ok(Decision::Pass(Message::new("supported").with("count", count)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture::table;
    use crate::finding::Outcome::{Fail, Pass, Unknown};

    fn with(s: &mut Software, name: &str, version: &str) {
        s.items.push(SoftwareItem {
            name: name.into(),
            version: version.into(),
            source: "uninstall".into(),
            scope: "machine".into(),
            ..SoftwareItem::default()
        });
    }

    #[test]
    fn cases() {
        table(
            &CONTROL,
            &[
                ("packages of the distribution only", |_| {}, Pass, "supported"),
                (
                    "an office suite past its end",
                    |w| w.edit::<Software>(|s| with(s, "Microsoft Office Professional Plus 2016", "16.0")),
                    Fail,
                    "ended",
                ),
                (
                    "told by version",
                    |w| w.edit::<Software>(|s| with(s, "Python 3.8.10 (64-bit)", "3.8.10150.0")),
                    Fail,
                    "ended",
                ),
                ("supported", |w| w.edit::<Software>(|s| with(s, "Node.js", "24.1.0")), Pass, "supported"),
                (
                    "not in the catalogue",
                    |w| w.edit::<Software>(|s| with(s, "弥生会計 26", "26.1")),
                    Unknown,
                    "not_in_catalog",
                ),
                (
                    "checked by the company",
                    |w| {
                        w.edit::<Software>(|s| with(s, "弥生会計 26", "26.1"));
                        w.policy.software.supported = vec!["弥生会計*".into()];
                    },
                    Pass,
                    "supported",
                ),
                (
                    "the company's word does not lift an end",
                    |w| {
                        w.edit::<Software>(|s| with(s, "Adobe Flash Player 32 NPAPI", "32.0"));
                        w.policy.software.supported = vec!["*".into()];
                    },
                    Fail,
                    "ended",
                ),
                (
                    "an old catalogue",
                    |w| {
                        w.edit::<Software>(|s| with(s, "Node.js", "24.1.0"));
                        w.policy.freshness.catalog_days = 1;
                    },
                    Unknown,
                    "catalog_stale",
                ),
                ("a gap", |w| w.edit_partial::<Software>(|_| {}), Unknown, "fact_partial"),
                ("nothing at all", |w| w.edit::<Software>(|s| s.items.clear()), Unknown, "none_found"),
            ],
        );
    }
}
