//! Medians and percentiles of measured times and other figures.

use std::time::Duration;

/// The value that half of them are below.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

/// The value that `percent` of them are below.
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    assert!(!values.is_empty(), "nothing was measured");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a slice that fits in memory"
    )]
    let at = (percent / 100.0 * (sorted.len() - 1) as f64).round() as usize;
    sorted[at]
}

/// In milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A count as a figure.
#[expect(
    clippy::cast_precision_loss,
    reason = "figures are shown with four digits"
)]
pub(crate) fn figure(count: u64) -> f64 {
    count as f64
}
