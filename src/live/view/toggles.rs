//! Sources that were switched on or off: `{"event":"toggled","sources":[{"id","status"}]}` for the
//! group ToggleVisibility. An event, not a state: who is not there when it happens is not told.

use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::{View, json_frame, named};
use crate::{
    db::sources::{self, Status},
    error::Result,
    live::{
        group::Events,
        signal::{Hint, Rows},
    },
    pg::PooledClient,
    ws::Frame,
};

/// The view that tells `ToggleVisibility` which sources were switched on or off.
pub struct Toggles(Arc<Events>);

impl Toggles {
    /// Tells `group`.
    pub fn new(group: Arc<Events>) -> Self {
        Self(group)
    }

    /// The event that names no source because there were too many.
    pub fn lagged() -> Frame {
        json_frame(&Body {
            event: "toggled",
            sources: None,
        })
    }
}

impl View for Toggles {
    const NAME: &'static str = "toggles";

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
        if let (Some(client), rows @ Rows::Named(_)) = (client, hint.clone().rows()) {
            let sources: Vec<Toggled> = sources::statuses(client, &named(&rows))
                .await?
                .into_iter()
                .map(|Status { id, status }| Toggled { id, status })
                .collect();
            let read = sources.len();
            if !sources.is_empty() {
                self.0.publish(json_frame(&Body {
                    event: "toggled",
                    sources: Some(sources),
                }));
            }
            return Ok(read);
        } else if !hint.is_empty() {
            self.0.publish_lagged();
        }
        Ok(0)
    }
}

#[derive(Serialize)]
struct Body {
    event: &'static str,
    sources: Option<Vec<Toggled>>,
}

#[derive(Serialize)]
struct Toggled {
    id: Uuid,
    status: String,
}
