//! What a path does with some methods: who may use it, its handler and its documentation, stated once.

use std::{future::Future, ops::Deref, pin::Pin};

use uuid::Uuid;
use warp::http::{Method, StatusCode};

use super::{answer::Answer, documents::description::Description, request::Request, route::id};
use crate::{
    app::App,
    auth::{Identity, access::Access, role::FORBIDDEN},
    reply::{Problem, Response},
};

/// A request to an operation: who sends it, and the parts of its path that vary.
pub(super) struct Call<W, P = ()> {
    pub(super) app: App,
    /// Who sends it.
    pub(super) who: W,
    /// The parts of the path that vary.
    pub(super) parts: P,
    pub(super) request: Request,
}

/// Who sends a request. A handler names the type that it needs, which says who may call it.
pub(super) trait Caller: Sized + Send + 'static {
    /// Who may call.
    const ACCESS: Access;

    /// The caller; none where a user is needed and there is none.
    fn new(user: Option<Identity>) -> Option<Self>;
}

/// Anybody.
pub(super) struct Public;

impl Caller for Public {
    const ACCESS: Access = Access::Public;

    fn new(_: Option<Identity>) -> Option<Self> {
        Some(Self)
    }
}

/// An operator: see [`Access::Operator`].
pub(super) struct Operator;

impl Caller for Operator {
    const ACCESS: Access = Access::Operator;

    fn new(_: Option<Identity>) -> Option<Self> {
        Some(Self)
    }
}

macro_rules! users {
    ($($(#[$doc:meta])* $name:ident),*) => {$(
        $(#[$doc])*
        pub(super) struct $name(pub(super) Identity);

        impl Caller for $name {
            const ACCESS: Access = Access::$name;

            fn new(user: Option<Identity>) -> Option<Self> {
                user.map(Self)
            }
        }

        impl Deref for $name {
            type Target = Identity;

            fn deref(&self) -> &Identity {
                &self.0
            }
        }
    )*};
}

users! {
    /// Any user.
    Viewer,
    /// A user who may change sources and start runs.
    Editor,
    /// A user who may manage users.
    Admin
}

/// The parts of a path that vary, as a handler needs them.
pub(super) trait PathParts: Sized + Send + 'static {
    /// Reads the parts, in the order of the path.
    fn new(parts: &[&str]) -> Option<Self>;
}

impl PathParts for () {
    fn new(_: &[&str]) -> Option<Self> {
        Some(())
    }
}

impl PathParts for Uuid {
    fn new(parts: &[&str]) -> Option<Self> {
        id(parts.first()?)
    }
}

impl PathParts for [String; 2] {
    fn new(parts: &[&str]) -> Option<Self> {
        let [first, second] = parts else {
            return None;
        };
        Some([first, second].map(|part| String::from(*part)))
    }
}

/// An async function that answers a [`Call`].
pub(super) trait Handler<W, P, A>:
    Fn(Call<W, P>) -> Self::Answering + Copy + Send + Sync + 'static
{
    type Answering: Future<Output = Result<A, Problem>> + Send + 'static;
}

impl<W, P, A, H, F> Handler<W, P, A> for H
where
    H: Fn(Call<W, P>) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Result<A, Problem>> + Send + 'static,
{
    type Answering = F;
}

type Handled = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;
type Handle = Box<dyn Fn(App, Option<Identity>, &[&str], Request) -> Handled + Send + Sync>;

/// What a path does with some methods.
pub(super) struct Operation {
    pub(super) methods: &'static [Method],
    pub(super) access: Access,
    pub(super) description: Description,
    /// Whether the handler itself limits how many of its answers a user takes at once.
    pub(super) limits_itself: bool,
    handle: Handle,
}

impl Operation {
    /// `id` names the operation in the API document; `summary` says what it does.
    pub(super) fn new<W: Caller, P: PathParts, A: Answer>(
        methods: &'static [Method],
        id: &'static str,
        summary: &'static str,
        handler: impl Handler<W, P, A>,
    ) -> Self {
        let mut description = Description::new(id, summary);
        A::describe(&mut description);
        Self {
            methods,
            access: W::ACCESS,
            description,
            limits_itself: false,
            handle: Box::new(move |app, user, parts, request| {
                let (Some(who), Some(parts)) = (W::new(user), P::new(parts)) else {
                    return Box::pin(std::future::ready(Err(Problem::detail(
                        StatusCode::FORBIDDEN,
                        FORBIDDEN,
                    ))));
                };
                let call = Call {
                    app,
                    who,
                    parts,
                    request,
                };
                Box::pin(async move { Ok(handler(call).await?.into_response()) })
            }),
        }
    }

    /// Answers a request of `user`, who has been admitted.
    pub(super) fn answer(
        &self,
        app: App,
        user: Option<Identity>,
        parts: &[&str],
        request: Request,
    ) -> Handled {
        (self.handle)(app, user, parts, request)
    }

    /// The handler itself limits how many of its answers a user takes at once.
    pub(super) fn limits_itself(mut self) -> Self {
        self.limits_itself = true;
        self
    }

    /// Adds to the documentation.
    pub(super) fn described(mut self, by: impl FnOnce(Description) -> Description) -> Self {
        self.description = by(self.description);
        self
    }
}

/// An operation that reads. HEAD works wherever GET does.
pub(super) fn get<W: Caller, P: PathParts, A: Answer>(
    id: &'static str,
    summary: &'static str,
    handler: impl Handler<W, P, A>,
) -> Operation {
    Operation::new(&[Method::GET, Method::HEAD], id, summary, handler)
}

/// An operation by POST.
pub(super) fn post<W: Caller, P: PathParts, A: Answer>(
    id: &'static str,
    summary: &'static str,
    handler: impl Handler<W, P, A>,
) -> Operation {
    Operation::new(&[Method::POST], id, summary, handler)
}
