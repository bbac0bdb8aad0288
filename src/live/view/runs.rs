//! States of pipeline runs: `{"event":"step",...}`, one event a run, for the group EMR.

use serde::Serialize;
use uuid::Uuid;

use super::{events::Event, json_frame};
use crate::{
    db::runs::{self, Run},
    error::Result,
    live::signal::Hint,
    pg::Client,
    ws::Frame,
};

/// Tells `EMR` the states of pipeline runs.
pub struct Runs;

impl Event for Runs {
    fn lagged() -> Frame {
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

    async fn read(client: &Client, _: &Hint, ids: &[Uuid]) -> Result<(Vec<Frame>, usize)> {
        let runs = runs::by_ids(client, ids).await?;
        let read = runs.len();
        let frames = runs.into_iter().map(|run| json_frame(&Body::from(run)));
        Ok((frames.collect(), read))
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
