//! What the seeds have shown: how soon clients were right again after each fault.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use super::faults::Fault;

/// How soon after its faults a round was over.
pub struct Recovery {
    /// Which faults, at the same time.
    pub faults: Vec<Fault>,
    /// From the last one's end until every client showed what was stored.
    pub fresh: Duration,
}

/// See the module.
pub struct Report {
    begun: Instant,
    seeds: usize,
    times: BTreeMap<Row, Vec<Duration>>,
    /// Seeds whose clients did not all end with what the table said, or that could not be judged.
    pub failed: Vec<u64>,
}

/// A line of the table, in its order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    One(Fault),
    Several,
    /// The time to find silence is no other fault's.
    SeveralWithSilence,
}

impl Row {
    fn of(faults: &[Fault]) -> Self {
        match faults {
            [fault] => Self::One(*fault),
            several if several.contains(&Fault::DatabaseHalfOpen) => Self::SeveralWithSilence,
            _ => Self::Several,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::One(fault) => fault.name(),
            Self::Several => "two of these at once",
            Self::SeveralWithSilence => "two at once, one of them half-open",
        }
    }
}

impl Report {
    /// An empty one, of a run that begins now.
    pub fn new() -> Self {
        Self {
            begun: Instant::now(),
            seeds: 0,
            times: BTreeMap::new(),
            failed: Vec::new(),
        }
    }

    /// Adds a seed that ended well.
    pub fn passed(&mut self, recoveries: Vec<Recovery>) {
        self.seeds += 1;
        for Recovery { faults, fresh } in recoveries {
            self.times.entry(Row::of(&faults)).or_default().push(fresh);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| fault | times | right again after: median | slowest |")?;
        writeln!(f, "|---|---|---|---|")?;
        for (row, times) in &self.times {
            let mut times = times.clone();
            times.sort();
            let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
            let (median, slowest) = (median.as_secs_f64(), slowest.as_secs_f64());
            let (name, count) = (row.name(), times.len());
            writeln!(f, "| {name} | {count} | {median:.2} s | {slowest:.2} s |")?;
        }
        let faults: usize = self.times.values().map(Vec::len).sum();
        write!(
            f,
            "\n{} seeds, {faults} rounds of faults, {:.1} minutes; {} seeds missed the final state",
            self.seeds + self.failed.len(),
            self.begun.elapsed().as_secs_f64() / 60.0,
            self.failed.len(),
        )
    }
}
