//! Evidence on its way: lines in segment files, appended before a decision takes effect and deleted when the issuer has
//! them. A segment is one batch; its random name is the batch's id, so a batch that is sent twice is written down once.
//!
//! Durability: a line is handed to the operating system before the call goes on, so killing the guard loses nothing; it is
//! forced to the disk within [`SYNC`], so losing power loses what was decided in that time.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;

use super::files;
use crate::entropy::Entropy;
use crate::secret::Digest;

/// How often lines are forced to the disk.
pub(super) const SYNC: Duration = Duration::from_millis(200);
/// Lines in one segment at most; the issuer takes no more in one batch.
const LINES: usize = 256;
/// Bytes of one segment, about.
const BYTES: u64 = 256 * 1024;
/// The longest line.
const LONGEST_LINE: usize = 16 * 1024;
/// Where batches go that the issuer will never take.
const REJECTED: &str = "rejected";

/// A line can't be kept: the spool is full, or the disk is.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpoolError {
    /// As much waits as may wait.
    #[error("the spool is full: {0} bytes wait for the issuer")]
    Full(u64),
    /// The line is longer than any event.
    #[error("an event of {0} bytes")]
    TooLong(usize),
    /// The disk says no.
    #[error("{0}")]
    Disk(#[from] std::io::Error),
}

/// Events that wait.
pub(super) struct Spool {
    folder: PathBuf,
    limit: u64,
    inner: Mutex<Inner>,
}

struct Inner {
    current: Option<Segment>,
    sealed: VecDeque<PathBuf>,
    /// Those of them that have yet to be forced to the disk.
    unsynced: Vec<Segment>,
    total: u64,
    next: u64,
}

struct Segment {
    file: Arc<File>,
    path: PathBuf,
    bytes: u64,
    lines: usize,
    synced: u64,
}

/// One segment, ready to be sent.
pub(super) struct Batch {
    /// Its id.
    pub(super) id: String,
    /// Its events as they were written.
    pub(super) events: Vec<Box<RawValue>>,
    path: PathBuf,
}

impl Spool {
    /// Opens the folder; what a guard before this one left there is sent first.
    pub(super) fn open(folder: &Path, limit: u64) -> std::io::Result<Self> {
        files::private_folder(&folder.join(REJECTED))?;
        let mut sealed = Vec::new();
        let mut total = 0;
        for entry in std::fs::read_dir(folder)?.chain(std::fs::read_dir(folder.join(REJECTED))?) {
            let entry = entry?;
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "jsonl") {
                continue;
            }
            total += entry.metadata()?.len();
            if path.parent() == Some(folder) {
                sealed.push(path);
            }
        }
        sealed.sort();
        let number = |path: &PathBuf| path.file_name()?.to_str()?.split('-').next()?.parse::<u64>().ok();
        let next = sealed.last().and_then(number).map_or(0, |last| last + 1);
        let inner = Inner { current: None, sealed: sealed.into(), unsynced: Vec::new(), total, next };
        Ok(Self { folder: folder.to_owned(), limit, inner: Mutex::new(inner) })
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends one event, with its line feed. When this returns, killing the process no longer loses it.
    pub(super) fn append(&self, line: &[u8]) -> Result<(), SpoolError> {
        if line.len() > LONGEST_LINE {
            return Err(SpoolError::TooLong(line.len()));
        }
        let mut inner = self.inner();
        let length = line.len() as u64;
        if inner.total + length > self.limit {
            return Err(SpoolError::Full(inner.total));
        }
        if inner.current.is_none() {
            let segment = self.create(inner.next)?;
            inner.next += 1;
            inner.current = Some(segment);
        }
        let Some(segment) = &mut inner.current else { return Err(SpoolError::Full(0)) };
        if let Err(error) = (&*segment.file).write_all(line) {
            // Half a line would swallow the next one.
            let _ = segment.file.set_len(segment.bytes);
            inner.seal();
            return Err(error.into());
        }
        segment.bytes += length;
        segment.lines += 1;
        let full = segment.lines >= LINES || segment.bytes >= BYTES;
        inner.total += length;
        if full {
            inner.seal();
        }
        Ok(())
    }

