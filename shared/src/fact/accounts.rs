//! Local accounts and who can become administrator.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::collected::SourceState;

/// Body of `accounts`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Accounts {
    /// Accounts a person can use, and every administrator; sorted by name. System accounts without log-on are counted only.
    pub items: Vec<Account>,
    /// System accounts without log-on.
    pub system_accounts: u64,
    /// How administrator rights are given: groups and rules (`group:sudo`, `sudoers:/etc/sudoers.d/x`).
    pub admin_rules: Vec<String>,
    /// Directory services the machine asks for users (`sss`, `winbind`, `ldap`); their users are not listed.
    pub directories: Vec<String>,
    /// What was read.
    pub sources: Vec<SourceState>,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// Name.
    pub name: String,
    /// UID or SID.
    pub id: String,
    /// May log on.
    pub enabled: Option<bool>,
    /// Is or can become administrator.
    pub administrator: Option<bool>,
    /// Through what.
    pub administrator_via: Vec<String>,
    /// Has a password (not locked, not empty); `None` where it could not be read.
    pub password: Option<String>,
    /// Built in by the system (root, Administrator, Guest).
    pub built_in: bool,
}

/// Body of `accounts_observed`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountsObserved {
    /// One per account with a known time.
    pub items: Vec<AccountUse>,
}

/// Last use of one account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountUse {
    /// Name.
    pub name: String,
    /// Last log-on.
    pub last_logon: Option<Timestamp>,
    /// Last password change (day precision on Linux).
    pub password_changed_at: Option<Timestamp>,
}
