//! What Linux tells about a process in `/proc` (proc(5)): its memory and its processor time.

use std::path::Path;
use std::time::Duration;

use crate::cli::error::CliError;

/// `USER_HZ`, the unit of `/proc/<pid>/stat`: 100 on every Linux that Rust's tier 1 and 2 platforms run.
const TICKS_PER_SECOND: u64 = 100;

/// Which figure of a process's resident memory is meant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Memory {
    /// What it holds now.
    Now,
    /// The most it has held so far.
    Peak,
}

/// The resident memory of a process, in MiB.
pub(super) fn memory_mib(pid: u32, which: Memory) -> Result<f64, CliError> {
    let name = match which {
        Memory::Now => "VmRSS:",
        Memory::Peak => "VmHWM:",
    };
    let status = read(&format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib: Option<u32> = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.map(|kib| f64::from(kib) / 1024.0).ok_or_else(|| unreadable("status"))
}

/// The processor time, user and system, that all threads of a process have used so far, in steps of 10 ms. Threads that
/// have ended are counted, which a sum over `/proc/<pid>/task` would lose.
pub(super) fn processor_time(pid: u32) -> Result<Duration, CliError> {
    let ticks = parse_stat(&read(&format!("/proc/{pid}/stat"))?).ok_or_else(|| unreadable("stat"))?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// `utime` and `stime`, the 14th and 15th field. The second is the program's name in brackets, which may itself contain
/// blanks and brackets: fields are counted from its last one.
fn parse_stat(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The processor time that the calling thread has used so far.
pub(super) fn thread_time() -> Result<Duration, CliError> {
    // The kernel adds up a running thread's time at its scheduling points; yielding is one.
    std::thread::yield_now();
    let schedstat = read("/proc/thread-self/schedstat")?;
    let nanoseconds = schedstat.split_ascii_whitespace().next().and_then(|first| first.parse().ok());
    nanoseconds.map(Duration::from_nanos).ok_or_else(|| unreadable("schedstat"))
}

/// Whether the file system that holds `folder` lives in memory, where a sync costs nothing and keeps nothing.
pub(super) fn is_in_memory(folder: &Path) -> Result<bool, CliError> {
    let folder = folder.canonicalize()?;
    let mounts = read("/proc/self/mounts")?;
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let holding = fields.filter(|fields| fields.len() > 2 && folder.starts_with(fields[1]));
    // Of two mounts on one folder, the later one is seen.
    let innermost = holding.max_by_key(|fields| fields[1].len());
    Ok(innermost.is_some_and(|fields| matches!(fields[2], "tmpfs" | "ramfs")))
}

fn read(path: &str) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|error| {
        CliError::new(format!("{path}: {error}"))
            .hint("the bench reads memory and processor time from Linux's /proc")
    })
}

fn unreadable(what: &str) -> CliError {
    CliError::new(format!("the kernel's `{what}` has another form than expected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 9 0 0 0 31 11 5 5 20 0 4 0 100 1 1";
        assert_eq!(parse_stat(stat), Some(42));
        assert_eq!(parse_stat("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let pid = std::process::id();
        let now = memory_mib(pid, Memory::Now).unwrap();
        assert!(now > 0.0 && memory_mib(pid, Memory::Peak).unwrap() >= now);
        assert!(processor_time(u32::MAX).is_err());
        processor_time(pid).unwrap();
        let before = thread_time().unwrap();
        assert!((0..100_000_u64).fold(0, |sum: u64, n| std::hint::black_box(sum.wrapping_add(n))) > 0);
        assert!(thread_time().unwrap() > before);
        assert!(is_in_memory(Path::new("/proc/self/missing")).is_err());
        assert!(!is_in_memory(Path::new("/proc")).unwrap());
    }
}
