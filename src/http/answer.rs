//! Answers as types: each knows its status and its body, for the client and for the API document.

use std::marker::PhantomData;

use serde::Serialize;
use utoipa::ToSchema;
use warp::http::{HeaderValue, StatusCode, header::SET_COOKIE};

use super::documents::description::Description;
use crate::reply::{self, Response};

/// What a handler answers.
pub(super) trait Answer {
    /// Adds the answer to an operation's documentation.
    fn describe(description: &mut Description);

    fn into_response(self) -> Response;
}

/// An answer that the table of routes describes.
impl Answer for Response {
    fn describe(_: &mut Description) {}

    fn into_response(self) -> Response {
        self
    }
}

/// A body of JSON.
pub(super) struct Json<T, const STATUS: u16 = 200> {
    response: Response,
    body: PhantomData<fn() -> T>,
}

/// The new row.
pub(super) type Created<T> = Json<T, 201>;

impl<T, const STATUS: u16> Json<T, STATUS> {
    /// The answer with a body that is a `T`, but for what it borrows from a row.
    pub(super) fn render(body: &impl Serialize) -> Self {
        let status = StatusCode::from_u16(STATUS).unwrap_or_default();
        Self {
            response: reply::json(status, body),
            body: PhantomData,
        }
    }
}

impl<T: Serialize, const STATUS: u16> Json<T, STATUS> {
    pub(super) fn new(body: &T) -> Self {
        Self::render(body)
    }
}

impl<T: ToSchema, const STATUS: u16> Answer for Json<T, STATUS> {
    fn describe(description: &mut Description) {
        description.answers_with::<T>(STATUS);
    }

    fn into_response(self) -> Response {
        self.response
    }
}

/// A list in JSON.
pub(super) struct JsonList<T>(Json<T>);

impl<T> JsonList<T> {
    /// The answer with items that are `T`s, but for what they borrow from rows.
    pub(super) fn render(items: &impl Serialize) -> Self {
        Self(Json::render(items))
    }
}

impl<T: ToSchema> Answer for JsonList<T> {
    fn describe(description: &mut Description) {
        description.answers_with_list::<T>();
    }

    fn into_response(self) -> Response {
        self.0.response
    }
}

/// No body.
pub(super) struct Empty;

impl Answer for Empty {
    fn describe(description: &mut Description) {
        description.answers_without_body();
    }

    fn into_response(self) -> Response {
        reply::empty()
    }
}

/// An answer that sets cookies.
pub(super) struct WithCookies<A> {
    pub(super) answer: A,
    pub(super) cookies: Vec<HeaderValue>,
}

impl<A: Answer> Answer for WithCookies<A> {
    fn describe(description: &mut Description) {
        A::describe(description);
    }

    fn into_response(self) -> Response {
        let mut response = self.answer.into_response();
        for cookie in self.cookies {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        response
    }
}
