//! Takes what people answer for, exceptions and attestations, from console, API and command line alike:
//! names become ids, days become moments, and a slip is said in the reader's language.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tenken_shared::control;
use tenken_shared::criterion::{self, Attestation, Exception, Mitigation};
use tenken_shared::ids::HostId;
use tenken_shared::text::{Lang, Text, printable};

use crate::store::host::Host;
use crate::store::{Store, StoreError};
use crate::user::{self, Actor};

/// An exception to be recorded.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct NewException {
    /// Host id or name, or `group:NAME`.
    pub target: String,
    /// Control id.
    pub control: String,
    /// Why it cannot be mended now.
    pub reason: String,
    /// `disable`, `workaround`, `isolate` or `monitor_and_block`.
    pub mitigation: String,
    /// Who answers for it.
    pub owner: String,
    /// Last day (2027-03-31) in the organisation's time zone, or a moment (RFC 3339).
    pub deadline: String,
}

/// An attestation to be recorded.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct NewAttestation {
    /// Criterion.
    pub criterion: String,
    /// Whether it holds.
    pub holds: bool,
    /// Who states it.
    pub by: String,
    /// What is stated.
    pub statement: String,
    /// Where the document is.
    pub document: Option<String>,
    /// Last day by which it must be looked at again, or a moment (RFC 3339).
    pub next_review: String,
}

/// Why an answer was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No random bytes for an id.
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// Something in it makes no sense.
    #[error("{}", .0.sentence(Lang::En))]
    Invalid(Slip),
}

/// What makes no sense, with what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slip {
    text: Text,
    written: String,
}

impl Slip {
    /// For people.
    #[must_use]
    pub fn sentence(&self, lang: Lang) -> String {
        self.text.get(lang).replace("{}", &self.written.chars().take(200).collect::<String>())
    }
}

fn slip(ja: &'static str, en: &'static str, written: &str) -> AnswerError {
    AnswerError::Invalid(Slip { text: Text::new(ja, en), written: printable(written.trim()) })
}

/// A day's end or a moment: `2027-03-31` lasts to its end in `time_zone`, else RFC 3339.
pub fn moment(text: &str, time_zone: &str) -> Result<Timestamp, AnswerError> {
    let wrong = || {
        slip(
            "「{}」は日付(例 2027-03-31)でも日時(RFC 3339)でもありません。",
            "“{}” is neither a day (2027-03-31) nor a time (RFC 3339).",
            text,
        )
    };
    if let Ok(day) = text.trim().parse::<jiff::civil::Date>() {
        let zone = jiff::tz::TimeZone::get(time_zone).map_err(|_| wrong())?;
        return control::date::end_of(day, &zone).ok_or_else(wrong);
    }
    text.trim().parse().map_err(|_| wrong())
}

/// Until when something holds that ends at `end`, for people: its last day where it ends with a day of the
/// zone, else the moment.
#[must_use]
pub fn until(end: Timestamp, zone: &TimeZone) -> String {
    let local = zone.to_datetime(end);
    match local.date().yesterday() {
        Ok(last) if local.time() == jiff::civil::Time::midnight() => last.to_string(),
        _ => local.strftime("%F %R").to_string(),
    }
}

/// A host by id or by a name that only one host has.
pub async fn host(store: &Store, org: i64, name: &str) -> Result<Host, AnswerError> {
    if let Ok(id) = name.parse::<HostId>()
        && let Some(host) = store.host(org, &id).await?
    {
        return Ok(host);
    }
    let mut named = store.hosts(org).await?;
    named.retain(|h| h.hostname.eq_ignore_ascii_case(name));
    match (named.pop(), named.is_empty()) {
        (Some(host), true) => Ok(host),
        (Some(_), false) => Err(slip(
            "「{}」という名前の機器が複数あります。IDを指定してください。",
            "Several hosts are named “{}”; give the id.",
            name,
        )),
        (None, _) => Err(slip("「{}」という機器はありません。", "There is no host “{}”.", name)),
    }
}

/// The target of an exception in the form the roll-up reads. A mistyped one would be an exception for
/// nobody.
async fn target(store: &Store, org: i64, text: &str) -> Result<String, AnswerError> {
    let text = text.trim();
    let Some(group) = text.strip_prefix("group:") else {
        return Ok(host(store, org, text).await?.id.to_string());
    };
    let known = store.groups(org).await?;
    match known.iter().find(|g| g.as_str() == group.trim()) {
        Some(group) => Ok(format!("group:{group}")),
        None => Err(slip("「{}」というグループはありません。", "There is no group “{}”.", group)),
    }
}

