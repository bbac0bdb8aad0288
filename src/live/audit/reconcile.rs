//! One table's books: rows that the database says were written, held against rows that were
//! announced. Judges only; it reads nothing and tells nobody.
//!
//! The two never agree at once. A count comes up to ten seconds after its announcement, an
//! announcement that is still being heard comes after its count; rolled-back rows are counted and
//! never announced, and a row that a transaction writes twice is counted twice and announced once.
//! So there are three judgements: explained, certainly not explained, and doubtful; a doubt costs
//! one quiet read, and no more than one in [`VERIFY_EVERY`]. What is certainly not explained may still
//! be a savepoint that was rolled back, or a table that was only rewritten (`VACUUM FULL`, `CLUSTER`).
//! The rows themselves tell: [`Books::proof`].
//!
//! Rows that were announced and not yet counted explain as many that are counted later, so that
//! ordinary changes cost no read. They may hide a silent edit until their own counts come; edits with
//! triggers off are known by the triggers' marks, and at once.

use std::time::{Duration, Instant};

use crate::live::notification_counts::Total;

/// At least so long lies between two reads of everything because of a doubt.
pub(super) const VERIFY_EVERY: Duration = Duration::from_secs(3);
/// What is counted now was written by a transaction that was not yet over when this began.
const HORIZON: Duration = Duration::from_secs(15);
/// An announced row that was not counted in this time will not be: the statistics are never later.
const STATISTICS_LAG: Duration = Duration::from_secs(12);

/// What a look at a table found.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    /// Rows written.
    pub(super) written: i64,
    /// How many rows PostgreSQL counts.
    pub(super) live: i64,
    /// How often the table was vacuumed or analysed.
    pub(super) maintained: i64,
    /// Which transactions were over when the counts were read.
    pub(super) snapshot: String,
    /// Changes when the table is rewritten.
    pub(super) storage: String,
    /// The table's triggers and whether each is on.
    pub(super) triggers: String,
    /// Whether all statements that matter are announced.
    pub(super) is_announced: bool,
    /// Transactions of the database that were rolled back.
    pub(super) rollbacks: i64,
    /// What was heard.
    pub(super) heard: Total,
    /// The listener's connection, by its number; `None` while it hears nothing.
    pub(super) connection: Option<u64>,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing to do.
    Consistent,
    /// Something may have been missed: the states are to be read again.
    Uncertain,
    /// Something was changed while nobody listened; everybody is to be told.
    MissedWhileDeaf,
    /// The same, although it should have been announced and would have been heard.
    Unannounced,
}

/// Compares what PostgreSQL counts with what was announced, of one table.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one doubt of its own, and all can be true together"
)]
pub(super) struct Books {
    last: Option<Look>,
    due: Due,
    /// Rows were counted at the last look that nothing announced; the announcement may be on its way.
    is_suspect: bool,
    is_doubtful: bool,
    /// Something was heard at the last look: all that is over by the next one is explained.
    was_heard: bool,
    /// The number of rows has moved at the look that made these books suspicious.
    has_moved: bool,
    horizon: Horizon,
    proof: Option<Proof>,
    /// When everything was last read because of these books.
    read: Option<Instant>,
}

/// What shows that a table was changed although nothing was announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Rows have come or gone.
    Given,
    /// A row would show it that was written by a transaction that was not over at this snapshot.
    RowSince(String),
}

/// A snapshot before anything that is counted now was over, and after all that was announced.
#[derive(Debug, Default)]
struct Horizon {
    snapshot: String,
    /// What it will be when it is moved.
    next: String,
    moved: Option<Instant>,
}

impl Horizon {
    /// Everything before this look is explained.
    fn reset(&mut self, snapshot: &str, now: Instant) {
        self.snapshot = snapshot.into();
        self.next = snapshot.into();
        self.moved = Some(now);
    }

    fn advance(&mut self, snapshot: &str, now: Instant) {
        match self.moved {
            None => self.reset(snapshot, now),
            Some(moved) if now >= moved + HORIZON => {
                self.snapshot = std::mem::replace(&mut self.next, snapshot.into());
                self.moved = Some(now);
            }
            Some(_) => {}
        }
    }
}

