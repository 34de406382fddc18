//! Where a backup goes: the class of a destination, from its text and from what is mounted.
//!
//! What cannot be known is `None`. A private or short host name is `lan`: a copy in the same office is
//! no remote copy, and a VPN in between is the exception that the policy can declare.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::sys::Sys;

/// Mounted file systems of the machine.
#[derive(Debug, Clone, Default)]
pub struct Mounts(Vec<Mount>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    point: String,
    file_system: String,
    source: String,
    device: String,
}

impl Mounts {
    /// Reads what is mounted on a running machine; empty under a root folder, where nothing is mounted.
    #[must_use]
    pub fn read(sys: &Sys) -> Self {
        if !sys.is_live() {
            return Self::default();
        }
        sys.read_text("/proc/self/mountinfo").map(|t| Self::parse(&t)).unwrap_or_default()
    }

    /// Reads `mountinfo` (`proc(5)`); lines that do not read as one are skipped.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(text.lines().take(10_000).filter_map(Mount::parse).collect())
    }

    fn of(&self, path: &str) -> Option<&Mount> {
        let holds = |m: &&Mount| {
            m.point == "/"
                || path == m.point
                || path.strip_prefix(&m.point).is_some_and(|r| r.starts_with('/'))
        };
        // Of two mounts on one point the later one hides the earlier.
        self.0.iter().filter(holds).max_by_key(|m| m.point.len())
    }

    /// The mount point of a block device (`/dev/sda1`), if it is mounted anywhere.
    #[must_use]
    pub fn point_of(&self, device: &str) -> Option<&str> {
        self.0.iter().find(|m| m.source == device).map(|m| m.point.as_str())
    }
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let mut right = right.split(' ');
        Some(Self {
            device: (*left.get(2)?).to_owned(),
            point: unescape(left.get(4)?),
            file_system: right.next()?.to_owned(),
            source: unescape(right.next()?),
        })
    }
}

/// Undoes the octal escapes of mount tables (`\040`).
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let code = bytes.get(i + 1..i + 4).and_then(|d| std::str::from_utf8(d).ok());
        match code.and_then(|d| u8::from_str_radix(d, 8).ok()).filter(|_| bytes[i] == b'\\') {
            Some(byte) => {
                out.push(byte);
                i += 4;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The local path a location names, if it is one.
#[must_use]
pub fn local_path(location: &str) -> Option<&str> {
    let path =
        location.strip_prefix("file://").or_else(|| location.strip_prefix("local:")).unwrap_or(location);
    path.starts_with('/').then_some(path)
}

/// The class of a destination: `same_disk`, `attached`, `lan`, `remote`, `cloud`; `None` where unknown.
#[must_use]
pub fn classify(sys: &Sys, mounts: &Mounts, location: &str) -> Option<&'static str> {
    match local_path(location) {
        Some(path) => of_path(sys, mounts, path),
        None => of_url(location),
    }
}

fn of_path(sys: &Sys, mounts: &Mounts, path: &str) -> Option<&'static str> {
    let mount = mounts.of(path)?;
    match mount.file_system.as_str() {
        "nfs" | "nfs4" | "cifs" | "smb3" | "afs" | "ceph" | "glusterfs" | "fuse.glusterfs" => {
            return Some("lan");
        }
        "fuse.sshfs" => {
            return mount.source.split_once(':').and_then(|(host, _)| of_host(host.rsplit('@').next()?));
        }
        "fuse.rclone" | "fuse.s3fs" | "fuse.gcsfuse" => return Some("cloud"),
        _ => {}
    }
    let root = mounts.of("/")?;
    if mount.point == "/" || (mount.device == root.device && mount.file_system == root.file_system) {
        return Some("same_disk");
    }
    let (ours, its) = (disks(sys, root), disks(sys, mount));
    if ours.is_empty() || its.is_empty() {
        None
    } else if ours.is_disjoint(&its) {
        Some("attached")
    } else {
        Some("same_disk")
    }
}

/// Whole disks under a mount's device: partitions, LUKS, LVM and RAID followed down through sysfs.
fn disks(sys: &Sys, mount: &Mount) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    if let Some(name) = block_name(sys, mount) {
        descend(sys, &name, 0, &mut out);
    }
    out
}

fn block_name(sys: &Sys, mount: &Mount) -> Option<String> {
    let last = |link: String| link.rsplit('/').next().map(str::to_owned);
    if let Ok(link) = sys.read_link(&format!("/sys/dev/block/{}", mount.device)) {
        return last(link);
    }
    // btrfs and overlay have no block device number of their own: go by the source.
    let name = mount.source.strip_prefix("/dev/")?;
    match sys.read_link(&mount.source) {
        Ok(link) => last(link),
        Err(_) => Some(name.to_owned()),
    }
}

