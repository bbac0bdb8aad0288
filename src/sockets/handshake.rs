//! From an HTTP request to a socket: which consumer, from which origin, who, how many they have, and
//! only then the session of whoever came with a password, and the upgrade. A refused handshake is an HTTP answer before any upgrade.

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::sync::OwnedSemaphorePermit;
use warp::{
    Reply,
    http::{HeaderMap, Method, StatusCode, header},
};

use super::{
    endpoint::Endpoint,
    socket::{self, Client},
};
use crate::{
    app::App,
    auth::{self, Arrival, access::Access, origin, role::FORBIDDEN},
    config::Anonymous,
    limits::TooMany,
    peer::Peer,
    reply, request, server, ws,
};

/// A connection's place among those that are served at once, as the accept loop hands it on.
pub type Permit = Arc<OwnedSemaphorePermit>;

/// A request for a socket.
pub struct Handshake<'a> {
    /// The method, which must be GET.
    pub method: &'a Method,
    /// Who sends it.
    pub peer: &'a Peer,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// What follows the question mark.
    pub query: &'a str,
    /// The connection, once it is upgraded.
    pub upgrade: Option<OnUpgrade>,
    /// The connection's place.
    pub permit: Option<Permit>,
}

impl Handshake<'_> {
    /// Whether the client asks for a socket at all.
    pub fn asks_for_socket(&self) -> bool {
        let upgrade = self.headers.get(header::UPGRADE);
        let upgrade = upgrade.and_then(|upgrade| upgrade.to_str().ok());
        upgrade.is_some_and(|upgrade| upgrade.to_ascii_lowercase().contains("websocket"))
    }
}

/// Opens a socket at an endpoint, or says why not.
pub async fn open(
    app: App,
    endpoint: &'static Endpoint,
    handshake: Handshake<'_>,
) -> reply::Response {
    let Handshake {
        method,
        peer,
        headers,
        query,
        upgrade,
        permit,
    } = handshake;
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
        Err(_)
            if app.settings.anonymous == Anonymous::Read && endpoint.access == Access::Reader =>
        {
            None
        }
        Err(refused) => return refused.into_response(),
    };
    let role = arrival.as_ref().map(Arrival::role);
    if role.is_some_and(|role| !endpoint.access.admits(role)) {
        return reply::detail(StatusCode::FORBIDDEN, FORBIDDEN);
    }
    let accept = match ws::handshake::accept(method, headers) {
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
    let feed = endpoint.join(&app.live.groups, query, deflate.is_some());
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
            endpoint,
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
