//! Vorta, the desktop client of Borg: its own log of runs, per profile.
//!
//! `settings.db` (SQLite, of the user): `eventlogmodel` has one row per command with its return code (Borg:
//! 0 done, 1 done with warnings, 2 and more failed; -1 not ended) and times in local time without zone,
//! `repomodel` the repositories, `backupprofilemodel` the profiles with their schedule.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tenken_shared::fact::backups::BackupJob;

use super::{Context, Found, destination};
use crate::probe::homes::Home;
use crate::probe::package::zone;
use crate::sys::{Sqlite, Sys, SysError};

/// Where it lies below a home folder: of a package, of a Flatpak.
const PLACES: [&str; 2] =
    [".local/share/Vorta/settings.db", ".var/app/com.borgbase.Vorta/data/Vorta/settings.db"];
const MAX_PROFILES: usize = 100;
const PROFILES: &str = "select p.name, p.schedule_mode, r.url, r.encryption \
    from backupprofilemodel p join repomodel r on r.id = p.repo_id order by p.id";
const RUNS: &str = "select cast(end_time as text), returncode from eventlogmodel \
    where subcommand = 'create' and repo_url = ?1 order by end_time desc limit 1000";

/// Every user's profiles.
pub(super) fn read(sys: &Sys, cx: &mut Context) {
    for home in cx.homes.clone() {
        for place in PLACES {
            let path = format!("{}/{place}", home.path);
            match of_user(sys, &home, &path) {
                Ok(found) => {
                    cx.sources.known(format!("vorta:{path}"), found.len());
                    for mut job in found {
                        let url = job.job.destination.take().unwrap_or_default();
                        let class = destination::classify(sys, &cx.mounts, &url);
                        job.job.destination_class = class.map(str::to_owned);
                        job.job.destination = Some(destination::without_credentials(&url));
                        cx.found.push(job);
                    }
                }
                Err(SysError::Absent { .. }) => {}
                Err(error) => cx.sources.error(format!("vorta:{path}"), &error),
            }
        }
    }
}

/// The profiles of one database; destinations as written.
fn of_user(sys: &Sys, home: &Home, path: &str) -> Result<Vec<Found>, SysError> {
    let db = sys.sqlite(path)?;
    let zone = sys.time_zone()?;
    let profiles = profiles(&db).map_err(|error| db.error(&error))?;
    let job = |profile| run_of(&db, sys, home, &zone, profile).map_err(|error| db.error(&error));
    profiles.into_iter().map(job).collect()
}

struct Profile {
    name: String,
    schedule: Option<String>,
    url: String,
    encryption: Option<String>,
}

fn profiles(db: &Sqlite) -> rusqlite::Result<Vec<Profile>> {
    let mut query = db.connection().prepare(PROFILES)?;
    let rows = query.query_map([], |row| {
        Ok(Profile { name: row.get(0)?, schedule: row.get(1)?, url: row.get(2)?, encryption: row.get(3)? })
    })?;
    rows.take(MAX_PROFILES).collect()
}

