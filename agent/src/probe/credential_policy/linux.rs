//! Password and lockout rules of a Linux machine: the PAM stack of `login` and what its modules read.

use std::collections::BTreeMap;

use tenken_shared::fact::FactKind;
use tenken_shared::fact::credential_policy::CredentialPolicy;

use super::pam::{self, Item, Line};
use crate::probe::Collection;
use crate::probe::dconf::{Profile, Value};
use crate::probe::sources::{Sources, collected};
use crate::sys::{Sys, SysError};

/// Folders of PAM services, the administrator's first.
const PAM: [&str; 2] = ["/etc/pam.d", "/usr/lib/pam.d"];
/// The services people log on with; the first that exists is read.
const SERVICES: [&str; 4] = ["login", "system-login", "system-auth", "common-auth"];
const MAX_DEPTH: usize = 16;
const MAX_LINES: usize = 500;

/// Collects the fact.
pub(super) fn collect(sys: &Sys) -> Collection {
    let mut cx = Context { sys, sources: Sources::new(), lines: vec![], body: CredentialPolicy::default() };
    let service =
        SERVICES.iter().find(|s| PAM.iter().any(|f| matches!(sys.exists(&format!("{f}/{s}")), Ok(true))));
    match service {
        Some(service) => {
            cx.stack(service, None, 0);
            // Debian's `login` leaves password changes to `common-password`.
            if !cx.lines.iter().any(|l| l.kind == "password") {
                for other in ["passwd", "common-password"] {
                    if cx.lines.iter().all(|l| l.kind != "password") {
                        cx.stack(other, Some("password"), 0);
                    }
                }
            }
        }
        None => {
            // Without a stack nothing is known of the rules; "none are set" would be a claim.
            let error = SysError::Absent { what: PAM[0].into() };
            return Collection::missing(FactKind::CredentialPolicy, &error, sys.now());
        }
    }
    cx.lockout();
    cx.quality();
    cx.ages();
    cx.screen_lock();
    let mut body = cx.body;
    body.sources = cx.sources.into_vec();
    let states = body.sources.clone();
    Collection::of(collected(body, &states), "/etc/pam.d; /etc/security; /etc/login.defs; dconf", sys.now())
}

struct Context<'a> {
    sys: &'a Sys,
    sources: Sources,
    lines: Vec<Line>,
    body: CredentialPolicy,
}

