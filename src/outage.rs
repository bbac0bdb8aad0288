//! When the log speaks of something that is out: a line when it begins, one a minute while it lasts,
//! and one when it is over. It only decides when; the caller writes the line, and so chooses its
//! words, fields and target.
//!
//! ```text
//! if let Some(lasting) = outage.failed() {
//!     tracing::warn!(%error, lasting, "the table cannot be read");
//! }
//! if let Some(after) = outage.over() {
//!     tracing::info!(after, "the table can be read again");
//! }
//! ```

use std::time::{Duration, Instant};

/// While an outage lasts, a line is written this often.
const REMIND_EVERY: Duration = Duration::from_mins(1);

/// One thing that can be out. At first it is not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outage {
    /// When it failed first; none while it works.
    began: Option<Instant>,
    /// When the last line was written; none while nothing was said of this outage.
    told: Option<Instant>,
    /// An outage that is shorter is not spoken of.
    patience: Duration,
}

impl Outage {
    /// One that is spoken of only once it has lasted for `patience`: for what fails now and then and
    /// works at the next attempt.
    pub(crate) const fn longer_than(patience: Duration) -> Self {
        Self {
            began: None,
            told: None,
            patience,
        }
    }

    /// One of a task that uses the pool. A database that is down is spoken of by the audit, and
    /// [`Pool::is_out`](crate::pg::Pool::is_out) soon tells that; until then only the connection has
    /// broken that this task was using.
    pub(crate) const fn beside_the_pool() -> Self {
        Self::longer_than(Duration::from_secs(3))
    }

    /// Notes a failure. Gives how long it has lasted, in seconds, when it is time for a line.
    pub(crate) fn failed(&mut self) -> Option<f64> {
        self.failed_at(Instant::now())
    }

    /// Notes that it works. Gives how long it did not, in seconds, when a line said that it was out.
    pub(crate) fn over(&mut self) -> Option<f64> {
        self.over_at(Instant::now())
    }

    fn failed_at(&mut self, now: Instant) -> Option<f64> {
        let lasting = now.duration_since(*self.began.get_or_insert(now));
        let is_due = match self.told {
            None => lasting >= self.patience,
            Some(told) => now.duration_since(told) >= REMIND_EVERY,
        };
        if !is_due {
            return None;
        }
        self.told = Some(now);
        Some(seconds(lasting))
    }

    fn over_at(&mut self, now: Instant) -> Option<f64> {
        let began = self.began.take()?;
        self.told.take()?;
        Some(seconds(now.duration_since(began)))
    }
}

/// A duration as it stands in the log: a number of seconds, to a thousandth.
pub(crate) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_at_once_then_once_a_minute_and_when_it_is_over() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_millis(seconds * 1000 + 250);
        let mut outage = Outage::default();
        assert_eq!(outage.over_at(begin), None, "nothing was out");
        assert_eq!(outage.failed_at(begin), Some(0.0));
        let told: Vec<_> = (0..150).filter_map(|n| outage.failed_at(at(n))).collect();
        assert_eq!(told, [60.25, 120.25]);
        assert_eq!(outage.over_at(at(150)), Some(150.25));
        assert_eq!(outage.over_at(at(151)), None, "it is over once");
        assert_eq!(outage.failed_at(at(152)), Some(0.0), "the next one is new");
    }

    #[test]
    fn a_short_failure_is_not_spoken_of_where_that_is_usual() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut outage = Outage::longer_than(Duration::from_secs(3));
        assert_eq!(outage.failed_at(at(0)), None);
        assert_eq!(outage.over_at(at(2)), None);
        assert_eq!(outage.failed_at(at(10)), None);
        assert_eq!(outage.failed_at(at(13)), Some(3.0));
        assert_eq!(outage.over_at(at(14)), Some(4.0));
    }

    #[test]
    fn a_duration_is_a_number_of_seconds() {
        assert_eq!(
            seconds(Duration::from_micros(12_345_678)).to_string(),
            "12.346"
        );
        assert_eq!(seconds(Duration::from_micros(1)).to_string(), "0");
    }
}
