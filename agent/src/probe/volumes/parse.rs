//! Pure parsers of mount tables.

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Device number `major:minor`; `0:n` for file systems without a block device of their own. Empty from `fstab`.
    pub dev: String,
    /// The folder of the file system that is mounted; not `/` for bind mounts and subvolumes.
    pub root: String,
    /// Mount point.
    pub mount: String,
    /// File system.
    pub file_system: String,
    /// Device, share or anything the file system calls its source.
    pub source: String,
    /// Mounted read-only.
    pub read_only: bool,
}

/// Most mounts read.
pub const MAX_MOUNTS: usize = 10_000;

/// The lines of `/proc/PID/mountinfo` (`proc_pid_mountinfo(5)`); others are skipped.
#[must_use]
pub fn mountinfo(text: &str) -> Vec<Mount> {
    text.lines().take(MAX_MOUNTS).filter_map(mountinfo_line).collect()
}

fn mountinfo_line(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(2);
    let (dev, root, mount, options) = (left.next()?, left.next()?, left.next()?, left.next()?);
    let mut right = right.split(' ');
    let (file_system, source) = (right.next()?, right.next()?);
    let super_options = right.next().unwrap_or_default();
    let read_only = [options, super_options].iter().any(|all| all.split(',').any(|option| option == "ro"));
    Some(Mount {
        dev: dev.to_owned(),
        root: unescape(root),
        mount: unescape(mount),
        file_system: file_system.to_owned(),
        source: unescape(source),
        read_only,
    })
}

/// The file systems `/etc/fstab` would mount: the plan of a machine that does not run.
#[must_use]
pub fn fstab(text: &str) -> Vec<Mount> {
    let lines = text.lines().take(MAX_MOUNTS).filter(|line| !line.trim_start().starts_with('#'));
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (source, mount, file_system) = (words.next()?, words.next()?, words.next()?);
            let options = words.next().unwrap_or_default();
            mount.starts_with('/').then(|| Mount {
                dev: String::new(),
                root: "/".into(),
                mount: unescape(mount),
                file_system: file_system.to_owned(),
                source: unescape(source),
                read_only: options.split(',').any(|option| option == "ro"),
            })
        })
        .collect()
}

/// Names of the mappings `/etc/crypttab` opens.
#[must_use]
pub fn crypttab(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

/// Undoes `\040` and the like: octal escapes of white space and backslash.
fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let octal = bytes
            .get(i + 1..i + 4)
            .filter(|digits| bytes[i] == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        if let Some(digits) = octal {
            let value = digits.iter().fold(0u32, |sum, digit| sum * 8 + u32::from(digit - b'0'));
            out.push(value as u8);
            i += 4;
        } else {
            out.push(bytes[i]);
            i += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether a file system lives on another machine.
#[must_use]
pub fn is_network(file_system: &str) -> bool {
    matches!(
        file_system,
        "nfs"
            | "nfs4"
            | "cifs"
            | "smb3"
            | "smbfs"
            | "ncpfs"
            | "afs"
            | "ceph"
            | "glusterfs"
            | "9p"
            | "lustre"
            | "gfs2"
            | "ocfs2"
            | "davfs"
            | "fuse.sshfs"
            | "fuse.glusterfs"
            | "fuse.rclone"
            | "fuse.s3fs"
            | "fuse.davfs"
            | "fuse.davfs2"
            | "fuse.ceph"
            | "fuse.gvfsd-fuse"
            | "fuse.juicefs"
    )
}

/// Whether a file system keeps data on a device, on another machine, or stacked on one that does; all
/// others (`proc`, `tmpfs`, `overlay` of containers ...) are no volumes.
#[must_use]
pub fn is_volume(mount: &Mount) -> bool {
    let stacked =
        matches!(mount.file_system.as_str(), "ecryptfs" | "fuse.gocryptfs" | "fuse.encfs" | "fuse.cryfs");
    let by_name = ["UUID=", "LABEL=", "PARTUUID=", "PARTLABEL="].iter().any(|p| mount.source.starts_with(p));
    let on_device = by_name || mount.source.starts_with("/dev/") && !mount.source.starts_with("/dev/loop");
    let pooled = matches!(mount.file_system.as_str(), "zfs" | "btrfs" | "bcachefs");
    let is_root = mount.mount == "/" && !matches!(mount.file_system.as_str(), "rootfs");
    // snapd and the like mount read-only images; they are packages, not volumes.
    let image =
        matches!(mount.file_system.as_str(), "squashfs" | "erofs" | "fuse.squashfuse" | "fuse.snapfuse");
    let none =
        matches!(mount.file_system.as_str(), "devtmpfs" | "swap" | "none" | "tmpfs" | "proc" | "sysfs");
    (on_device && !image && !none) || stacked || pooled || is_network(&mount.file_system) || is_root
}

/// Encryption that a device-mapper UUID names; nothing for other mappings.
#[must_use]
pub fn dm_encryption(uuid: &str) -> Option<&'static str> {
    let kind = uuid.strip_prefix("CRYPT-")?;
    Some(match kind.split('-').next().unwrap_or_default() {
        "LUKS1" => "luks",
        "LUKS2" => "luks2",
        "BITLK" => "bitlocker",
        "TCRYPT" => "tcrypt",
        "FVAULT2" => "filevault",
        "PLAIN" => "dm-crypt",
        // Integrity without encryption.
        "VERITY" | "INTEGRITY" | "SUBDEV" => return None,
        _ => "dm-crypt",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_in_mount_points_are_undone() {
        let line = "36 35 98:0 /mnt1 /media/My\\040Disk\\134x rw,noatime master:1 - ext3 /dev/root ro,errors=continue\n";
        let mounts = mountinfo(line);
        assert_eq!((mounts[0].mount.as_str(), mounts[0].read_only), ("/media/My Disk\\x", true));
        assert_eq!(mountinfo("1 2 3\n - \n"), []);
    }

    #[test]
    fn the_plan_of_a_resting_machine_is_read() {
        let mounts = fstab(
            "# x\nUUID=1-2 / ext4 ro,errors=remount-ro 0 1\n/dev/sdb1 none swap sw 0 0\nnas:/x\\040y /mnt nfs ro\n",
        );
        assert_eq!(mounts.len(), 2);
        assert_eq!((mounts[1].source.as_str(), is_volume(&mounts[1])), ("nas:/x y", true));
        assert_eq!(crypttab("# c\ncryptroot UUID=9 none luks\n"), ["cryptroot"]);
    }

    #[test]
    fn only_encrypting_mappings_are_encryption() {
        assert_eq!(dm_encryption("CRYPT-LUKS2-0a1b-cryptroot"), Some("luks2"));
        assert_eq!(dm_encryption("LVM-abc"), None);
        assert_eq!(dm_encryption("CRYPT-VERITY-1"), None);
    }
}
