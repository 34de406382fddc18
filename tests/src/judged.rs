//! What a host was judged to be, as `check` and `criteria --host` print it, and comparing it with what a
//! story expects.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// What a story expects of one control: id, outcome, code of the sentence, and one piece of evidence (fact
/// kind, field, a part of its raw value), which may be left empty.
pub type Expected =
    (&'static str, &'static str, &'static str, Option<(&'static str, &'static str, &'static str)>);

/// Findings by control, criteria with their states.
#[derive(Debug, Clone)]
pub struct Judged {
    findings: BTreeMap<String, Value>,
    criteria: BTreeMap<String, String>,
}

impl Judged {
    /// From what either command printed.
    pub fn read(document: &Value) -> Result<Self> {
        let list = |name: &str| document[name].as_array().with_context(|| format!("no {name}: {document}"));
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            findings: list("findings")?.iter().map(|f| (text(f, "control"), f.clone())).collect(),
            criteria: list("criteria")?.iter().map(|c| (text(c, "criterion"), text(c, "state"))).collect(),
        })
    }

    /// State of a criterion.
    #[must_use]
    pub fn state(&self, criterion: &str) -> &str {
        self.criteria.get(criterion).map_or("-", String::as_str)
    }

    /// Fails with everything that is otherwise than expected.
    pub fn expect(&self, controls: &[Expected], criteria: &[(&str, &str)]) -> Result<()> {
        let controls = controls.iter().filter_map(|expected| self.differs(expected));
        let states = criteria.iter().filter(|(criterion, state)| self.state(criterion) != *state);
        let states =
            states.map(|(criterion, state)| format!("{criterion}: {}, not {state}", self.state(criterion)));
        let differ: Vec<String> = controls.chain(states).collect();
        ensure!(differ.is_empty(), "judged otherwise:\n{}", differ.join("\n"));
        Ok(())
    }

    fn differs(&self, (control, outcome, code, evidence): &Expected) -> Option<String> {
        let Some(found) = self.findings.get(*control) else { return Some(format!("{control}: not judged")) };
        let said = found["code"].as_str().or(found["message"]["code"].as_str()).unwrap_or_default();
        let cited = evidence.is_none_or(|wanted| cites(found, wanted));
        let same = found["outcome"] == *outcome && said == *code && cited;
        (!same).then(|| format!("{control}: {} {said} {}", found["outcome"], found["evidence"]))
    }

    /// Whatever else: nothing passes on facts that were not collected whole. `inventory` is what the same
    /// machine gave.
    pub fn passes_only_on_known_facts(&self, inventory: &Value) -> Result<()> {
        let facts = inventory["facts"].as_array().context("no facts")?;
        for (control, finding) in self.findings.iter().filter(|(_, finding)| finding["outcome"] == "pass") {
            for evidence in finding["evidence"].as_array().into_iter().flatten() {
                let fact = facts.iter().find(|fact| fact["kind"] == evidence["kind"]);
                let status = fact.map(|fact| fact["status"].clone()).unwrap_or_default();
                ensure!(
                    status.is_null() || status == "known",
                    "{control} passes on {evidence}, which is {status}"
                );
            }
        }
        Ok(())
    }
}

/// Whether one piece of evidence is this one; each names where and when it was read.
fn cites(finding: &Value, (kind, field, part): (&str, &str, &str)) -> bool {
    finding["evidence"].as_array().into_iter().flatten().any(|evidence| {
        let traced = evidence["source"].as_str().is_some_and(|source| !source.is_empty());
        let dated = evidence["at"].is_string() || kind == "policy";
        let value = evidence["value"].as_str().map_or_else(|| evidence["value"].to_string(), str::to_owned);
        traced && dated && evidence["kind"] == kind && evidence["field"] == field && value.contains(part)
    })
}
