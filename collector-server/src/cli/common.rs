//! What several commands share: the organisation's flag, the reader's language, files.

use std::io::Read as _;
use std::path::Path;

use clap::Args;
use jiff::Timestamp;
use tenken_shared::ids::{HostId, OrgId};
use tenken_shared::text::{Lang, Text};

use super::{DEFAULT_ORG, StoreArgs};
use crate::store::Store;
use crate::store::host::{Host, Org};
use crate::user::{Actor, Role};

/// Who changes something on the command line, in the audit log.
pub const ACTOR: &str = "command line";

/// The command line as an actor in one organisation: whoever may run it on the collector's data.
pub fn actor(org: &OrgId) -> Actor {
    Actor { org: org.clone(), role: Role::Admin, name: ACTOR.to_owned() }
}

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

/// A host by id or by a name that only one host has.
pub async fn host(store: &Store, org: &Org, name: &str) -> anyhow::Result<Host> {
    if let Ok(id) = name.parse::<HostId>()
        && let Some(host) = store.host(org.number, &id).await?
    {
        return Ok(host);
    }
    let mut named = store.hosts(org.number).await?;
    named.retain(|h| h.hostname.eq_ignore_ascii_case(name));
    match (named.pop(), named.is_empty()) {
        (Some(host), true) => Ok(host),
        (Some(_), false) => anyhow::bail!("several hosts are named {name}; give the id"),
        (None, _) => anyhow::bail!("no host {name}"),
    }
}

/// A day's end or a moment: `2027-03-31` lasts to its end in `time_zone`, else RFC 3339.
pub fn moment(text: &str, time_zone: &str) -> anyhow::Result<Timestamp> {
    if let Ok(day) = text.parse::<jiff::civil::Date>() {
        let zone = jiff::tz::TimeZone::get(time_zone)?;
        return tenken_shared::control::date::end_of(day, &zone)
            .ok_or_else(|| anyhow::anyhow!("{text} is out of range"));
    }
    text.parse().map_err(|_| anyhow::anyhow!("{text:?} is neither a day (2027-03-31) nor a time (RFC 3339)"))
}

/// A time for people, in the organisation's zone.
pub fn local(at: Timestamp, time_zone: &str) -> String {
    match jiff::tz::TimeZone::get(time_zone) {
        Ok(zone) => zone.to_datetime(at).strftime("%F %R").to_string(),
        Err(_) => at.to_string(),
    }
}
