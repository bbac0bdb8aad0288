//! The table of sockets: each path, who may open it, and its consumer.

use super::consumer::Consumer;
use crate::auth::access::Access;

/// A path at which clients open sockets.
pub struct Endpoint {
    /// The path, with its last slash.
    pub path: &'static str,
    /// Who may open a socket here. What a client may send is judged by message.
    pub access: Access,
    consumer: fn(&str) -> Consumer,
}

/// All of them.
pub static ENDPOINTS: [Endpoint; 7] = [
    Endpoint {
        path: "/ws/data_library/",
        access: Access::Reader,
        consumer: |_| Consumer::DataLibrary,
    },
    Endpoint {
        path: "/ws/read_source/",
        access: Access::Reader,
        consumer: read_source,
    },
    Endpoint {
        path: "/ws/filter_source/",
        access: Access::Reader,
        consumer: |_| Consumer::FilterSource,
    },
    Endpoint {
        path: "/ws/source/",
        access: Access::Viewer,
        consumer: |_| Consumer::Source,
    },
    Endpoint {
        path: "/ws/data_source_activation/",
        access: Access::Viewer,
        consumer: |_| Consumer::DataSourceActivation,
    },
    Endpoint {
        path: "/ws/EMRConsumer/",
        access: Access::Viewer,
        consumer: |_| Consumer::Emr,
    },
    Endpoint {
        path: "/ws/activity/",
        access: Access::Viewer,
        consumer: |_| Consumer::Activity,
    },
];

impl Endpoint {
    /// The consumer for a client that asks with this query.
    pub fn consumer(&self, query: &str) -> Consumer {
        (self.consumer)(query)
    }
}

fn read_source(query: &str) -> Consumer {
    let parameter = |name| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    if parameter("mode").as_deref() == Some("delta") {
        Consumer::ReadSourceDeltas {
            since: parameter("since"),
        }
    } else {
        Consumer::ReadSource
    }
}
