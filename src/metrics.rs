//! The metrics: every name that `/metrics` shows, with its sentence, and the handles by which the
//! rest of the server counts. One registry a server, not one a process. It knows no other module.
//!
//! A handle is one atomic number, and is asked for once: nothing is looked up by name for a frame or
//! a socket. What is counted elsewhere is read when somebody asks.

mod histogram;
mod process;
mod traffic;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use metrics::{Counter, Gauge, counter, gauge, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

pub use self::{histogram::Histogram, traffic::Traffic};
use self::{histogram::line, traffic::Shown};

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
        "1 if the listener is connected and receives heartbeats, else 0.";
    describe_counter LISTENER_CONNECTIONS = "listener_connections_total":
        "Connections of the listener that received a notification; every one after the first is a reconnect.";
    describe_gauge HEARTBEAT_AGE = "listener_heartbeat_age_seconds":
        "Seconds since the listener received a heartbeat; -1 while it has no working connection.";
    describe_counter NOTIFICATIONS = "notifications_total":
        "Notifications that the listener received, by channel. A statement sends one per channel.";
    describe_gauge QUEUE_USAGE = "notification_queue_usage_ratio":
        "Usage of the database cluster's notification queue, from 0 to 1. When it is full, writes fail.";
    describe_counter UNREADABLE_ROWS = "unreadable_rows_total":
        "Rows that the server skipped because they contain a value that the program cannot represent, by table. A row counts at each read. The log names each row once.";
    describe_counter SILENT_EDITS = "silent_edits_total":
        "Times that rows of a table changed without a notification, by table. Causes: disabled or missing triggers, a restore, or a listener that lost its connection without noticing.";
    describe_counter DOUBTS = "audit_reads_total":
        "Times that the server read a table again because the notifications it received and PostgreSQL's row statistics did not match.";
    describe_gauge SOCKETS_OPEN = "sockets_open":
        "Open WebSockets.";
    describe_counter SOCKETS_OPENED = "sockets_opened_total":
        "WebSockets opened.";
    describe_counter SOCKETS_ENDED = "sockets_ended_total":
        "WebSockets closed, by reason: client or server closed it, violation of the protocol, gone (did not answer pings), slow (did not read for 30 s), broken (the connection failed).";
    describe_counter VIEW_READS = "view_reads_total":
        "Reads of the database by a view.";
    describe_counter VIEW_ROWS = "view_rows_total":
        "Rows read by a view.";
    describe_counter VIEW_FAILURES = "view_failures_total":
        "Failed reads of a view; the view tries again.";
    describe_counter PANICS = "panics_total":
        "Panics that the server caught, by part: the name of a view or background task (the server restarts it), request (answered with 500), socket (closed). Each panic is a bug in the program.";
    describe_counter MERGED = "view_merged_notifications_total":
        "Notifications that were merged into another read, because the view was busy. For filter, sessions and users: also requests of sockets.";
    describe_gauge GROUP_MEMBERS = "group_members":
        "WebSockets subscribed to a group.";
    describe_counter FRAMES = "frames_sent_total":
        "WebSocket messages written to the sockets of a group, including replies, excluding pings.";
    describe_counter FRAME_BYTES = "frame_bytes_sent_total":
        "Bytes written to the sockets of a group, after compression, with frame headers.";
    describe_counter SKIPPED = "frames_skipped_total":
        "Frames not sent to a slow socket. It got a newer frame instead, or a message to read everything again.";
    describe_counter HTTP_REQUESTS = "http_requests_total":
        "Responses, by route (other: no such path) and status. A WebSocket counts once, as 101.";
    describe_gauge SESSIONS = "sessions":
        "Valid sessions in the database; NaN while it does not answer.";
    describe_gauge DATABASE_UP = "database_up":
        "1 if the database answered at this scrape, else 0.";
    describe_gauge POOL_MAX = "pool_connections_max":
        "Maximum size of the connection pool (POOL_SIZE).";
    describe_gauge POOL_SIZE = "pool_connections":
        "Connections of the pool.";
    describe_gauge POOL_IDLE = "pool_connections_idle":
        "Idle connections of the pool.";
    describe_gauge POOL_WAITING = "pool_waiting":
        "Requests and views that are waiting for a pool connection.";
    describe_counter POOL_TIMEOUTS = "pool_timeouts_total":
        "Timeouts (1.5 s) while waiting for a pool connection. Requests get 503.";
    describe_gauge RUNS = "pipeline_runs":
        "Pipeline runs requested within the last 30 days, by state; NaN while the database does not answer.";
    describe_gauge RUN_AGE = "pipeline_runs_unchanged_seconds":
        "Age in seconds of the run that has been in this state the longest, by the database's clock; 0 if there is none. Final states are not listed.";
    describe_counter EMR_CALLS = "emr_calls_total":
        "Calls of the EMR API, by operation and outcome: ok, refused (EMR rejected the call), throttled (rate limit of EMR), doubtful (no answer or an invalid one).";
    describe_gauge UPLOADS_SWEEP_STOPPED = "uploads_sweep_stopped":
        "1 while this server deletes no uploaded files although some had no source for UPLOADS_GRACE, by reason: too_many (more than a tenth of all files; marketplace uploads sweep deletes them), failing (the server cannot find out which files sources use; the log says why).";
    describe_gauge BUILD = "build_info":
        "Always 1; the label has the version.";
}

