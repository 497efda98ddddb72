//! Files that nobody else may read, and that are whole or not there.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// A folder for this user alone.
pub(super) fn private_folder(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A new file for this user alone, on the disk when this returns.
pub(super) fn create_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Puts new content in place of the old: a reader, or a crash, finds the one or the other.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fresh = path.with_extension(format!("{}.tmp", std::process::id()));
    let _ = std::fs::remove_file(&fresh);
    create_private(&fresh, bytes)?;
    std::fs::rename(&fresh, path)?;
    File::open(folder)?.sync_all()
}
