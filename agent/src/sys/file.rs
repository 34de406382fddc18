//! Files of the machine: resolved inside the root, opened defensively, read with caps.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;

use super::trace::{self, ABSENT, Access, DENIED};
use super::{DEFAULT_FILE_CAP, DEFAULT_LIST_CAP, Family, Sys, SysError, live};

/// Most symlinks followed for one path.
const MAX_LINKS: usize = 40;

/// What kind of object a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Regular file.
    File,
    /// Folder.
    Dir,
    /// Symbolic link (only from `lstat` and listings).
    Link,
    /// FIFO, socket or device: never opened.
    Other,
}

/// What is known of a file without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Kind.
    pub kind: FileKind,
    /// Bytes.
    pub size: u64,
    /// Last change of content.
    pub modified: Option<Timestamp>,
    /// Owner (0 where the system has none).
    pub uid: u32,
    /// Permission bits (0 where the system has none).
    pub mode: u32,
    /// Device number (0 where the system has none).
    pub dev: u64,
    /// Inode (0 where the system has none).
    pub ino: u64,
}

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name; bytes that are not UTF-8 are replaced.
    pub name: String,
    /// Kind, links not followed.
    pub kind: FileKind,
}

impl Sys {
    /// Reads a whole regular file up to [`DEFAULT_FILE_CAP`].
    pub fn read(&self, path: &str) -> Result<Vec<u8>, SysError> {
        self.read_capped(path, DEFAULT_FILE_CAP)
    }

    /// Reads a whole regular file; larger than `cap` bytes is `TooLarge`.
    pub fn read_capped(&self, path: &str, cap: u64) -> Result<Vec<u8>, SysError> {
        let (file, meta) = self.note_error(path, self.open_regular(path))?;
        let mut out = Vec::with_capacity(usize::try_from(meta.len().min(cap)).unwrap_or(0) + 1);
        // procfs and sysfs files say size 0: the cap on the read itself is what holds.
        let read = file.take(cap + 1).read_to_end(&mut out).map_err(|e| SysError::from_io(path, &e));
        self.note_error(path, read)?;
        if out.len() as u64 > cap {
            self.tracer.volatile(path);
            return Err(SysError::TooLarge { what: path.into(), cap });
        }
        if self.is_pseudo(path, &meta) {
            self.tracer.note(Access::Content, path, || trace::hash_of(&out));
        } else {
            self.note_signature(path, &meta);
        }
        Ok(out)
    }