impl Context<'_> {
    /// Reads a service's file and what it includes, lines of `kind` only where one is named.
    fn stack(&mut self, service: &str, kind: Option<&str>, depth: usize) {
        if depth > MAX_DEPTH || self.lines.len() > MAX_LINES || service.contains("..") {
            return;
        }
        let paths: Vec<String> = if service.starts_with('/') {
            vec![service.to_owned()]
        } else {
            PAM.iter().map(|f| format!("{f}/{service}")).collect()
        };
        let Some(text) = paths.iter().find_map(|p| self.sources.optional_text(self.sys, p)) else { return };
        for item in pam::parse(&text) {
            match item {
                Item::Module(line) if kind.is_none_or(|k| k == line.kind) => self.lines.push(line),
                Item::Module(_) => {}
                Item::Include(of, file) => {
                    let wanted = match (&of, kind) {
                        (Some(of), Some(kind)) if of != kind => continue,
                        (Some(of), _) => Some(of.clone()),
                        (None, kind) => kind.map(str::to_owned),
                    };
                    self.stack(&file, wanted.as_deref(), depth + 1);
                }
            }
        }
    }

    fn module(&self, kind: &str, module: &str) -> Option<&Line> {
        self.lines.iter().find(|l| l.kind == kind && l.module == module)
    }

    fn conf(&mut self, path: &str) -> BTreeMap<String, String> {
        self.sources.optional_text(self.sys, path).map(|t| pam::settings(&t)).unwrap_or_default()
    }

    /// Lockout by pam_faillock (its configuration file, then its arguments) or pam_tally2. A stack that
    /// was read and has neither never locks.
    fn lockout(&mut self) {
        let read = !self.lines.is_empty() && !self.sources.has_gap();
        if let Some(line) = self.module("auth", "pam_faillock.so").cloned() {
            let path = line.value("conf").unwrap_or("/etc/security/faillock.conf").to_owned();
            let conf = self.conf(&path);
            let get = |name: &str| line.number(name).or_else(|| conf.get(name)?.parse().ok());
            let flag = |name: &str| line.has(name) || conf.contains_key(name);
            self.body.lockout_threshold = small(get("deny").unwrap_or(3));
            self.body.lockout_window_s = wide(get("fail_interval").unwrap_or(900));
            self.body.lockout_duration_s = wide(get("unlock_time").unwrap_or(600));
            self.body.applies_to_root = Some(flag("even_deny_root"));
        } else if let Some(line) = self.module("auth", "pam_tally2.so").cloned() {
            self.body.lockout_threshold = small(line.number("deny").unwrap_or(0));
            self.body.lockout_duration_s = wide(line.number("unlock_time").unwrap_or(0));
            self.body.applies_to_root = Some(line.has("even_deny_root"));
        } else if read {
            self.body.lockout_threshold = Some(0);
        }
        let delay = self.module("auth", "pam_faildelay.so").and_then(|l| l.number("delay"));
        self.body.failure_delay_ms = delay.and_then(|us| u64::try_from(us / 1000).ok());
    }

    /// Quality by pam_pwquality or pam_cracklib, else what pam_unix itself demands.
    fn quality(&mut self) {
        let quality =
            ["pam_pwquality.so", "pam_cracklib.so"].iter().find_map(|m| self.module("password", m)).cloned();
        if let Some(line) = quality {
            let conf = if line.module == "pam_pwquality.so" { self.quality_conf() } else { BTreeMap::new() };
            let get = |name: &str| line.number(name).or_else(|| conf.get(name)?.parse::<i64>().ok());
            let minimum = get("minlen").unwrap_or(if line.module == "pam_pwquality.so" { 8 } else { 9 });
            // Credits shorten the length demanded, one character for each kind used.
            let kinds = ["dcredit", "ucredit", "lcredit", "ocredit"];
            let default = i64::from(line.module == "pam_cracklib.so");
            let credits: Vec<i64> = kinds.iter().map(|k| get(k).unwrap_or(default)).collect();
            let shortened: i64 = credits.iter().map(|c| (*c).max(0)).sum();
            self.body.min_length = small(minimum.saturating_sub(shortened).max(6));
            let demanded = credits.iter().filter(|c| **c < 0).count() as i64;
            self.body.min_classes = small(get("minclass").unwrap_or(0).max(demanded));
            self.body.complexity = Some(demanded == 4 || get("minclass").unwrap_or(0) >= 4);
            if conf.get("enforcing").map(String::as_str) == Some("0") {
                // Only warns: nothing is demanded.
                self.body.min_length = small(6);
                self.body.min_classes = Some(0);
                self.body.complexity = Some(false);
            }
        } else if let Some(line) = self.module("password", "pam_unix.so").cloned() {
            // Only Debian's pam_unix demands six characters by itself (pam_unix(8)); elsewhere nothing is set.
            let debian = matches!(self.sys.exists("/etc/debian_version"), Ok(true));
            let default = debian.then_some(6);
            self.body.min_length = line.number("minlen").or(default).and_then(small);
            self.body.min_classes = Some(0);
            self.body.complexity = Some(false);
        }
        let history = self
            .module("password", "pam_pwhistory.so")
            .map(|l| (l.number("remember"), true))
            .or_else(|| self.module("password", "pam_unix.so").map(|l| (l.number("remember"), false)));
        self.body.history = match history {
            Some((Some(n), _)) => small(n),
            Some((None, true)) => small(
                self.conf("/etc/security/pwhistory.conf")
                    .get("remember")
                    .and_then(|v| v.parse().ok())
                    .unwrap_or(10),
            ),
            Some((None, false)) => Some(0),
            None => None,
        };
    }

    fn quality_conf(&mut self) -> BTreeMap<String, String> {
        let mut conf = BTreeMap::new();
        let folder = "/etc/security/pwquality.conf.d";
        // The folder is read first, and the main file has the last word.
        for entry in self.sys.list(folder).unwrap_or_default() {
            if entry.name.ends_with(".conf") {
                conf.extend(self.conf(&format!("{folder}/{}", entry.name)));
            }
        }
        conf.extend(self.conf("/etc/security/pwquality.conf"));
        conf
    }

    fn ages(&mut self) {
        let Some(text) = self.sources.text(self.sys, "/etc/login.defs") else { return };
        let defs = pam::settings(&text);
        let days = defs.get("PASS_MAX_DAYS").and_then(|v| v.parse::<i64>().ok());
        // The customary "never" is 99999 days.
        self.body.max_age_days = days.and_then(|d| if (1..99_999).contains(&d) { small(d) } else { Some(0) });
        if self.body.failure_delay_ms.is_none() {
            let seconds = defs.get("FAIL_DELAY").and_then(|v| v.parse::<u64>().ok());
            self.body.failure_delay_ms = seconds.and_then(|s| s.checked_mul(1000));
        }
    }

    /// Idle time until the screen locks, where the machine sets it for everybody.
    fn screen_lock(&mut self) {
        let profile = Profile::load(self.sys, &mut self.sources);
        let folder = "/org/gnome/desktop";
        let idle = profile.get(&format!("{folder}/session/idle-delay"), None);
        let delay = profile.get(&format!("{folder}/screensaver/lock-delay"), None);
        let enabled = profile.get(&format!("{folder}/screensaver/lock-enabled"), None);
        if let Some(Value::Number(idle)) = idle
            && *idle > 0
            && !matches!(enabled, Some(Value::Bool(false)))
        {
            let delay = if let Some(Value::Number(delay)) = delay { *delay } else { 0 };
            self.body.screen_lock_s = Some(u64::from(*idle) + u64::from(delay));
        }
    }
}

