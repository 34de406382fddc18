//! Pending restart of Linux, from the flag files of the distributions, the installed and the running
//! kernel, core packages installed since the boot, and libraries that processes still hold.
//!
//! Flag files live in memory-backed folders: under a root folder their absence says nothing, and
//! `pending` stays empty there unless one is found.
//! Privilege: the memory maps of other users' processes need root; without it that source is `denied`.

use jiff::Timestamp;
use tenken_shared::collected::{Reason, SourceState, Status};
use tenken_shared::fact::restart::{Restart, RestartObserved, RestartSign};

use super::parse;
use crate::probe::Collection;
use crate::probe::package::{rpmdb, settle};
use crate::sys::{Sys, SysError};

/// Places whose change may bring a pending restart.
pub const WATCH: &[&str] = &["/run/reboot-required", "/run/reboot-needed", "/boot", "/var/lib/dpkg/status"];

/// Debian and Ubuntu; SUSE.
const FLAGS: [&str; 3] = ["/run/reboot-required", "/var/run/reboot-required", "/run/reboot-needed"];
const FLAG_PACKAGES: [&str; 2] = ["/run/reboot-required.pkgs", "/var/run/reboot-required.pkgs"];
/// Packages whose update takes a restart, as dnf's needs-restarting has them.
const CORE_PACKAGES: [&str; 14] = [
    "kernel",
    "kernel-core",
    "kernel-rt",
    "glibc",
    "linux-firmware",
    "systemd",
    "dbus",
    "dbus-broker",
    "dbus-daemon",
    "microcode_ctl",
    "kernel-default",
    "udev",
    "openssl-libs",
    "gnutls",
];
/// Databases whose change says that packages were installed.
const PACKAGE_STATES: [&str; 6] = [
    "/var/lib/dpkg/status",
    "/var/lib/rpm/rpmdb.sqlite",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/usr/lib/sysimage/rpm/Packages.db",
    "/var/lib/rpm/Packages",
    "/var/lib/pacman/local",
];

pub fn collect(sys: &Sys) -> Vec<Collection> {
    let booted = sys.booted_at();
    let mut body = Restart::default();
    flag_files(sys, &mut body);
    kernels(sys, &mut body);
    let mut is_certain = true;
    match &booted {
        Ok(booted) => {
            core_packages(sys, *booted, &mut body);
            is_certain = replaced_libraries(sys, *booted, &mut body);
        }
        Err(error) => body.sources.push(settle::gap("running system", error)),
    }
    let restart = body.signs.iter().any(|s| s.code != "library_replaced");
    let looked = sys.is_live() && body.sources.iter().all(|s| !s.is_gap());
    body.pending = if restart { Some(true) } else { (looked && is_certain).then_some(false) };
    let sources = body.sources.clone();
    let line = settle::source_line(&sources);
    let boot = match booted {
        Ok(at) => {
            let body = RestartObserved { booted_at: Some(at) };
            Collection::of(tenken_shared::collected::Collected::Known(body), "boot time", sys.now())
        }
        Err(error) => Collection::missing(tenken_shared::fact::FactKind::RestartObserved, &error, sys.now()),
    };
    vec![Collection::of(settle::by_sources(body, &sources, "nothing_to_judge_by"), line, sys.now()), boot]
}

fn sign(code: &str, detail: Option<String>) -> RestartSign {
    RestartSign { code: code.to_owned(), detail }
}

/// A flag that cannot be looked at is a gap, never "no".
fn flag_files(sys: &Sys, body: &mut Restart) {
    let found = FLAGS.iter().find_map(|path| match sys.exists(path) {
        Ok(false) => None,
        Ok(true) => Some(Ok(*path)),
        Err(error) => Some(Err(error)),
    });
    match found {
        Some(Ok(path)) => {
            let packages = FLAG_PACKAGES.iter().find_map(|p| sys.read_text(p).ok()).unwrap_or_default();
            let mut names: Vec<&str> = packages.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
            names.sort_unstable();
            names.dedup();
            names.truncate(50);
            let detail = (!names.is_empty()).then(|| names.join(", "));
            body.signs.push(sign("reboot_required_file", detail));
            body.sources.push(SourceState::known(path, 1));
        }
        Some(Err(error)) => body.sources.push(settle::gap(FLAGS[0], &error)),
        None if sys.is_live() => body.sources.push(SourceState::known(FLAGS[0], 0)),
        None => {
            let reason = Reason::with("live_only", "flag files do not outlive the running system");
            body.sources.push(SourceState::gap(FLAGS[0], Status::Unsupported, reason));
        }
    }
}

/// Newest installed kernel against the running one. A machine without kernels of its own (a container)
/// has nothing to compare.
fn kernels(sys: &Sys, body: &mut Restart) {
    const SOURCE: &str = "/boot";
    let running = match sys.uname() {
        Ok(uname) => uname.release,
        Err(error) => return body.sources.push(settle::gap("running kernel", &error)),
    };
    let installed = match installed_kernels(sys) {
        Ok(installed) => installed,
        Err(error) => return body.sources.push(settle::gap(SOURCE, &error)),
    };
    if installed.is_empty() {
        let reason = Reason::with("not_present", "no kernel is installed");
        return body.sources.push(SourceState::gap(SOURCE, Status::Absent, reason));
    }
    body.sources.push(SourceState::known(SOURCE, installed.len()));
    if let Some(newer) = parse::newer_kernel(&running, &installed) {
        body.signs.push(sign("kernel_newer_installed", Some(format!("{running} -> {newer}"))));
    }
}