fn descend(sys: &Sys, name: &str, depth: usize, out: &mut BTreeSet<String>) {
    if depth > 8 || name.contains("..") || out.len() > 64 {
        return;
    }
    let folder = format!("/sys/class/block/{name}");
    let slaves = sys.list(&format!("{folder}/slaves")).unwrap_or_default();
    if !slaves.is_empty() {
        slaves.iter().for_each(|s| descend(sys, &s.name, depth + 1, out));
    } else if matches!(sys.exists(&format!("{folder}/partition")), Ok(true)) {
        // `.../block/sda/sda1`: the disk is the folder above.
        let parent = sys.read_link(&folder).ok().and_then(|l| l.rsplit('/').nth(1).map(str::to_owned));
        out.extend(parent);
    } else if matches!(sys.exists(&folder), Ok(true)) {
        out.insert(name.to_owned());
    }
}

pub(super) fn of_url(location: &str) -> Option<&'static str> {
    let (scheme, rest) = location.split_once(':')?;
    match scheme {
        "s3" => {
            let host = rest.trim_start_matches("https://").trim_start_matches("http://");
            let class = of_host(host.split(['/', ':']).next()?)?;
            Some(if class == "remote" { "cloud" } else { class })
        }
        "b2" | "azure" | "gs" | "swift" | "rclone" | "onedrive" | "gdrive" => Some("cloud"),
        "sftp" | "ssh" | "rest" | "http" | "https" | "scp" | "rsync" => of_host(host_of(rest)?),
        "smb" | "cifs" | "nfs" => Some("lan"),
        // `user@host:path`, as borg and scp write it.
        _ if !rest.starts_with("//") && !scheme.contains('/') => of_host(scheme.rsplit('@').next()?),
        _ => None,
    }
}

fn host_of(rest: &str) -> Option<&str> {
    let rest = rest.trim_start_matches("https:").trim_start_matches("http:").trim_start_matches('/');
    let authority = rest.split('/').next()?;
    let host = authority.rsplit('@').next()?;
    match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next(),
        None => host.split(':').next(),
    }
}

pub(super) fn of_host(host: &str) -> Option<&'static str> {
    if host.is_empty() || host == "localhost" {
        return None;
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return match ip {
            ip if ip.is_loopback() => None,
            IpAddr::V4(v4) if v4.is_private() || v4.is_link_local() => Some("lan"),
            IpAddr::V6(v6) if v6.is_unique_local() || v6.is_unicast_link_local() => Some("lan"),
            _ => Some("remote"),
        };
    }
    let near = [".local", ".lan", ".home", ".internal", ".localdomain", ".home.arpa"];
    let inside = !host.contains('.') || near.iter().any(|s| host.ends_with(s));
    Some(if inside { "lan" } else { "remote" })
}

/// The location without user names and passwords. Of what stands before the first `://` and of every part
/// after one, all up to the last `@` goes: a password may hold any sign, so a path with an `@` loses its
/// beginning rather than a secret surviving.
#[must_use]
pub fn without_credentials(location: &str) -> String {
    let is_path = location.starts_with('/') && !location.starts_with("//") && !location.contains("://");
    if is_path || is_windows_path(location) || !location.contains('@') {
        return location.to_owned();
    }
    let bare = |part: &str| part.rfind('@').map_or(part, |at| &part[at + 1..]).to_owned();
    let kept = ["sftp:", "//", r"\\"].into_iter().find(|k| location.starts_with(k)).unwrap_or_default();
    let parts: Vec<_> = location[kept.len()..].split("://").map(bare).collect();
    format!("{kept}{}", parts.join("://"))
}

