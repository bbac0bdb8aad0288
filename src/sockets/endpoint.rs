//! The table of sockets: each path, who may open it, what feeds it, and what its clients may send.

use std::sync::Arc;

use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};

use super::{
    consumer::{Consumer, DeltaFeed, Feed},
    filter::FilterFeed,
    live::feed::LiveFeed,
};
use crate::{
    auth::access::Access,
    db::{listed::Listed, sources::Source},
    live::{
        Groups,
        group::{Events, Group},
        view::{Snapshot, list::ListGroups},
    },
};

/// A path at which clients open sockets.
#[derive(Debug)]
pub struct Endpoint {
    /// The path, with its last slash.
    pub path: &'static str,
    /// Who may open a socket here. What a client may send is judged by message.
    pub access: Access,
    /// What its clients may send.
    pub consumer: Consumer,
    feeding: Feeding,
    /// Adds the schemas of its rows to those of the API document.
    schemas: fn(&mut Vec<Named>),
}

/// A schema and its name.
type Named = (String, RefOr<Schema>);

/// The group that feeds a socket.
#[derive(Clone, Copy, Debug)]
enum Feeding {
    State(fn(&Groups) -> &Arc<Group<Snapshot>>),
    List(fn(&Groups) -> &ListGroups),
    Events(fn(&Groups) -> &Arc<Events>),
    Filter,
    Live,
}

/// All of them.
pub static ENDPOINTS: &[Endpoint] = &[
    Endpoint::state("/ws/data_library/", Access::Reader, |groups| {
        &groups.library
    }),
    Endpoint::list::<Source>("/ws/read_source/", Access::Reader, |groups| &groups.sources),
    Endpoint::new(
        "/ws/filter_source/",
        Access::Reader,
        Feeding::Filter,
        Consumer::FilterSource,
    ),
    Endpoint::new(
        "/ws/source/",
        Access::Viewer,
        Feeding::Events(|groups| &groups.changes),
        Consumer::Source,
    ),
    Endpoint::new(
        "/ws/data_source_activation/",
        Access::Viewer,
        Feeding::Events(|groups| &groups.toggles),
        Consumer::DataSourceActivation,
    ),
    Endpoint::new(
        "/ws/EMRConsumer/",
        Access::Viewer,
        Feeding::Events(|groups| &groups.runs),
        Consumer::Emr,
    ),
    Endpoint::new("/ws/live/", Access::Reader, Feeding::Live, Consumer::Live),
    Endpoint::state("/ws/activity/", Access::Viewer, |groups| &groups.activity),
];

impl Endpoint {
    const fn new(path: &'static str, access: Access, feeding: Feeding, consumer: Consumer) -> Self {
        Self {
            path,
            access,
            consumer,
            feeding,
            schemas: |_| {},
        }
    }

    /// Clients see a state, whole.
    const fn state(
        path: &'static str,
        access: Access,
        group: fn(&Groups) -> &Arc<Group<Snapshot>>,
    ) -> Self {
        Self::new(path, access, Feeding::State(group), Consumer::Reader)
    }

    /// Clients see a list of `T`: the whole list each time, or with `?mode=delta` what changed, since
    /// a version that they have with `&since=`.
    const fn list<T: Listed>(
        path: &'static str,
        access: Access,
        groups: fn(&Groups) -> &ListGroups,
    ) -> Self {
        Self {
            schemas: row_schemas::<T>,
            ..Self::new(path, access, Feeding::List(groups), Consumer::Reader)
        }
    }

    /// Joins the group that feeds a client that asks with this query.
    pub fn join(&self, groups: &Groups, query: &str, deflate: bool) -> Feed {
        match self.feeding {
            Feeding::State(group) => Feed::Snapshots(group(groups).join(deflate)),
            Feeding::List(list) if parameter(query, "mode").as_deref() == Some("delta") => {
                let since = parameter(query, "since");
                Feed::Deltas(DeltaFeed::new(list(groups), since, deflate))
            }
            Feeding::List(list) => Feed::Snapshots(list(groups).whole.join(deflate)),
            Feeding::Events(group) => Feed::Events(group(groups).join()),
            Feeding::Live => Feed::Live(Box::new(LiveFeed::new(&groups.windows))),
            Feeding::Filter => Feed::Filter(FilterFeed::new(groups.filter.clone())),
        }
    }

    /// Adds the schemas of its rows to `schemas`.
    pub fn add_schemas(&self, schemas: &mut Vec<Named>) {
        (self.schemas)(schemas);
    }
}

fn row_schemas<T: ToSchema>(schemas: &mut Vec<Named>) {
    T::schemas(schemas);
    schemas.push((T::name().to_lowercase(), T::schema()));
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}
