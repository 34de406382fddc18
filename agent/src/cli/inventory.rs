//! `tenken-agent inventory`: collects and prints facts; needs no collector.

use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::{Value, json};
use tenken_shared::fact::{FactKind, FactRecord};
use tenken_shared::text::{Text, printable};

use super::told::Refused;
use super::{Context, Format, host_json, output};
use crate::paths::{Paths, default_data};
use crate::probe::ProbeConfig;
use crate::probe::runner::Runner;
use crate::sys::Sys;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Read the machine whose files lie under this folder (a mounted disk, a VM image, a restored backup); registry
    /// exports of a Windows machine are read from `registry/*.reg` in it
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Read that machine by the clock of this time (RFC 3339): what is kept for a span of days ends there
    #[arg(long, value_name = "TIME", requires = "root")]
    as_of: Option<Timestamp>,
    /// Collect only these kinds
    #[arg(long, value_name = "KIND,..", value_delimiter = ',')]
    only: Vec<FactKind>,
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Keep what was collected in this folder, so that the next run reads only what changed
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

/// Collects and prints.
pub fn run(args: &Args, context: Context) -> anyhow::Result<ExitCode> {
    let sys = open(args.root.as_deref(), args.as_of)?;
    let mut runner = match &args.state {
        Some(folder) => Runner::new(sys, Some(folder.clone())),
        None => Runner::beside(sys, Some(Paths::at(default_data()).probe_state())),
    };
    let only = (!args.only.is_empty()).then_some(args.only.as_slice());
    let given = runner.run(&ProbeConfig::default(), only);
    let records: Vec<FactRecord> = given.into_iter().map(|collection| collection.record).collect();
    let host = host_json(runner.sys(), &records);
    match args.format {
        Format::Json => output::json(&json!({"host": host, "facts": records}))?,
        Format::Table => output::write(&as_tables(&host, &records, context))?,
    }
    Ok(ExitCode::SUCCESS)
}

const NO_MACHINE: Text = Text::new(
    "コンピューターの内容として読めません。ルートファイルシステムのあるフォルダを指定してください",
    "no machine can be read there; give the folder that holds its root file system",
);

/// The live machine, or the one under `root` by the clock of `as_of`.
pub fn open(root: Option<&std::path::Path>, as_of: Option<Timestamp>) -> anyhow::Result<Sys> {
    let Some(root) = root else { return Ok(Sys::live()) };
    Sys::at_root(root, as_of).map_err(|error| Refused::of(root.display(), NO_MACHINE).because(error).into())
}

const HEADER: [Text; 4] = [
    Text::new("項目", "Kind"),
    Text::new("状態", "Status"),
    Text::new("理由", "Reason"),
    Text::new("内容", "Content"),
];

fn as_tables(host: &Value, records: &[FactRecord], context: Context) -> String {
    let lang = context.lang;
    let about = host.as_object().into_iter().flatten();
    let about =
        about.map(|(name, value)| format!("{name}: {}\n", printable(value.as_str().unwrap_or_default())));
    let rows = records.iter().map(|record| {
        let content = &record.content;
        let reason = content.reason.as_ref().map(|reason| match &reason.detail {
            Some(detail) => format!("{}: {detail}", reason.code),
            None => reason.code.clone(),
        });
        let title = content.kind.known().map(|kind| kind.title().get(lang).to_owned());
        [
            title.map_or_else(|| content.kind.to_string(), |title| format!("{title} ({})", content.kind)),
            content.status.to_string(),
            reason.unwrap_or_default(),
            content.body.as_ref().map(summary).unwrap_or_default(),
        ]
    });
    let header = HEADER.map(|text| text.get(lang));
    format!("{}\n{}", about.collect::<String>(), output::table(&header, rows))
}

/// A body in a few words: its plain members, and how many entries its lists have.
fn summary(body: &Value) -> String {
    let members = body.as_object().into_iter().flatten().filter(|(name, _)| *name != "sources");
    let words = members.map(|(name, value)| match value {
        Value::Array(items) => format!("{name}: [{}]", items.len()),
        Value::Object(map) => {
            let inner = map.values().filter(|v| !v.is_array() && !v.is_object());
            format!("{name}: {}", inner.map(plain).collect::<Vec<_>>().join(" "))
        }
        other => format!("{name}: {}", plain(other)),
    });
    words.collect::<Vec<_>>().join(", ").chars().take(600).collect()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_counts_lists_and_shows_plain_members() {
        let body =
            json!({"name": "Debian", "items": [1, 2], "cpu": {"model": "x", "cores": 2}, "sources": [1]});
        let text = summary(&body);
        assert!(
            text.contains("name: Debian") && text.contains("items: [2]") && text.contains("cpu: "),
            "{text}"
        );
        assert!(!text.contains("sources"));
    }
}
