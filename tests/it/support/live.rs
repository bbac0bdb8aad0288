//! A client of `ws/live/` that applies what it is sent, so that its windows can be held against a SELECT.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tokio_postgres::Client;

use super::{
    client::{Http, Socket},
    server::{SOON, TestServer, open},
};

/// A client of `ws/live/`, with what it holds.
pub struct Live {
    pub socket: Socket,
    pub windows: BTreeMap<String, Held>,
    pub counts: BTreeMap<String, Value>,
    pub errors: Vec<Value>,
    /// Messages that brought something of a subscription.
    pub messages: usize,
}

/// A window as its client holds it.
#[derive(Clone, Debug, Default)]
pub struct Held {
    pub version: String,
    pub total: u64,
    pub first: u64,
    pub rows: Vec<Value>,
}

impl Held {
    pub fn take(&mut self, message: &Value) {
        let version = message["version"].as_str().unwrap();
        assert!(
            counter(version) >= counter(&self.version),
            "{version} after {}",
            self.version
        );
        version.clone_into(&mut self.version);
        self.total = message["total"].as_u64().unwrap();
        self.first = message["first"].as_u64().unwrap();
        if let Some(data) = message.get("data") {
            self.rows.clone_from(data.as_array().unwrap());
        }
        for splice in message["splice"].as_array().into_iter().flatten() {
            let [position, removed] =
                [0, 1].map(|at| usize::try_from(splice[at].as_u64().unwrap()).unwrap());
            let inserted = splice[2].as_array().unwrap().clone();
            self.rows.splice(position..position + removed, inserted);
        }
        for row in message["changed"].as_array().into_iter().flatten() {
            let place = self.rows.iter().position(|held| held["id"] == row["id"]);
            self.rows[place.expect("a changed row is held")] = row.clone();
        }
    }

    pub fn texts(&self, column: &str) -> Vec<String> {
        let rows = self.rows.iter();
        rows.map(|row| row[column].as_str().unwrap_or("null").to_owned())
            .collect()
    }

    pub fn ids(&self) -> Vec<String> {
        self.texts("id")
    }
}

fn counter(version: &str) -> u64 {
    let counter = version.split_once(':').map_or("0", |(_, counter)| counter);
    counter.parse().unwrap()
}

impl Live {
    pub async fn open(server: &TestServer) -> Self {
        Self::of(&server.visitor("ann").await).await
    }

    pub async fn of(visitor: &Http) -> Self {
        Self {
            socket: open(visitor, "/ws/live/").await,
            windows: BTreeMap::new(),
            counts: BTreeMap::new(),
            errors: Vec::new(),
            messages: 0,
        }
    }

    pub async fn send(&mut self, message: Value) {
        self.socket.send_json(&message).await;
    }

    /// Follows the next message.
    pub async fn follow(&mut self) -> Value {
        let message = self.socket.next_json(SOON * 2).await;
        if let Some(name) = message["rows"].as_str() {
            self.windows
                .entry(name.to_owned())
                .or_default()
                .take(&message);
        } else if let Some(name) = message["counts"].as_str() {
            self.counts.insert(name.to_owned(), message.clone());
        } else {
            self.errors.push(message.clone());
            return message;
        }
        self.messages += 1;
        message
    }

    /// Subscribes, and waits for the answer.
    pub async fn subscribe(&mut self, name: &str, what: &str, query: Value) -> Value {
        self.send(json!({ "subscribe": name, what: query })).await;
        loop {
            let message = self.follow().await;
            if [&message["rows"], &message["counts"], &message["error"]].contains(&&json!(name)) {
                return message;
            }
        }
    }

    /// Follows until that is so.
    pub async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + SOON;
        while !is_so(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = timeout(left, self.follow()).await;
            assert!(
                message.is_ok(),
                "{what}: {:#?} {:?}",
                self.windows,
                self.counts
            );
        }
    }

    /// Follows until the window shows what the statement selects: one text a row.
    pub async fn agrees(&mut self, name: &str, column: &str, dba: &Client, sql: &str) {
        let rows = dba.query(sql, &[]).await.unwrap();
        let expected: Vec<String> = rows
            .iter()
            .map(|row| row.get::<_, Option<String>>(0).unwrap_or("null".into()))
            .collect();
        let what = format!("{name} shows {expected:?}");
        self.until(&what, |live| live.windows[name].texts(column) == expected)
            .await;
    }
}
