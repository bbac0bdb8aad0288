//! Messages as clients write them: JSON objects that name an action.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{error::Error, forms::json, reply::SUPPRESSED, request};

/// The object that a message is.
///
/// # Errors
/// What it is instead, for people.
pub(super) fn object(text: &str) -> Result<Map<String, Value>, &'static str> {
    match json::parse(text.as_bytes()) {
        Ok(Value::Object(message)) => Ok(message),
        Ok(_) => Err("the message is not a JSON object"),
        Err(_) => Err("the message is not JSON"),
    }
}

/// The action that a message asks for.
pub(super) fn action(message: &Map<String, Value>) -> &str {
    message
        .get("action")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The source that a message is about, when `source_id` is an id.
pub(super) fn source_id(message: &Map<String, Value>) -> Option<Uuid> {
    Uuid::try_parse(message.get("source_id")?.as_str()?).ok()
}

/// What an editor is told when the database could not do it.
pub(super) fn failure(error: &Error) -> &str {
    match error {
        Error::Full(_) => "The database has no space left. Nothing was saved.",
        Error::Locked(_) => "Another change of this is not finished yet. Nothing was saved.",
        Error::Conflict(_) => "Other changes were in the way. Nothing was saved. Please try again.",
        Error::Constraint(_) => "The change violates a constraint. Nothing was saved.",
        Error::Value(_) => "A value cannot be stored. Nothing was saved.",
        Error::Rejected { said, .. } => said,
        Error::Suppressed(_) => SUPPRESSED,
        Error::Unreadable(_) => "A stored row cannot be read. The log says which one.",
        Error::Forbidden(_) | Error::Database(_) | Error::Config(_) | Error::Start(_) => {
            "Internal error."
        }
        Error::Unavailable(_) | Error::Refused(_) => {
            "The database is not available at the moment. Please try again."
        }
    }
}

/// The id to name when asking somebody about a failure.
pub(super) fn request_id() -> String {
    request::Id::current().to_string()
}

/// Whether a value says that there is none, in any of the ways scripts have for that.
pub(super) fn is_nothing(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => true,
        Some(Value::Number(number)) => number.as_f64() == Some(0.0),
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(fields)) => fields.is_empty(),
        Some(Value::Bool(true)) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json as value;

    use super::*;

    #[test]
    fn scripts_have_many_ways_to_say_nothing() {
        assert!(is_nothing(None));
        for (given, expected) in [
            (value!(null), true),
            (value!(false), true),
            (value!(0), true),
            (value!(""), true),
            (value!([]), true),
            (value!({}), true),
            (value!(1), false),
            (value!("qc"), false),
            (value!(true), false),
            (value!([0]), false),
        ] {
            assert_eq!(is_nothing(Some(&given)), expected, "{given}");
        }
    }
}
