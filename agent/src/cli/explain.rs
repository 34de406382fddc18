//! `tenken-agent explain`: what is collected and why, from the registry of probes.

use std::process::ExitCode;

use serde_json::json;
use tenken_shared::text::Text;

use super::{Context, Format, output};
use crate::probe::registry;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

const NEVER: Text = Text::new(
    "収集しないもの: ファイルの中身、文書のファイル名、閲覧した URL、入力内容、パスワード。可搬媒体の使用状況は回数と容量だけを記録します。",
    "Never collected: file contents, names of documents, visited URLs, typed text, passwords. Use of removable media is recorded as counts and bytes only.",
);
const LABELS: [Text; 2] = [Text::new("収集する内容", "Collected"), Text::new("理由", "Why")];

/// Prints the list in one language, or as JSON in both.
pub fn run(args: &Args, context: Context) -> anyhow::Result<ExitCode> {
    match args.format {
        Format::Json => {
            let probes = registry::ALL.iter().map(|probe| {
                let kinds = probe.kinds.iter().map(|kind| json!({"kind": kind.as_str(), "title": kind.title()}));
                json!({"probe": probe.name, "kinds": kinds.collect::<Vec<_>>(), "what": probe.what, "why": probe.why})
            });
            output::json(&json!({"probes": probes.collect::<Vec<_>>(), "never": NEVER}))?;
        }
        Format::Table => {
            let lang = context.lang;
            let [collected, why] = LABELS.map(|text| text.get(lang));
            let mut page = String::new();
            for probe in registry::ALL {
                let kinds = probe.kinds.iter().map(|kind| format!("{} ({kind})", kind.title().get(lang)));
                let kinds = kinds.collect::<Vec<_>>().join(", ");
                page.push_str(&format!(
                    "{kinds}\n  {collected}: {}\n  {why}: {}\n\n",
                    probe.what.get(lang),
                    probe.why.get(lang)
                ));
            }
            output::write(&format!("{page}{}\n", NEVER.get(lang)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
