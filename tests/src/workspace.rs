//! Where things lie: the workspace root, the target folder, the outside corpus.

use std::path::{Path, PathBuf};

/// The workspace root.
#[must_use]
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// Cargo's target folder.
#[must_use]
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The folder of outside captures (`TENKEN_CORPUS`, else `../shared/corpus`), where it is present.
#[must_use]
pub fn corpus() -> Option<PathBuf> {
    let folder =
        std::env::var_os("TENKEN_CORPUS").map_or_else(|| root().join("../shared/corpus"), PathBuf::from);
    folder.is_dir().then_some(folder)
}
