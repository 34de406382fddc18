//! A small file system of its own that can be filled to the last byte.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::program;

/// A mounted tmpfs; unmounted when dropped.
#[derive(Debug)]
pub struct Tmpfs {
    folder: tempfile::TempDir,
}

impl Tmpfs {
    /// Mounts one of so many KiB; the reason where this is not possible here.
    pub fn mount(size_kib: u64) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("a small file system can only be mounted as root".into());
        }
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size_kib}k,mode=0755"), "tenken-story"]);
        program::succeed(command.arg(folder.path())).map_err(|e| format!("{e:#}"))?;
        Ok(Self { folder })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all free space.
    pub fn fill(&self) -> Result<()> {
        let mut file = File::options().create(true).append(true).open(self.filler())?;
        for size in [4096, 1] {
            loop {
                match file.write(&[b'x'; 4096][..size]) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => bail!("filling: {error}"),
                }
            }
        }
        Ok(())
    }

    /// Gives it back.
    pub fn free(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a program that is being killed may still hold files open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
