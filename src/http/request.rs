//! A request to an endpoint. Its body is read once, and then whoever sent it is asked again who they are:
//! a body may take half an hour, and its sender may have been disabled meanwhile.

use std::time::{Duration, Instant};

use bytes::Bytes;
use warp::http::{HeaderMap, Method, StatusCode};

use super::{
    Endpoint,
    body::{Body, Wanted},
};
use crate::{
    app::App,
    auth::{self, Identity, role::FORBIDDEN},
    forms::Input,
    peer::Peer,
    reply::Problem,
    uploads::Received,
};

/// Who they are is still true after this time.
const JUST_NOW: Duration = Duration::from_millis(100);

/// A request to an endpoint, with the body that is not read yet.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) peer: Peer,
    pub(super) headers: HeaderMap,
    pub(super) query: String,
    body: Option<Body>,
    admission: Option<Admission>,
}

/// Whom the request was let in for, where, and when.
struct Admission {
    endpoint: Endpoint,
    who: Identity,
    at: Instant,
}

impl Request {
    /// A request that nobody has let in yet.
    pub(super) fn new(
        method: Method,
        peer: Peer,
        headers: HeaderMap,
        query: String,
        body: Body,
    ) -> Self {
        Self {
            method,
            peer,
            headers,
            query,
            body: Some(body),
            admission: None,
        }
    }

    /// Notes who was let in to the endpoint just now.
    pub(super) fn admitted(&mut self, endpoint: Endpoint, who: Identity) {
        self.admission = Some(Admission {
            endpoint,
            who,
            at: Instant::now(),
        });
    }

    /// The fields in the body.
    ///
    /// # Errors
    /// As [`Body::input`], and 403 for a sender who may not come in any more.
    pub(super) async fn input(&mut self, app: &App) -> Result<Input, Problem> {
        let input = self.take_body().input(&self.headers).await?;
        self.admit_again(app).await?;
        Ok(input)
    }

    /// The same with the file in a field, which goes again unless it is kept.
    ///
    /// # Errors
    /// As [`Body::with_file`], and 403 for a sender who may not come in any more.
    pub(super) async fn input_with_file(
        &mut self,
        app: &App,
        field: &str,
    ) -> Result<(Input, Option<Received>), Problem> {
        let body = self.take_body();
        let who = self.admission.as_ref().map(|admission| &admission.who);
        let user = who.map(|who| who.user_id).unwrap_or_default();
        let slot = || app.limits.uploads.slot(&self.peer, user);
        let wanted = Wanted {
            field,
            uploads: &app.uploads,
            slot: &slot,
        };
        let read = body.with_file(&self.headers, wanted).await?;
        self.admit_again(app).await?;
        Ok(read)
    }

    /// All of the body, at an endpoint that is open to everybody.
    ///
    /// # Errors
    /// As [`Body::bytes`].
    pub(super) async fn bytes(&mut self) -> Result<Bytes, Problem> {
        self.take_body().bytes().await
    }

    fn take_body(&mut self) -> Body {
        self.body.take().expect("a body is read once")
    }

    async fn admit_again(&mut self, app: &App) -> Result<(), Problem> {
        let Some(Admission { endpoint, who, at }) = &self.admission else {
            return Ok(());
        };
        if at.elapsed() < JUST_NOW {
            return Ok(());
        }
        let now = auth::identify(&app.auth, &self.peer, &self.headers).await?;
        if now.user_id == who.user_id && endpoint.admits(&self.method, now.role) {
            return Ok(());
        }
        Err(Problem::detail(StatusCode::FORBIDDEN, FORBIDDEN))
    }
}
