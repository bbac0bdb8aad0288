//! Times as settings have them: a number with its unit (`250ms`, `75s`, `12h`, `7d`, `1d 12h`). A plain 0
//! needs no unit.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// A time with its unit. A day has 24 hours.
pub(super) fn with_unit(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let span: Span = text.parse().ok()?;
    let time = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(time).ok()
}

/// The same; a plain number is seconds. For settings that were taken so before they had units.
pub(super) fn or_seconds(text: &str) -> Option<Duration> {
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds.or_else(|| with_unit(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_takes_the_same_units() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("250ms", 250),
            ("75s", 75_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
            ("1w", 604_800_000),
            ("1d 12h", 129_600_000),
        ] {
            let time = Some(Duration::from_millis(millis));
            assert_eq!(with_unit(text), time, "{text}");
            assert_eq!(or_seconds(text), time, "{text}");
        }
        for text in ["", "soon", "-1d", "1 month", "-5"] {
            assert_eq!(with_unit(text), None, "{text}");
            assert_eq!(or_seconds(text), None, "{text}");
        }
        assert_eq!(with_unit("7"), None);
        assert_eq!(or_seconds("7"), Some(Duration::from_secs(7)));
    }
}
