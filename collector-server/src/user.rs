//! People and programs that ask: roles, passwords, and the secrets that stand for them.
//!
//! Every secret (session, API token, one-time link) is 32 random bytes; the store keeps its SHA-256 only.
//! Passwords are kept as argon2id in PHC form.

use std::str::FromStr;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tenken_shared::ids::{Digest, InvalidId, OrgId};
use tenken_shared::redact::Secret;
use tenken_shared::text::Text;

/// How long a session lives without being used.
pub const SESSION_IDLE: SignedDuration = SignedDuration::from_hours(12);
/// How long a session lives at most.
pub const SESSION_MAX: SignedDuration = SignedDuration::from_hours(24 * 7);
/// How long a one-time link is valid.
pub const LINK_MAX: SignedDuration = SignedDuration::from_hours(24);
/// Prefix of an API token's text form.
pub const API_TOKEN_PREFIX: &str = "tka_";
/// Shortest password, characters.
pub const MIN_PASSWORD_CHARS: usize = 12;
/// Longest password, characters.
pub const MAX_PASSWORD_CHARS: usize = 200;

/// What somebody may do within one organisation. Each includes the ones below.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads everything, changes nothing.
    Auditor,
    /// Confirms hosts, makes enrolment tokens, records exceptions and attestations, takes snapshots.
    Operator,
    /// Users, API tokens, policy.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Operator, Self::Auditor];

    /// The contract word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auditor => "auditor",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Title for people.
    #[must_use]
    pub const fn title(self) -> Text {
        match self {
            Self::Auditor => Text::new("閲覧者", "Auditor"),
            Self::Operator => Text::new("運用担当", "Operator"),
            Self::Admin => Text::new("管理者", "Administrator"),
        }
    }
}

impl FromStr for Role {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::ALL
            .into_iter()
            .find(|r| r.as_str() == text)
            .ok_or_else(|| InvalidId { what: "role", value: text.chars().take(80).collect() })
    }
}

/// Who asks: one organisation, one role, and the name that goes into the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Organisation everything is limited to.
    pub org: OrgId,
    /// Role there.
    pub role: Role,
    /// `user:NAME`, `api-token:ID`, or one of the names above for what is nobody's session.
    pub name: String,
    /// May change what concerns every organisation: whoever holds the collector's data, whoever that one gave a
    /// token for it, and the collector itself.
    pub everywhere: bool,
}

/// Prefix of the name of a person as an actor.
pub const USER_ACTOR: &str = "user:";
/// Prefix of the name of an API token as an actor.
pub const API_TOKEN_ACTOR: &str = "api-token:";
/// Whoever runs commands on the collector's data.
pub const COMMAND_LINE: &str = "command line";
/// The collector itself.
pub const SYSTEM: &str = "system";
/// The collector, when a schedule is due.
pub const SCHEDULE: &str = "schedule";
/// A match with the company's ledger.
pub const LEDGER: &str = "ledger";

impl Actor {
    /// A person with a role.
    #[must_use]
    pub fn user(org: OrgId, role: Role, name: &str) -> Self {
        Self { org, role, name: format!("{USER_ACTOR}{name}"), everywhere: false }
    }

    /// A program with an API token.
    #[must_use]
    pub fn api_token(org: OrgId, role: Role, id: &str) -> Self {
        Self { org, role, name: format!("{API_TOKEN_ACTOR}{id}"), everywhere: false }
    }

    /// Whoever may run commands on the collector's data.
    #[must_use]
    pub fn command_line(org: OrgId) -> Self {
        Self { org, role: Role::Admin, name: COMMAND_LINE.into(), everywhere: true }
    }

    /// The collector itself.
    #[must_use]
    pub fn system(org: OrgId) -> Self {
        Self { org, role: Role::Admin, name: SYSTEM.into(), everywhere: true }
    }

    /// The collector, when a schedule of the organisation is due.
    #[must_use]
    pub fn schedule(org: OrgId) -> Self {
        Self { org, role: Role::Operator, name: SCHEDULE.into(), everywhere: false }
    }

    /// Log-in name, for a person.
    #[must_use]
    pub fn user_name(&self) -> Option<&str> {
        self.name.strip_prefix(USER_ACTOR)
    }

    /// Whether the role suffices.
    #[must_use]
    pub fn may(&self, needed: Role) -> bool {
        self.role >= needed
    }
}

