//! Clients that follow by themselves, as a page in a browser does: when a socket ends they open it
//! again and go on from what they have. Each holds what it shows against the table. They know
//! nothing of the faults that they live through.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::sleep};
use uuid::Uuid;

use super::stored::{self, Stored};
use crate::support::client::{Frame, Http, Socket};

/// Between a socket's end and the next attempt.
const RECONNECT: Duration = Duration::from_millis(100);

/// What a client follows.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// The whole list each time.
    List,
    /// What changed, resumed by the version it has.
    Deltas,
    /// The counts.
    Library,
    /// One source.
    Filter(Uuid),
    /// Which sources there are, from events.
    Changes,
    /// Which sources are switched on, from events.
    Toggles,
}

/// A client; gone when dropped.
pub struct Follower {
    kind: Kind,
    shown: Arc<Mutex<Shown>>,
    following: JoinHandle<()>,
}

/// What a client shows by now.
#[derive(Default)]
struct Shown {
    /// The newest `data`; the list of a client that follows by deltas is in `rows`.
    data: Value,
    rows: BTreeMap<String, Value>,
    /// Which sources there are, by events.
    ids: BTreeSet<String>,
    /// The statuses it was told of.
    statuses: BTreeMap<String, String>,
    /// `epoch:counter` of the newest frame.
    version: Option<(u64, u64)>,
    /// How often it was connected.
    connections: u64,
    /// What must never happen and did.
    wrong: Option<String>,
}

/// How to reach the server, and the table directly.
#[derive(Clone)]
pub struct Way {
    /// Somebody who is signed in.
    pub visitor: Http,
    /// The database, past every proxy.
    pub database: String,
}

impl Follower {
    /// Starts to follow.
    pub fn start(kind: Kind, way: Way) -> Self {
        let shown = Arc::new(Mutex::new(Shown::default()));
        let following = tokio::spawn(follow(kind, way, Arc::clone(&shown)));
        Self {
            kind,
            shown,
            following,
        }
    }

    /// Whether it shows what the table says; otherwise what it shows.
    pub fn agrees_with(&self, stored: &Stored) -> Result<(), String> {
        let shown = lock(&self.shown);
        let (mine, theirs) = match self.kind {
            Kind::List => (stored::list(&shown.data), json!(stored.rows)),
            Kind::Deltas => {
                let rows: Vec<_> = shown.rows.values().map(stored::row).collect();
                (json!(rows), json!(stored.rows_by_id()))
            }
            Kind::Library => (stored::counts(&shown.data), json!(stored.counts)),
            Kind::Filter(id) => (stored::row(&shown.data), stored.find(id)),
            Kind::Changes => (json!(shown.ids), json!(stored.ids())),
            Kind::Toggles => {
                // What was added after it had looked is no toggle.
                let known = stored.statuses().into_iter();
                let known = known.filter(|(id, _)| shown.statuses.contains_key(id));
                let known: BTreeMap<String, String> = known.collect();
                let mut mine = shown.statuses.clone();
                mine.retain(|id, _| known.contains_key(id));
                (json!(mine), json!(known))
            }
        };
        if mine == theirs {
            return Ok(());
        }
        Err(format!(
            "{:?}, connected {} times, version {:?}: {}",
            self.kind,
            shown.connections,
            shown.version,
            stored::difference(&mine, &theirs)
        ))
    }

    /// What it saw that must never happen.
    pub fn wrong(&self) -> Option<String> {
        lock(&self.shown).wrong.clone()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.following.abort();
    }
}

async fn follow(kind: Kind, way: Way, shown: Arc<Mutex<Shown>>) {
    loop {
        let path = path(kind, lock(&shown).version);
        if let Ok(mut socket) = Socket::open(&way.visitor, &path).await {
            lock(&shown).connections += 1;
            show(kind, &way, &mut socket, &shown).await;
        }
        sleep(RECONNECT).await;
    }
}

