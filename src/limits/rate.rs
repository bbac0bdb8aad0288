//! How often something may happen to a key: some times at once, and then one by one. A table of
//! bounded size under governor's arithmetic (GCRA,
//! <https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm>).

use std::{
    collections::HashMap,
    fmt,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::StateStore,
};

/// Keys that a table holds at most: about half a MiB of them.
const CAPACITY: usize = 28_000;

/// Why something is refused for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// After this time it will be let through again, unless more comes meanwhile.
    pub retry_after: Duration,
}

impl TooMany {
    /// The time to wait in whole seconds, at least one.
    pub fn seconds(&self) -> u64 {
        let whole = self.retry_after.as_secs();
        (whole + u64::from(self.retry_after.subsec_nanos() > 0)).max(1)
    }
}

impl fmt::Display for TooMany {
    /// In the words of Django REST framework.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds();
        let s = if seconds == 1 { "" } else { "s" };
        write!(
            f,
            "Request was throttled. Expected available in {seconds} second{s}."
        )
    }
}

/// A rate limit for many keys; `None` never refuses.
pub(super) struct Rate<C: Clock = MonotonicClock>(Option<Limited<C>>);

struct Limited<C: Clock> {
    limiter: RateLimiter<u64, Table, C, NoOpMiddleware<C::Instant>>,
    table: Table,
    /// What one time weighs.
    interval: Duration,
    burst: NonZeroU32,
}

impl Rate {
    /// `burst` times at once, and one more after each `interval`.
    pub(super) fn new(burst: u32, interval: Duration) -> Self {
        Self::with_clock(burst, interval, MonotonicClock)
    }

    /// As often as one likes.
    pub(super) fn unlimited() -> Self {
        Self(None)
    }
}

impl<C: Clock> Rate<C> {
    fn with_clock(burst: u32, interval: Duration, clock: C) -> Self {
        let burst = NonZeroU32::new(burst).expect("a limit allows something");
        let quota = Quota::with_period(interval)
            .expect("intervals are not zero")
            .allow_burst(burst);
        let table = Table::default();
        Self(Some(Limited {
            limiter: RateLimiter::new(quota, table.clone(), clock),
            table,
            interval,
            burst,
        }))
    }

    /// Takes one time of this key's.
    pub(super) fn take(&self, key: u64) -> Result<(), TooMany> {
        let Some(limited) = &self.0 else {
            return Ok(());
        };
        limited.limiter.check_key(&key).map_err(|until| TooMany {
            retry_after: until.wait_time_from(limited.limiter.clock().now()),
        })
    }

    /// Takes so many times at once; more than may be had at once count as that.
    pub(super) fn take_many(&self, key: u64, times: u32) -> Result<(), TooMany> {
        let (Some(limited), Some(times)) = (&self.0, NonZeroU32::new(times)) else {
            return Ok(());
        };
        let taken = limited
            .limiter
            .check_key_n(&key, times.min(limited.burst))
            .expect("it is no more than a burst");
        taken.map_err(|until| TooMany {
            retry_after: until.wait_time_from(limited.limiter.clock().now()),
        })
    }

    /// Undoes a [`take`](Self::take) that turned out not to count.
    pub(super) fn give_back(&self, key: u64) {
        if let Some(limited) = &self.0 {
            limited.table.lower(key, limited.interval);
        }
    }
}

impl<C: Clock> fmt::Debug for Rate<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interval = self.0.as_ref().map(|limited| limited.interval);
        f.debug_struct("Rate")
            .field("interval", &interval)
            .finish_non_exhaustive()
    }
}

/// For each key, the time by which it will have made good for all it has had, in nanoseconds since
/// the start. When there are too many keys, the half that has had least is forgotten: whoever is
/// near a limit stays so, however many others come.
#[derive(Clone, Default)]
struct Table(Arc<Mutex<HashMap<u64, u64>>>);

