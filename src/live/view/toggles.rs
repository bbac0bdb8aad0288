//! Sources that were switched on or off: `{"event":"toggled","sources":[{"id","status"}]}` for the
//! group ToggleVisibility. An event, not a state: who is not there when it happens is not told.

use serde::Serialize;
use uuid::Uuid;

use super::{events::Event, json_frame};
use crate::{
    db::sources::{self, Status},
    error::Result,
    live::signal::Hint,
    pg::Client,
    ws::Frame,
};

/// Tells `ToggleVisibility` which sources were switched on or off.
pub struct Toggles;

impl Event for Toggles {
    fn lagged() -> Frame {
        json_frame(&Body {
            event: "toggled",
            sources: None,
        })
    }

    async fn read(client: &Client, _: &Hint, ids: &[Uuid]) -> Result<(Vec<Frame>, usize)> {
        let sources = sources::statuses(client, ids).await?;
        let read = sources.len();
        if sources.is_empty() {
            return Ok((Vec::new(), read));
        }
        let frame = json_frame(&Body {
            event: "toggled",
            sources: Some(sources),
        });
        Ok((vec![frame], read))
    }
}

#[derive(Serialize)]
struct Body {
    event: &'static str,
    sources: Option<Vec<Status>>,
}
