//! Room on the disk that holds an SQLite database: minting stops before evidence does, and revocation goes on.
//!
//! Bytes are kept back in a file beside the database. While there is room for as much again, everything goes on. Below that
//! nothing is minted any more, so that the record of decisions goes on; when only what is kept back is left, that is for
//! revocations, and for the tokens with which administrators and enforcers come in. If somebody else fills the disk to the last
//! byte, the file goes, and its room with it is theirs.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::fs::FallocateFlags;

/// What may be written still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Revocations, and the tokens of those who administer and enforce.
    Revocations,
    /// That, and decisions that issue nothing.
    Evidence,
    /// Everything.
    Everything,
}

impl Level {
    /// By the bytes that are free, those that are kept back among them.
    const fn of(free: u64, reserve: u64) -> Self {
        if free >= 2 * reserve {
            Self::Everything
        } else if free >= reserve + reserve / 4 {
            Self::Evidence
        } else {
            Self::Revocations
        }
    }
}

/// The room of one database. Until it is told to keep some back, there is enough for everything.
#[derive(Debug)]
pub struct Room {
    place: OnceLock<Place>,
    level: AtomicU8,
}

#[derive(Debug)]
struct Place {
    /// Beside the database.
    file: PathBuf,
    /// How much is kept back, in bytes.
    reserve: u64,
    /// One at a time takes it up or gives it back.
    turn: Mutex<()>,
}

impl Room {
    pub(super) const fn unbounded() -> Self {
        Self { place: OnceLock::new(), level: AtomicU8::new(Level::Everything as u8) }
    }

    /// Keeps so many bytes back beside this database, from now on; none are none.
    ///
    /// # Errors
    /// The disk can't be looked at.
    pub(super) fn keep_back(&self, database: &Path, reserve: u64) -> io::Result<()> {
        if reserve == 0 {
            return Ok(());
        }
        let mut file = database.as_os_str().to_owned();
        file.push("-reserve");
        let place = Place { file: file.into(), reserve, turn: Mutex::new(()) };
        let _ = self.place.set(place);
        self.look()
    }

    /// What may be written still, as of the last look.
    pub fn level(&self) -> Level {
        match self.level.load(Ordering::Relaxed) {
            0 => Level::Revocations,
            1 => Level::Evidence,
            _ => Level::Everything,
        }
    }

    /// Looks how much room there is, and keeps some back again as soon as there is enough.
    ///
    /// # Errors
    /// The disk can't be looked at; what was known stays.
    pub fn look(&self) -> io::Result<()> {
        let Some(place) = self.place.get() else { return Ok(()) };
        let _turn = place.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut free, held) = (place.free()?, place.held());
        if held != place.reserve && free + held >= 2 * place.reserve {
            match place.fill() {
                Ok(()) => free = place.free()?,
                // By now somebody else may have taken it; the next look is soon.
                Err(error) => {
                    tracing::warn!(%error, file = %place.file.display(), "no room can be kept back");
                }
            }
        }
        self.settle(Level::of(free + place.held(), place.reserve), free);
        Ok(())
    }

    /// Gives back what was kept back, for revocations. Whether trying again has any prospect.
    pub fn give_way(&self) -> bool {
        let Some(place) = self.place.get() else { return false };
        let _turn = place.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.settle(Level::Revocations, 0);
        match std::fs::remove_file(&place.file) {
            Ok(()) => tracing::error!("the disk is full: what was kept back for revocations is taken up now"),
            // Somebody else was faster, a moment ago.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::error!(%error, "what was kept back for revocations can't be had"),
        }
        true
    }

    fn settle(&self, level: Level, free: u64) {
        let before = self.level();
        self.level.store(level as u8, Ordering::Relaxed);
        metrics::gauge!("taskpass_disk_level").set(f64::from(level as u8));
        if before == level {
            return;
        }
        match level {
            Level::Everything => tracing::info!(free, "there is room on the disk again: tokens are minted"),
            Level::Evidence => {
                tracing::error!(free, "the disk is nearly full: nothing is minted until there is room");
            }
            Level::Revocations => {
                tracing::error!(
                    free,
                    "the disk is full: nothing but revocations is written until there is room"
                );
            }
        }
    }
}

impl Place {
    /// The bytes that we may still write on this disk.
    fn free(&self) -> io::Result<u64> {
        let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let disk = rustix::fs::statvfs(folder.unwrap_or(Path::new(".")))?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// The bytes that are kept back now.
    fn held(&self) -> u64 {
        std::fs::metadata(&self.file).map_or(0, |data| data.len())
    }

    /// Takes the room, and really takes it: a file with holes would keep nothing back.
    fn fill(&self) -> io::Result<()> {
        let file = File::create(&self.file)?;
        let filled = match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, self.reserve) {
            Err(rustix::io::Errno::OPNOTSUPP) => write(&file, self.reserve),
            other => other.map_err(io::Error::from),
        };
        filled.inspect_err(|_| {
            let _ = std::fs::remove_file(&self.file);
        })
    }
}

/// Writes so many bytes, on file systems that can't be asked for room without them.
fn write(mut file: &File, bytes: u64) -> io::Result<()> {
    io::copy(&mut io::Read::take(io::repeat(0xa5), bytes), &mut file).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn minting_stops_before_evidence_and_evidence_before_revocation() {
        const MIB: u64 = 1 << 20;
        assert_eq!(Level::of(64 * MIB, 32 * MIB), Level::Everything);
        assert_eq!(Level::of(64 * MIB - 1, 32 * MIB), Level::Evidence);
        assert_eq!(Level::of(40 * MIB, 32 * MIB), Level::Evidence);
        assert_eq!(Level::of(40 * MIB - 1, 32 * MIB), Level::Revocations);
        assert!(Level::Revocations < Level::Evidence && Level::Evidence < Level::Everything);
    }

    #[test]
    fn what_is_kept_back_is_given_and_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let (database, reserve) = (folder.path().join("db.sqlite"), folder.path().join("db.sqlite-reserve"));
        let room = Room::unbounded();
        assert!(!room.give_way(), "nothing was kept back");
        room.keep_back(&database, 1 << 20).unwrap();
        assert_eq!((room.level(), std::fs::metadata(&reserve).unwrap().len()), (Level::Everything, 1 << 20));
        // Really taken: not a file with holes.
        assert!(std::fs::metadata(&reserve).unwrap().blocks() * 512 >= 1 << 20);

        assert!(room.give_way());
        assert!(!reserve.exists());
        assert_eq!(room.level(), Level::Revocations);
        assert!(room.give_way(), "whoever comes a moment later tries again as well");

        room.look().unwrap();
        assert_eq!((room.level(), reserve.exists()), (Level::Everything, true));
        // What an interrupted start left behind is made whole.
        std::fs::write(&reserve, "half").unwrap();
        room.look().unwrap();
        assert_eq!(std::fs::metadata(&reserve).unwrap().len(), 1 << 20);
    }

    #[test]
    fn a_disk_without_room_for_it_mints_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room::unbounded();
        room.keep_back(&folder.path().join("db.sqlite"), 1 << 60).unwrap();
        assert_eq!(room.level(), Level::Revocations);
        assert!(!folder.path().join("db.sqlite-reserve").exists());
    }
}