/// What was announced and not yet counted.
#[derive(Debug, Default)]
struct Due {
    rows: i64,
    /// Rows besides, nobody knows how many.
    unnamed: bool,
    /// Rows were counted that these may explain, or not.
    is_used: bool,
    since: Option<Instant>,
}

impl Due {
    fn is_nothing(&self) -> bool {
        self.rows == 0 && !self.unnamed
    }
}

impl Books {
    /// Enters a look and judges.
    pub(super) fn enter(&mut self, look: Look, now: Instant) -> Finding {
        // What was heard may have been committed after the snapshot of that look.
        if self.was_heard {
            self.horizon.reset(&look.snapshot, now);
        }
        self.horizon.advance(&look.snapshot, now);
        let last = self.last.as_ref();
        self.was_heard = last.is_some_and(|last| last.heard.statements != look.heard.statements);
        let finding = if let Some(last) = self.last.take() {
            self.judge(&last, &look, now)
        } else {
            // Who knows what happened before; what was announced then may be counted from now on.
            self.may_be_due(now);
            self.is_doubtful = true;
            Finding::Consistent
        };
        if finding == Finding::Unannounced {
            self.proof = Some(if self.has_moved {
                Proof::Given
            } else {
                Proof::RowSince(self.horizon.snapshot.clone())
            });
            self.horizon.reset(&look.snapshot, now);
        }
        self.last = Some(look);
        if finding != Finding::Consistent {
            self.settle(now);
            return finding;
        }
        let may_read = self.read.is_none_or(|read| now >= read + VERIFY_EVERY);
        if self.is_doubtful && may_read {
            self.settle(now);
            return Finding::Uncertain;
        }
        Finding::Consistent
    }

    /// What shows whether [`Finding::Unannounced`] was right.
    pub(super) fn proof(&mut self) -> Option<Proof> {
        self.proof.take()
    }

    fn judge(&mut self, last: &Look, look: &Look, now: Instant) -> Finding {
        let heard = look.heard.statements > last.heard.statements;
        let written = look.written - last.written;
        let rewritten = look.storage != last.storage;
        let retriggered = look.triggers != last.triggers;
        let suspected = std::mem::take(&mut self.is_suspect);
        let is_resized = look.live != last.live && look.maintained == last.maintained;
        self.has_moved = is_resized || (suspected && self.has_moved);

        self.forget_overdue(now);
        if look.connection.is_none() {
            self.is_doubtful = true;
            return if written != 0 || rewritten {
                Finding::MissedWhileDeaf
            } else {
                Finding::Consistent
            };
        }
        if look.connection != last.connection || written < 0 {
            // What was announced while nobody listened may be counted from now on; or the database
            // counts anew, after a crash or by order.
            self.may_be_due(now);
            self.is_doubtful = true;
        }
        let was_consistent = self.due.is_nothing();
        self.announce(last, look, now);
        let due = self.due.rows;
        self.due.rows = (due - written.max(0)).max(0);

        let unannounced = retriggered || !last.is_announced || !look.is_announced;
        self.is_doubtful |= unannounced || (suspected && heard);
        let moved = written > 0 || rewritten;
        let explained = !rewritten && (self.due.unnamed || written <= due);
        self.due.is_used |= moved && self.due.unnamed;
        if !heard && (suspected || (unannounced && moved)) {
            return Finding::Unannounced;
        }
        if moved && !explained {
            let nobody_else = was_consistent && !heard && look.rollbacks == last.rollbacks;
            self.is_suspect = nobody_else;
            self.is_doubtful |= !nobody_else;
        }
        Finding::Consistent
    }

    /// Notes what was heard since the last look.
    fn announce(&mut self, last: &Look, look: &Look, now: Instant) {
        let named = i64::try_from(look.heard.rows - last.heard.rows).unwrap_or(i64::MAX);
        if look.heard.statements > last.heard.statements {
            self.due.rows = self.due.rows.saturating_add(named);
            self.due.unnamed |= look.heard.unnamed > last.heard.unnamed;
            self.due.since = Some(now);
        }
    }

    fn forget_overdue(&mut self, now: Instant) {
        if self
            .due
            .since
            .is_some_and(|since| now >= since + STATISTICS_LAG)
        {
            self.is_doubtful |= self.due.is_used;
            self.due = Due::default();
        }
    }