    /// Reads a regular file as text; bytes that are not UTF-8 are replaced.
    pub fn read_text(&self, path: &str) -> Result<String, SysError> {
        let bytes = self.read_capped(path, 8 * 1024 * 1024)?;
        Ok(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
    }

    /// Reads a pseudo file as text, only the lines that do not change by themselves (of `/proc/cpuinfo`,
    /// `/proc/meminfo`, `/proc/modules` and `/proc/net`), so that the answer holds while they do.
    pub fn read_still(&self, path: &str) -> Result<String, SysError> {
        let text = self.still_lines(path);
        let text = self.note_error(path, text)?;
        self.tracer.note(Access::Lines, path, || trace::hash_of(text.as_bytes()));
        Ok(text)
    }

    fn still_lines(&self, path: &str) -> Result<String, SysError> {
        let untraced = Self { tracer: trace::Tracer::default(), ..self.clone() };
        let text = untraced.read_text(path)?;
        Ok(text.lines().filter(|line| trace::holds_still(path, line)).flat_map(|line| [line, "\n"]).collect())
    }

    /// Reads a small text file and trims it; an empty one is `None`, a missing one an error.
    pub fn read_line(&self, path: &str) -> Result<Option<String>, SysError> {
        let bytes = self.read_capped(path, 64 * 1024)?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    /// Reads at most the last `max` bytes of a regular file.
    pub fn read_tail(&self, path: &str, max: u64) -> Result<Vec<u8>, SysError> {
        let mut file = self.open(path)?;
        let io = |e: std::io::Error| SysError::from_io(path, &e);
        let size = file.metadata().map_err(io)?.len();
        if size > max {
            file.seek(SeekFrom::Start(size - max)).map_err(io)?;
        }
        let mut out = Vec::new();
        file.take(max).read_to_end(&mut out).map_err(io)?;
        Ok(out)
    }

    /// Opens a regular file for reading. Anything else is refused without being opened.
    pub fn open(&self, path: &str) -> Result<File, SysError> {
        let (file, meta) = self.note_error(path, self.open_regular(path))?;
        if self.is_pseudo(path, &meta) {
            self.tracer.volatile(path);
        } else {
            self.note_signature(path, &meta);
        }
        Ok(file)
    }

    fn open_regular(&self, path: &str) -> Result<(File, Metadata), SysError> {
        let real = self.resolve(path)?;
        let io = |e: std::io::Error| SysError::from_io(path, &e);
        if !std::fs::metadata(&real).map_err(io)?.is_file() {
            return Err(not_regular(path));
        }
        let mut options = OpenOptions::new();
        options.read(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            // Should the file have been swapped for a FIFO since, opening must not block.
            options.custom_flags((rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC).bits() as i32);
        }
        let file = options.open(&real).map_err(io)?;
        let meta = file.metadata().map_err(io)?;
        if meta.is_file() { Ok((file, meta)) } else { Err(not_regular(path)) }
    }

    /// Stats a path, links followed (inside the root); `None` where nothing is there.
    pub fn stat(&self, path: &str) -> Result<Option<Stat>, SysError> {
        let meta = self.meta(path);
        let meta = self.note_error(path, meta);
        match meta {
            Ok(meta) => {
                if self.is_pseudo_path(path) {
                    self.tracer.note(Access::Exists, path, || existence(&meta));
                } else {
                    self.note_signature(path, &meta);
                }
                Ok(Some(to_stat(&meta)))
            }
            Err(e) => absent_is_none(e),
        }
    }

    /// Whether a path exists. A place that may not be looked into is an error, never "no".
    pub fn exists(&self, path: &str) -> Result<bool, SysError> {
        match self.meta(path) {
            Ok(meta) => {
                self.tracer.note(Access::Exists, path, || existence(&meta));
                Ok(true)
            }
            Err(SysError::Absent { .. }) => {
                self.tracer.note(Access::Exists, path, || ABSENT.into());
                Ok(false)
            }
            Err(error) => {
                self.tracer.volatile(path);
                Err(error)
            }
        }
    }

    fn meta(&self, path: &str) -> Result<Metadata, SysError> {
        let real = self.resolve(path)?;
        std::fs::metadata(&real).map_err(|e| SysError::from_io(path, &e))
    }

    /// Lists a folder, sorted by name, up to [`DEFAULT_LIST_CAP`] entries.
    pub fn list(&self, path: &str) -> Result<Vec<Entry>, SysError> {
        let before = self.note_error(path, self.meta(path))?;
        let listed = self.list_entries(path);
        let out = self.note_error(path, listed)?;
        if self.is_pseudo_path(path) {
            self.tracer.note(Access::Names, path, || names_hash(&out));
        } else {
            // Taken before the listing: a name that came meanwhile shows as a change next time.
            self.note_signature(path, &before);
        }
        Ok(out)
    }

    fn list_entries(&self, path: &str) -> Result<Vec<Entry>, SysError> {
        let real = self.resolve(path)?;
        let io = |e: std::io::Error| SysError::from_io(path, &e);
        let mut out = Vec::new();
        for entry in std::fs::read_dir(&real).map_err(io)? {
            let entry = entry.map_err(io)?;
            if out.len() >= DEFAULT_LIST_CAP {
                return Err(SysError::TooLarge { what: path.into(), cap: DEFAULT_LIST_CAP as u64 });
            }
            let kind = entry.file_type().map_or(FileKind::Other, kind_of);
            out.push(Entry { name: entry.file_name().to_string_lossy().into_owned(), kind });
        }
        out.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(out)
    }

    /// Stats the regular files of a folder whose names end in `suffix`, links not followed, sorted by name.
    /// One pass over the folder: for the hundreds of small files that package managers keep.
    pub fn list_stats(&self, path: &str, suffix: &str) -> Result<Vec<(String, Stat)>, SysError> {
        let before = self.note_error(path, self.meta(path))?;
        let listed = self.stat_entries(path, suffix);
        let out = self.note_error(path, listed)?;
        // Package managers bring such files in by renaming, which the folder's own time shows.
        self.note_signature(path, &before);
        Ok(out)
    }

    fn stat_entries(&self, path: &str, suffix: &str) -> Result<Vec<(String, Stat)>, SysError> {
        let real = self.resolve(path)?;
        let io = |e: std::io::Error| SysError::from_io(path, &e);
        let mut out = Vec::new();
        for entry in std::fs::read_dir(&real).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|n| n.ends_with(suffix)) else { continue };
            if out.len() >= DEFAULT_LIST_CAP {
                return Err(SysError::TooLarge { what: path.into(), cap: DEFAULT_LIST_CAP as u64 });
            }
            let stat = to_stat(&entry.metadata().map_err(io)?);
            if stat.kind == FileKind::File {
                out.push((name.to_owned(), stat));
            }
        }
        out.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(out)
    }