/// Shows what comes until the socket ends.
async fn show(kind: Kind, way: &Way, socket: &mut Socket, shown: &Mutex<Shown>) {
    match kind {
        Kind::Filter(id) => {
            let ask = json!({ "action": "filter_by_id", "id": id });
            socket.send_json(&ask).await;
        }
        // These show no state by themselves: the answer to anything proves that events come from
        // now on, and then the table is read.
        Kind::Changes | Kind::Toggles => socket.send_json(&json!({ "action": "?" })).await,
        Kind::List | Kind::Deltas | Kind::Library => {}
    }
    let mut previous = None;
    while let Some(frame) = socket.next_frame().await {
        let Frame::Text(text) = frame else {
            lock(shown).wrong = Some("a binary frame".to_owned());
            return;
        };
        let frame: Value = match serde_json::from_str(&text) {
            Ok(frame) => frame,
            Err(error) => {
                lock(shown).wrong = Some(format!("no JSON ({error}): {text}"));
                return;
            }
        };
        let must_look = match kind {
            Kind::Changes => frame["event"].is_null() || frame["ids"].is_null(),
            Kind::Toggles => frame["event"].is_null() || frame["sources"].is_null(),
            _ => false,
        };
        if must_look {
            let statuses = stored::statuses(&way.database).await;
            let mut shown = lock(shown);
            shown.ids = statuses.keys().cloned().collect();
            shown.statuses = statuses;
            continue;
        }
        let mut shown = lock(shown);
        shown.note_version(&frame, &mut previous);
        shown.take(kind, frame);
    }
}

impl Shown {
    /// Versions only grow on one socket, and never fall behind what an earlier socket showed.
    fn note_version(&mut self, frame: &Value, previous: &mut Option<(u64, u64)>) {
        let Some(text) = frame["version"].as_str() else {
            return;
        };
        let version = text
            .split_once(':')
            .and_then(|(epoch, counter)| Some((epoch.parse().ok()?, counter.parse().ok()?)));
        if version.is_none() || version <= *previous || version < self.version {
            let before = (&previous, self.version);
            self.wrong = Some(format!(
                "version {text} after {before:?} (this socket, all)"
            ));
        }
        *previous = version;
        self.version = version;
    }

    fn take(&mut self, kind: Kind, mut frame: Value) {
        match kind {
            Kind::List | Kind::Library => self.data = frame["data"].take(),
            Kind::Filter(_) if frame["status"] == "success" => self.data = frame["data"].take(),
            Kind::Filter(_) => self.data = Value::Null,
            Kind::Deltas => {
                if let Value::Array(rows) = frame["data"].take() {
                    self.rows.clear();
                    self.merge(rows);
                } else {
                    let Value::Array(rows) = frame["changed"].take() else {
                        self.wrong = Some(format!("neither list nor delta: {frame}"));
                        return;
                    };
                    self.merge(rows);
                    for id in frame["deleted"].as_array().into_iter().flatten() {
                        self.rows.remove(id.as_str().unwrap_or_default());
                    }
                }
            }
            Kind::Changes => {
                let ids = frame["ids"].as_array().into_iter().flatten();
                for id in ids.filter_map(Value::as_str) {
                    if frame["event"] == "deleted" {
                        self.ids.remove(id);
                    } else {
                        self.ids.insert(id.to_owned());
                    }
                }
            }
            Kind::Toggles => {
                for source in frame["sources"].as_array().into_iter().flatten() {
                    if let (Some(id), Some(status)) =
                        (source["id"].as_str(), source["status"].as_str())
                    {
                        self.statuses.insert(id.to_owned(), status.to_owned());
                    }
                }
            }
        }
    }

    fn merge(&mut self, rows: Vec<Value>) {
        for row in rows {
            let id = row["id"].as_str().unwrap_or_default().to_owned();
            self.rows.insert(id, row);
        }
    }
}

fn path(kind: Kind, version: Option<(u64, u64)>) -> String {
    match (kind, version) {
        (Kind::List, _) => "/ws/read_source/".to_owned(),
        (Kind::Deltas, None) => "/ws/read_source/?mode=delta".to_owned(),
        (Kind::Deltas, Some((epoch, counter))) => {
            format!("/ws/read_source/?mode=delta&since={epoch}:{counter}")
        }
        (Kind::Library, _) => "/ws/data_library/".to_owned(),
        (Kind::Filter(_), _) => "/ws/filter_source/".to_owned(),
        (Kind::Changes, _) => "/ws/source/".to_owned(),
        (Kind::Toggles, _) => "/ws/data_source_activation/".to_owned(),
    }
}

fn lock(shown: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    shown.lock().expect("no follower panics while it notes")
}
