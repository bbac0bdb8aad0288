//! A request to an endpoint. Its body is read once, and then whoever sent it is asked again who they are:
//! a body may take half an hour, and its sender may have been disabled meanwhile.

use std::time::{Duration, Instant};

use bytes::Bytes;
use warp::http::{HeaderMap, Method, StatusCode};

use super::body::{Body, Wanted};
use crate::{
    app::App,
    auth::{self, Identity, access::Access, role::FORBIDDEN},
    forms::Input,
    peer::Peer,
    reply::Problem,
    uploads::Received,
};

/// Who they are is still true after this time.
const JUST_NOW: Duration = Duration::from_millis(100);

/// All of a request but its body.
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) peer: Peer,
    /// Whether it names a host that is none of this server's.
    pub(super) is_misdirected: bool,
    pub(super) headers: HeaderMap,
    /// What follows the question mark.
    pub(super) query: String,
}

/// A request, with the body that is not read yet. It dereferences to its [`Head`].
pub(super) struct Request {
    pub(super) head: Head,
    body: Option<Body>,
    admission: Option<Admission>,
}

impl std::ops::Deref for Request {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

/// Who was admitted, for what, and when.
struct Admission {
    access: Access,
    who: Identity,
    at: Instant,
}

impl Request {
    /// A request of somebody who is not admitted yet.
    pub(super) fn new(head: Head, body: Body) -> Self {
        Self {
            head,
            body: Some(body),
            admission: None,
        }
    }

    /// Notes who was admitted just now.
    pub(super) fn admitted(&mut self, access: Access, who: Identity) {
        self.admission = Some(Admission {
            access,
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
        let head = &self.head;
        let who = self.admission.as_ref().map(|admission| &admission.who);
        let user = who.map(|who| who.user_id).unwrap_or_default();
        let slot = || app.limits.uploads.slot(&head.peer, user);
        let wanted = Wanted {
            field,
            uploads: &app.uploads,
            slot: &slot,
        };
        let read = body.with_file(&head.headers, wanted).await?;
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
        let Some(Admission { access, who, at }) = &self.admission else {
            return Ok(());
        };
        if at.elapsed() < JUST_NOW {
            return Ok(());
        }
        let now = auth::identify(&app.auth, &self.peer, &self.headers).await?;
        if now.user_id == who.user_id && access.admits(now.role) {
            return Ok(());
        }
        Err(Problem::detail(StatusCode::FORBIDDEN, FORBIDDEN))
    }
}
