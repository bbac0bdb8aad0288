//! What an admin changes of somebody's account. Whether that may be is for the table to say.

use serde_json::Value;

use super::{Emptiness, Errors, Input, text};
use crate::db::users::{Change, Role};

const OPTIONAL: Emptiness = Emptiness {
    required: false,
    nullable: false,
    blank: false,
};

/// Checks `input`; what is left out stays as it is.
///
/// # Errors
/// The messages of every field that is wrong.
pub fn parse(input: &Input) -> Result<Change, Errors> {
    let fields = input.fields()?;
    let mut errors = Errors::default();
    let change = Change {
        role: fields
            .value("role", OPTIONAL)
            .and_then(|value| errors.keep("role", role(&value))),
        is_active: fields
            .value("is_active", OPTIONAL)
            .and_then(|value| errors.keep("is_active", flag(&value))),
    };
    if errors.is_empty() {
        Ok(change)
    } else {
        Err(errors)
    }
}

fn role(value: &Value) -> Result<Role, Vec<String>> {
    let name = text::any(value)?;
    name.parse()
        .map_err(|_| vec![format!("\"{name}\" is not a valid choice.")])
}

fn flag(value: &Value) -> Result<bool, Vec<String>> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Value::Null => Err(vec!["This field may not be null.".into()]),
        _ => Err(vec!["Must be a valid boolean.".into()]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_out_stays_and_what_is_wrong_is_named() {
        let check = |body| {
            parse(&Input::json(body)).map_err(|errors| serde_json::to_value(errors).unwrap())
        };
        assert_eq!(check(json!({"username": "x"})), Ok(Change::default()));
        let both = Change {
            role: Some(Role::Viewer),
            is_active: Some(false),
        };
        for off in [json!(false), json!("False")] {
            assert_eq!(check(json!({"role": "viewer", "is_active": off})), Ok(both));
        }
        assert_eq!(
            check(json!({"role": "Admin", "is_active": 0})),
            Err(json!({
                "role": ["\"Admin\" is not a valid choice."],
                "is_active": ["Must be a valid boolean."],
            }))
        );
        let nothing = ["This field may not be null."];
        assert_eq!(
            check(json!({"role": null, "is_active": null})),
            Err(json!({"role": nothing, "is_active": nothing}))
        );
    }
}