/// `C:\...`, or `\\host\...` with nothing in the host's place that a name cannot hold.
fn is_windows_path(location: &str) -> bool {
    let is_drive = matches!(location.as_bytes(), [drive, b':', b'\\', ..] if drive.is_ascii_alphabetic());
    let host = location.strip_prefix(r"\\").map(|rest| rest.split('\\').next().unwrap_or_default());
    let is_share = host.is_some_and(|host| !host.is_empty() && !host.contains(['@', ':', '/']));
    (is_drive || is_share) && !location.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_classified_and_unknown_stays_unknown() {
        for (location, class) in [
            ("sftp:backup@203.0.113.9:/srv", Some("remote")),
            ("sftp:backup@192.168.1.4:/srv", Some("lan")),
            ("ssh://b@nas.local/./repo", Some("lan")),
            ("ssh://b@backup.example.jp:22/./repo", Some("remote")),
            ("b@backup.example.jp:repo", Some("remote")),
            ("rest:https://u:p@[2001:db8::1]:8000/x", Some("remote")),
            ("s3:s3.amazonaws.com/bucket", Some("cloud")),
            ("s3:http://192.168.0.7:9000/bucket", Some("lan")),
            ("b2:bucket:path", Some("cloud")),
            ("rest:http://localhost:8000/", None),
            ("", None),
            (":", None),
        ] {
            assert_eq!(of_url(location), class, "{location}");
        }
    }

    #[test]
    fn credentials_are_cut() {
        for (with, without) in [
            ("rest:https://u:p@host/x", "rest:https://host/x"),
            ("sftp:backup@host:/srv", "sftp:host:/srv"),
            ("b@host:repo", "host:repo"),
            ("/srv/a@b", "/srv/a@b"),
            ("s3:s3.amazonaws.com/b", "s3:s3.amazonaws.com/b"),
            ("https://u:p@a/x?to=https://v:q@b/y", "https://a/x?to=https://b/y"),
            ("//u:p@nas/share", "//nas/share"),
            ("https://u:p//w@host/x", "https://host/x"),
            (r"C:\Users\a@b", r"C:\Users\a@b"),
            (r"\\nas\山田　太郎@経理", r"\\nas\山田　太郎@経理"),
            (r"\\u:p\w@nas\share", r"\\nas\share"),
            (r"C:\x@https://u:p@host/y", r"https://host/y"),
        ] {
            assert_eq!(without_credentials(with), without);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_was_cut_is_cut_once_and_for_all(text in "[a-z:/\\\\@ .%?]{0,60}") {
            let once = without_credentials(&text);
            proptest::prop_assert_eq!(without_credentials(&once), once.clone());
        }

        #[test]
        fn no_password_survives(places in proptest::collection::vec("[a-z]{1,8}", 1..4), sign in "[:/#?]{0,1}") {
            let urls: Vec<_> = places.iter().map(|p| format!("https://user:SE{sign}CRET@{p}/x")).collect();
            let shown = without_credentials(&urls.join(" "));
            proptest::prop_assert!(!shown.contains("CRET") && !shown.contains("user"), "{}", shown);
        }
    }

    #[test]
    fn network_mounts_and_escapes_are_read() {
        let mounts = Mounts::parse(
            "1 0 0:5 / / rw - overlay overlay rw\n2 1 0:9 / /mnt/my\\040nas rw - cifs //nas/b rw\nbroken\n3 1 - - -",
        );
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let sys = Sys::at_root(dir.path(), None).unwrap();
        assert_eq!(classify(&sys, &mounts, "/mnt/my nas/x"), Some("lan"));
        assert_eq!(classify(&sys, &mounts, "/mnt/my nasty"), Some("same_disk"));
        assert_eq!(classify(&sys, &Mounts::default(), "/srv"), None);
    }

    /// Devices of Linux are told by symbolic links, which Windows lets only administrators make.
    #[cfg(unix)]
    #[test]
    fn another_disk_is_attached_and_another_partition_is_not() {
        let dir = tempfile::tempdir().unwrap();
        for d in [
            "etc",
            "sys/devices/x/block/sda/sda1",
            "sys/devices/x/block/sda/sda2",
            "sys/devices/y/block/sdb",
            "sys/class/block",
        ] {
            std::fs::create_dir_all(dir.path().join(d)).unwrap();
        }
        for (name, at) in [
            ("sda", "x/block/sda"),
            ("sda1", "x/block/sda/sda1"),
            ("sda2", "x/block/sda/sda2"),
            ("sdb", "y/block/sdb"),
        ] {
            std::os::unix::fs::symlink(
                format!("../../devices/{at}"),
                dir.path().join("sys/class/block").join(name),
            )
            .unwrap();
            if name.len() > 3 {
                std::fs::write(dir.path().join("sys/devices").join(at).join("partition"), "1").unwrap();
            }
        }
        let sys = Sys::at_root(dir.path(), None).unwrap();
        let mounts = Mounts::parse(
            "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /data rw - ext4 /dev/sda2 rw\n3 1 8:16 / /usb rw - ext4 /dev/sdb rw",
        );
        assert_eq!(classify(&sys, &mounts, "/data/b"), Some("same_disk"));
        assert_eq!(classify(&sys, &mounts, "/usb/b"), Some("attached"));
    }
}
