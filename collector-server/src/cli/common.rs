//! What several commands share: the organisation's flag, the reader's language, files.

use std::io::Read as _;
use std::path::Path;

use clap::Args;
use jiff::Timestamp;
use tenken_shared::ids::OrgId;
use tenken_shared::text::{Lang, Text};

use super::{DEFAULT_ORG, StoreArgs};
use crate::store::Store;
use crate::store::host::Org;
use crate::user::Actor;

/// Store and organisation.
#[derive(Debug, Clone, Args)]
pub struct OrgArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Organisation.
    #[arg(long, default_value = DEFAULT_ORG)]
    org: OrgId,
}

impl OrgArgs {
    /// Opens the store and finds the organisation.
    pub async fn open(&self) -> anyhow::Result<(Store, Org)> {
        self.store.open_org(&self.org).await
    }

    /// The command line as an actor in the organisation.
    pub fn actor(&self) -> Actor {
        Actor::command_line(self.org.clone())
    }
}

/// The language a person reads.
#[derive(Debug, Clone, Args)]
pub struct LangArgs {
    /// Language: ja or en. Default: that of the environment.
    #[arg(long, value_parser = ["ja", "en"])]
    lang: Option<String>,
}

impl LangArgs {
    /// The language.
    pub fn get(&self) -> Lang {
        if let Some(tag) = &self.lang {
            return Lang::from_tag(tag);
        }
        let set = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let tag = set("LC_ALL").or_else(|| set("LC_MESSAGES")).or_else(|| set("LANG"));
        tag.map_or(Lang::En, |tag| Lang::from_tag(&tag))
    }
}

/// Headings in one language.
pub fn head(lang: Lang, texts: &[Text]) -> Vec<&'static str> {
    texts.iter().map(|t| t.get(lang)).collect()
}

/// A file up to a size; `-` is standard input.
pub fn read(path: &Path, max_bytes: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = max_bytes.saturating_add(1);
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        let named = |e| anyhow::anyhow!("{}: {e}", path.display());
        std::fs::File::open(path).map_err(named)?.take(limit).read_to_end(&mut bytes).map_err(named)?;
    }
    anyhow::ensure!(bytes.len() as u64 <= max_bytes, "{} is larger than {max_bytes} bytes", path.display());
    Ok(bytes)
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
