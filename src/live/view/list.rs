//! A table's rows as a list, newest first. Keeps every row's JSON, reads only rows that changed, and
//! makes from them the whole list and the steps from one version to the next.

mod deltas;
#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    marker::PhantomData,
    sync::Arc,
    time::Instant,
};

use bytes::{BufMut, Bytes};
use jiff::{Timestamp, tz::TimeZone};
use uuid::Uuid;

pub use self::deltas::Deltas;
use self::deltas::{Rows as StepRows, Step, join, put_version};
use super::{Snapshot, Version, View, moment, named, publish};
use crate::{
    db::listed::{self, Listed},
    error::Result,
    live::{
        group::{Group, Members},
        signal::{Hint, Rows},
    },
    local_time::InZone,
    pg::PooledClient,
    ws::Frame,
};

/// So many steps are remembered for those who come back...
const STEPS_KEPT: usize = 256;
/// ...but no more rows than this in all of them; beyond it a snapshot is the better answer.
const STEP_ROWS_KEPT: usize = 20_000;

/// Those who follow a list.
#[derive(Clone, Debug)]
pub struct ListGroups {
    /// Members that want the whole list each time.
    pub whole: Arc<Group<Snapshot>>,
    /// Members that want what changed.
    pub deltas: Arc<Group<Arc<Deltas>>>,
}

/// The view that keeps the whole list, and the deltas that lead to it.
pub struct List<T> {
    groups: ListGroups,
    zone: TimeZone,
    version: Version,
    loaded: bool,
    /// Each row's JSON, in the order of the list.
    rows: BTreeMap<Place, Bytes>,
    /// Where each row stands.
    places: HashMap<Uuid, Place>,
    steps: VecDeque<Arc<Step>>,
    /// When the newest of the rows was changed that the last step brought.
    changed: Option<Instant>,
    of: PhantomData<fn() -> T>,
}

/// Newest first; the id decides between equals.
type Place = (Reverse<Timestamp>, Uuid);

impl<T: Listed> List<T> {
    /// A view that has read nothing yet. Times are written in `zone`.
    pub fn new(groups: ListGroups, zone: TimeZone) -> Self {
        Self {
            groups,
            zone,
            version: Version::start(),
            loaded: false,
            rows: BTreeMap::new(),
            places: HashMap::new(),
            steps: VecDeque::new(),
            changed: None,
            of: PhantomData,
        }
    }

    /// Takes over what was read: `named` rows (all when `None`) as they are now.
    fn apply(&mut self, read: &[T], named: Option<&[Uuid]>) -> StepRows {
        let mut changed = Vec::new();
        let mut newest = None;
        let gone: Vec<Uuid> = {
            let found: HashSet<Uuid> = read.iter().map(T::id).collect();
            match named {
                Some(ids) => ids
                    .iter()
                    .copied()
                    .filter(|id| !found.contains(id))
                    .collect(),
                None => self
                    .places
                    .keys()
                    .copied()
                    .filter(|id| !found.contains(id))
                    .collect(),
            }
        };
        for id in gone {
            if let Some(place) = self.places.remove(&id) {
                self.rows.remove(&place);
                changed.push((id, None));
            }
        }
        for row in read {
            let (id, place) = (row.id(), (Reverse(row.created_at()), row.id()));
            let json = serde_json::to_vec(&InZone(&self.zone, row))
                .expect("keys are strings, so it is JSON");
            let before = self.places.insert(id, place);
            if let Some(before) = before
                && before != place
            {
                self.rows.remove(&before);
            }
            if self.rows.get(&place).is_some_and(|kept| *kept == json) {
                continue;
            }
            let json = Bytes::from(json);
            self.rows.insert(place, json.clone());
            newest = newest.max(row.updated_at());
            changed.push((id, Some(json)));
        }
        if !changed.is_empty() {
            self.changed = newest.and_then(moment);
        }
        changed
    }

    /// Remembers a step, forgetting old ones beyond the bounds.
    fn remember(&mut self, rows: StepRows) {
        self.version.counter += 1;
        self.steps.push_back(Arc::new(Step { rows }));
        let mut rows: usize = self.steps.iter().map(|step| step.rows.len()).sum();
        while self.steps.len() > STEPS_KEPT || rows > STEP_ROWS_KEPT {
            rows -= self.steps.pop_front().map_or(0, |step| step.rows.len());
        }
    }

    /// The whole list, assembled from the kept rows.
    fn frame(&self) -> Frame {
        let version = self.version.to_string();
        let bytes: usize = self.rows.values().map(|json| json.len() + 1).sum();
        Frame::text_from(bytes + version.len() + 32, |out| {
            out.put_slice(br#"{"data":["#);
            join(out, self.rows.values());
            put_version(out, &version);
        })
    }
}

impl<T: Listed> View for List<T> {
    fn is_watched(&self) -> bool {
        self.groups.whole.members() > 0 || self.groups.deltas.members() > 0
    }

    fn forget(&mut self) -> bool {
        self.groups.whole.forget();
        self.groups.deltas.forget();
        true
    }

    fn must_read(&self, hint: &Hint) -> bool {
        !self.loaded || !hint.is_empty()
    }

    async fn refresh(&mut self, client: Option<&PooledClient>, hint: &Hint) -> Result<usize> {
        let mut changed = Vec::new();
        let mut read = 0;
        if let Some(client) = client {
            let rows = if self.loaded {
                hint.clone().rows()
            } else {
                Rows::All
            };
            let ids = match &rows {
                Rows::All => None,
                rows => Some(named(rows)),
            };
            let rows: Vec<T> = match &ids {
                Some(ids) => listed::by_ids(client, ids).await?,
                None => listed::list(client).await?,
            };
            read = rows.len();
            changed = self.apply(&rows, ids.as_deref());
        }
        let first = !std::mem::replace(&mut self.loaded, true);
        if first {
            // Nobody has seen an earlier version, so there is no step to it.
            self.version.counter += 1;
        } else if !changed.is_empty() {
            self.remember(changed.clone());
        }
        let moved = first || !changed.is_empty();
        if moved || !self.groups.deltas.is_current() {
            self.groups.deltas.publish(Arc::new(Deltas::new(
                self.version,
                self.steps.clone(),
                self.changed,
            )));
        }
        if self.groups.whole.members() == 0 {
            // Assembled when somebody asks for it.
            self.groups.whole.forget();
        } else if moved || !self.groups.whole.is_current() {
            let (whole, frame) = (&self.groups.whole, self.frame());
            publish(whole, self.version, frame, self.changed).await;
        }
        Ok(read)
    }
}