impl Table {
    fn lower(&self, key: u64, by: Duration) {
        let by = Nanos::from(by).as_u64();
        if let Some(nanos) = self.lock().get_mut(&key) {
            *nanos = nanos.saturating_sub(by);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        // Entries are written whole, so a panic elsewhere leaves the map usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for Table {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut table = self.lock();
        let (outcome, nanos) = decide(table.get(key).copied().map(Nanos::from))?;
        if table.len() >= CAPACITY && !table.contains_key(key) {
            forget_half(&mut table);
        }
        table.insert(*key, nanos.as_u64());
        Ok(outcome)
    }
}

fn forget_half(table: &mut HashMap<u64, u64>) {
    let mut times: Vec<u64> = table.values().copied().collect();
    let middle = times.len() / 2;
    let (_, median, _) = times.select_nth_unstable(middle);
    table.retain(|_, nanos| *nanos > *median);
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rate(burst: u32) -> (Rate<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        // As a server that has been up for a while.
        clock.advance(SECOND * 1000);
        (Rate::with_clock(burst, SECOND * 10, clock.clone()), clock)
    }

    #[test]
    fn a_burst_and_then_one_by_one() {
        let (rate, clock) = rate(3);
        for _ in 0..3 {
            assert_eq!(rate.take(1), Ok(()));
        }
        let wait = rate.take(1).unwrap_err();
        assert_eq!(wait.retry_after, SECOND * 10);
        assert_eq!(rate.take(2), Ok(()), "another key's is not touched");
        clock.advance(Duration::from_millis(9_999));
        assert_eq!(rate.take(1).unwrap_err().seconds(), 1);
        clock.advance(Duration::from_millis(1));
        assert_eq!(rate.take(1), Ok(()));
        assert!(rate.take(1).is_err());
    }

    #[test]
    fn many_times_are_taken_as_one_by_one() {
        let (rate, clock) = rate(10);
        assert_eq!(rate.take_many(1, 0), Ok(()));
        assert_eq!(rate.take_many(1, 7), Ok(()));
        let wait = rate.take_many(1, 5).unwrap_err();
        assert_eq!(wait.retry_after, SECOND * 20);
        assert_eq!(
            rate.take_many(1, 3),
            Ok(()),
            "what was refused took nothing"
        );
        clock.advance(SECOND * 100);
        assert_eq!(
            rate.take_many(1, 1_000_000),
            Ok(()),
            "as many as there can be"
        );
        assert!(rate.take(1).is_err());
    }

    #[test]
    fn what_is_given_back_was_never_taken() {
        let (rate, _clock) = rate(3);
        for _ in 0..1000 {
            assert_eq!(rate.take(1), Ok(()));
            rate.give_back(1);
        }
        rate.give_back(1);
        rate.give_back(7);
        for _ in 0..3 {
            assert_eq!(rate.take(1), Ok(()), "as many as at first, and no more");
        }
        assert!(rate.take(1).is_err());
    }

    #[test]
    fn a_million_keys_take_no_more_memory_and_excuse_nobody() {
        let (rate, _clock) = rate(3);
        let guilty = u64::MAX;
        while rate.take(guilty).is_ok() {}
        for key in 0..1_000_000 {
            assert_eq!(rate.take(key), Ok(()));
        }
        let table = rate.0.as_ref().unwrap().table.lock();
        assert!(table.len() <= CAPACITY, "{}", table.len());
        assert!(table.capacity() * size_of::<(u64, u64)>() < 1 << 20);
        drop(table);
        assert!(rate.take(guilty).is_err());
    }

    #[test]
    fn without_a_limit_anything_goes() {
        let rate = Rate::unlimited();
        assert!((0..100_000).all(|_| rate.take(1).is_ok()));
    }

    #[test]
    fn the_wait_is_told_in_whole_seconds() {
        for (retry_after, text) in [
            (Duration::ZERO, "in 1 second."),
            (Duration::from_millis(1), "in 1 second."),
            (Duration::from_millis(1001), "in 2 seconds."),
            (SECOND * 60, "in 60 seconds."),
        ] {
            let told = TooMany { retry_after }.to_string();
            assert!(told.ends_with(text), "{told}");
        }
    }
}
