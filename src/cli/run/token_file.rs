//! The file that holds the current token: mode 0600, replaced in one step, removed at the end.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::entropy::Entropy;
use crate::secret::Secret;

/// A token file, and the private folder made for it where the caller named no path.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    own_folder: Option<PathBuf>,
    entropy: Entropy,
}

impl TokenFile {
    /// The file at `path`.
    pub(super) fn at(path: PathBuf) -> io::Result<Self> {
        // The child may change its directory; the path that it is told must still lead here.
        let path = std::path::absolute(path)?;
        if path.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "the token file is a directory"));
        }
        Ok(Self { path, own_folder: None, entropy: Entropy::default() })
    }

    /// A file in a new folder, closed to other users, below `base`.
    pub(super) fn in_new_folder(base: &Path) -> io::Result<Self> {
        let entropy = Entropy::default();
        let folder = std::path::absolute(base)?.join(format!("taskpass-{}", random_name(&entropy)));
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder)?;
        Ok(Self { path: folder.join("token"), own_folder: Some(folder), entropy })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the content. A reader sees the old token or the new one, never a part.
    pub(super) fn write(&self, token: &Secret) -> io::Result<()> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}", random_name(&self.entropy)));
        let beside = self.path.with_file_name(name);
        let mut options = fs::OpenOptions::new();
        // A new file, so that its mode is ours from the first byte and no link is followed.
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options
            .open(&beside)
            .and_then(|mut file| file.write_all(token.expose().as_bytes()))
            .and_then(|()| fs::rename(&beside, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        written
    }

    /// Removes the token; that there is none is no error.
    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        let _ = self.remove();
        if let Some(folder) = &self.own_folder {
            let _ = fs::remove_dir(folder);
        }
    }
}

fn random_name(entropy: &Entropy) -> String {
    use std::fmt::Write as _;
    entropy.bytes::<8>().iter().fold(String::new(), |mut name, byte| {
        let _ = write!(name, "{byte:02x}");
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_file_is_private_whole_and_gone_at_the_end() {
        let base = tempfile::tempdir().unwrap();
        let file = TokenFile::in_new_folder(base.path()).unwrap();
        let path = file.path().to_owned();
        for text in ["first", "second"] {
            file.write(&Secret::new(text.into())).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
        drop(file);
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_link_or_an_open_file_at_the_path_is_replaced_not_followed() {
        let base = tempfile::tempdir().unwrap();
        let (path, target) = (base.path().join("token"), base.path().join("target"));
        fs::write(&target, "theirs").unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o666)).unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        TokenFile::at(path.clone()).unwrap().write(&Secret::new("ours".into())).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "theirs");
        assert!(!path.exists(), "removed when dropped");
        assert!(TokenFile::at(base.path().to_owned()).is_err());
    }
}