fn small(number: i64) -> Option<u32> {
    u32::try_from(number).ok()
}

fn wide(number: i64) -> Option<u64> {
    u64::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::super::PROBE;
    use super::*;
    use crate::probe::ProbeConfig;
    use crate::probe::fixture::{Fixture, body};

    fn policy(fixture: &Fixture) -> CredentialPolicy {
        body(fixture.collect::<CredentialPolicy>(&PROBE, &ProbeConfig::default()))
    }

    fn debian() -> Fixture {
        let fixture = Fixture::empty();
        fixture.write(
            "etc/pam.d/login",
            "auth optional pam_faildelay.so delay=3000000\n@include common-auth\n@include common-password\n",
        );
        fixture.write(
            "etc/pam.d/common-auth",
            "auth [success=1 default=ignore] pam_unix.so nullok\nauth requisite pam_deny.so\n",
        );
        fixture.write(
            "etc/pam.d/common-password",
            "password [success=1 default=ignore] pam_unix.so obscure yescrypt\n",
        );
        fixture.write("etc/login.defs", "PASS_MAX_DAYS\t99999\n").write("etc/debian_version", "12.4\n");
        fixture
    }

    #[test]
    fn a_plain_debian_never_locks_and_takes_six_characters() {
        let policy = policy(&debian());
        assert_eq!(
            (policy.lockout_threshold, policy.min_length, policy.complexity),
            (Some(0), Some(6), Some(false))
        );
        assert_eq!(
            (policy.failure_delay_ms, policy.max_age_days, policy.history),
            (Some(3000), Some(0), Some(0))
        );
    }

    #[test]
    fn elsewhere_pam_unix_demands_no_length() {
        let fixture = debian();
        std::fs::remove_file(fixture.path("etc/debian_version")).unwrap();
        assert_eq!(policy(&fixture).min_length, None);
    }

    #[test]
    fn faillock_and_pwquality_are_read_from_files_and_arguments() {
        let fixture = Fixture::empty();
        fixture.write("etc/pam.d/login", "auth substack system-auth\npassword include system-auth\n");
        fixture.write(
            "etc/pam.d/system-auth",
            "auth required pam_faillock.so preauth silent deny=4\nauth sufficient pam_unix.so\npassword requisite pam_pwquality.so local_users_only\npassword sufficient pam_unix.so remember=5\n",
        );
        fixture.write("etc/security/faillock.conf", "deny = 10\nunlock_time = 0\neven_deny_root\n");
        fixture.write("etc/security/pwquality.conf", "minlen = 12\nminclass = 3\n");
        fixture.write("etc/security/pwquality.conf.d/10.conf", "minlen = 20\n");
        fixture.write("etc/login.defs", "PASS_MAX_DAYS 90\n");
        let policy = policy(&fixture);
        assert_eq!(
            (policy.lockout_threshold, policy.lockout_duration_s, policy.lockout_window_s),
            (Some(4), Some(0), Some(900))
        );
        assert_eq!(policy.applies_to_root, Some(true));
        assert_eq!((policy.min_length, policy.min_classes, policy.history), (Some(12), Some(3), Some(5)));
        assert_eq!(policy.max_age_days, Some(90));
    }

    #[test]
    fn without_pam_nothing_is_claimed() {
        let fact = Fixture::empty().collect::<CredentialPolicy>(&PROBE, &ProbeConfig::default());
        assert_eq!(fact.status(), tenken_shared::collected::Status::Absent);
    }

    #[test]
    fn includes_that_go_round_end() {
        let fixture = Fixture::empty();
        fixture.write("etc/pam.d/login", "@include login\nauth required pam_unix.so\n");
        assert_eq!(policy(&fixture).lockout_threshold, Some(0));
    }
}
