//! How long the Data Library's counts hold: they are of the past 30 days, so a row that becomes older
//! changes them although nobody writes. The view notes for how long the counts that it read hold;
//! the audit, which asks the database for its time once a second, finds that they no longer do. No
//! timer runs, so none can be late; moments are the database's, so no other clock matters. It reads
//! nothing.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

/// Until when the counts of the past 30 days hold.
#[derive(Debug, Default)]
pub struct Window(Mutex<Option<Held>>);

#[derive(Clone, Copy, Debug)]
struct Held {
    from: Timestamp,
    until: Option<Timestamp>,
}

impl Window {
    /// Notes that the counts read at `from` hold until then; for ever without an `until`.
    pub fn note(&self, from: Timestamp, until: Option<Timestamp>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Held { from, until });
    }

    /// Whether the counts that were read last no longer hold; true once for each [`note`](Self::note). A clock that
    /// was set back brings rows into the window again.
    pub fn is_over(&self, now: Timestamp) -> bool {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = held
            .is_some_and(|held| now < held.from || held.until.is_some_and(|until| now >= until));
        if is_over {
            *held = None;
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn counts_are_read_again_once_when_they_no_longer_hold() {
        let window = Window::default();
        assert!(!window.is_over(at(0)), "nothing was read yet");
        window.note(at(10), Some(at(20)));
        assert!(!window.is_over(at(10)) && !window.is_over(at(19)));
        assert!(window.is_over(at(20)));
        assert!(!window.is_over(at(21)), "told once");
        window.note(at(21), None);
        assert!(!window.is_over(at(1 << 32)));
    }

    #[test]
    fn any_jump_of_the_clock_is_noticed() {
        let window = Window::default();
        window.note(at(10), Some(at(20)));
        assert!(window.is_over(at(1 << 32)), "slept for years");
        window.note(at(10), None);
        assert!(window.is_over(at(9)), "set back");
    }
}
