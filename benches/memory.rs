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

/// Bytes that the kernel holds for the connections of the server at this port: sent and not yet
/// read, on either side, as it is all one machine.
pub(crate) fn queued(port: u16) -> Result<u64> {
    let text = fs::read_to_string("/proc/net/tcp")?;
    let port = format!(":{port:04X}");
    let mut queued = 0;
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if fields.len() > 4 && (fields[1].ends_with(&port) || fields[2].ends_with(&port)) {
            let (sending, receiving) = fields[4]
                .split_once(':')
                .ok_or("/proc/net/tcp: no queues")?;
            queued += u64::from_str_radix(sending, 16)? + u64::from_str_radix(receiving, 16)?;
        }
    }
    Ok(queued)
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

/// How many files a process has open.
pub(crate) fn descriptors(pid: u32) -> Result<u64> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64)
}
