//! The counts of the Data Library that sources make, for any moment: two views by creation time say how
//! many rows are of the past 30 days, and a count says how deliveries stand. What pipeline runs add is
//! read elsewhere.

use jiff::{SignedDuration, Timestamp};

use super::{Full, Number, Table, column::Column, counts::By, filter::Filter, order::Order};

/// What is watched for the Data Library.
#[derive(Clone, Copy, Debug)]
pub struct Library {
    active: Number,
    inactive: Number,
    deliveries: Number,
}

/// The counts at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what its name says")]
pub struct Sections {
    /// Sources created in the past 30 days, active and inactive together.
    pub created: usize,
    pub active: usize,
    pub inactive: usize,
    pub received: u32,
    pub awaiting: u32,
    pub delayed: u32,
    /// The first moment at which a row is older than 30 days; until then only a change of a row, or a
    /// clock that is set back, changes the counts.
    pub until: Option<Timestamp>,
}

/// 30 days as hours: days of a calendar may have 23 or 25 of them.
const PERIOD: SignedDuration = SignedDuration::from_hours(720);

impl Library {
    /// Watches what the counts are made from, to be followed by [`close`](Self::close).
    ///
    /// # Errors
    /// There are too many views or counts, and all are watched.
    pub fn open(table: &mut Table) -> Result<Self, Full> {
        let by_status = |status| Filter::default().with_text(Column::Status, status);
        let newest_first = Order::default();
        let by = By::new(Column::DatadeliveryStatus.name()).expect("a text column has groups");
        let active = table.open_view(&by_status("active"), &newest_first)?;
        let inactive = table
            .open_view(&by_status("inactive"), &newest_first)
            .inspect_err(|_| table.close_view(active))?;
        let deliveries = table
            .open_count(&Filter::default(), Some(by))
            .inspect_err(|_| {
                table.close_view(active);
                table.close_view(inactive);
            })?;
        Ok(Self {
            active,
            inactive,
            deliveries,
        })
    }

    /// Watches no longer.
    pub fn close(self, table: &mut Table) {
        table.close_view(self.active);
        table.close_view(self.inactive);
        table.close_count(self.deliveries);
    }

    /// The tick of the last batch after which the counts may be others.
    pub fn touched(&self, table: &Table) -> u64 {
        let views = [self.active, self.inactive].map(|view| table.view(view).touched());
        views
            .into_iter()
            .fold(table.count(self.deliveries).touched(), u64::max)
    }

    /// The counts at `now`, by the database's clock.
    pub fn sections(&self, table: &Table, now: Timestamp) -> Sections {
        let store = table.store();
        let since = (now - PERIOD).as_microsecond();
        let mut oldest: Option<i64> = None;
        let mut recent = |view| {
            let view = table.view(view);
            let recent = view.partition(|slot| store.time(0, slot) >= since);
            let last = recent
                .checked_sub(1)
                .and_then(|last| view.from(last).next());
            let time = last.map(|slot| store.time(0, slot));
            oldest = [oldest, time].into_iter().flatten().min();
            recent
        };
        let (active, inactive) = (recent(self.active), recent(self.inactive));
        let deliveries = |status| table.count(self.deliveries).of_text(store, status);
        let until = oldest.and_then(|oldest| {
            let time = Timestamp::from_microsecond(oldest + 1).ok()?;
            time.checked_add(PERIOD).ok()
        });
        Sections {
            created: active + inactive,
            active,
            inactive,
            received: deliveries("received"),
            awaiting: deliveries("awaiting"),
            delayed: deliveries("delayed"),
            until,
        }
    }
}
