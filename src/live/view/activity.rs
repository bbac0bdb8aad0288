//! What was changed lately, and by whom: `{"data":[the last hundred statements, newest
//! first],"minutes":[[minute, statements]],"version"}` for the group Activity.

use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::Serialize;

use super::{Snapshot, Version, View, json_frame, moment, publish};
use crate::{
    db::changes::{self, Change},
    error::Result,
    live::{
        group::{Group, Members},
        signal::Hint,
    },
    local_time::InZone,
    pg::PooledClient,
};

/// The view of the newest changes.
pub struct Activity {
    group: Arc<Group<Snapshot>>,
    zone: TimeZone,
    version: Version,
}

impl Activity {
    /// A view that has read nothing yet. Times are written in `zone`.
    pub fn new(group: Arc<Group<Snapshot>>, zone: TimeZone) -> Self {
        Self {
            group,
            zone,
            version: Version::start(),
        }
    }
}

impl View for Activity {
    fn is_watched(&self) -> bool {
        self.group.members() > 0
    }

    fn forget(&mut self) -> bool {
        self.group.forget();
        true
    }

    fn must_read(&self, hint: &Hint) -> bool {
        !hint.is_empty() || !self.group.is_current()
    }

    async fn refresh(&mut self, client: Option<&PooledClient>, _: &Hint) -> Result<usize> {
        let Some(client) = client else {
            return Ok(0);
        };
        let newest = changes::newest(client).await?;
        let minutes = changes::minutes(client).await?;
        self.version.counter += 1;
        let frame = json_frame(&Body {
            data: InZone(&self.zone, &newest),
            minutes: minutes
                .iter()
                .map(|it| (it.minute, it.statements))
                .collect(),
            version: self.version.to_string(),
        });
        let changed = newest.first().and_then(|change| moment(change.at.0));
        publish(&self.group, self.version, frame, changed).await;

        Ok(newest.len())
    }
}

#[derive(Serialize)]
struct Body<'a> {
    data: InZone<'a, [Change]>,
    minutes: Vec<(i64, i64)>,
    version: String,
}
