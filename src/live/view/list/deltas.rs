//! Steps from one version of the list to the next, and the frames that lead from an older version
//! to the newest: made once for all who stand at the same one.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

use crate::{live::view::Version, ws::Frame};

/// Rows that changed: a row's JSON now, or `None` when it went.
pub(super) type Rows = Vec<(Uuid, Option<Bytes>)>;

/// What changed from one version to the next.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) rows: Rows,
}

/// The newest version and the steps that led to it; makes one frame for all who stand at the same
/// older version.
#[derive(Debug)]
pub struct Deltas {
    version: Version,
    steps: VecDeque<Arc<Step>>,
    /// When the newest of the rows was changed that the last step brought.
    pub changed: Option<Instant>,
    made: Mutex<HashMap<u64, Frame>>,
}

impl Deltas {
    pub(super) fn new(
        version: Version,
        steps: VecDeque<Arc<Step>>,
        changed: Option<Instant>,
    ) -> Self {
        Self {
            version,
            steps,
            changed,
            made: Mutex::default(),
        }
    }

    /// The newest version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// `{"changed":[rows],"deleted":[ids],"version"}`: what leads from the version `earlier` to the
    /// newest. `None` when that version is too old to be remembered, or of another epoch.
    pub fn since(&self, earlier: Version) -> Option<Frame> {
        let missing = usize::try_from(self.version.since(earlier)?).ok()?;
        let skipped = self.steps.len().checked_sub(missing)?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let frame = made
            .entry(earlier.counter)
            .or_insert_with(|| self.frame(skipped));
        Some(frame.clone())
    }

    fn frame(&self, skipped: usize) -> Frame {
        let steps = self.steps.iter().skip(skipped);
        let newest: BTreeMap<Uuid, &Option<Bytes>> = steps
            .flat_map(|step| step.rows.iter().map(|(id, json)| (*id, json)))
            .collect();
        let changed = newest.values().filter_map(|json| json.as_ref());
        let deleted = newest.iter().filter(|(_, json)| json.is_none());
        let bytes: usize = newest
            .values()
            .map(|json| json.as_ref().map_or(39, Bytes::len))
            .sum();
        Frame::text_from(bytes + newest.len() + 64, |out| {
            out.put_slice(br#"{"changed":["#);
            join(out, changed);
            out.put_slice(br#"],"deleted":["#);
            join(out, deleted.map(|(id, _)| Bytes::from(format!("\"{id}\""))));
            put_version(out, &self.version.to_string());
        })
    }
}

/// Writes JSON values with commas between them.
pub(super) fn join(out: &mut BytesMut, parts: impl Iterator<Item = impl AsRef<[u8]>>) {
    for (n, part) in parts.enumerate() {
        if n > 0 {
            out.put_u8(b',');
        }
        out.put_slice(part.as_ref());
    }
}

/// Ends a body whose last value is an array.
pub(super) fn put_version(out: &mut BytesMut, version: &str) {
    out.put_slice(br#"],"version":""#);
    out.put_slice(version.as_bytes());
    out.put_slice(br#""}"#);
}
