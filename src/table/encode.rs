//! The messages of `ws/live/` but for their beginning, which names the subscription: what follows is
//! the same for all windows that show the same, and is encoded once. How a row looks is the caller's.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use serde::{Serialize, ser::SerializeMap};

use super::{counts::Counted, difference::Difference, store::Store, window::Content};
use crate::db::sources::Source;

/// Writes `{"rows":"name",`, which a body follows; `kind` is `rows` or `counts`.
pub fn head(out: &mut BytesMut, kind: &str, name: &str) {
    out.put_slice(b"{\"");
    out.put_slice(kind.as_bytes());
    out.put_slice(b"\":");
    json(out, name);
    out.put_u8(b',');
}

/// Writes what a window shows, or what leads to it, up to the last brace. `content` is the window's
/// newest; `render` writes a row's JSON.
pub fn rows(
    out: &mut BytesMut,
    version: &str,
    content: &Content,
    difference: &Difference,
    store: &Store,
    mut render: impl FnMut(&Source, &mut BytesMut),
) {
    let mut list = |out: &mut BytesMut, indexes: &mut dyn Iterator<Item = usize>| {
        out.put_u8(b'[');
        for (n, index) in indexes.enumerate() {
            if n > 0 {
                out.put_u8(b',');
            }
            render(&store.source(content.rows[index].slot), out);
        }
        out.put_u8(b']');
    };
    out.put_slice(b"\"version\":");
    json(out, version);
    out.put_slice(format!(",\"total\":{},\"first\":{}", content.total, content.first).as_bytes());
    match difference {
        Difference::None | Difference::Numbers => {}
        Difference::Whole => {
            out.put_slice(b",\"data\":");
            list(out, &mut (0..content.rows.len()));
        }
        Difference::Some { splices, changed } => {
            if !splices.is_empty() {
                out.put_slice(b",\"splice\":[");
                for (n, splice) in splices.iter().enumerate() {
                    let comma = if n > 0 { "," } else { "" };
                    let start = format!("{comma}[{},{},", splice.position, splice.removed);
                    out.put_slice(start.as_bytes());
                    list(out, &mut splice.inserted.clone());
                    out.put_u8(b']');
                }
                out.put_u8(b']');
            }
            if !changed.is_empty() {
                out.put_slice(b",\"changed\":");
                list(out, &mut changed.iter().copied());
            }
        }
    }
    out.put_u8(b'}');
}

/// Writes what a count says, up to the last brace.
pub fn counts(out: &mut BytesMut, version: &str, counted: &Counted<'_>) {
    out.put_slice(b"\"version\":");
    json(out, version);
    out.put_slice(format!(",\"total\":{}", counted.total).as_bytes());
    if let Some(groups) = &counted.groups {
        out.put_slice(b",\"groups\":");
        json(out, &Groups(groups));
        if counted.more > 0 {
            out.put_slice(format!(",\"more\":{}", counted.more).as_bytes());
        }
    }
    out.put_u8(b'}');
}

fn json(out: &mut BytesMut, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(out.writer(), value).expect("texts and numbers are JSON");
}

struct Groups<'a>(&'a [(Cow<'a, str>, u32)]);

impl Serialize for Groups<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, count) in self.0 {
            map.serialize_entry(name, count)?;
        }
        map.end()
    }
}
