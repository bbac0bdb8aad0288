//! States of pipeline runs: `{"event":"step",...}`, one event a run, for the group EMR.

use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::{View, json_frame, named};
use crate::{
    db::runs::{self, Run},
    error::Result,
    live::{
        group::Events,
        signal::{Hint, Rows},
    },
    pg::PooledClient,
    ws::Frame,
};

/// The view that tells `EMR` the states of pipeline runs.
pub struct Runs(Arc<Events>);

impl Runs {
    /// Tells `group`.
    pub fn new(group: Arc<Events>) -> Self {
        Self(group)
    }

    /// The event that names no run because any may have changed.
    pub fn lagged() -> Frame {
        json_frame(&Body {
            event: "step",
            run_id: None,
            source_id: None,
            step: None,
            step_id: None,
            state: None,
            reason: None,
        })
    }
}

impl View for Runs {
    const NAME: &'static str = "runs";

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
            let runs = runs::by_ids(client, &named(&rows)).await?;
            let read = runs.len();
            for run in runs {
                self.0.publish(json_frame(&Body::from(run)));
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
    run_id: Option<Uuid>,
    source_id: Option<Uuid>,
    step: Option<String>,
    step_id: Option<String>,
    state: Option<String>,
    reason: Option<String>,
}

impl From<Run> for Body {
    fn from(run: Run) -> Self {
        Self {
            event: "step",
            run_id: Some(run.id),
            source_id: run.source_id,
            step: Some(run.step),
            step_id: run.step_id,
            state: Some(run.state),
            reason: run.reason,
        }
    }
}
