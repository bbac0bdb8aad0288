//! Whoever follows by deltas, from whatever version, ends with the list that a snapshot shows.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{db::sources::Source, live::signal::Signal, local_time::LocalTime, metrics::Metrics};

/// A change of the table: which row, and its country and age, or that it went.
type Edit = (u8, Option<(u8, u8)>);

fn source(id: u8, country: u8, age: u8) -> Source {
    let at = Timestamp::from_second(i64::from(age)).unwrap();
    Source {
        id: Uuid::from_u128(id.into()),
        created_at: LocalTime(at),
        updated_at: LocalTime(at),
        created_by: "Zoé \"quoted\"".into(),
        country: country.to_string(),
        ..Source::default()
    }
}

fn list() -> List<Source> {
    let signal = Arc::new(Signal::default());
    let traffic = Metrics::default().traffic("DataSource");
    let groups = ListGroups {
        whole: Group::new(signal.clone(), Arc::default(), traffic.clone()),
        deltas: Group::new(signal, Arc::default(), traffic),
    };
    let mut list = List::new(groups, TimeZone::UTC);
    list.loaded = true;
    list
}

/// What `refresh` does, with a table of our own in place of the database's.
fn read(list: &mut List<Source>, table: &BTreeMap<u8, (u8, u8)>, named: Option<&[u8]>) {
    let rows: Vec<Source> = table
        .iter()
        .filter(|(id, _)| named.is_none_or(|named| named.contains(id)))
        .map(|(id, (country, age))| source(*id, *country, *age))
        .collect();
    let ids: Option<Vec<Uuid>> = named.map(|named| {
        named
            .iter()
            .map(|id| Uuid::from_u128((*id).into()))
            .collect()
    });
    let changed = list.apply(&rows, ids.as_deref());
    if !changed.is_empty() {
        list.remember(changed);
    }
}

fn deltas(list: &List<Source>) -> Deltas {
    Deltas::new(list.version, list.steps.clone(), None)
}

fn json(frame: &Frame) -> Value {
    serde_json::from_slice(frame.payload()).unwrap()
}

/// A client that follows by deltas.
struct Follower {
    at: Version,
    rows: BTreeMap<String, Value>,
}

impl Follower {
    fn new(list: &List<Source>) -> Self {
        let mut follower = Self {
            at: list.version,
            rows: BTreeMap::new(),
        };
        follower.snapshot(list);
        follower
    }

    fn snapshot(&mut self, list: &List<Source>) {
        self.at = list.version;
        self.rows.clear();
        self.merge(&json(&list.frame())["data"]);
    }

    fn catch_up(&mut self, list: &List<Source>) {
        let deltas = deltas(list);
        let Some(frame) = deltas.since(self.at) else {
            return self.snapshot(list);
        };
        let delta = json(&frame);
        assert_eq!(delta["version"], list.version.to_string());
        self.merge(&delta["changed"]);
        for id in delta["deleted"].as_array().unwrap() {
            self.rows.remove(id.as_str().unwrap());
        }
        self.at = deltas.version();
    }

    fn merge(&mut self, rows: &Value) {
        for row in rows.as_array().unwrap() {
            self.rows
                .insert(row["id"].as_str().unwrap().to_owned(), row.clone());
        }
    }

    /// The rows as the page sorts them.
    fn shown(&self) -> Vec<Value> {
        let mut rows: Vec<Value> = self.rows.values().cloned().collect();
        let key = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
        rows.sort_by(|a, b| {
            let newest_first = key(b, "created_at").cmp(&key(a, "created_at"));
            newest_first.then_with(|| key(a, "id").cmp(&key(b, "id")))
        });
        rows
    }
}

proptest! {
    #[test]
    fn deltas_end_in_the_list_of_the_snapshot(
        batches in prop::collection::vec(
            (
                prop::collection::vec((0..12u8, prop::option::weighted(0.7, (0..4u8, 0..4u8))), 1..5),
                any::<bool>(),
                prop::option::of(0..3usize),
            ),
            1..40,
        ),
    ) {
        let (mut list, mut table) = (list(), BTreeMap::new());
        let mut followers: Vec<Follower> = (0..3).map(|_| Follower::new(&list)).collect();
        for (edits, everything, follower) in batches {
            for (id, row) in &edits as &Vec<Edit> {
                match row {
                    Some(row) => table.insert(*id, *row),
                    None => table.remove(id),
                };
            }
            let ids: Vec<u8> = edits.iter().map(|(id, _)| *id).collect();
            read(&mut list, &table, (!everything).then_some(&ids));
            // One of them looks now and then; the others fall behind.
            if let Some(follower) = follower {
                followers[follower].catch_up(&list);
            }
        }
        let snapshot = json(&list.frame())["data"].as_array().unwrap().clone();
        prop_assert_eq!(snapshot.len(), table.len());
        for follower in &mut followers {
            follower.catch_up(&list);
            prop_assert_eq!(&follower.shown(), &snapshot);
        }
    }
}

/// The version that follows.
fn after(version: Version) -> Version {
    Version {
        counter: version.counter + 1,
        ..version
    }
}

#[test]
fn a_version_of_another_view_gets_no_delta() {
    let (mut list, table) = (list(), BTreeMap::from([(1, (1, 1))]));
    let before = list.version;
    read(&mut list, &table, None);
    let mut other = self::list();
    read(&mut other, &table, None);
    let deltas = deltas(&other);
    assert_eq!(deltas.version().counter, list.version.counter);
    assert!(deltas.since(before).is_none() && deltas.since(list.version).is_none());
}

#[test]
fn a_version_that_is_too_old_gets_no_delta() {
    let (mut list, mut table) = (list(), BTreeMap::new());
    let start = list.version;
    for n in 0..=STEPS_KEPT {
        table.insert(1, (u8::try_from(n % 250).unwrap(), 0));
        read(&mut list, &table, Some(&[1]));
    }
    let deltas = deltas(&list);
    assert!(deltas.since(start).is_none(), "one step more than is kept");
    assert!(deltas.since(after(start)).is_some());
    assert!(
        deltas.since(after(deltas.version())).is_none(),
        "from the future"
    );
}

#[test]
fn the_newest_version_gets_an_empty_delta_and_the_same_frame_serves_all() {
    let (mut list, table) = (list(), BTreeMap::from([(1, (1, 1))]));
    let before = list.version;
    read(&mut list, &table, None);
    let deltas = deltas(&list);
    let nothing = json(&deltas.since(deltas.version()).unwrap());
    assert_eq!(
        (&nothing["changed"], &nothing["deleted"]),
        (&Value::from([0; 0]), &Value::from([0; 0]))
    );
    let (one, other) = (deltas.since(before).unwrap(), deltas.since(before).unwrap());
    assert_eq!(one.payload().as_ptr(), other.payload().as_ptr());
}

#[test]
fn rows_that_did_not_change_make_no_version() {
    let (mut list, table) = (list(), BTreeMap::from([(1, (1, 1)), (2, (2, 2))]));
    read(&mut list, &table, None);
    let version = list.version.counter;
    read(&mut list, &table, None);
    read(&mut list, &table, Some(&[1, 9]));
    assert_eq!(list.version.counter, version);
}
