//! What statements did to sources: `{"event":"created|updated|deleted","ids":[...]}` for the group
//! CRUDSource. Which rows exist is read from the table, never taken from the notification.

use std::collections::BTreeSet;

use serde::Serialize;
use uuid::Uuid;

use super::{events::Event, json_frame};
use crate::{
    db::sources,
    error::Result,
    live::signal::{Hint, Rows},
    pg::Client,
    ws::Frame,
};

/// Tells `CRUDSource` which sources were changed.
pub struct Changes;

impl Event for Changes {
    fn lagged() -> Frame {
        json_frame(&Body {
            event: "updated",
            ids: None,
        })
    }

    async fn read(client: &Client, hint: &Hint, ids: &[Uuid]) -> Result<(Vec<Frame>, usize)> {
        let found = sources::statuses(client, ids).await?;
        let existing: BTreeSet<Uuid> = found.into_iter().map(|source| source.id).collect();
        let mut gone = hint.deleted.clone();
        // A row whose key was changed is gone under the old one. That is also said of a row that
        // never was, when a notification lies: it is true, and nobody shows it.
        gone.merge(hint.updated.clone());
        let mut frames = Vec::new();
        for (event, rows, present) in [
            ("created", &hint.created, true),
            ("updated", &hint.updated, true),
            ("deleted", &gone, false),
        ] {
            let Rows::Named(ids) = rows else { continue };
            let ids = ids.iter().copied();
            let ids: Vec<Uuid> = ids.filter(|id| existing.contains(id) == present).collect();
            if !ids.is_empty() {
                let ids = Some(ids);
                frames.push(json_frame(&Body { event, ids }));
            }
        }
        Ok((frames, existing.len()))
    }

    /// One of the three names no rows, so none were read for the others either.
    fn unnamed(hint: &Hint) -> Vec<Frame> {
        let told = [
            ("created", &hint.created),
            ("updated", &hint.updated),
            ("deleted", &hint.deleted),
        ];
        let told = told.iter().filter(|(_, rows)| !rows.is_none());
        told.map(|(event, _)| json_frame(&Body { event, ids: None }))
            .collect()
    }
}

#[derive(Serialize)]
struct Body {
    event: &'static str,
    ids: Option<Vec<Uuid>>,
}
