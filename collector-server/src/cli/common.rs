//! What several commands share: the reader's language, files, times.

use std::io::Read as _;
use std::path::Path;

use clap::Args;
use jiff::Timestamp;
use tenken_shared::text::{Lang, Text};

use super::door::Door;

/// The language a person reads.
#[derive(Debug, Clone, Args)]
pub struct LangArgs {
    /// Language: ja or en. Default: that of the environment.
    #[arg(long, global = true, value_parser = ["ja", "en"])]
    lang: Option<String>,
}

impl LangArgs {
    /// The language.
    pub fn get(&self) -> Lang {
        self.lang.as_deref().map_or_else(tenken_service::language::of_environment, Lang::from_tag)
    }
}

/// A contract word for people: its title in Japanese, itself in English.
pub fn word(lang: Lang, word: &str, title: Text) -> String {
    match lang {
        Lang::Ja => title.ja.to_owned(),
        Lang::En => word.to_owned(),
    }
}

/// Headings in one language.
pub fn head(lang: Lang, texts: &[Text]) -> Vec<&'static str> {
    texts.iter().map(|t| t.get(lang)).collect()
}

/// A file up to a size; `-` is standard input.
pub fn read(path: &Path, max_bytes: u64, lang: Lang) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = max_bytes.saturating_add(1);
    let named = |e: std::io::Error| {
        let text = Text::new("ファイル {} を読めません", "The file {} cannot be read");
        anyhow::Error::new(e).context(super::door::error(lang, text, path.display()))
    };
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(named)?;
    } else {
        std::fs::File::open(path).map_err(named)?.take(limit).read_to_end(&mut bytes).map_err(named)?;
    }
    if bytes.len() as u64 > max_bytes {
        let text = Text::new("ファイル {} は大きすぎます。", "The file {} is too large.");
        return Err(super::door::error(lang, text, path.display()));
    }
    Ok(bytes)
}

/// The organisation's time zone.
pub async fn zone(door: &Door) -> anyhow::Result<String> {
    let envelope: tenken_shared::policy::PolicyEnvelope = door.get("/policy").await?;
    Ok(envelope.policy.time_zone)
}

/// A time for people, in the organisation's zone.
pub fn local(at: Timestamp, time_zone: &str) -> String {
    match jiff::tz::TimeZone::get(time_zone) {
        Ok(zone) => zone.to_datetime(at).strftime("%F %R").to_string(),
        Err(_) => at.to_string(),
    }
}

/// Until when something holds that ends at `end`, in the organisation's zone.
pub fn until(end: Timestamp, time_zone: &str) -> String {
    jiff::tz::TimeZone::get(time_zone)
        .map_or_else(|_| end.to_string(), |zone| crate::answer::until(end, &zone))
}
