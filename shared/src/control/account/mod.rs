//! 4-1-2, 4-1-4, 4-1-5 and 4-4-1-5: accounts and log-on.

pub(super) mod administrators_known;
pub(super) mod default_ids_stopped;
pub(super) mod lockout;
pub(super) mod minimum_length;
pub(super) mod password_rule;

use crate::fact::credential_policy::CredentialPolicy;
use crate::policy::Credential;

/// Whether failed log-ons lock the account soon enough.
fn locks(rules: &CredentialPolicy, policy: &Credential) -> bool {
    rules.lockout_threshold.is_some_and(|n| (1..=policy.lockout_max).contains(&n))
}

/// Whether passwords are strong enough to do without a lock: long, with upper, lower and digits.
fn strong(rules: &CredentialPolicy, policy: &Credential) -> bool {
    let varied = rules.complexity == Some(true) || rules.min_classes.is_some_and(|n| n >= 3);
    varied && rules.min_length.is_some_and(|n| n >= policy.min_length)
}
