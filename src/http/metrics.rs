//! `/metrics`: what is counted, as Prometheus reads it, for the addresses that may know and for who
//! has the token. Who was sent on by a proxy needs the token: the address is then the proxy's.

use warp::http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};

use super::{
    operation::{Call, Operator},
    request::Head,
};
use crate::{
    app::App,
    db::{
        self,
        runs::{self, Total},
        sessions,
    },
    error::Result,
    pg,
    reply::{Problem, Response},
};

/// Headers by which a proxy says for whom it asks, or that it is one. Besides, all whose names begin with
/// [`X_FORWARDED`].
const FORWARDED: [&str; 12] = [
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-envoy-external-address",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "x-azure-clientip",
    "client-ip",
];
/// `X-Forwarded-For`, `-Host`, `-Proto`, `-Port`, `-Server` and their like.
const X_FORWARDED: &str = "x-forwarded-";

/// The numbers of this moment.
pub(super) async fn show(call: Call<Operator>) -> Result<Response, Problem> {
    let app = call.app;
    look_up(&app);
    look_into_database(&app).await;
    let mut response = Response::new(app.metrics.render().into());
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    Ok(response)
}

/// Whether a request is an operator's.
pub(super) fn may_read(app: &App, head: &Head) -> bool {
    has_token(app, &head.headers) || is_near(app, head)
}

/// Why a request is not answered that is no operator's.
pub(super) fn refused() -> Problem {
    Problem::detail(
        StatusCode::FORBIDDEN,
        "Only addresses of METRICS_ALLOW and clients with METRICS_TOKEN may read the metrics.",
    )
}

/// Whether it comes from an address that may read, and on behalf of nobody else. A page whose own name
/// leads here may have an operator's address.
fn is_near(app: &App, head: &Head) -> bool {
    let mut networks = app.settings.metrics_allow.iter();
    !was_forwarded(&head.headers)
        && !head.is_misdirected
        && networks.any(|network| network.contains(head.peer.address))
}

fn was_forwarded(headers: &HeaderMap) -> bool {
    let says_so = |name: &str| FORWARDED.contains(&name) || name.starts_with(X_FORWARDED);
    headers.keys().any(|name| says_so(name.as_str()))
}

/// Whether the request has the token.
pub(super) fn has_token(app: &App, headers: &HeaderMap) -> bool {
    let sent = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let sent = sent.and_then(|value| value.strip_prefix("Bearer "));
    let token = app.settings.metrics_token.as_ref();
    token.is_some_and(|token| sent.is_some_and(|sent| token.is(sent)))
}

/// Brings the numbers that are kept elsewhere up to date.
fn look_up(app: &App) {
    let metrics = app.metrics.on_demand();
    {
        let listener = app.live.listener.borrow();
        let is_up = f64::from(u8::from(listener.check().is_ok()));
        let age = listener
            .heartbeat
            .map_or(-1.0, |at| at.elapsed().as_secs_f64());
        metrics.listener_up.set(is_up);
        metrics.heartbeat_age.set(age);
        metrics.listener_connections.absolute(listener.connections);
    }
    metrics.sockets_open.set(number(app.socket_stats.open()));
    metrics
        .sockets_opened
        .absolute(app.socket_stats.opened_so_far());
    for (reason, ended) in app.socket_stats.ended_so_far() {
        app.metrics.sockets_ended(reason).absolute(ended);
    }
    for (group, members) in app.live.groups.members() {
        let gauge = app.metrics.group_members(group);
        gauge.set(number(members as u64));
    }
    for (channel, statements) in app.live.notification_counts.statements() {
        let counter = app.metrics.notifications(channel.name());
        counter.absolute(statements);
    }
    for (table, left_out) in db::unreadable_rows() {
        app.metrics.unreadable_rows(table).absolute(left_out);
    }
    let pool = app.pool.load();
    metrics.pool_max.set(number(pool.max as u64));
    metrics.pool_size.set(number(pool.connections as u64));
    metrics.pool_idle.set(number(pool.idle as u64));
    metrics.pool_waiting.set(number(pool.waiting as u64));
    metrics.pool_timeouts.absolute(pool.timeouts);
}

/// The states that runs are known to have; all others count as one, lest whoever can write to the
/// table can make as many series as they like.
const STATES: [&str; 11] = [
    runs::REQUESTED,
    runs::REFUSED,
    runs::LOST,
    "PENDING",
    "CANCEL_PENDING",
    "RUNNING",
    "COMPLETED",
    "CANCELLED",
    "FAILED",
    "INTERRUPTED",
    "other",
];

/// The numbers that only the database has.
async fn look_into_database(app: &App) {
    let asked: Result<_> = pg::in_time(async {
        let client = app.pool.client().await?;
        Ok((
            sessions::count(&client).await?,
            runs::totals(&client).await?,
        ))
    })
    .await;
    let metrics = app.metrics.on_demand();
    metrics.database_up.set(f64::from(u8::from(asked.is_ok())));
    let sessions = asked
        .as_ref()
        .map_or(f64::NAN, |asked| number(asked.0.unsigned_abs()));
    metrics.sessions.set(sessions);
    for state in STATES {
        let (count, unchanged) = app.metrics.runs(state);
        let (runs, longest) = match &asked {
            Ok((_, totals)) => of_state(totals, state),
            Err(_) => (f64::NAN, f64::NAN),
        };
        count.set(runs);
        unchanged.set(longest);
    }
}

/// How many runs are in a state, and for how many seconds one of them has been, if it can leave it.
fn of_state(totals: &[Total], state: &str) -> (f64, f64) {
    let (mut runs, mut longest) = (0.0, 0.0_f64);
    for total in totals.iter().filter(|total| named(total) == state) {
        runs += number(total.count.unsigned_abs());
        if !total.is_final {
            longest = longest.max(total.unchanged);
        }
    }
    (runs, longest)
}

fn named(total: &Total) -> &str {
    let known = STATES.into_iter().find(|state| *state == total.state);
    known.unwrap_or("other")
}

/// A count as a metric has it.
#[expect(
    clippy::cast_precision_loss,
    reason = "precise far beyond anything that is counted here"
)]
fn number(count: u64) -> f64 {
    count as f64
}
