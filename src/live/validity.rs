//! How long the Data Library's counts hold: they are of the past 30 days, so a row that becomes older
//! changes them although nobody writes. The view notes for how long the counts that it read hold;
//! the audit, which asks the database for its time once a second, finds that they no longer do. No
//! timer runs, so none can be late; moments are the database's, so no other clock matters. It reads
//! nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

/// Until when the counts of the past 30 days hold.
#[derive(Debug, Default)]
pub struct Validity(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// How often something was noted.
    notes: u64,
    held: Option<Held>,
}

/// What was noted when the database was asked for its time.
#[derive(Clone, Copy, Debug)]
pub struct Asked(u64);

#[derive(Clone, Copy, Debug)]
struct Held {
    from: Timestamp,
    until: Option<Timestamp>,
}

impl Validity {
    /// Notes that the counts read at `from` hold until then; for ever without an `until`.
    pub fn note(&self, from: Timestamp, until: Option<Timestamp>) {
        let mut state = self.state();
        state.notes += 1;
        state.held = Some(Held { from, until });
    }

    /// To be called before the database is asked for its time.
    pub fn asked(&self) -> Asked {
        Asked(self.state().notes)
    }

    /// Whether the counts that were read last no longer hold at `now`, for which the database was `asked`; true
    /// once for each [`note`](Self::note). A clock that was set back brings rows back into the 30 days. Counts that
    /// were read since it was asked are not judged: they are newer, and no clock need have been set back.
    pub fn is_over(&self, asked: Asked, now: Timestamp) -> bool {
        let mut state = self.state();
        let is_over = asked.0 == state.notes
            && state.held.is_some_and(|held| {
                now < held.from || held.until.is_some_and(|until| now >= until)
            });
        if is_over {
            state.held = None;
        }
        is_over
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is whole when it is made, so a panic elsewhere leaves it so.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let validity = Validity::default();
        let is_over = |second| validity.is_over(validity.asked(), at(second));
        assert!(!is_over(0), "nothing was read yet");
        validity.note(at(10), Some(at(20)));
        assert!(!is_over(10) && !is_over(19));
        assert!(is_over(20));
        assert!(!is_over(21), "told once");
        validity.note(at(21), None);
        assert!(!is_over(1 << 32));
    }

    #[test]
    fn any_jump_of_the_clock_is_noticed() {
        let validity = Validity::default();
        let is_over = |second| validity.is_over(validity.asked(), at(second));
        validity.note(at(10), Some(at(20)));
        assert!(is_over(1 << 32), "slept for years");
        validity.note(at(10), None);
        assert!(is_over(9), "set back");
    }

    #[test]
    fn counts_that_were_read_while_the_clock_was_asked_are_not_judged_by_it() {
        let validity = Validity::default();
        validity.note(at(10), None);
        let asked = validity.asked();
        validity.note(at(12), None);
        assert!(!validity.is_over(asked, at(11)), "read after it was asked");
        assert!(validity.is_over(validity.asked(), at(11)), "set back");
    }
}