fn run_of(db: &Sqlite, sys: &Sys, home: &Home, zone: &TimeZone, profile: Profile) -> rusqlite::Result<Found> {
    let mut query = db.connection().prepare_cached(RUNS)?;
    let rows =
        query.query_map([&profile.url], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
    let runs = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let past = |at: &Timestamp| *at <= sys.now();
    let ended: Vec<(Option<Timestamp>, i64)> =
        runs.iter().filter(|(_, code)| *code >= 0).map(|(at, code)| (moment(zone, at), *code)).collect();
    let good = ended.iter().find(|(_, code)| *code <= 1);
    let last = ended.first();
    let result = last.map(|(_, code)| match code {
        0 => "succeeded",
        1 => "succeeded_with_warnings",
        _ => "failed",
    });
    Ok(Found {
        job: BackupJob {
            product: "vorta".into(),
            name: format!("{}/{}", home.user, profile.name),
            role: "backup".into(),
            last_success: good.and_then(|(at, _)| *at).filter(past),
            result: result.map(str::to_owned),
            code: last.map(|(_, code)| code.to_string()),
            destination: Some(profile.url),
            encrypted: profile
                .encryption
                .map(|kind| !matches!(kind.as_str(), "none" | "authenticated" | "authenticated-blake2")),
            scheduled: profile.schedule.map(|mode| mode != "off"),
            evidence: if last.is_some() { "product_log" } else { "configuration" }.into(),
            ..BackupJob::default()
        },
        last_attempt: runs.first().and_then(|(at, _)| moment(zone, at)).filter(past),
        ..Found::default()
    })
}

/// Reads `2026-11-22 21:00:03.123456`, local.
#[must_use]
pub fn moment(zone: &TimeZone, text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once([' ', 'T'])?;
    zone::local(zone, date, time.split('.').next()?)
}

#[cfg(test)]
mod tests {
    use tenken_shared::fact::backups::Backups;

    use crate::probe::ProbeConfig;
    use crate::probe::fixture::{Fixture, body};

    const SCHEMA: &str = "create table repomodel(id integer primary key, url text, encryption text);
        create table backupprofilemodel(id integer primary key, name text, schedule_mode text, repo_id integer);
        create table eventlogmodel(id integer primary key, start_time datetime, end_time datetime, category text,
            subcommand text, message text, returncode integer, params text, profile text, repo_url text);
        insert into repomodel values (1, 'ssh://borg:pw@backup.example.jp/./vault', 'repokey-blake2');
        insert into backupprofilemodel values (1, '経理　毎日', 'fixed', 1);";

    fn machine(rows: &[(&str, &str, i64)]) -> Fixture {
        let fixture = Fixture::empty();
        fixture
            .write("etc/passwd", "ito:x:1000:1000::/home/ito:/bin/sh\n")
            .write("etc/timezone", "Asia/Tokyo\n");
        #[cfg(unix)]
        fixture.link("etc/localtime", "/usr/share/zoneinfo/Asia/Tokyo");
        let path =
            fixture.folder("home/ito/.local/share/Vorta").path("home/ito/.local/share/Vorta/settings.db");
        let db = rusqlite::Connection::open(path).unwrap();
        db.execute_batch(SCHEMA).unwrap();
        for (end, command, code) in rows {
            db.execute(
                "insert into eventlogmodel(start_time, end_time, subcommand, returncode, repo_url)
                 values (?1, ?1, ?2, ?3, 'ssh://borg:pw@backup.example.jp/./vault')",
                rusqlite::params![end, command, code],
            )
            .unwrap();
        }
        fixture
    }

    #[test]
    fn a_run_counts_by_its_return_code_and_local_time() {
        let fixture = machine(&[
            ("2026-11-20 21:00:00.000001", "create", 0),
            ("2026-11-21 21:00:00.5", "create", 1),
            ("2026-11-22 21:00:00", "create", 2),
            ("2026-11-22 22:00:00", "prune", 0),
            ("2026-11-22 23:00:00", "create", -1),
        ]);
        let backups = body(fixture.collect::<Backups>(&super::super::PROBE, &ProbeConfig::default()));
        let job = backups.jobs.iter().find(|job| job.product == "vorta").unwrap();
        assert_eq!(job.name, "ito/経理　毎日");
        assert_eq!(job.last_success, "2026-11-21T12:00:00Z".parse().ok(), "{:?}", backups.sources);
        assert_eq!((job.result.as_deref(), job.code.as_deref()), (Some("failed"), Some("2")));
        assert_eq!(job.destination.as_deref(), Some("ssh://backup.example.jp/./vault"));
        assert_eq!(
            (job.destination_class.as_deref(), job.encrypted, job.scheduled),
            (Some("remote"), Some(true), Some(true))
        );
        assert!(!backups.sources.iter().any(|source| source.is_gap()), "{:?}", backups.sources);
    }

    #[test]
    fn a_profile_that_never_ran_has_no_result_and_a_strange_database_is_a_gap() {
        let fixture = machine(&[]);
        let backups = body(fixture.collect::<Backups>(&super::super::PROBE, &ProbeConfig::default()));
        assert_eq!(
            (backups.jobs[0].last_success, backups.jobs[0].evidence.as_str()),
            (None, "configuration")
        );
        fixture.write("home/ito/.local/share/Vorta/settings.db", vec![0xA5; 8192]);
        let fact = fixture.collect::<Backups>(&super::super::PROBE, &ProbeConfig::default());
        assert_eq!(fact.reason().unwrap().code, "malformed");
    }
}
