//! What statements did to sources: `{"event":"created|updated|deleted","ids":[...]}` for the group
//! CRUDSource. Which rows exist is read from the table, never taken from the notification.

use std::{collections::BTreeSet, sync::Arc};

use serde::Serialize;
use uuid::Uuid;

use super::{View, json_frame, named};
use crate::{
    db::sources,
    error::Result,
    live::{
        group::Events,
        signal::{Hint, Rows},
    },
    pg::PooledClient,
    ws::Frame,
};

/// The view that tells `CRUDSource` which sources were changed.
pub struct Changes(Arc<Events>);

impl Changes {
    /// Tells `group`.
    pub fn new(group: Arc<Events>) -> Self {
        Self(group)
    }

    /// The event that names no source because anything may have changed.
    pub fn lagged() -> Frame {
        json_frame(&Body {
            event: "updated",
            ids: None,
        })
    }
}

impl View for Changes {
    const NAME: &'static str = "changes";

    fn is_watched(&self) -> bool {
        self.0.members() > 0
    }

    fn forget(&mut self) -> bool {
        false
    }

    fn must_read(&self, hint: &Hint) -> bool {
        matches!(hint.clone().rows(), Rows::Named(_))
    }

    async fn refresh(&mut self, client: Option<&PooledClient>, hint: &Hint) -> Result<usize> {
        let existing: Option<BTreeSet<Uuid>> = match client {
            Some(client) => {
                let ids = named(&hint.clone().rows());
                let found = sources::statuses(client, &ids).await?;
                Some(found.into_iter().map(|source| source.id).collect())
            }
            None => None,
        };
        let read = existing.as_ref().map_or(0, BTreeSet::len);
        let mut gone = hint.deleted.clone();
        if existing.is_some() {
            // A row whose key was changed is gone under the old one. That is also said of a row that
            // never was, when a notification lies: it is true, and nobody shows it.
            gone.merge(hint.updated.clone());
        }
        for (event, rows, present) in [
            ("created", &hint.created, true),
            ("updated", &hint.updated, true),
            ("deleted", &gone, false),
        ] {
            let ids = match (rows, &existing) {
                (Rows::None, _) => continue,
                (Rows::Named(ids), Some(existing)) => Some(
                    ids.iter()
                        .copied()
                        .filter(|id| existing.contains(id) == present)
                        .collect(),
                ),
                // One of the three names no rows, so none were read for the others either.
                (Rows::Named(_) | Rows::All, _) => None,
            };
            if ids.as_ref().is_none_or(|ids: &Vec<Uuid>| !ids.is_empty()) {
                self.0.publish(json_frame(&Body { event, ids }));
            }
        }
        Ok(read)
    }
}

#[derive(Serialize)]
struct Body {
    event: &'static str,
    ids: Option<Vec<Uuid>>,
}