    fn create(&self, number: u64) -> std::io::Result<Segment> {
        let id = Digest(Entropy::default().bytes()).hex();
        let path = self.folder.join(format!("{number:016}-{}.jsonl", &id[..32]));
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Segment { file: Arc::new(file), path, bytes: 0, lines: 0, synced: 0 })
    }

    /// Forces what was appended to the disk. Appending goes on meanwhile.
    pub(super) fn sync(&self) -> std::io::Result<()> {
        let (sealed, current) = {
            let mut inner = self.inner();
            let current = inner.current.as_ref().filter(|segment| segment.synced < segment.bytes);
            let current = current.map(|segment| (Arc::clone(&segment.file), segment.bytes));
            (std::mem::take(&mut inner.unsynced), current)
        };
        // One that can't be forced is no reason to leave the others.
        let synced = sealed.iter().map(|segment| segment.file.sync_data()).fold(Ok(()), std::io::Result::and);
        let Some((file, bytes)) = current else { return synced };
        file.sync_data()?;
        if let Some(segment) = &mut self.inner().current
            && Arc::ptr_eq(&segment.file, &file)
        {
            segment.synced = bytes;
        }
        synced
    }

    /// What is being written becomes a batch.
    pub(super) fn seal(&self) {
        self.inner().seal();
    }

    /// The oldest batch; `None` when nothing waits but what is being written.
    pub(super) fn oldest(&self) -> std::io::Result<Option<Batch>> {
        let Some(path) = self.inner().sealed.front().cloned() else { return Ok(None) };
        let text = std::fs::read(&path)?;
        // Only a line without its end is ever torn: its decision had not taken effect when the guard died.
        let lines = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        let events = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let id = name.split_once('-').map_or(name, |(_, id)| id).to_owned();
        Ok(Some(Batch { id, events, path }))
    }

    /// The issuer has it.
    pub(super) fn delivered(&self, batch: &Batch) -> std::io::Result<()> {
        let length = std::fs::metadata(&batch.path)?.len();
        std::fs::remove_file(&batch.path)?;
        let mut inner = self.inner();
        inner.total = inner.total.saturating_sub(length);
        inner.sealed.retain(|path| *path != batch.path);
        inner.unsynced.retain(|segment| segment.path != batch.path);
        Ok(())
    }

    /// The issuer will never take it: it is kept aside, and goes on counting as waiting.
    pub(super) fn reject(&self, batch: &Batch) -> std::io::Result<()> {
        if let Some(name) = batch.path.file_name() {
            std::fs::rename(&batch.path, self.folder.join(REJECTED).join(name))?;
        }
        self.inner().sealed.retain(|path| *path != batch.path);
        Ok(())
    }

    /// How many bytes wait.
    pub(super) fn waiting(&self) -> u64 {
        self.inner().total
    }

    /// How much of what may wait does, from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    pub(super) fn fullness(&self) -> f64 {
        self.waiting() as f64 / self.limit.max(1) as f64
    }
}

impl Inner {
    /// Without waiting for the disk, which nobody may do who holds the lock: every call of a tool takes it.
    fn seal(&mut self) {
        if let Some(segment) = self.current.take() {
            self.sealed.push_back(segment.path.clone());
            self.unsynced.push(segment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(batch: &Batch) -> Vec<&str> {
        batch.events.iter().map(|event| event.get()).collect()
    }

    #[test]
    fn lines_come_back_in_order_and_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path(), 1 << 20).unwrap();
        for number in 0..LINES + 3 {
            spool.append(format!("{number}\n").as_bytes()).unwrap();
        }
        assert_eq!(spool.inner().unsynced.len(), 1);
        spool.sync().unwrap();
        assert!(spool.inner().unsynced.is_empty());
        drop(spool);
        let spool = Spool::open(folder.path(), 1 << 20).unwrap();
        let first = spool.oldest().unwrap().unwrap();
        assert_eq!((first.events.len(), texts(&first)[0]), (LINES, "0"));
        assert_eq!(spool.oldest().unwrap().unwrap().id, first.id, "the same batch until it is delivered");
        spool.append(b"\"new\"\n").unwrap();
        spool.delivered(&first).unwrap();
        let second = spool.oldest().unwrap().unwrap();
        assert_eq!(texts(&second), ["256", "257", "258"]);
        spool.delivered(&second).unwrap();
        assert!(spool.oldest().unwrap().is_none(), "what is being written is no batch yet");
        spool.seal();
        let third = spool.oldest().unwrap().unwrap();
        assert_eq!(texts(&third), ["\"new\""]);
        spool.delivered(&third).unwrap();
        assert!(spool.oldest().unwrap().is_none());
        assert_eq!(spool.waiting(), 0);
    }

    #[test]
    fn full_is_full_until_something_is_delivered() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path(), 10).unwrap();
        spool.append(b"1234567\n").unwrap();
        assert!(matches!(spool.append(b"123\n"), Err(SpoolError::Full(8))));
        let reopened = Spool::open(folder.path(), 10).unwrap();
        assert!(matches!(reopened.append(b"123\n"), Err(SpoolError::Full(8))), "a restart makes no room");
        spool.seal();
        let batch = spool.oldest().unwrap().unwrap();
        spool.delivered(&batch).unwrap();
        spool.append(b"123\n").unwrap();
    }

    #[test]
    fn a_torn_line_is_left_out_and_the_others_are_sent() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path(), 1 << 20).unwrap();
        spool.append(b"{\"a\":1}\n").unwrap();
        let path = spool.inner().current.as_ref().unwrap().path.clone();
        std::fs::write(&path, b"{\"a\":1}\n{\"a\":2").unwrap();
        let batch = Spool::open(folder.path(), 1 << 20).unwrap().oldest().unwrap().unwrap();
        assert_eq!(texts(&batch), ["{\"a\":1}"]);
    }

    #[test]
    fn a_rejected_batch_is_kept_and_counts() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path(), 1 << 20).unwrap();
        spool.append(b"1\n").unwrap();
        spool.seal();
        let batch = spool.oldest().unwrap().unwrap();
        spool.reject(&batch).unwrap();
        assert!(spool.oldest().unwrap().is_none());
        assert_eq!(Spool::open(folder.path(), 1 << 20).unwrap().waiting(), 2);
    }
}
