//! Single sources that sockets asked for: `{"status":"success","data":{...}}`, again whenever one
//! changes, for the group FilterDataSource.

use std::{collections::HashMap, sync::Arc};

use jiff::tz::TimeZone;
use serde::Serialize;
use uuid::Uuid;

use super::{View, json_frame, moment};
use crate::{
    db::{listed, sources::Source},
    error::Result,
    live::{group::keyed::Keyed, signal::Hint},
    local_time::InZone,
    pg::PooledClient,
};

/// The view that reads the sources that single sockets follow.
pub struct Filter {
    group: Arc<Keyed>,
    zone: TimeZone,
}

impl Filter {
    /// Tells `group`; times are written in `zone`.
    pub fn new(group: Arc<Keyed>, zone: TimeZone) -> Self {
        Self { group, zone }
    }
}

impl View for Filter {
    fn is_watched(&self) -> bool {
        self.group.is_watched()
    }

    fn forget(&mut self) -> bool {
        false
    }

    fn must_read(&self, hint: &Hint) -> bool {
        !self.group.watched(&hint.clone().rows()).is_empty()
    }

    async fn refresh(&mut self, client: Option<&PooledClient>, hint: &Hint) -> Result<usize> {
        let Some(client) = client else { return Ok(0) };
        let read = self.group.begin_read();
        let ids = self.group.watched(&hint.clone().rows());
        let found: Vec<Source> = listed::by_ids(client, &ids).await?;
        let found: HashMap<Uuid, _> = found.iter().map(|source| (source.id, source)).collect();
        for id in ids {
            let source = found.get(&id);
            let frame = match source {
                Some(source) => json_frame(&Found {
                    status: "success",
                    data: InZone(&self.zone, *source),
                }),
                None => json_frame(&NotFound::default()),
            };
            let changed = source.and_then(|source| moment(source.updated_at.0));
            self.group.publish(id, read, frame, changed);
        }
        Ok(found.len())
    }
}

#[derive(Serialize)]
struct Found<'a> {
    status: &'static str,
    data: InZone<'a, Source>,
}

/// The answer to an id that names no source. The empty `data` keeps the frontend's page alive.
#[derive(Serialize)]
pub struct NotFound {
    status: &'static str,
    message: &'static str,
    data: Empty,
}

#[derive(Serialize)]
struct Empty {}

impl Default for NotFound {
    fn default() -> Self {
        Self {
            status: "error",
            message: "Source not found",
            data: Empty {},
        }
    }
}