    /// Target of a symbolic link as written; an error where the path is no link.
    pub fn read_link(&self, path: &str) -> Result<String, SysError> {
        let target = self.link_target(path);
        match &target {
            Ok(target) => self.tracer.note(Access::Link, path, || target.clone()),
            Err(SysError::Absent { .. }) => self.tracer.note(Access::Link, path, || ABSENT.into()),
            Err(_) => self.tracer.volatile(path),
        }
        target
    }

    fn link_target(&self, path: &str) -> Result<String, SysError> {
        let path_in = Path::new(path);
        let io = |e: std::io::Error| SysError::from_io(path, &e);
        let parent = path_in.parent().map_or_else(|| "/".to_owned(), |p| p.to_string_lossy().into_owned());
        let name = path_in.file_name().ok_or_else(|| SysError::Absent { what: path.into() })?;
        let real = self.resolve(&parent)?.join(name);
        Ok(std::fs::read_link(real).map_err(io)?.to_string_lossy().into_owned())
    }

    /// Passes a result on; notes absence, and what cannot be checked again.
    pub(super) fn note_error<T>(&self, path: &str, result: Result<T, SysError>) -> Result<T, SysError> {
        match &result {
            Ok(_) => {}
            Err(SysError::Absent { .. }) => self.tracer.note(Access::Stat, path, || ABSENT.into()),
            Err(SysError::Denied { .. }) => self.tracer.note(Access::Content, path, || DENIED.into()),
            Err(_) => self.tracer.volatile(path),
        }
        result
    }

    pub(super) fn note_signature(&self, path: &str, meta: &Metadata) {
        if !self.tracer.is_on() {
            return;
        }
        match trace::signature(meta) {
            Some(signature) => self.tracer.note(Access::Stat, path, || signature),
            None => self.tracer.volatile(path),
        }
    }

    fn is_pseudo_path(&self, path: &str) -> bool {
        self.live && trace::is_pseudo(Path::new(path))
    }

    fn is_pseudo(&self, path: &str, meta: &Metadata) -> bool {
        self.live && (meta.len() == 0 || trace::is_pseudo(Path::new(path)))
    }

    /// The mark `access` would leave now; `None` where it could not be told.
    pub(super) fn mark_now(&self, access: Access, what: &str) -> Option<String> {
        fn or_absent<T>(
            result: Result<T, SysError>,
            mark: impl FnOnce(T) -> Option<String>,
        ) -> Option<String> {
            match result {
                Ok(value) => mark(value),
                Err(SysError::Absent { .. }) => Some(ABSENT.into()),
                Err(SysError::Denied { .. }) => Some(DENIED.into()),
                Err(_) => None,
            }
        }
        match access {
            Access::Stat => or_absent(self.meta(what), |meta| trace::signature(&meta)),
            Access::Exists => or_absent(self.meta(what), |meta| Some(existence(&meta))),
            Access::Content => or_absent(self.read(what), |bytes| Some(trace::hash_of(&bytes))),
            Access::Lines => or_absent(self.still_lines(what), |text| Some(trace::hash_of(text.as_bytes()))),
            Access::Names => or_absent(self.list_entries(what), |list| Some(names_hash(&list))),
            Access::Link => or_absent(self.link_target(what), Some),
            Access::Answer => self.answer_now(what),
            Access::Registry => Self::registry_mark(what),
        }
    }

    /// The real path of `path`: as given on the live machine, with every link resolved inside the root under one.
    pub(super) fn resolve(&self, path: &str) -> Result<PathBuf, SysError> {
        if self.live {
            return Ok(live::real_path(path));
        }
        let mut pending: Vec<std::ffi::OsString> = reversed(Path::new(path));
        let mut inside: Vec<std::ffi::OsString> = Vec::new();
        let mut links = 0;
        while let Some(part) = pending.pop() {
            if part == ".." {
                inside.pop();
                continue;
            }
            let candidate = self.enter(&inside, &part, path)?;
            let meta = std::fs::symlink_metadata(&candidate.0).map_err(|e| SysError::from_io(path, &e))?;
            if !meta.file_type().is_symlink() {
                inside.push(candidate.1);
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(SysError::Failed {
                    what: path.into(),
                    reason: "too_many_links".into(),
                    detail: MAX_LINKS.to_string(),
                });
            }
            let target = std::fs::read_link(&candidate.0).map_err(|e| SysError::from_io(path, &e))?;
            if target.has_root() {
                inside.clear();
            }
            pending.extend(reversed(&target));
        }
        let mut real = self.root.clone();
        real.extend(inside);
        Ok(real)
    }