    fn may_be_due(&mut self, now: Instant) {
        self.due.unnamed = true;
        self.due.since = Some(now);
    }

    fn settle(&mut self, now: Instant) {
        self.is_doubtful = false;
        self.is_suspect = false;
        self.read = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table that is looked at once a second.
    struct Table {
        books: Books,
        look: Look,
        now: Instant,
        /// How often it was looked at, which is also the snapshot.
        looks: u32,
    }

    impl Table {
        /// Looked at for so long that nothing from before the start is still due.
        fn new() -> Self {
            let look = Look {
                is_announced: true,
                connection: Some(1),
                ..Look::default()
            };
            let mut table = Self {
                books: Books::default(),
                look,
                now: Instant::now(),
                looks: 0,
            };
            assert_eq!(
                table.look(),
                Finding::Uncertain,
                "the first look asks for a read"
            );
            assert!((0..15).all(|_| table.look() == Finding::Consistent));
            table
        }

        fn look(&mut self) -> Finding {
            self.now += Duration::from_secs(1);
            self.looks += 1;
            self.look.snapshot = self.looks.to_string();
            self.books.enter(self.look.clone(), self.now)
        }

        fn looks<const N: usize>(&mut self) -> [Finding; N] {
            std::array::from_fn(|_| self.look())
        }

        fn hear(&mut self, rows: Option<u64>) {
            self.look.heard.statements += 1;
            match rows {
                Some(rows) => self.look.heard.rows += rows,
                None => self.look.heard.unnamed += 1,
            }
        }
    }

    use Finding::{Consistent, MissedWhileDeaf, Unannounced, Uncertain};

    #[test]
    fn what_was_announced_and_counted_costs_nothing() {
        let mut table = Table::new();
        for rows in [1, 200, 3] {
            table.hear(Some(rows));
            table.look.written += i64::try_from(rows).unwrap();
            assert_eq!(table.look(), Consistent);
        }
        // Counted late, as for a session that is idle after its second quick transaction.
        table.hear(Some(1));
        assert_eq!(table.looks(), [Consistent; 9]);
        table.look.written += 1;
        assert_eq!(table.looks(), [Consistent; 20]);
        // What comes and goes all the time is counted a look later.
        for _ in 0..20 {
            table.hear(Some(5));
            assert_eq!(table.look(), Consistent);
            table.look.written += 5;
        }
        assert_eq!(table.looks(), [Consistent; 20]);
    }

    #[test]
    fn what_nobody_announced_is_silent_at_the_second_look() {
        let mut table = Table::new();
        table.look.written += 1;
        assert_eq!(
            table.looks(),
            [Consistent, Unannounced, Consistent, Consistent]
        );
        table.look.storage = "truncated".into();
        assert_eq!(
            table.looks(),
            [Consistent, Unannounced, Consistent, Consistent]
        );
    }

    #[test]
    fn rows_show_whether_a_silence_was_one() {
        let since = |proof: Option<Proof>| match proof {
            Some(Proof::RowSince(snapshot)) => snapshot.parse::<u32>().unwrap(),
            other => panic!("{other:?}"),
        };
        let mut table = Table::new();
        table.look.written += 1;
        assert_eq!(table.looks(), [Consistent, Unannounced]);
        let snapshot = since(table.books.proof());
        assert!(
            snapshot + 12 <= table.looks,
            "what is counted late is after it"
        );
        assert_eq!(table.books.proof(), None);
        // Rows that come or go need no other proof.
        table.look.written += 1;
        table.look.live += 1;
        assert_eq!(table.looks(), [Consistent, Unannounced]);
        assert_eq!(table.books.proof(), Some(Proof::Given));
        // An analysis counts the rows anew.
        table.look.written += 1;
        table.look.live += 1;
        table.look.maintained += 1;
        assert_eq!(table.looks(), [Consistent, Unannounced]);
        since(table.books.proof());
        // Rows that were announced before are none.
        table.hear(Some(1));
        table.look.written += 1;
        assert_eq!(table.look(), Consistent);
        let heard = table.looks;
        table.look.written += 1;
        assert_eq!(table.looks(), [Consistent, Unannounced]);
        assert!(since(table.books.proof()) > heard);
    }

    #[test]
    fn an_announcement_that_comes_after_its_count_is_no_silence() {
        let mut table = Table::new();
        table.look.written += 1;
        assert_eq!(table.look(), Consistent);
        table.hear(Some(1));
        assert_eq!(
            table.looks(),
            [Uncertain, Consistent, Consistent, Consistent]
        );
    }

    #[test]
    fn a_silent_edit_beside_announced_ones_is_a_doubt() {
        let mut table = Table::new();
        table.hear(Some(2));
        table.look.written += 3;
        assert_eq!(table.looks(), [Uncertain, Consistent]);
        // The count of an earlier announcement may hide it, until that one is counted too.
        let mut table = Table::new();
        table.hear(Some(2));
        table.look.written += 1;
        assert_eq!(table.look(), Consistent);
        table.look.written += 2;
        assert_eq!(table.looks(), [Uncertain, Consistent]);
        // So may a bulk statement, which does not name its rows: there everything is read once more
        // when all that it may explain has been counted.
        let mut table = Table::new();
        table.hear(None);
        table.look.written += 5_000;
        assert_eq!(table.looks(), [Consistent; 12]);
        assert_eq!(
            table.looks(),
            [Uncertain, Consistent, Consistent, Consistent]
        );
    }

    #[test]
    fn a_rollback_is_a_doubt() {
        let mut table = Table::new();
        table.look.written += 1;
        table.look.rollbacks += 1;
        assert_eq!(table.looks(), [Uncertain, Consistent, Consistent]);
    }

    #[test]
    fn doubts_without_end_cost_a_read_in_three_seconds() {
        let mut table = Table::new();
        let mut reads = 0;
        for _ in 0..60 {
            table.hear(Some(50));
            table.look.written += 101;
            reads += u32::from(table.look() == Uncertain);
        }
        assert_eq!(reads, 20);
    }

    #[test]
    fn while_triggers_are_off_everything_is_read_now_and_then() {
        let mut table = Table::new();
        table.look.is_announced = false;
        table.look.triggers = "off".into();
        assert_eq!(
            table.looks(),
            [Uncertain, Consistent, Consistent, Uncertain]
        );
        table.look.written += 1;
        assert_eq!(
            table.looks(),
            [Unannounced, Consistent, Consistent, Uncertain]
        );
        // What still is announced is no silence.
        table.look.written += 1;
        table.hear(Some(1));
        assert_eq!(table.looks(), [Consistent, Consistent, Uncertain]);
        table.look.is_announced = true;
        table.look.triggers = "on".into();
        assert_eq!(
            table.looks(),
            [
                Consistent, Consistent, Uncertain, Consistent, Consistent, Consistent
            ]
        );
    }

    #[test]
    fn triggers_that_were_off_for_one_transaction_leave_a_mark() {
        let mut table = Table::new();
        table.look.triggers = "off and on".into();
        assert_eq!(table.look(), Uncertain, "before anything is counted");
        table.look.written += 1;
        assert_eq!(table.looks(), [Consistent, Unannounced, Consistent]);
    }

    #[test]
    fn while_nothing_is_heard_every_change_is_told_and_everything_read_now_and_then() {
        let mut table = Table::new();
        table.look.connection = None;
        assert_eq!(
            table.looks(),
            [Uncertain, Consistent, Consistent, Uncertain]
        );
        table.look.written += 1;
        assert_eq!(
            table.looks(),
            [MissedWhileDeaf, Consistent, Consistent, Uncertain]
        );
        table.look.connection = Some(2);
        // Announced before this connection was there, counted since.
        table.look.written += 1;
        assert_eq!(
            table.looks(),
            [Consistent, Consistent, Uncertain, Consistent, Consistent]
        );
    }

    #[test]
    fn a_database_that_counts_anew_is_a_doubt() {
        let mut table = Table::new();
        table.look.written = 40;
        table.hear(Some(40));
        assert_eq!(table.look(), Consistent);
        table.look.written = 0;
        assert_eq!(
            table.looks(),
            [Uncertain, Consistent, Consistent, Consistent]
        );
        // From before or not: that is told when the last of before has been counted.
        table.look.written = 1;
        assert_eq!(table.looks(), [Consistent; 8]);
        assert_eq!(table.looks(), [Uncertain, Consistent]);
    }
}
