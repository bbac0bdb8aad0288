//! The refusals that every operation may answer with, as the API document describes them.

use std::collections::BTreeMap;

use utoipa::openapi::{
    ContentBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Type,
    header::HeaderBuilder,
};

/// Why a request was not answered as asked, by status: names the answer and says why.
const REFUSALS: [(u16, &str, &str); 14] = [
    (304, "NotModified", "Not modified"),
    (400, "Invalid", "The body or a parameter is invalid"),
    (
        403,
        "Forbidden",
        "Not signed in, or the role or the origin is not allowed",
    ),
    (404, "NotFound", "Not found"),
    (408, "TooSlow", "The body did not arrive in time"),
    (409, "Conflict", "The current state does not allow this"),
    (413, "TooLarge", "The body is too large"),
    (415, "UnknownType", "The content type is not supported"),
    (
        421,
        "Misdirected",
        "The request was sent to a host that is not in `ALLOWED_HOSTS`",
    ),
    (429, "TooMany", "Rate limit exceeded; see Retry-After"),
    (500, "Failed", "Internal error of the server"),
    (
        502,
        "ClusterFailed",
        "EMR refuses the call or does not answer",
    ),
    (
        503,
        "Unavailable",
        "The database cannot be reached, or a required setting is missing",
    ),
    (507, "Full", "The database has no space left"),
];

/// The name of a refusal in the document.
///
/// # Panics
/// Where the status is not in the list.
pub(super) fn name(status: u16) -> &'static str {
    let mut refusals = REFUSALS.into_iter();
    let found = refusals.find(|(refusal, ..)| *refusal == status);
    found
        .expect("the table of routes names listed statuses only")
        .1
}

/// All of them, by name.
pub(super) fn responses() -> BTreeMap<String, RefOr<Response>> {
    let mut refusals = BTreeMap::new();
    for (status, name, why) in REFUSALS {
        let mut response = ResponseBuilder::new().description(why);
        if status != 304 {
            let problem = Ref::from_schema_name("Problem");
            let content = ContentBuilder::new().schema(Some(problem)).build();
            response = response.content("application/json", content);
        }
        if status == 429 {
            let seconds = ObjectBuilder::new().schema_type(Type::Integer);
            let header = HeaderBuilder::new()
                .schema(Some(seconds))
                .description(Some("In seconds"));
            response = response.header("Retry-After", header.build());
        }
        refusals.insert(name.to_owned(), response.build().into());
    }
    refusals
}
