//! A histogram of durations in a few atomic numbers: noting one costs two additions, and memory does
//! not grow with what was noted, whether anybody reads it or not.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// The buckets' upper bounds, in microseconds.
const BOUNDS_MICROS: [u64; 14] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000,
];
/// The same in seconds, as they are shown.
const BOUNDS: [&str; BOUNDS_MICROS.len()] = [
    "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5",
    "10", "30",
];

/// Counts durations in buckets.
#[derive(Debug, Default)]
pub struct Histogram {
    /// How many were in each bucket and in none below; the last is for those beyond all bounds.
    counts: [AtomicU64; BOUNDS_MICROS.len() + 1],
    sum_micros: AtomicU64,
}

impl Histogram {
    /// Notes one duration.
    pub fn note(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum_micros.fetch_add(micros, Relaxed);
    }

    /// How many were noted.
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Appends the lines of this histogram as `name`, with the label `label="value"`.
    pub(super) fn write(&self, text: &mut String, name: &str, label: &str, value: &str) {
        let mut total = 0;
        let bounds = BOUNDS.into_iter().chain(["+Inf"]);
        for (bound, count) in bounds.zip(&self.counts) {
            total += count.load(Relaxed);
            line(
                text,
                format_args!("{name}_bucket{{{label}=\"{value}\",le=\"{bound}\"}} {total}"),
            );
        }
        let sum = Duration::from_micros(self.sum_micros.load(Relaxed)).as_secs_f64();
        line(
            text,
            format_args!("{name}_sum{{{label}=\"{value}\"}} {sum}"),
        );
        line(
            text,
            format_args!("{name}_count{{{label}=\"{value}\"}} {total}"),
        );
    }
}

/// Appends a line.
pub(super) fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a string takes all that is written");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_in_the_buckets_that_it_fits_in() {
        let histogram = Histogram::default();
        for millis in [0, 1, 2, 1_000, 1_001, 60_000] {
            histogram.note(Duration::from_millis(millis));
        }
        let mut text = String::new();
        histogram.write(&mut text, "took_seconds", "view", "list");
        for line in [
            r#"took_seconds_bucket{view="list",le="0.001"} 2"#,
            r#"took_seconds_bucket{view="list",le="0.0025"} 3"#,
            r#"took_seconds_bucket{view="list",le="0.5"} 3"#,
            r#"took_seconds_bucket{view="list",le="1"} 4"#,
            r#"took_seconds_bucket{view="list",le="2.5"} 5"#,
            r#"took_seconds_bucket{view="list",le="30"} 5"#,
            r#"took_seconds_bucket{view="list",le="+Inf"} 6"#,
            r#"took_seconds_sum{view="list"} 62.004"#,
            r#"took_seconds_count{view="list"} 6"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn bounds_are_shown_as_they_are() {
        for (micros, shown) in BOUNDS_MICROS.into_iter().zip(BOUNDS) {
            let seconds = Duration::from_secs_f64(shown.parse().unwrap());
            assert_eq!(Duration::from_micros(micros), seconds);
        }
    }
}
