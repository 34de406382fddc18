//! Accounts, who may become administrator, log-ons, password rules, malware protection's files.

use tenken_agent::probe::accounts::parse;
use tenken_agent::probe::accounts::sudoers::Sudoers;
use tenken_agent::probe::credential_policy::pam;
use tenken_agent::probe::malware_protection::parse as clamav;

use super::text;
use crate::Target;

/// Targets of this module.
pub const TARGETS: &[Target] = &[
    Target::over(
        "account_files",
        account_files,
        &[
            "agent/fixtures/accounts/linux-debian12/etc/passwd",
            "agent/fixtures/accounts/linux-debian12/etc/shadow",
            "agent/fixtures/accounts/linux-debian12/etc/group",
            "agent/fixtures/accounts/linux-debian12/etc/nsswitch.conf",
        ],
    )
    .max_len(1024),
    Target::over(
        "sudoers",
        sudoers,
        &[
            "agent/fixtures/accounts/linux-debian12/etc/sudoers",
            "agent/fixtures/accounts/linux-debian12/etc/sudoers.d",
        ],
    )
    .samples(SUDOERS)
    .max_len(1024),
    Target::over("log_ons", log_ons, &[]).made(made_log_ons).max_len(1536),
    Target::over(
        "pam",
        pam_files,
        &[
            "agent/fixtures/credential_policy/linux-debian12/etc/pam.d",
            "agent/fixtures/credential_policy/linux-debian12/etc/security",
            "agent/fixtures/credential_policy/linux-debian12/etc/login.defs",
        ],
    )
    .samples(PAM)
    .max_len(1024),
    Target::over("clamav_files", clamav_files, &[]).samples(CLAMAV).max_len(600),
];

const SUDOERS: &[&str] = &[
    "Defaults env_reset\nUser_Alias ADMINS = ito, %wheel, #1000 : OPS = %#27\nCmnd_Alias SH = /bin/sh, \\\n /bin/bash\nHost_Alias PCS = pc1\nRunas_Alias R = root\nADMINS ALL=(R:ALL) NOPASSWD: SH, !/bin/su\n%sudo ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n#include /etc/x\n",
    "User_Alias A = B, B, B, B, B, B, ito : B = A, A, A, A, A, A\nCmnd_Alias C = C, C, C, C, ALL\nA ALL = C",
];
const PAM: &[&str] = &[
    "auth required pam_faillock.so preauth deny=5 unlock_time=900\nauth [success=1 default=ignore] pam_unix.so nullok\n@include common-auth\npassword substack system-auth\npassword requisite pam_pwquality.so retry=3 minlen=10 \\\n difok=3\n-session optional pam_systemd.so\n",
    "deny = 5\nunlock_time=600 # x\neven_deny_root\n",
];
const CLAMAV: &[&str] = &[
    "ClamAV-VDB:17 Nov 2026 09-32 +0000:27461:2067033:90:aabbcc:sig:builder:1794907920",
    "# x\nDatabaseDirectory /var/lib/clamav\nOnAccessIncludePath /home\nOnAccessIncludePath /srv\n",
];

fn account_files(data: &[u8]) {
    text(data, |text| {
        for user in parse::passwd(text) {
            assert!(!user.name.is_empty());
            let _ = parse::is_login_shell(&user.shell);
        }
        let _ = (parse::shadow(text), parse::group(text), parse::directories(text));
        let _ = text.lines().map(parse::password_state).count();
    });
}

fn sudoers(data: &[u8]) {
    text(data, |text| {
        let mut sudoers = Sudoers::default();
        let _ = sudoers.read(text, "/etc/sudoers");
        let _ = sudoers.administrators();
    });
}

fn log_ons(data: &[u8]) {
    let _ = (parse::wtmp(data), parse::lastlog_time(data));
}

fn pam_files(data: &[u8]) {
    text(data, |text| {
        let _ = (pam::parse(text), pam::settings(text));
    });
}

fn clamav_files(data: &[u8]) {
    let _ = clamav::signature_header(data);
    text(data, |text| {
        let _ = clamav::settings(text);
    });
}

/// A boot, two log-ons of one user.
fn made_log_ons() -> Vec<Vec<u8>> {
    let record = |kind: u8, user: &[u8], at: i32| {
        let mut out = vec![0; 384];
        out[0] = kind;
        out[44..44 + user.len()].copy_from_slice(user);
        out[340..344].copy_from_slice(&at.to_le_bytes());
        out
    };
    let records =
        [record(2, b"reboot", 1_795_000_000), record(7, b"ito", 1_795_000_100), record(7, b"ito", 5)];
    vec![records.concat(), 1_795_000_000_u32.to_le_bytes().to_vec()]
}
