//! Answers: the one place where results, refusals and failures become status codes and JSON.

use std::{borrow::Cow, convert::Infallible, sync::Arc, time::Duration};

use futures_util::stream;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;
use warp::{
    Reply,
    http::{
        HeaderValue, Method, StatusCode,
        header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
    },
};

use crate::{
    auth::Refused,
    catalogue::List,
    error::Error,
    forms::Errors,
    limits::{SlotRefused, TooMany, UnderWay},
    request,
    uploads::Failure,
};

pub use warp::reply::Response;

/// Why a request is not answered as asked.
#[derive(Debug)]
pub enum Problem {
    /// `{"detail": ...}` for people.
    Detail(StatusCode, Cow<'static, str>),
    /// `{"error": ...}`, which a few endpoints have always said instead.
    Error(StatusCode, &'static str),
    /// Messages by field.
    Fields(Errors),
    /// The same for a page that shows only one message.
    Form(Errors),
    /// The endpoint does other things than this.
    Method {
        /// What was asked for.
        method: Method,
        /// What may be.
        allowed: &'static [Method],
    },
    /// Not now: there was too much of it.
    TooMany(TooMany),
    /// Not now: others have too much of it.
    Busy,
    /// A file could not be stored or fetched.
    Upload(Failure),
    /// A run was not started or cancelled.
    Run {
        /// The status.
        status: StatusCode,
        /// Why.
        error: String,
        /// The run that was noted all the same.
        run_id: Option<Uuid>,
    },
    /// Not the client's fault.
    Failed(Error),
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Database(error) => Self::Failed(error),
            other => Self::Upload(other),
        }
    }
}

impl From<SlotRefused> for Problem {
    fn from(refused: SlotRefused) -> Self {
        match refused {
            SlotRefused::Busy => Self::Upload(Failure::Busy),
            SlotRefused::TooMany(many) => Self::TooMany(many),
        }
    }
}

impl From<TooMany> for Problem {
    fn from(many: TooMany) -> Self {
        Self::TooMany(many)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Errors> for Problem {
    fn from(errors: Errors) -> Self {
        Self::Fields(errors)
    }
}

impl Reply for Refused {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            // Not 401: a browser would ask for a password in a window of its own.
            Refused::Denied(why) => Self::detail(StatusCode::FORBIDDEN, why),
            Refused::TooMany(many) => Self::TooMany(many),
            Refused::Busy => Self::Busy,
            Refused::Failed(error) => Self::Failed(error),
        }
    }
}

impl Problem {
    /// There is nothing at this path.
    pub const NOT_FOUND: Self = Self::Detail(StatusCode::NOT_FOUND, Cow::Borrowed("Not found."));

    /// `{"detail": ...}` for people.
    pub fn detail(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self::Detail(status, text.into())
    }

    /// The answer that says so.
    pub fn into_response(self) -> Response {
        match self {
            Self::Detail(status, text) => detail(status, &text),
            Self::Error(status, text) => json(status, &json!({ "error": text })),
            Self::Fields(errors) => json(StatusCode::BAD_REQUEST, &errors),
            Self::Form(errors) => json(StatusCode::BAD_REQUEST, &Form::from(&errors)),
            Self::Method { method, allowed } => {
                let text = format!("Method \"{method}\" not allowed.");
                let mut response = json(StatusCode::METHOD_NOT_ALLOWED, &json!({ "detail": text }));
                response.headers_mut().insert(ALLOW, allow(allowed));
                response
            }
            Self::TooMany(many) => too_many(&many.to_string(), many),
            Self::Busy => retry(detail(
                StatusCode::SERVICE_UNAVAILABLE,
                "The server is busy. Try again shortly.",
            )),
            Self::Upload(failure) => upload(&failure),
            Self::Run {
                status,
                error,
                run_id,
            } => {
                let mut body = json!({ "success": false, "error": error });
                if let Some(run_id) = run_id {
                    body["run_id"] = json!(run_id);
                }
                json(status, &body)
            }
            Self::Failed(error) => failed(&error),
        }
    }

    /// What is said to somebody who may edit sources: also what a function of the database says.
    pub fn to_editor(error: Error) -> Self {
        match error {
            Error::Rejected { said, all } => {
                tracing::warn!(error = all, "the database refused a change");
                Self::detail(StatusCode::CONFLICT, said)
            }
            error => Self::Failed(error),
        }
    }
}

/// A body of JSON.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let text = serde_json::to_vec(body).expect("replies have text keys and no fallible parts");
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A list that others are sent too. `under_way` is let go when all of it was taken, or nobody takes
/// it any more.
pub(super) fn list(list: Arc<List>, under_way: UnderWay) -> Response {
    let bytes = list.bytes();
    let pieces = stream::iter((0..).map_while(move |at| {
        let _under_way = &under_way;
        list.piece(at).map(Ok::<_, Infallible>)
    }));
    let mut response = warp::reply::stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, bytes.into());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// `{"detail": ...}` for people; with the request's id where it is not their doing, or not theirs
/// alone, so that they can tell whom they ask. Other answers have it in the header only, because
/// frontends know their bodies as they are.
pub fn detail(status: StatusCode, text: &str) -> Response {
    if status.is_server_error() || HAVE_ID.contains(&status) {
        let id = request::Id::current().to_string();
        json(status, &json!({ "detail": text, "request_id": id }))
    } else {
        json(status, &json!({ "detail": text }))
    }
}

/// Refusals whose bodies have the request's id.
const HAVE_ID: [StatusCode; 3] = [
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::CONFLICT,
    StatusCode::PAYLOAD_TOO_LARGE,
];

