//! Reads a policy that a person wrote, and says what is wrong with it in the reader's language.

use tenken_shared::policy::{OutOfRange, Policy};
use tenken_shared::text::Lang;

/// Largest policy, bytes.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Why a policy is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence(Lang::En))]
pub enum PolicySlip {
    /// Neither JSON nor TOML of the right shape; what the reader of the format says.
    Unreadable(String),
    /// Not an IANA name.
    TimeZone(String),
    /// A rule for removable media that does not exist.
    UsbStorage(String),
    /// A number that no policy may have.
    Range(OutOfRange),
}

impl PolicySlip {
    /// For people.
    #[must_use]
    pub fn sentence(&self, lang: Lang) -> String {
        match (self, lang) {
            (Self::Unreadable(what), Lang::Ja) => format!("JSONまたはTOMLのポリシーとして読めません: {what}"),
            (Self::Unreadable(what), Lang::En) => {
                format!("it does not read as a policy in JSON or TOML: {what}")
            }
            (Self::TimeZone(zone), Lang::Ja) => {
                format!("time_zone「{zone}」というタイムゾーンはありません(例 Asia/Tokyo)")
            }
            (Self::TimeZone(zone), Lang::En) => {
                format!("time_zone “{zone}” is not known (such as Asia/Tokyo)")
            }
            (Self::UsbStorage(rule), Lang::Ja) => {
                format!(
                    "removable.usb_storage「{rule}」は使えません。blocked、read_only、allow_list のいずれかです"
                )
            }
            (Self::UsbStorage(rule), Lang::En) => {
                format!("removable.usb_storage “{rule}” is none of blocked, read_only and allow_list")
            }
            (Self::Range(r), Lang::Ja) => {
                format!("{} の値 {} は許されません。{} から {} までです", r.field, r.value, r.least, r.most)
            }
            (Self::Range(r), Lang::En) => {
                format!("{} is {}; allowed is {} to {}", r.field, r.value, r.least, r.most)
            }
        }
    }
}

/// Reads a policy, JSON or TOML; members that are absent take their default, unknown ones are a slip. What
/// would only fail at the next judgement, such as a time zone that does not exist, is found here.
pub fn parse(bytes: &[u8]) -> Result<Policy, PolicySlip> {
    let unreadable = |e: &dyn std::fmt::Display| PolicySlip::Unreadable(e.to_string().trim().to_owned());
    let text = std::str::from_utf8(bytes).map_err(|e| unreadable(&e))?.trim_start_matches('\u{feff}');
    let policy: Policy = match text.trim_start().starts_with('{') {
        true => serde_json::from_str(text).map_err(|e| unreadable(&e))?,
        false => toml::from_str(text).map_err(|e| unreadable(&e))?,
    };
    if jiff::tz::TimeZone::get(&policy.time_zone).is_err() {
        return Err(PolicySlip::TimeZone(policy.time_zone));
    }
    match policy.removable.usb_storage.as_deref() {
        None | Some("blocked" | "read_only" | "allow_list") => {}
        Some(other) => return Err(PolicySlip::UsbStorage(other.to_owned())),
    }
    policy.check().map_err(PolicySlip::Range)?;
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_as_json_and_toml_and_mistakes_are_named_in_both_languages() {
        assert_eq!(parse(b"{}").unwrap(), Policy::default());
        assert_eq!(parse(b"[patch]\ndays = 7\n").unwrap().patch.days, 7);
        for (wrong, named) in [
            (r#"{"time_zone": "Asia/Nowhere"}"#, "Asia/Nowhere"),
            (r#"{"patch": {"dayz": 7}}"#, "dayz"),
            (r#"{"removable": {"usb_storage": "blokced"}}"#, "blokced"),
            (r#"{"patch": {"days": 15}}"#, "/patch/days"),
            (r#"{"backup": {"targets": [{"name": "x", "frequency_h": 0}]}}"#, "frequency_h"),
            ("days = [", "TOML"),
        ] {
            let slip = parse(wrong.as_bytes()).unwrap_err();
            let (ja, en) = (slip.sentence(Lang::Ja), slip.sentence(Lang::En));
            assert!(ja.contains(named) && en.contains(named) && ja != en, "{wrong}: {ja} / {en}");
        }
    }
}
