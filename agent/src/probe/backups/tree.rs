//! Newest file, count and size under a folder, by a walk with caps. Opens nothing, follows no link.

use jiff::Timestamp;

use crate::sys::{FileKind, Sys, SysError};

const MAX_FILES: u64 = 50_000;
const MAX_DEPTH: usize = 24;

/// What a walk saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// Files seen.
    pub files: u64,
    /// Their sizes, bytes.
    pub size_bytes: u64,
    /// Newest change of a file's content.
    pub newest: Option<Timestamp>,
    /// Oldest change of a file's content.
    pub oldest: Option<Timestamp>,
    /// Size of the newest file, bytes.
    pub newest_size_bytes: u64,
    /// A cap cut the walk short: counts are lower bounds.
    pub truncated: bool,
}

impl Tree {
    /// Walks `path` (a folder or one file). Files that are empty or unfinished by name do not count.
    pub fn walk(sys: &Sys, path: &str) -> Result<Self, SysError> {
        let mut tree = Self::default();
        match sys.stat(path)? {
            None => return Err(SysError::Absent { what: path.into() }),
            Some(stat) if stat.kind == FileKind::File => tree.take(sys, path),
            Some(_) => {
                let mut pending = vec![(path.trim_end_matches('/').to_owned(), 0)];
                while let Some((folder, depth)) = pending.pop() {
                    tree.folder(sys, &folder, depth, &mut pending)?;
                }
            }
        }
        Ok(tree)
    }

    fn folder(
        &mut self,
        sys: &Sys,
        folder: &str,
        depth: usize,
        pending: &mut Vec<(String, usize)>,
    ) -> Result<(), SysError> {
        for entry in sys.list(folder)? {
            let path = format!("{folder}/{}", entry.name);
            match entry.kind {
                _ if self.files >= MAX_FILES => self.truncated = true,
                FileKind::File if !is_unfinished(&entry.name) => self.take(sys, &path),
                FileKind::Dir if depth < MAX_DEPTH => pending.push((path, depth + 1)),
                FileKind::Dir => self.truncated = true,
                _ => {}
            }
        }
        Ok(())
    }

    fn take(&mut self, sys: &Sys, path: &str) {
        let Ok(Some(stat)) = sys.stat(path) else { return };
        if stat.size == 0 {
            return;
        }
        self.files += 1;
        self.size_bytes = self.size_bytes.saturating_add(stat.size);
        let Some(at) = stat.modified.map(whole_second) else { return };
        if self.newest.is_none_or(|t| at > t) {
            self.newest = Some(at);
            self.newest_size_bytes = stat.size;
        }
        self.oldest = Some(self.oldest.map_or(at, |t| t.min(at)));
    }
}

/// Cuts a time to the second: finer parts of file times say nothing about a backup.
#[must_use]
pub fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn is_unfinished(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".tmp", ".temp", ".part", ".partial", ".lock", ".swp", "~"].iter().any(|s| name.ends_with(s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_whole_file_counts() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc")).unwrap();
        std::fs::create_dir_all(dir.path().join("b/deep")).unwrap();
        let put = |name: &str, text: &str, at: i64| {
            let path = dir.path().join("b").join(name);
            std::fs::write(&path, text).unwrap();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(at as u64);
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        };
        put("old.dump", "1234", 1_000);
        put("deep/new.dump", "12", 2_000);
        put("empty.dump", "", 3_000);
        put("running.dump.part", "123", 4_000);
        let sys = Sys::at_root(dir.path(), None).unwrap();
        let tree = Tree::walk(&sys, "/b/").unwrap();
        assert_eq!((tree.files, tree.size_bytes, tree.newest_size_bytes, tree.truncated), (2, 6, 2, false));
        assert_eq!(tree.newest.map(|t| t.as_second()), Some(2_000));
        assert_eq!(tree.oldest.map(|t| t.as_second()), Some(1_000));
        assert!(matches!(Tree::walk(&sys, "/nothing"), Err(SysError::Absent { .. })));
    }
}