/// Not now. `error` beside `detail` is what the frontend's pages show.
pub fn too_many(text: &str, many: TooMany) -> Response {
    let id = request::Id::current().to_string();
    let body = json!({ "detail": text, "error": text, "request_id": id });
    let mut response = json(StatusCode::TOO_MANY_REQUESTS, &body);
    response
        .headers_mut()
        .insert(RETRY_AFTER, many.seconds().into());
    response
}

/// No body.
pub(super) fn empty() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// What may be done, to somebody who asks just that.
pub(super) fn options(methods: &[Method]) -> Response {
    let mut response = empty();
    response.headers_mut().insert(ALLOW, allow(methods));
    response
}

/// How long a client had better wait before it tries again.
const RETRY: Duration = Duration::from_secs(1);

/// The answer; where it is 503, it says when to ask again.
fn retry(mut response: Response) -> Response {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(RETRY_AFTER, RETRY.as_secs().into());
    }
    response
}

/// What is said when another transaction held a lock for too long.
const LOCKED: &str =
    "Another transaction is changing the same row. Nothing was saved; please try again.";
/// What is said when other transactions won again and again.
const CONFLICT: &str = "Conflict with another change. Nothing was saved; please try again.";

/// What is said when a trigger kept a row from being written.
pub const SUPPRESSED: &str =
    "Nothing was saved: a trigger of the database keeps this row from being written.";

/// Every failure's status, once.
fn failed(error: &Error) -> Response {
    let (status, text) = match error {
        Error::Unavailable(_) | Error::Refused(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "The database is not available at the moment.",
        ),
        Error::Locked(_) => (StatusCode::SERVICE_UNAVAILABLE, LOCKED),
        Error::Conflict(_) => (StatusCode::SERVICE_UNAVAILABLE, CONFLICT),
        Error::Full(_) => (
            StatusCode::INSUFFICIENT_STORAGE,
            "The database has no space left.",
        ),
        Error::Constraint(_) => (StatusCode::CONFLICT, "The change violates a constraint."),
        Error::Value(_) => (StatusCode::BAD_REQUEST, "A value cannot be stored."),
        // Who may know what the function says is told by who asked the database.
        Error::Rejected { .. } => (StatusCode::CONFLICT, "The database refuses the change."),
        Error::Suppressed(_) => (StatusCode::CONFLICT, SUPPRESSED),
        Error::Unreadable(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "A stored row cannot be read. The log says which one.",
        ),
        Error::Forbidden(_) | Error::Database(_) | Error::Config(_) | Error::Start(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "Internal error.")
        }
    };
    if matches!(error, Error::Rejected { .. } | Error::Suppressed(_)) {
        // Nobody but the log is told all of it.
        tracing::warn!(%error, %status, "the database refused a change");
    } else if status.is_server_error() {
        tracing::error!(%error, %status, "request failed");
    } else {
        tracing::debug!(%error, %status, "request refused");
    }
    retry(detail(status, text))
}

/// Every failure of an upload, once.
fn upload(failure: &Failure) -> Response {
    let (status, text) = match failure {
        Failure::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The file is too large."),
        Failure::NotFound => (StatusCode::NOT_FOUND, "Not found."),
        Failure::Busy => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many files are being uploaded at the moment.",
        ),
        Failure::Unavailable(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "The store of uploaded files is not available at the moment.",
        ),
        Failure::Full(_) => (
            StatusCode::INSUFFICIENT_STORAGE,
            "The store of uploaded files has no space left.",
        ),
        Failure::Database(error) => return failed(error),
    };
    // The log has a line for each outage of the store; this one says whose request it was.
    tracing::debug!(%failure, %status, "an upload failed");
    retry(detail(status, text))
}

fn allow(methods: &[Method]) -> HeaderValue {
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    HeaderValue::from_str(&names.join(", ")).expect("names of methods are plain text")
}

/// Field errors with one message in words beside them.
#[derive(Serialize)]
struct Form<'a> {
    #[serde(flatten)]
    fields: &'a Errors,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl<'a> From<&'a Errors> for Form<'a> {
    fn from(fields: &'a Errors) -> Self {
        let error = fields.first().map(|(field, message)| match field {
            "non_field_errors" => message.to_owned(),
            _ => format!("{}: {message}", field.replace('_', " ")),
        });
        Self { fields, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_failure_has_its_status_and_shows_nothing_of_its_cause() {
        const CAUSE: &str = "relation users of db.internal";
        let cause = || CAUSE.to_owned();
        for (error, status) in [
            (Error::Unavailable(cause()), 503),
            (Error::Refused(cause()), 503),
            (Error::Locked(cause()), 503),
            (Error::Forbidden(cause()), 500),
            (Error::Conflict(cause()), 503),
            (Error::Full(cause()), 507),
            (Error::Constraint(cause()), 409),
            (Error::Value(cause()), 400),
            (Error::Suppressed("sources"), 409),
            (Error::Unreadable(cause()), 500),
            (Error::Start(cause()), 500),
        ] {
            let response = Problem::from(error).into_response();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers().contains_key(RETRY_AFTER), status == 503);
            let body = http_body_util::BodyExt::collect(response.into_body());
            let body = body.await.unwrap().to_bytes();
            let body = String::from_utf8_lossy(&body);
            assert!(
                !body.contains("relation") && body.contains("detail"),
                "{body}"
            );
        }
    }

    #[test]
    fn a_form_gets_one_message_in_words_too() {
        let form = |field| {
            let errors = Errors::of(field, "No.");
            serde_json::to_value(Form::from(&errors)).unwrap()
        };
        assert_eq!(
            form("confirm_password"),
            json!({"confirm_password": ["No."], "error": "confirm password: No."})
        );
        assert_eq!(
            form("non_field_errors"),
            json!({"non_field_errors": ["No."], "error": "No."})
        );
    }
}
