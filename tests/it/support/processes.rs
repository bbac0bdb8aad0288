//! Processes as /proc shows them.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// A process by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(pub u32);

impl Process {
    /// Whether it runs: a zombie does not.
    pub fn is_alive(self) -> bool {
        self.stat().is_some_and(|stat| stat[0] != "Z")
    }

    pub fn parent(self) -> Self {
        Self(self.stat().expect("it lives")[1].parse().expect("a number"))
    }

    /// The number of its process group.
    pub fn group(self) -> u32 {
        self.stat().expect("it lives")[2].parse().expect("a number")
    }

    /// The time that it has computed, in ticks; a second has a hundred.
    pub fn cpu_ticks(self) -> u64 {
        let stat = self.stat().expect("it lives");
        let ticks = |field: usize| stat[field].parse::<u64>().expect("a number");
        ticks(11) + ticks(12)
    }

    pub fn children(self) -> Vec<Self> {
        let names = fs::read_dir("/proc")
            .expect("/proc exists")
            .flatten()
            .map(|entry| entry.file_name());
        let processes = names.filter_map(|name| Some(Self(name.to_str()?.parse().ok()?)));
        let parent = self.0.to_string();
        processes
            .filter(|process| process.stat().is_some_and(|stat| stat[1] == parent))
            .collect()
    }

    /// Sends a signal, and for SIGKILL waits until the process is gone.
    pub fn signal(self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.0.to_string()])
            .status();
        assert!(
            sent.expect("kill starts").success(),
            "{self:?} can't be signalled"
        );
        let deadline = Instant::now() + Duration::from_secs(10);
        while name == "KILL" && self.is_alive() {
            assert!(Instant::now() < deadline, "{self:?} outlives SIGKILL");
            std::thread::yield_now();
        }
    }

    pub fn command_line(self) -> String {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.0)).expect("it lives");
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    }

    /// A line of its status, the words parted by single spaces.
    pub fn status(self, key: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).expect("it lives");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.expect("the key exists")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// State, parent, group and more.
    fn stat(self) -> Option<Vec<String>> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        Some(rest.split_whitespace().map(str::to_owned).collect())
    }
}

/// Waits for a condition, at most ten seconds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
