//! A change of password as people ask for it. Whether the old one is right is for others to say.

use super::{
    Errors, Input,
    registration::{self, required},
    strength,
};

/// A change in which nothing is wrong.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordChange {
    /// As typed.
    pub old: String,
    /// As typed; one that a new account could have.
    pub new: String,
}

/// Checks `input` of the user of this name and e-mail address.
///
/// # Errors
/// The messages of every field that is wrong.
pub fn parse(input: &Input, username: &str, email: &str) -> Result<PasswordChange, Errors> {
    let fields = input.fields()?;
    let mut errors = Errors::default();
    let old = required(&fields, OLD, &mut errors);
    let names = strength::names_of(username, email);
    let new = registration::password(&fields, "new_password", names, &mut errors);
    match (old, new) {
        (Some(old), Some(new)) => Ok(PasswordChange { old, new }),
        _ => Err(errors),
    }
}

/// That the old password is not the user's.
pub fn wrong() -> Errors {
    Errors::of(OLD, "Wrong password.")
}

const OLD: &str = "old_password";

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(body: Value) -> Result<(String, String), Value> {
        parse(&Input::json(body), "long-name", "jane.doe7@example.com")
            .map(|change| (change.old, change.new))
            .map_err(|errors| serde_json::to_value(errors).unwrap())
    }

    #[test]
    fn both_are_needed_and_the_new_one_follows_the_rules_of_new_accounts() {
        assert_eq!(
            check(json!({"old_password": " a ", "new_password": " Staple 8 "})),
            Ok((" a ".into(), " Staple 8 ".into()))
        );
        let required = ["This field is required."];
        assert_eq!(
            check(json!({})),
            Err(json!({"old_password": required, "new_password": required}))
        );
        let blank = ["This field may not be blank."];
        for password in ["", "  "] {
            let body = json!({"old_password": "a", "new_password": password});
            assert_eq!(check(body), Err(json!({"new_password": blank})));
        }
        for password in [
            "short",
            "password",
            "Long-Name",
            "Jane.Doe7",
            "JANE.doe7@example.com",
        ] {
            let body = json!({"old_password": "a", "new_password": password});
            assert!(check(body).is_err(), "{password}");
        }
        let long = json!({"old_password": "a", "new_password": "x".repeat(4097)});
        assert!(check(long).is_err());
        assert!(check(json!(["a", "b"])).is_err());
    }
}
