//! Somebody who watches everything: one socket of each kind, and what they show by now. The list by
//! snapshots and the list by deltas are kept apart, so that they can be held against each other and
//! against the table.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::{
    client::{Frame, Http, Socket},
    server::{eventually, open},
};

/// The sockets, and how much of each was looked at.
pub struct Dashboard {
    library: Feed,
    list: Feed,
    deltas: Feed,
    filter: Feed,
    /// `ws/source/`: hears of changes.
    pub source: Feed,
    /// `ws/data_source_activation/`: hears of toggles.
    pub activation: Feed,
    /// The list as the deltas make it.
    merged: BTreeMap<String, Value>,
}

/// A socket and the frames it has shown.
pub struct Feed {
    socket: Socket,
    seen: usize,
    newest: Value,
    versions: Vec<(u64, u64)>,
}

impl Feed {
    async fn open(visitor: &Http, path: &str) -> Self {
        let socket = open(visitor, path).await;
        Self {
            socket,
            seen: 0,
            newest: Value::Null,
            versions: Vec::new(),
        }
    }

    /// The frames since the last call; their versions never go backwards.
    pub fn news(&mut self) -> Vec<Value> {
        assert_eq!(
            self.socket.closed(),
            None,
            "a dashboard's socket was closed"
        );
        let frames = self.socket.frames_from(self.seen);
        self.seen += frames.len();
        let frames: Vec<Value> = frames
            .into_iter()
            .map(|frame| match frame {
                Frame::Text(text) => serde_json::from_str(&text).expect("frames are JSON"),
                Frame::Binary(_) => panic!("no socket sends binary frames"),
            })
            .collect();
        for frame in &frames {
            if let Some(version) = frame["version"].as_str() {
                let (epoch, counter) = version.split_once(':').expect("epoch:counter");
                let version = (epoch.parse().unwrap(), counter.parse().unwrap());
                assert!(
                    self.versions.last() < Some(&version),
                    "{version:?} after {:?}",
                    self.versions
                );
                self.versions.push(version);
            }
            self.newest = frame.clone();
        }
        frames
    }

    /// The newest frame.
    pub fn newest(&mut self) -> &Value {
        self.news();
        &self.newest
    }
}

impl Dashboard {
    /// Opens all sockets and waits for the first frames; `watched` is the source asked for.
    pub async fn open(visitor: &Http, watched: Uuid) -> Self {
        let mut dashboard = Self {
            library: Feed::open(visitor, "/ws/data_library/").await,
            list: Feed::open(visitor, "/ws/read_source/").await,
            deltas: Feed::open(visitor, "/ws/read_source/?mode=delta").await,
            filter: Feed::open(visitor, "/ws/filter_source/").await,
            source: Feed::open(visitor, "/ws/source/").await,
            activation: Feed::open(visitor, "/ws/data_source_activation/").await,
            merged: BTreeMap::new(),
        };
        let ask = json!({ "action": "filter_by_id", "id": watched });
        dashboard.filter.socket.send_json(&ask).await;
        eventually(
            "every socket that shows a state has shown one",
            async || {
                let Dashboard {
                    library,
                    list,
                    deltas,
                    filter,
                    ..
                } = &dashboard;
                [library, list, deltas, filter]
                    .iter()
                    .all(|feed| feed.socket.count() > 0)
            },
        )
        .await;
        dashboard
    }

    /// Waits until every socket shows what the table says.
    pub async fn agrees_with(&mut self, database: &Client, watched: Uuid) {
        let (mut shown, mut stored) = (Value::Null, Value::Null);
        let deadline = tokio::time::Instant::now() + crate::support::server::SOON;
        loop {
            stored_state(database, watched)
                .await
                .clone_into(&mut stored);
            self.shown_state().clone_into(&mut shown);
            if shown == stored {
                return;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "the dashboard shows\n{shown:#}\nbut the table says\n{stored:#}"
            );
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    fn shown_state(&mut self) -> Value {
        for frame in self.deltas.news() {
            if let Some(rows) = frame["data"].as_array() {
                self.merged.clear();
                self.merge(rows);
            } else {
                self.merge(
                    frame["changed"]
                        .as_array()
                        .expect("a delta has changed rows"),
                );
                for id in frame["deleted"]
                    .as_array()
                    .expect("a delta has deleted ids")
                {
                    self.merged.remove(id.as_str().unwrap());
                }
            }
        }
        let list = self.list.newest()["data"]
            .as_array()
            .expect("a list has data")
            .clone();
        self.library.news();
        let counts = |section: usize| {
            let section = &self.library.newest["data"][section];
            [&section["s1"], &section["s2"], &section["s3"]].map(|n| n.as_i64().unwrap())
        };
        let filter = self.filter.newest();
        json!({
            "list": by_id(list.iter().collect()),
            "merged": by_id(self.merged.values().collect()),
            "library": [counts(0), counts(1)],
            "watched": if filter["status"] == "success" { row(&filter["data"]) } else { Value::Null },
        })
    }

    fn merge(&mut self, rows: &[Value]) {
        for row in rows {
            self.merged
                .insert(row["id"].as_str().unwrap().to_owned(), row.clone());
        }
    }
}

/// What is compared of rows.
pub fn by_id(rows: Vec<&Value>) -> Value {
    let mut rows: Vec<Value> = rows.into_iter().map(row).collect();
    rows.sort_by_key(|row| row["id"].as_str().map(ToOwned::to_owned));
    rows.into()
}

fn row(row: &Value) -> Value {
    let keys = [
        "id",
        "country",
        "current_update",
        "next_status",
        "datadelivery_status",
        "status",
    ];
    keys.iter()
        .map(|key| ((*key).to_owned(), row[key].clone()))
        .collect()
}

/// The same, from the table.
pub async fn stored_state(database: &Client, watched: Uuid) -> Value {
    let sql = "select coalesce(json_agg(json_build_object(
            'id', id, 'country', country, 'current_update', current_update,
            'next_status', next_status, 'datadelivery_status', datadelivery_status,
            'status', status) order by id::text), '[]')::text,
        count(*) filter (where status in ('active', 'inactive') and created_at >= now() - interval '720 hours'),
        count(*) filter (where status = 'active' and created_at >= now() - interval '720 hours'),
        count(*) filter (where status = 'inactive' and created_at >= now() - interval '720 hours'),
        count(*) filter (where datadelivery_status = 'received'),
        count(*) filter (where datadelivery_status = 'awaiting'),
        count(*) filter (where datadelivery_status = 'delayed')
      from sources";
    let stored = database
        .query_one(sql, &[])
        .await
        .expect("the table can be read");
    let rows: Value = serde_json::from_str(stored.get(0)).expect("PostgreSQL makes JSON");
    let count = |column: usize| stored.get::<_, i64>(column);
    let watched = watched.to_string();
    let shown = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["id"] == watched.as_str());
    json!({
        "watched": shown.cloned().unwrap_or_default(),
        "list": rows.clone(),
        "merged": rows,
        "library": [[count(1), count(2), count(3)], [count(4), count(5), count(6)]],
    })
}