    /// Path and true name of `part` inside `inside`; case-insensitive on a Windows machine's files.
    fn enter(
        &self,
        inside: &[std::ffi::OsString],
        part: &std::ffi::OsStr,
        path: &str,
    ) -> Result<(PathBuf, std::ffi::OsString), SysError> {
        let mut folder = self.root.clone();
        folder.extend(inside);
        let exact = folder.join(part);
        if self.family != Family::Windows || exact.symlink_metadata().is_ok() {
            return Ok((exact, part.to_owned()));
        }
        let wanted = part.to_string_lossy().to_lowercase();
        let entries = std::fs::read_dir(&folder).map_err(|e| SysError::from_io(path, &e))?;
        for entry in entries.flatten().take(DEFAULT_LIST_CAP) {
            let name = entry.file_name();
            if name.to_string_lossy().to_lowercase() == wanted {
                return Ok((folder.join(&name), name));
            }
        }
        Err(SysError::Absent { what: path.into() })
    }
}

fn reversed(path: &Path) -> Vec<std::ffi::OsString> {
    path.components()
        .filter_map(|c| match c {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .rev()
        .collect()
}

/// Mark of "it is there, and what kind of thing it is".
fn existence(meta: &Metadata) -> String {
    format!("{:?}", kind_of(meta.file_type()))
}

fn names_hash(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        text.push_str(&format!("{}\0{:?}\n", entry.name, entry.kind));
    }
    trace::hash_of(text.as_bytes())
}

fn absent_is_none(error: SysError) -> Result<Option<Stat>, SysError> {
    if matches!(error, SysError::Absent { .. }) { Ok(None) } else { Err(error) }
}

fn not_regular(path: &str) -> SysError {
    SysError::Failed { what: path.into(), reason: "not_a_regular_file".into(), detail: String::new() }
}

fn kind_of(kind: std::fs::FileType) -> FileKind {
    if kind.is_file() {
        FileKind::File
    } else if kind.is_dir() {
        FileKind::Dir
    } else if kind.is_symlink() {
        FileKind::Link
    } else {
        FileKind::Other
    }
}

fn to_stat(meta: &Metadata) -> Stat {
    #[cfg(unix)]
    let (uid, mode, dev, ino) = {
        use std::os::unix::fs::MetadataExt as _;
        (meta.uid(), meta.mode(), meta.dev(), meta.ino())
    };
    #[cfg(not(unix))]
    let (uid, mode, dev, ino) = (0, 0, 0, 0);
    Stat {
        kind: kind_of(meta.file_type()),
        size: meta.len(),
        modified: meta.modified().ok().and_then(|t| Timestamp::try_from(t).ok()),
        uid,
        mode,
        dev,
        ino,
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn machine() -> (tempfile::TempDir, Sys) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc")).unwrap();
        let sys = Sys::at_root(dir.path(), None).unwrap();
        (dir, sys)
    }

    #[test]
    fn links_stay_inside_the_root() {
        let (dir, sys) = machine();
        std::fs::write(dir.path().join("etc/real"), "inside").unwrap();
        symlink("/etc/real", dir.path().join("etc/absolute")).unwrap();
        symlink("../../../../etc/real", dir.path().join("etc/climbing")).unwrap();
        symlink("/etc/passwd", dir.path().join("etc/escape")).unwrap();
        assert_eq!(sys.read_text("/etc/absolute").unwrap(), "inside");
        assert_eq!(sys.read_text("/etc/climbing").unwrap(), "inside");
        assert!(matches!(sys.read("/etc/escape"), Err(SysError::Absent { .. })));
    }

    #[test]
    fn fifos_and_loops_are_refused_without_blocking() {
        let (dir, sys) = machine();
        let fifo = dir.path().join("etc/fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        symlink("loop", dir.path().join("etc/loop")).unwrap();
        assert_eq!(sys.read("/etc/fifo").unwrap_err().reason().code, "not_a_regular_file");
        assert_eq!(sys.read("/etc/loop").unwrap_err().reason().code, "too_many_links");
    }

    #[test]
    fn caps_hold() {
        let (dir, sys) = machine();
        std::fs::write(dir.path().join("etc/big"), vec![b'x'; 100]).unwrap();
        assert!(matches!(sys.read_capped("/etc/big", 99), Err(SysError::TooLarge { .. })));
        assert_eq!(sys.read_tail("/etc/big", 10).unwrap().len(), 10);
    }
}
