use tenken_shared::collected::Status;
use tenken_shared::fact::backups::{BackupJob, Backups, BackupsObserved};
use tenken_shared::policy::DeclaredPath;

use super::{PROBE, ProbeConfig};
use crate::probe::fixture::{Fixture, body};

fn job<'a>(backups: &'a Backups, product: &str, name: &str) -> &'a BackupJob {
    backups
        .jobs
        .iter()
        .find(|j| j.product == product && j.name == name)
        .unwrap_or_else(|| panic!("{product} {name} in {:?}", backups.jobs))
}

fn machine() -> Fixture {
    let fixture = Fixture::of("backups/linux-restic-borg");
    let snapshots = "srv/restic/snapshots";
    let (old, new) = (
        "4b80b5c0e8fe55b24f17193e75a88326309bf874180e50c1e7843767fc145c9f",
        "fc7b0a936f9873e431782b95fcf7ab80fa9121c1f92dbaef410bcc3d5988ea8d",
    );
    fixture.touch(&format!("{snapshots}/{old}"), "2026-11-20T01:00:00Z");
    fixture.touch(&format!("{snapshots}/{new}"), "2026-11-22T01:00:00Z");
    fixture.touch("srv/borg", "2026-11-21T02:00:00Z");
    fixture.touch("root/.cache/borg", "2026-11-19T02:00:00Z");
    fixture
}

#[test]
fn repositories_are_found_and_read_without_their_password() {
    let fixture = machine();
    let backups = body(fixture.collect::<Backups>(&PROBE, &ProbeConfig::default()));
    let restic = job(&backups, "restic", "/srv/restic");
    assert_eq!(restic.last_success, "2026-11-22T01:00:00Z".parse().ok());
    assert_eq!(restic.oldest_copy, "2026-11-20T01:00:00Z".parse().ok());
    assert_eq!((restic.copies, restic.encrypted), (Some(2), Some(true)));
    assert_eq!(restic.evidence, "repository");
    assert_eq!(restic.destination_class, None, "under a root folder nothing tells the disk");

    let borg = job(&backups, "borg", "/srv/borg");
    assert_eq!(borg.last_success, "2026-11-19T02:00:00Z".parse().ok(), "the client's last create");
    assert_eq!((borg.encrypted, borg.evidence.as_str()), (Some(true), "file_time"));
    let observed = body(fixture.collect::<BackupsObserved>(&PROBE, &ProbeConfig::default()));
    let attempt = observed.jobs.iter().find(|j| j.name == "/srv/borg").unwrap();
    assert_eq!(attempt.last_attempt, "2026-11-21T02:00:00Z".parse().ok(), "a transaction is an attempt");
}

#[test]
fn what_only_configuration_tells_has_no_result() {
    let backups = body(machine().collect::<Backups>(&PROBE, &ProbeConfig::default()));
    let cron = job(&backups, "borg", "ssh://backup.example.jp/./vault");
    assert_eq!(cron.destination_class.as_deref(), Some("remote"));
    assert_eq!((cron.last_success, cron.evidence.as_str()), (None, "configuration"));
    let unit = job(&backups, "systemd", "restic-backup.service");
    assert_eq!((unit.result.clone(), unit.last_success), (None, None));
    assert_eq!(unit.destination.as_deref(), Some("/srv/restic"));
    assert_eq!(unit.scheduled, None, "enabled on disk does not say active");
}

#[test]
fn a_client_that_never_wrote_gives_no_success() {
    let fixture = machine();
    std::fs::remove_dir_all(fixture.path("root/.cache")).unwrap();
    std::fs::remove_dir_all(fixture.path("root/.config")).unwrap();
    let mut config = ProbeConfig::default();
    config.policy.backup.declared_paths.push(declared("/srv/borg", Some("vault"), Some("attached")));
    let backups = body(fixture.collect::<Backups>(&PROBE, &config));
    let borg = job(&backups, "borg", "vault");
    assert_eq!((borg.last_success, borg.encrypted), (None, None));
    assert_eq!(borg.destination_class.as_deref(), Some("attached"));
}

fn declared(path: &str, name: Option<&str>, class: Option<&str>) -> DeclaredPath {
    DeclaredPath { path: path.into(), name: name.map(Into::into), destination_class: class.map(Into::into) }
}

#[test]
fn a_declared_path_gives_its_newest_file_and_a_missing_one_a_gap() {
    let fixture = Fixture::empty();
    fixture.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n").write("srv/dumps/a.sql", "12345");
    fixture.touch("srv/dumps/a.sql", "2026-11-20T00:00:00Z");
    let mut config = ProbeConfig::default();
    config.policy.backup.declared_paths.push(declared("/srv/dumps", None, None));
    let whole = fixture.collect::<Backups>(&PROBE, &config);
    assert_eq!(whole.status(), Status::Known, "{:?}", whole.reason());
    let backups = body(whole);
    let dump = job(&backups, "declared_path", "/srv/dumps");
    assert_eq!((dump.last_success, dump.size_bytes), ("2026-11-20T00:00:00Z".parse().ok(), Some(5)));
    assert_eq!(dump.evidence, "file_time");

    config.policy.backup.declared_paths.push(declared("/mnt/usb", Some("usb"), None));
    let gap = fixture.collect::<Backups>(&PROBE, &config);
    assert_eq!(gap.reason().map(|r| r.code.as_str()), Some("declared_path_missing"));
    assert_eq!(job(&body(gap), "declared_path", "usb").last_success, None);
}

#[test]
fn an_installed_product_that_is_not_read_is_a_gap() {
    let fixture = Fixture::empty();
    fixture.write("etc/passwd", "").write("etc/veeam/veeam.ini", "");
    let fact = fixture.collect::<Backups>(&PROBE, &ProbeConfig::default());
    assert_eq!(fact.reason().map(|r| r.code.as_str()), Some("product_not_read"));
}

#[test]
fn a_machine_without_backups_is_known_to_have_none() {
    let fixture = Fixture::empty();
    fixture.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
    let fact = fixture.collect::<Backups>(&PROBE, &ProbeConfig::default());
    assert_eq!(fact.status(), Status::Known);
    let backups = body(fact);
    assert!(backups.jobs.is_empty() && backups.sources.len() > 5, "{backups:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn live_machine_is_collected() {
    let given = (PROBE.collect)(&crate::sys::Sys::live(), &ProbeConfig::default());
    assert!(given.iter().all(|c| c.record.content.status.has_body()), "{given:?}");
}
