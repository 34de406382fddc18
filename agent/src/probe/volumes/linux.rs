//! Volumes of a Linux machine: the mount table and the block devices below; `fstab` where it does not run.

use std::collections::BTreeMap;

use tenken_shared::collected::{Collected, Reason, Status};
use tenken_shared::fact::FactKind;
use tenken_shared::fact::volumes::{Volume, VolumeSpace, Volumes, VolumesObserved};

use super::block::{Blocks, Ground};
use super::parse::{self, Mount};
use crate::probe::Collection;
use crate::probe::sources::{Sources, collected};
use crate::sys::{Space, Sys, SysError};

/// The table of process 1 is that of the machine; the agent's own may be narrowed by its sandbox.
const TABLES: [&str; 2] = ["/proc/1/mountinfo", "/proc/self/mountinfo"];
/// Most volumes listed.
const MAX_VOLUMES: usize = 1000;

/// Collects `volumes` and `volumes_observed`. Privilege: root for the table of process 1.
pub fn collect(sys: &Sys) -> Vec<Collection> {
    let mut sources = Sources::new();
    let (mounts, from) = match mounts(sys, &mut sources) {
        Ok(found) => found,
        Err(error) => {
            return super::PROBE.kinds.iter().map(|k| Collection::missing(*k, &error, sys.now())).collect();
        }
    };
    let mut mounts = distinct(mounts);
    if mounts.len() > MAX_VOLUMES {
        mounts.truncate(MAX_VOLUMES);
        sources.truncated("mounts", MAX_VOLUMES);
    }
    let blocks = Blocks::open(sys).map_err(|error| match error {
        SysError::Absent { what } if !sys.is_live() => {
            SysError::Unsupported { what, reason: "live_only".into() }
        }
        error => error,
    });
    match &blocks {
        Ok(_) => sources.known("/sys/class/block", 1),
        Err(error) => sources.error("/sys/class/block", error),
    }
    let mapped =
        sources.optional_text(sys, "/etc/crypttab").map(|text| parse::crypttab(&text)).unwrap_or_default();
    let items: Vec<Volume> =
        mounts.iter().map(|mount| volume(mount, blocks.as_ref().ok(), &mapped)).collect();
    let observed = observed(sys, &items, from);
    let states = sources.into_vec();
    let body = Volumes { items, sources: states.clone() };
    vec![Collection::of(collected(body, &states), from, sys.now()), observed]
}

fn mounts(sys: &Sys, sources: &mut Sources) -> Result<(Vec<Mount>, &'static str), SysError> {
    let mut refused = None;
    for path in TABLES {
        match sys.read_text(path) {
            Ok(text) => {
                let mounts = parse::mountinfo(&text);
                sources.known(path, mounts.len());
                return Ok((mounts, path));
            }
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    let refused = refused.unwrap_or_else(|| SysError::Absent { what: TABLES[0].into() });
    if sys.is_live() {
        return Err(refused);
    }
    // What a resting machine would mount; what was mounted by hand nobody can tell.
    let text = sys.read_text("/etc/fstab").map_err(|error| match error {
        SysError::Absent { what } => SysError::Unsupported { what, reason: "live_only".into() },
        error => error,
    })?;
    let mounts = parse::fstab(&text);
    sources.known("/etc/fstab", mounts.len());
    sources.gap(
        TABLES[0],
        Status::Partial,
        Reason::with("live_only", "mounts not in /etc/fstab are not known"),
    );
    Ok((mounts, "/etc/fstab"))
}

/// Volumes only, one per mount point (the last mount hides earlier ones) and without bind mounts of parts
/// of a file system that is listed anyway; sorted by mount point.
fn distinct(mounts: Vec<Mount>) -> Vec<Mount> {
    let mut by_point: BTreeMap<String, Mount> = BTreeMap::new();
    for mount in mounts {
        by_point.insert(mount.mount.clone(), mount);
    }
    let whole: Vec<String> =
        by_point.values().filter(|m| m.root == "/" && !m.dev.is_empty()).map(|m| m.dev.clone()).collect();
    let mut bound: Vec<String> = Vec::new();
    by_point.retain(|_, mount| {
        if !parse::is_volume(mount) {
            return false;
        }
        let is_part = mount.root != "/" && mount.file_system != "btrfs";
        if is_part && (whole.contains(&mount.dev) || bound.contains(&mount.dev)) {
            return false;
        }
        if is_part {
            bound.push(mount.dev.clone());
        }
        true
    });
    by_point.into_values().collect()
}

fn volume(mount: &Mount, blocks: Option<&Blocks<'_>>, mapped: &[String]) -> Volume {
    let network = parse::is_network(&mount.file_system);
    let names = blocks.filter(|_| !network).map(|blocks| blocks.of_mount(mount)).unwrap_or_default();
    let ground = match blocks {
        Some(blocks) if !names.is_empty() => blocks.ground(&names),
        _ => Ground::default(),
    };
    let by_file_system = match mount.file_system.as_str() {
        "ecryptfs" => Some("ecryptfs"),
        "fuse.gocryptfs" => Some("gocryptfs"),
        "fuse.encfs" => Some("encfs"),
        "fuse.cryfs" => Some("cryfs"),
        _ => None,
    };
    // The mapping of a resting machine is known by name only.
    let by_plan = mount.source.strip_prefix("/dev/mapper/").filter(|name| mapped.iter().any(|m| m == name));
    let (encrypted, encryption) = match (by_file_system, ground.encryption) {
        (Some(name), _) => (Some(true), Some(name.to_owned())),
        (None, Some(Ok(name))) => (Some(true), Some(name)),
        (None, Some(Err(()))) => (Some(false), None),
        (None, None) => (by_plan.map(|_| true), by_plan.map(|_| "dm-crypt".to_owned())),
    };
    let size =
        blocks.and_then(|blocks| names.iter().map(|name| blocks.size_bytes(name)).sum::<Option<u64>>());
    let optical = matches!(mount.file_system.as_str(), "iso9660" | "udf").then_some("optical");
    let class = if network { Some("network") } else { ground.class.or(optical) };
    Volume {
        mount: mount.mount.clone(),
        device: Some(mount.source.clone()),
        file_system: Some(mount.file_system.clone()),
        size_bytes: size.filter(|size| *size > 0),
        class: class.map(str::to_owned),
        encrypted,
        encryption,
        encryption_method: None,
        protection_on: None,
        read_only: Some(mount.read_only),
    }
}

/// Free space of everything but network volumes, whose server may hang.
fn observed(sys: &Sys, items: &[Volume], from: &str) -> Collection {
    if let Err(error) = sys.require_live("statvfs") {
        return Collection::missing(FactKind::VolumesObserved, &error, sys.now());
    }
    let mut list = Vec::new();
    let mut gap = None;
    for volume in items.iter().filter(|volume| volume.class.as_deref() != Some("network")) {
        match sys.space(&volume.mount) {
            Ok(Some(Space { free_bytes, used_pct, .. })) => {
                list.push(VolumeSpace { mount: volume.mount.clone(), free_bytes, used_pct });
            }
            Ok(None) => {}
            Err(error) => gap = gap.or(Some(error.reason())),
        }
    }
    let body = VolumesObserved { items: list };
    let answer = match gap {
        Some(reason) => Collected::Partial(body, reason),
        None => Collected::Known(body),
    };
    Collection::of(answer, format!("{from}; statvfs"), sys.now())
}