fn installed_kernels(sys: &Sys) -> Result<Vec<String>, SysError> {
    let list = |path: &str| match sys.list(path) {
        Err(SysError::Absent { .. }) => Ok(vec![]),
        other => other,
    };
    let mut out: Vec<String> =
        list("/boot")?.iter().filter_map(|e| parse::kernel_release(&e.name)).map(str::to_owned).collect();
    for entry in list("/usr/lib/modules")? {
        if sys.exists(&format!("/usr/lib/modules/{}/vmlinuz", entry.name))? {
            out.push(entry.name);
        }
    }
    out.sort();
    out.dedup();
    Ok(out)
}

/// Core packages of rpm systems installed since the boot.
fn core_packages(sys: &Sys, booted: Timestamp, body: &mut Restart) {
    let databases = match rpmdb::find(sys) {
        Ok(databases) => databases,
        Err(error) => return body.sources.push(settle::gap("rpm", &error)),
    };
    for database in databases {
        let unchanged =
            sys.stat(&database.path).ok().flatten().and_then(|s| s.modified).is_some_and(|m| m < booted);
        if unchanged {
            body.sources.push(SourceState::known(format!("rpm:{}", database.path), 0));
            continue;
        }
        let mut newer = vec![];
        let read = rpmdb::for_each(sys, &database, &mut |p| {
            let since = p.installed.is_some_and(|t| t > booted.as_second());
            if since && CORE_PACKAGES.contains(&p.name.as_str()) {
                newer.push(p.name);
            }
        });
        match read {
            Ok(_) => body.sources.push(SourceState::known(format!("rpm:{}", database.path), newer.len())),
            Err(error) => body.sources.push(settle::gap(format!("rpm:{}", database.path), &error)),
        }
        newer.sort();
        newer.dedup();
        if !newer.is_empty() {
            body.signs.push(sign("core_package_updated", Some(newer.join(", "))));
        }
    }
}

/// Counts processes that hold replaced libraries. Where no package changed since the boot there can be
/// none, and nothing is read. Gives whether process 1 is free of them: it restarts only with the machine.
fn replaced_libraries(sys: &Sys, booted: Timestamp, body: &mut Restart) -> bool {
    const SOURCE: &str = "/proc/*/maps";
    let changed =
        |path: &&str| sys.stat(path).ok().flatten().and_then(|s| s.modified).is_some_and(|m| m >= booted);
    if !PACKAGE_STATES.iter().any(changed) {
        body.sources.push(SourceState::known(SOURCE, 0));
        return true;
    }
    let processes = match sys.processes() {
        Ok(processes) => processes,
        Err(error) => {
            body.sources.push(settle::gap(SOURCE, &error));
            return true;
        }
    };
    let (mut holding, mut denied, mut init) = (0, 0, false);
    // A process comes to hold a replaced library by an installation, which the stat of the databases shows;
    // it lets go of it by ending, which the processes show.
    let sys = sys.untraced();
    for process in processes {
        match sys.read_capped(&format!("/proc/{}/maps", process.pid), 16 * 1024 * 1024) {
            Ok(maps) if parse::maps_replaced_library(&maps) => {
                holding += 1;
                init |= process.pid == 1;
            }
            Err(SysError::Denied { .. }) => denied += 1,
            // Ended meanwhile, or a kernel thread.
            Ok(_) | Err(_) => {}
        }
    }
    if denied > 0 {
        let reason = Reason::with("permission_denied", format!("{denied} processes"));
        body.sources.push(settle::partial(SOURCE, holding, reason));
    } else {
        body.sources.push(SourceState::known(SOURCE, holding));
    }
    if holding > 0 {
        body.signs.push(sign("library_replaced", Some(format!("{holding} processes"))));
    }
    if init {
        body.signs.push(sign("library_replaced_in_init", None));
    }
    !init
}

#[cfg(test)]
mod tests {
    use tenken_shared::collected::Collected;

    use super::super::{PROBE, ProbeConfig};
    use super::*;
    use crate::probe::fixture::Fixture;

    fn read(sys: &Sys) -> Collected<Restart> {
        (PROBE.collect)(sys, &ProbeConfig::default()).remove(0).record.typed()
    }

    fn at(files: &[(&str, &str)]) -> Collected<Restart> {
        let fixture = Fixture::empty();
        for (path, text) in files {
            fixture.write(path, text);
        }
        read(&Sys::at_root(&fixture.path("/"), None).unwrap())
    }

    #[test]
    fn flag_file_names_its_packages() {
        let found = at(&[
            ("/run/reboot-required", "*** System restart required ***\n"),
            ("/run/reboot-required.pkgs", "libssl3\nlinux-base\nlibssl3\n"),
        ]);
        let body = found.value().unwrap();
        assert_eq!(body.pending, Some(true));
        assert_eq!(body.signs[0].detail.as_deref(), Some("libssl3, linux-base"));
    }

    #[test]
    fn files_alone_never_say_that_none_is_pending() {
        let found = at(&[("/boot/vmlinuz-6.1.0-13-amd64", "")]);
        assert_ne!(found.status(), Status::Known);
        assert_eq!(found.value().and_then(|b| b.pending), None);
    }

    #[test]
    fn live_machine_answers() {
        let found = read(&Sys::live());
        if cfg!(target_os = "linux") {
            assert!(found.value().is_some_and(|b| !b.sources.is_empty()));
        }
    }
}
