//! What a process costs, as the kernel tells it.

use std::{fs, time::Duration};

use crate::Result;

/// CPU time that a process and its ended threads have used.
///
/// The kernel's own accounting of each thread to the nanosecond; a server whose threads come and go
/// would be counted short, and none here does within a measurement.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that has just ended has no file any more.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else {
            continue;
        };
        let first = text.split_whitespace().next().ok_or("schedstat is empty")?;
        nanos += first.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// Resident memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// All of it.
    pub(crate) resident: u64,
    /// What only this process has: neither shared nor read from a file.
    pub(crate) private_dirty: u64,
}

/// A process's memory at this moment.
pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let field = |name: &str| -> Result<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kib = line
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .ok_or("smaps_rollup: no such field")?;
        Ok(kib.trim().parse::<u64>()? * 1024)
    };
    Ok(Memory {
        resident: field("Rss:")?,
        private_dirty: field("Private_Dirty:")?,
    })
}