/// A family of histograms, told apart by one label.
struct Family {
    name: &'static str,
    label: &'static str,
    says: &'static str,
}

static CHANGE_TO_SEND: Family = Family {
    name: "marketplace_change_to_send_seconds",
    label: "group",
    says: "Seconds from a row's updated_at until the server writes the frame to one socket; one observation per socket. \
        For a frame with several rows the newest updated_at counts. The database's clock sets updated_at during the \
        statement, so long transactions and clock differences are included (a negative time counts as 0). Not \
        observed: deletes, counts, events, and changes from before the socket subscribed.",
};
static NOTIFICATION_TO_PUBLISH: Family = Family {
    name: "marketplace_notification_to_publish_seconds",
    label: "view",
    says: "Seconds from the receipt of a notification until the view publishes the frame, for the oldest notification of \
        a read. Measured on one clock. Excludes the commit before and the sending after. For filter, sessions and \
        users the time also starts at a client's request.",
};
static HTTP_SECONDS: Family = Family {
    name: "marketplace_http_request_duration_seconds",
    label: "route",
    says: "Seconds from the end of a request's headers until the response's headers are ready, by route.",
};
static FAMILIES: [&Family; 3] = [&CHANGE_TO_SEND, &NOTIFICATION_TO_PUBLISH, &HTTP_SECONDS];

/// By the family's name and the label's value.
type Histograms = BTreeMap<(&'static str, &'static str), Arc<Histogram>>;

/// The server's metrics; cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Registry>);

struct Registry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    histograms: Mutex<Histograms>,
    /// By the group.
    traffic: Mutex<BTreeMap<&'static str, Arc<Traffic>>>,
}

/// What the registry keeps in such a map.
fn locked<T>(map: &Mutex<T>) -> MutexGuard<'_, T> {
    // Entries are only added, and whole.
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Metrics {
    fn default() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        with_local_recorder(&recorder, || {
            describe();
            gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        });
        let handle = recorder.handle();
        Self(Arc::new(Registry {
            recorder,
            handle,
            histograms: Mutex::default(),
            traffic: Mutex::default(),
        }))
    }
}

impl Metrics {
    /// Everything, as Prometheus reads it.
    pub fn render(&self) -> String {
        for traffic in locked(&self.0.traffic).values() {
            traffic.show();
        }
        let mut text = self.0.handle.render();
        let histograms = locked(&self.0.histograms);
        for Family { name, label, says } in FAMILIES {
            line(&mut text, format_args!("# HELP {name} {says}"));
            line(&mut text, format_args!("# TYPE {name} histogram"));
            for ((_, value), histogram) in histograms.iter().filter(|((of, _), _)| of == name) {
                histogram.write(&mut text, name, label, value);
            }
        }
        process::write(&mut text);
        text
    }

    /// What a view counts.
    pub fn view(&self, name: &'static str) -> Reads {
        self.register(|| Reads {
            reads: counter!(VIEW_READS, "view" => name),
            rows: counter!(VIEW_ROWS, "view" => name),
            failures: counter!(VIEW_FAILURES, "view" => name),
            merged: counter!(MERGED, "view" => name),
            published: self.histogram(&NOTIFICATION_TO_PUBLISH, name),
        })
    }

