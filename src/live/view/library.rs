//! The Data Library's counts: `{"data":[3 sections],"version"}` for the group DataLibrary.

use std::sync::Arc;

use serde::Serialize;

use super::{Snapshot, Version, View, json_frame, publish};
use crate::{
    bodies,
    db::counts::{self, Counted, Counts},
    error::Result,
    live::{
        group::{Group, Members},
        signal::Hint,
        validity::Validity,
    },
    pg::PooledClient,
};

/// The view of the Data Library's counts.
pub struct Library {
    group: Arc<Group<Snapshot>>,
    validity: Arc<Validity>,
    shown: Option<Counts>,
    version: Version,
}

impl Library {
    /// A view that has read nothing yet. It notes in `validity` for how long the counts hold.
    pub fn new(group: Arc<Group<Snapshot>>, validity: Arc<Validity>) -> Self {
        Self {
            group,
            validity,
            shown: None,
            version: Version::start(),
        }
    }
}

impl View for Library {
    fn is_watched(&self) -> bool {
        self.group.members() > 0
    }

    fn forget(&mut self) -> bool {
        self.group.forget();
        true
    }

    fn must_read(&self, hint: &Hint) -> bool {
        self.shown.is_none() || !hint.is_empty()
    }

    async fn refresh(&mut self, client: Option<&PooledClient>, _: &Hint) -> Result<usize> {
        let read = usize::from(client.is_some());
        if let Some(client) = client {
            let Counted { counts, at, until } = counts::read(client).await?;
            self.validity.note(at, until);
            if self.shown == Some(counts) && self.group.is_current() {
                return Ok(read);
            }
            self.version.counter += u64::from(self.shown != Some(counts));
            self.shown = Some(counts);
        }
        let Some(counts) = self
            .shown
            .filter(|_| client.is_some() || !self.group.is_current())
        else {
            return Ok(read);
        };
        let frame = json_frame(&Body {
            data: bodies::library(&counts),
            version: self.version.to_string(),
        });
        publish(&self.group, self.version, frame, None).await;

        Ok(read)
    }
}

#[derive(Serialize)]
struct Body {
    data: [bodies::Section; 3],
    version: String,
}