/// A user as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UserRow {
    /// Log-in name.
    pub name: String,
    /// Role in the organisation asked for.
    pub role: Role,
    /// Whether a password was set.
    pub has_password: bool,
    /// Whether log-in is refused.
    pub disabled: bool,
    /// When made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Last log-in.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_login_at: Option<Timestamp>,
}

/// An API token as listed; its secret is shown once, when made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApiTokenRow {
    /// Id, for revoking.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// Role.
    pub role: Role,
    /// Who made it.
    pub created_by: String,
    /// When made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Until when it is valid.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
    /// When it was used last (to the minute).
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// Whether it may change what concerns every organisation.
    pub everywhere: bool,
}

/// One change, as kept for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditRow {
    /// Number, growing.
    pub id: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who ([`Actor::name`]).
    pub actor: String,
    /// `area.verb`, for example `user.add`, `token.create`.
    pub action: String,
    /// On what.
    pub object: String,
    /// More, without secrets.
    pub detail: String,
}

/// A new random secret in text form. Fails only where the system has no randomness.
pub fn new_secret() -> Result<Secret<String>, getrandom::Error> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes)?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

/// A new short public id (`prefix` + 12 characters).
pub fn new_id(prefix: &str) -> Result<String, getrandom::Error> {
    let mut bytes = [0u8; 9];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// What the store keeps of a secret. The secrets are random, so a plain hash suffices.
#[must_use]
pub fn secret_hash(secret: &str) -> String {
    Digest::of(secret.as_bytes()).to_string()
}

/// The proof a form of this session carries: derived, so that nothing more is stored, and useless without the cookie.
#[must_use]
pub fn csrf_proof(session_secret: &str) -> String {
    Digest::of(format!("csrf\n{session_secret}").as_bytes()).to_string()
}

/// Compares two proofs without telling by time where they differ.
#[must_use]
pub fn same_proof(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0u8, |acc, (x, y)| acc | (x ^ y)) == 0
}

/// Whether a user name has an acceptable form: 1 to 64 of `[A-Za-z0-9._@-]`.
#[must_use]
pub fn is_user_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@'))
}

/// Whether a password may be set for a user.
#[must_use]
pub fn is_password_acceptable(name: &str, password: &str) -> bool {
    let chars = password.chars().take(MAX_PASSWORD_CHARS + 1).count();
    (MIN_PASSWORD_CHARS..=MAX_PASSWORD_CHARS).contains(&chars) && !password.eq_ignore_ascii_case(name)
}

/// argon2id in PHC form. Slow on purpose: call it off the async threads.
pub fn hash_password(password: &Secret<String>) -> Result<String, argon2::password_hash::Error> {
    Ok(Argon2::default().hash_password(password.expose().as_bytes())?.to_string())
}

/// Whether the password fits. Without a hash the same work is done for nothing, so that time does not
/// tell which users exist. Slow on purpose: call it off the async threads.
#[must_use]
pub fn password_fits(password: &Secret<String>, phc: Option<&str>) -> bool {
    let parsed = phc.and_then(|text| PasswordHash::new(text).ok());
    match parsed {
        Some(hash) => Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok(),
        None => {
            let _same_work = hash_password(password);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_own_hash_only() {
        let right = Secret::new("correct horse battery".to_owned());
        let wrong = Secret::new("correct horse batterz".to_owned());
        let phc = hash_password(&right).unwrap();
        assert!(phc.starts_with("$argon2id$"), "{phc}");
        assert!(password_fits(&right, Some(&phc)));
        assert!(!password_fits(&wrong, Some(&phc)));
        assert!(!password_fits(&right, None));
        assert!(!password_fits(&right, Some("not a hash")));
    }

    #[test]
    fn roles_include_the_ones_below() {
        assert!(Role::Admin > Role::Operator && Role::Operator > Role::Auditor);
    }

    #[test]
    fn weak_passwords_are_refused() {
        assert!(!is_password_acceptable("admin", "short"));
        assert!(!is_password_acceptable("administrator", "Administrator"));
        assert!(!is_password_acceptable("a", &"x".repeat(MAX_PASSWORD_CHARS + 1)));
        assert!(is_password_acceptable("admin", "十二文字以上の長い合言葉です"));
    }

    #[test]
    fn proofs_depend_on_the_session() {
        assert_ne!(csrf_proof("a"), csrf_proof("b"));
        assert!(same_proof(&csrf_proof("a"), &csrf_proof("a")));
        assert!(!same_proof("a", "ab"));
    }
}