    /// Panics of a part.
    pub fn panics(&self, part: &'static str) -> Counter {
        self.register(|| counter!(PANICS, "part" => part))
    }

    /// Rows of a table that were left out.
    pub fn unreadable_rows(&self, table: &'static str) -> Counter {
        self.register(|| counter!(UNREADABLE_ROWS, "table" => table))
    }

    /// What the audit counts, for each of `tables`.
    pub fn audited(&self, tables: &[&'static str]) -> Vec<Audited> {
        let audited = |table: &&'static str| Audited {
            silent: counter!(SILENT_EDITS, "table" => *table),
            doubts: counter!(DOUBTS, "table" => *table),
        };
        self.register(|| tables.iter().map(audited).collect())
    }

    /// What goes out to a group.
    pub fn traffic(&self, group: &'static str) -> Arc<Traffic> {
        let new = || {
            let shown = self.register(|| Shown {
                frames: counter!(FRAMES, "group" => group),
                bytes: counter!(FRAME_BYTES, "group" => group),
                skipped: counter!(SKIPPED, "group" => group),
            });
            let delays = self.histogram(&CHANGE_TO_SEND, group);
            Arc::new(Traffic::new(delays, shown))
        };
        Arc::clone(locked(&self.0.traffic).entry(group).or_insert_with(new))
    }

    /// How many are in a group.
    pub fn group_members(&self, group: &'static str) -> Gauge {
        self.register(|| gauge!(GROUP_MEMBERS, "group" => group))
    }

    /// Notifications on a channel.
    pub fn notifications(&self, channel: &'static str) -> Counter {
        self.register(|| counter!(NOTIFICATIONS, "channel" => channel))
    }

    /// Requests that were answered so.
    pub fn http_requests(&self, route: &'static str, status: u16) -> Counter {
        self.register(|| counter!(HTTP_REQUESTS, "route" => route, "status" => status.to_string()))
    }

    /// How long requests of this route take.
    pub fn http_seconds(&self, route: &'static str) -> Arc<Histogram> {
        self.histogram(&HTTP_SECONDS, route)
    }

    /// Pipeline runs in a state, and how long one of them has been in it.
    pub fn runs(&self, state: &'static str) -> (Gauge, Gauge) {
        self.register(|| {
            (
                gauge!(RUNS, "state" => state),
                gauge!(RUN_AGE, "state" => state),
            )
        })
    }

    /// Calls of the EMR API.
    pub fn emr_calls(&self, operation: &'static str, outcome: &'static str) -> Counter {
        self.register(|| counter!(EMR_CALLS, "operation" => operation, "outcome" => outcome))
    }

    /// Whether no uploads are removed for `reason`.
    pub fn uploads_sweep_stopped(&self, reason: &'static str) -> Gauge {
        self.register(|| gauge!(UPLOADS_SWEEP_STOPPED, "reason" => reason))
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
            sessions: gauge!(SESSIONS),
            database_up: gauge!(DATABASE_UP),
            pool_max: gauge!(POOL_MAX),
            pool_size: gauge!(POOL_SIZE),
            pool_idle: gauge!(POOL_IDLE),
            pool_waiting: gauge!(POOL_WAITING),
            pool_timeouts: counter!(POOL_TIMEOUTS),
        })
    }

    /// Sockets that have ended for `reason`.
    pub fn sockets_ended(&self, reason: &'static str) -> Counter {
        self.register(|| counter!(SOCKETS_ENDED, "reason" => reason))
    }

    fn histogram(&self, family: &Family, value: &'static str) -> Arc<Histogram> {
        let mut histograms = locked(&self.0.histograms);
        Arc::clone(histograms.entry((family.name, value)).or_default())
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
    /// Hints that were followed together with an earlier one.
    pub merged: Counter,
    /// How long it took from the oldest of them.
    pub published: Arc<Histogram>,
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
    pub sessions: Gauge,
    pub database_up: Gauge,
    pub pool_max: Gauge,
    pub pool_size: Gauge,
    pub pool_idle: Gauge,
    pub pool_waiting: Gauge,
    pub pool_timeouts: Counter,
}
