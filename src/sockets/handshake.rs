//! From an HTTP request to a socket: which consumer, from which origin, who, how many they have, and
//! only then the session of whoever came with a password, and the upgrade. A refused handshake is an HTTP answer before any upgrade.

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::sync::OwnedSemaphorePermit;
use warp::{
    Filter, Reply,
    filters::BoxedFilter,
    http::{HeaderMap, Method, StatusCode, header},
    path::FullPath,
};

use super::{
    consumer::Consumer,
    socket::{self, Client},
};
use crate::{
    app::App,
    auth::{self, Arrival, origin},
    config::Anonymous,
    limits::TooMany,
    peer::Peer,
    reply, request, server,
    ws::handshake,
};

/// A connection's place among those that are served at once, as the accept loop hands it on.
pub type Permit = Arc<OwnedSemaphorePermit>;

/// The sockets' routes. Rejects what is no handshake, or none for a socket of ours.
pub fn routes(app: &App) -> BoxedFilter<(reply::Response,)> {
    let app = app.clone();
    warp::path::full()
        .and(warp::method())
        .and(warp::ext::get::<Peer>())
        .and(warp::header::headers_cloned())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::ext::optional::<OnUpgrade>())
        .and(warp::ext::optional::<Permit>())
        .and_then(
            move |path: FullPath, method, peer, headers, query: String, upgrade, permit| {
                let app = app.clone();
                async move {
                    match wanted(path.as_str(), &query, &headers) {
                        Some(consumer) => {
                            let asked =
                                open(app, consumer, &method, &peer, &headers, upgrade, permit);
                            Ok(asked.await)
                        }
                        None => Err(warp::reject::not_found()),
                    }
                }
            },
        )
        .boxed()
}

/// The consumer that a handshake asks for.
fn wanted(path: &str, query: &str, headers: &HeaderMap) -> Option<Consumer> {
    let upgrade = headers.get(header::UPGRADE)?.to_str().ok()?;
    if !upgrade.to_ascii_lowercase().contains("websocket") {
        return None;
    }
    let consumer = Consumer::at(path)?;
    let parameter = |name| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    match consumer {
        Consumer::ReadSource if parameter("mode").as_deref() == Some("delta") => {
            Some(Consumer::ReadSourceDeltas {
                since: parameter("since"),
            })
        }
        consumer => Some(consumer),
    }
}

async fn open(
    app: App,
    consumer: Consumer,
    method: &Method,
    peer: &Peer,
    headers: &HeaderMap,
    upgrade: Option<OnUpgrade>,
    permit: Option<Permit>,
) -> reply::Response {
    if !origin::allowed(&app.auth, headers) {
        return reply::detail(
            StatusCode::FORBIDDEN,
            "This origin may not open sockets here.",
        );
    }
    // Before it is asked who it is, which costs more than to count.
    let place = match app.limits.sockets.from_address(peer) {
        Ok(place) => place,
        Err(many) => return too_many("this address", many),
    };
    let arrival = match auth::arrive(&app.auth, peer, headers).await {
        Ok(arrival) => Some(arrival),
        Err(_) if app.settings.anonymous == Anonymous::Read && consumer.is_reading() => None,
        Err(refused) => return refused.into_response(),
    };
    let accept = match handshake::accept(method, headers) {
        Ok(accept) => accept,
        Err(refusal) => {
            let mut response = reply::detail(refusal.status(), &refusal.to_string());
            response.headers_mut().extend(refusal.headers());
            return response;
        }
    };
    let user = arrival.as_ref().map(Arrival::user_id);
    let seat = match app.limits.sockets.seat(place, user) {
        Ok(seat) => seat,
        Err(many) => return too_many("this user", many),
    };
    let Some(upgrade) = upgrade else {
        return reply::detail(
            StatusCode::BAD_REQUEST,
            "This connection cannot be upgraded.",
        );
    };
    // Last of all: a handshake that is refused leaves no session behind.
    let who = match arrival {
        None => None,
        Some(arrival) => match auth::stay(&app.auth, arrival).await {
            Ok(who) => Some(Arc::new(who)),
            Err(refused) => return refused.into_response(),
        },
    };
    let deflate = accept.deflate();
    // Before the answer is sent: who has it must miss nothing.
    let feed = consumer.join(&app.live.groups, deflate.is_some());
    let request = request::Id::current();
    let opened = request.clone().around(async move {
        let parts = match upgrade
            .await
            .map(hyper::upgrade::Upgraded::downcast::<TokioIo<server::Stream>>)
        {
            Ok(Ok(parts)) => parts,
            Ok(Err(_)) => return tracing::error!("an upgraded connection is not TCP"),
            Err(error) => return tracing::debug!(%error, "the client left before the upgrade"),
        };
        let client = Client {
            stream: parts.io.into_inner().into_tcp(),
            unread: parts.read_buf,
            deflate,
            consumer,
            feed,
            who,
            request,
            seat,
            permit,
        };
        // Boxed by the runtime on its own: this task's future stays as small as the socket's.
        tokio::spawn(socket::serve(app, client));
    });
    tokio::spawn(opened);
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    *response.headers_mut() = accept.headers();
    response
}

fn too_many(of: &str, many: TooMany) -> reply::Response {
    let text = format!("Too many sockets of {of} are open. Close some, or try again later.");
    reply::too_many(&text, many)
}
