//! The metrics: every name that `/metrics` shows, with its sentence, and the handles by which the
//! rest of the server counts. One registry a server, not one a process. It knows no other module.
//!
//! A handle is one atomic number. What is counted for every frame and socket is kept elsewhere and
//! only read here when somebody asks.

use std::{fmt, sync::Arc};

use metrics::{Counter, Gauge, counter, gauge, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

macro_rules! names {
    ($($kind:ident $constant:ident = $name:literal: $says:literal;)*) => {
        $(const $constant: &str = concat!("marketplace_", $name);)*

        fn describe() {
            $(metrics::$kind!($constant, $says);)*
        }
    };
}

names! {
    describe_gauge LISTENER_UP = "listener_up":
        "1 while the listener is known to hear what the database notifies, else 0.";
    describe_counter LISTENER_CONNECTIONS = "listener_connections_total":
        "Connections on which the listener has heard something; all but the first replaced a lost one.";
    describe_gauge HEARTBEAT_AGE = "listener_heartbeat_age_seconds":
        "Seconds since the listener heard a heartbeat; -1 while it hears nothing.";
    describe_gauge QUEUE_USAGE = "notification_queue_usage_ratio":
        "How full the database cluster's queue of notifications is, from 0 to 1. When it is full, writes fail.";
    describe_counter SILENT_EDITS = "silent_edits_total":
        "Times that rows of a table were changed although nothing was announced: triggers that are disabled or missing, a restore, or a listener before it is found to be deaf. A table rewritten by VACUUM FULL counts too.";
    describe_counter DOUBTS = "audit_reads_total":
        "Times that a table's states were read again because what was announced and what the database has counted could not be told to agree.";
    describe_gauge SOCKETS_OPEN = "sockets_open":
        "WebSockets that are open.";
    describe_counter SOCKETS_OPENED = "sockets_opened_total":
        "WebSockets that were opened.";
    describe_counter SOCKETS_ENDED = "sockets_ended_total":
        "WebSockets that have ended, by reason: client or server closed it, a violation of the protocol, gone (answered no ping), slow (took nothing in time), broken (the connection failed).";
    describe_counter VIEW_READS = "view_reads_total":
        "Times that a view has read the database.";
    describe_counter VIEW_ROWS = "view_rows_total":
        "Rows that a view has read.";
    describe_counter VIEW_FAILURES = "view_failures_total":
        "Times that a view could not read and had to try again.";
}

/// The server's metrics; cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Registry>);

struct Registry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Default for Metrics {
    fn default() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        with_local_recorder(&recorder, describe);
        let handle = recorder.handle();
        Self(Arc::new(Registry { recorder, handle }))
    }
}

impl Metrics {
    /// Everything, as Prometheus reads it.
    pub fn render(&self) -> String {
        self.0.handle.render()
    }

    /// What a view counts.
    pub fn view(&self, name: &'static str) -> Reads {
        self.register(|| Reads {
            reads: counter!(VIEW_READS, "view" => name),
            rows: counter!(VIEW_ROWS, "view" => name),
            failures: counter!(VIEW_FAILURES, "view" => name),
        })
    }

    /// What the audit counts, for each of `tables`.
    pub fn audited(&self, tables: &[&'static str]) -> Vec<Audited> {
        let audited = |table: &&'static str| Audited {
            silent: counter!(SILENT_EDITS, "table" => *table),
            doubts: counter!(DOUBTS, "table" => *table),
        };
        self.register(|| tables.iter().map(audited).collect())
    }

    /// How full the queue of notifications is.
    pub fn queue_usage(&self) -> Gauge {
        self.register(|| gauge!(QUEUE_USAGE))
    }

    /// What is looked up when somebody asks.
    pub fn on_demand(&self) -> OnDemand {
        self.register(|| OnDemand {
            listener_up: gauge!(LISTENER_UP),
            listener_connections: counter!(LISTENER_CONNECTIONS),
            heartbeat_age: gauge!(HEARTBEAT_AGE),
            sockets_open: gauge!(SOCKETS_OPEN),
            sockets_opened: counter!(SOCKETS_OPENED),
        })
    }

    /// Sockets that have ended for `reason`.
    pub fn sockets_ended(&self, reason: &'static str) -> Counter {
        self.register(|| counter!(SOCKETS_ENDED, "reason" => reason))
    }

    fn register<T>(&self, handles: impl FnOnce() -> T) -> T {
        with_local_recorder(&self.0.recorder, handles)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// What a view counts.
#[derive(Clone, Debug)]
pub struct Reads {
    /// Reads that succeeded.
    pub reads: Counter,
    /// Rows that they gave.
    pub rows: Counter,
    /// Reads that failed.
    pub failures: Counter,
}

/// What the audit counts of a table.
#[derive(Clone, Debug)]
pub struct Audited {
    /// Changes that nothing announced.
    pub silent: Counter,
    /// Reads because of a doubt.
    pub doubts: Counter,
}

/// What is looked up when somebody asks.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is the metric of that name")]
pub struct OnDemand {
    pub listener_up: Gauge,
    pub listener_connections: Counter,
    pub heartbeat_age: Gauge,
    pub sockets_open: Gauge,
    pub sockets_opened: Counter,
}
