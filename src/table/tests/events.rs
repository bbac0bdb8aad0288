//! What happens to the rows, in the table and in the model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};
use uuid::Uuid;

use super::random;
use crate::{
    db::sources::Source,
    table::{Table, row::Row},
};

pub(super) type Rows = BTreeMap<Uuid, Source>;

/// Something that happens to the rows.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Batch {
        changed: Vec<Source>,
        gone: Vec<Uuid>,
    },
    /// Everything is read again in parts, with a batch after the first part.
    Verify {
        changed: Vec<Source>,
        gone: Vec<Uuid>,
        meanwhile: Vec<Source>,
        unseen: Vec<Uuid>,
    },
}

impl Event {
    /// Whether each row is told of once.
    pub(super) fn is_plain(&self) -> bool {
        let Self::Batch { changed, gone } = self else {
            return false;
        };
        let ids = changed.iter().map(|row| row.id).chain(gone.iter().copied());
        ids.collect::<BTreeSet<_>>().len() == changed.len() + gone.len()
    }
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let rows = || prop_oneof![8 => vec(random::row(), 0..4), 1 => vec(random::row(), 20..60)];
    let ids = || prop_oneof![8 => vec(random::id(), 0..3), 1 => vec(random::id(), 10..60)];
    prop_oneof![
        6 => (rows(), ids()).prop_map(|(changed, gone)| Event::Batch { changed, gone }),
        1 => (rows(), ids(), vec(random::row(), 0..4), ids()).prop_map(
            |(changed, gone, meanwhile, unseen)| Event::Verify { changed, gone, meanwhile, unseen }
        ),
    ]
}

pub(super) fn borrowed(rows: &[Source]) -> impl Iterator<Item = Row<'_>> {
    rows.iter().map(Row::from)
}

pub(super) fn happen(table: &mut Table, rows: &mut Rows, event: &Event) {
    let before = rows.clone();
    let tick = table.tick();
    match event {
        Event::Batch { changed, gone } => {
            rows.extend(changed.iter().map(|row| (row.id, row.clone())));
            rows.retain(|id, _| !gone.contains(id));
            table.apply(borrowed(changed), gone);
        }
        Event::Verify {
            changed,
            gone,
            meanwhile,
            unseen,
        } => {
            // What the snapshot says.
            rows.extend(changed.iter().map(|row| (row.id, row.clone())));
            rows.retain(|id, _| !gone.contains(id));
            let read: Vec<Source> = rows.values().cloned().collect();
            let (one, other) = read.split_at(read.len() / 2);
            table.begin_load(0);
            table.load(borrowed(one));
            // What came after the snapshot.
            rows.extend(meanwhile.iter().map(|row| (row.id, row.clone())));
            rows.retain(|id, _| !unseen.contains(id));
            table.apply(borrowed(meanwhile), unseen);
            table.load(borrowed(other));
            table.end_load();
        }
    }
    if event.is_plain() {
        assert_eq!(
            table.tick() > tick,
            *rows != before,
            "a tick for each batch that changes something"
        );
    }
}
