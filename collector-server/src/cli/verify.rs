//! `verify`: checks a pack without any server.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use tenken_shared::snapshot::{Check, CheckState, MAX_PACK_BYTES, Pack, Report, verify};
use tenken_shared::text::{Lang, Text};

use super::common;
use super::{Format, output};

/// Arguments of `verify`. Ends with 0 when everything the pack carries holds, 1 when something does not,
/// 2 when it cannot be read.
#[derive(Debug, Args)]
pub struct Verify {
    /// The pack.
    pack: PathBuf,
    /// Key id the collector's company states; without it, compare the one printed.
    #[arg(long)]
    key: Option<String>,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

impl Verify {
    /// Runs the command.
    pub fn run(self, lang: Lang) -> anyhow::Result<ExitCode> {
        let bytes = common::read(&self.pack, MAX_PACK_BYTES, lang)?;
        let pack: Pack = serde_json::from_slice(&bytes).map_err(|e| {
            let text = Text::new("{} は証跡ファイルではありません", "{} is not a pack");
            anyhow::Error::new(e).context(super::door::error(lang, text, self.pack.display()))
        })?;
        let report = verify(&pack);
        let other_key = self.key.is_some() && self.key != report.key_id;
        let verified = report.is_verified() && !other_key;
        match self.format {
            Format::Json => output::json(&json!({
                "verified": verified, "expected_key": !other_key, "key_id": report.key_id,
                "header": report.header, "checks": report.checks,
            }))?,
            Format::Table => print(&report, verified, other_key, lang)?,
        }
        Ok(if verified { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

const fn word(state: CheckState) -> Text {
    match state {
        CheckState::Verified => Text::new("確認できました", "verified"),
        CheckState::Broken => Text::new("一致しません", "DOES NOT HOLD"),
        CheckState::NotCheckable => {
            Text::new("確認できません(情報が含まれていません)", "not checkable (not carried)")
        }
    }
}

fn print(report: &Report, verified: bool, other_key: bool, lang: Lang) -> anyhow::Result<()> {
    if let Some(h) = &report.header {
        let head = common::head(lang, &[Text::new("スナップショット", "snapshot"), Text::new("値", "value")]);
        let names = [
            Text::new("番号", "number"),
            Text::new("組織", "organisation"),
            Text::new("時点", "moment"),
            Text::new("ホスト数", "hosts"),
            Text::new("署名鍵", "signing key"),
        ];
        let key = report.key_id.clone().unwrap_or_default();
        let values = [
            format!("{} {}", h.number, h.snapshot),
            h.org.to_string(),
            h.recorded_at.to_string(),
            h.hosts.to_string(),
            key,
        ];
        let rows = names.iter().zip(values).map(|(n, v)| vec![n.get(lang).to_owned(), v]);
        output::table(&head, rows.collect())?;
    }
    let head = common::head(
        lang,
        &[Text::new("確認", "check"), Text::new("結果", "result"), Text::new("詳細", "detail")],
    );
    let row = |c: &Check| vec![c.sentence(lang), word(c.state).get(lang).to_owned(), c.detail.join(" / ")];
    output::table(&head, report.checks.iter().map(row).collect())?;
    let end = match (verified, other_key) {
        (_, true) => {
            Text::new("署名鍵が指定されたものと違います。", "It is signed by another key than the one given.")
        }
        (true, _) => Text::new(
            "改ざんは見つかりませんでした。署名鍵が、その組織の示すものと同じであることを確かめてください。",
            "No change was found. Make sure that the signing key is the one the organisation states.",
        ),
        (false, _) => Text::new(
            "このファイルは作成時から変わっているか、壊れています。",
            "This file was changed since it was made, or is damaged.",
        ),
    };
    output::text(&format!("{}\n", end.get(lang)))
}
