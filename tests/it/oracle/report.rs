//! What the seeds have shown: how soon clients were right again after each fault.

use std::{collections::BTreeMap, fmt, time::Duration};

/// How soon after its faults a round was over.
pub struct Recovery {
    /// Which faults.
    pub faults: String,
    /// More than one, at the same time.
    pub several: bool,
    /// From the last one's end until every client showed what was stored.
    pub fresh: Duration,
}

/// See the module.
#[derive(Default)]
pub struct Report {
    seeds: u64,
    times: BTreeMap<String, Vec<Duration>>,
    /// Seeds whose clients did not all end with what the table said.
    pub failed: Vec<u64>,
}

impl Report {
    /// Adds a seed that ended well.
    pub fn passed(&mut self, recoveries: Vec<Recovery>) {
        self.seeds += 1;
        for Recovery {
            faults,
            several,
            fresh,
        } in recoveries
        {
            let kind = if several {
                "two of these at once".to_owned()
            } else {
                faults
            };
            self.times.entry(kind).or_default().push(fresh);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| fault | times | fresh after, median | slowest |")?;
        writeln!(f, "|---|---|---|---|")?;
        for (kind, times) in &self.times {
            let mut times = times.clone();
            times.sort();
            let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
            let (median, slowest) = (median.as_secs_f64(), slowest.as_secs_f64());
            writeln!(
                f,
                "| {kind} | {} | {median:.2} s | {slowest:.2} s |",
                times.len()
            )?;
        }
        let slowest = self
            .times
            .values()
            .flatten()
            .max()
            .copied()
            .unwrap_or_default();
        write!(
            f,
            "{} seeds, {} missed the final state {:?}, slowest {:.2} s",
            self.seeds + self.failed.len() as u64,
            self.failed.len(),
            self.failed,
            slowest.as_secs_f64()
        )
    }
}