fn filled(texts: &[&str]) -> Result<(), AnswerError> {
    match texts.iter().any(|t| t.trim().is_empty()) {
        true => Err(slip("必須の項目が空です。", "A required field is empty.", "")),
        false => Ok(()),
    }
}

fn ahead(at: Timestamp, now: Timestamp, written: &str) -> Result<Timestamp, AnswerError> {
    if at > now {
        return Ok(at);
    }
    Err(slip("「{}」は過ぎています。先の日付を指定してください。", "“{}” is past.", written))
}

async fn zone(store: &Store, org: i64) -> Result<String, AnswerError> {
    Ok(store.policy(org).await?.policy.time_zone)
}

async fn number(store: &Store, actor: &Actor) -> Result<i64, AnswerError> {
    let org = store.org(&actor.org).await?;
    Ok(org.ok_or_else(|| StoreError::NotFound(format!("organisation {}", actor.org)))?.number)
}

/// Records an exception in the actor's name.
pub async fn add_exception(
    store: &Store,
    actor: &Actor,
    new: NewException,
    now: Timestamp,
) -> Result<Exception, AnswerError> {
    let org = number(store, actor).await?;
    filled(&[&new.target, &new.control, &new.reason, &new.owner])?;
    let control = control::find(new.control.trim())
        .ok_or_else(|| slip("「{}」という管理策はありません。", "There is no control “{}”.", &new.control))?;
    let mitigation: Mitigation = new.mitigation.trim().parse().map_err(|_| {
        slip("「{}」という軽減策はありません。", "There is no mitigation “{}”.", &new.mitigation)
    })?;
    let deadline = moment(&new.deadline, &zone(store, org).await?)?;
    let exception = Exception {
        id: user::new_id("e-")?,
        target: target(store, org, &new.target).await?,
        control: control.id.to_owned(),
        reason: new.reason.trim().to_owned(),
        mitigation,
        owner: new.owner.trim().to_owned(),
        deadline: ahead(deadline, now, &new.deadline)?,
        created_at: now,
        created_by: actor.name.clone(),
    };
    Ok(store.add_exception(actor, exception).await?)
}

/// Records an attestation in the actor's name.
pub async fn add_attestation(
    store: &Store,
    actor: &Actor,
    new: NewAttestation,
    now: Timestamp,
) -> Result<Attestation, AnswerError> {
    let org = number(store, actor).await?;
    filled(&[&new.criterion, &new.by, &new.statement])?;
    let about = criterion::find(new.criterion.trim()).ok_or_else(|| {
        slip("「{}」という評価基準はありません。", "There is no criterion “{}”.", &new.criterion)
    })?;
    let next_review = moment(&new.next_review, &zone(store, org).await?)?;
    let attestation = Attestation {
        id: user::new_id("a-")?,
        criterion: about.criterion.clone(),
        holds: new.holds,
        by: new.by.trim().to_owned(),
        statement: new.statement.trim().to_owned(),
        document: new.document.map(|d| d.trim().to_owned()).filter(|d| !d.is_empty()),
        at: now,
        next_review: ahead(next_review, now, &new.next_review)?,
        recorded_by: actor.name.clone(),
    };
    Ok(store.add_attestation(actor, attestation).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_lasts_to_its_end_in_the_zone_of_the_company() {
        let end = moment(" 2027-03-31 ", "Asia/Tokyo").unwrap();
        let next_day: Timestamp = "2027-03-31T15:00:00Z".parse().unwrap();
        assert_eq!(end, next_day);
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
        assert_eq!(until(end, &tokyo), "2027-03-31");
        assert_eq!(until(end, &TimeZone::UTC), "2027-03-31 15:00");
        assert_eq!(moment("2027-03-31T00:00:00Z", "Asia/Tokyo").unwrap().to_string(), "2027-03-31T00:00:00Z");
        for wrong in ["", "31.3.2027", "2027-02-30", "\u{202e}tomorrow"] {
            let AnswerError::Invalid(slip) = moment(wrong, "Asia/Tokyo").unwrap_err() else { panic!() };
            assert!(!slip.sentence(Lang::Ja).contains("{}") && !slip.sentence(Lang::En).contains('\u{202e}'));
        }
    }
}
