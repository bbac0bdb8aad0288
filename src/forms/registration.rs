//! An account as people ask for it. Whether the name is free is for the table to say.

use super::{Emptiness, Errors, Fields, Input, REQUIRED, strength, text};
use crate::names;

/// A request for an account in which nothing is wrong.
#[derive(Clone, PartialEq, Eq)]
pub struct Registration {
    /// What will be typed to sign in.
    pub username: String,
    /// May be empty.
    pub email: String,
    /// As typed, spaces included.
    pub password: String,
}

/// A request for an account, checked as far as that is possible without the table.
pub struct Draft {
    username: Option<String>,
    email: String,
    passwords: Option<(String, String)>,
    errors: Errors,
}

/// An account that an operator makes for somebody.
///
/// # Errors
/// The messages of every field that is wrong.
pub fn new(
    username: &str,
    email: &str,
    password: &str,
    taken: bool,
) -> Result<Registration, Errors> {
    let body = serde_json::json!({
        "username": username,
        "email": email,
        "password": password,
        "confirm_password": password,
    });
    parse(&Input::json(body))?.finish(taken)
}

/// What is wrong with such an account before its password is known.
///
/// # Errors
/// The messages of every field that is wrong.
pub fn check_name(username: &str, email: &str, taken: bool) -> Result<(), Errors> {
    let body = serde_json::json!({ "username": username, "email": email });
    let body = Input::json(body);
    let fields = body.fields()?;
    let mut errors = Errors::default();
    let _ = self::username(&fields, &mut errors);
    let _ = self::email(&fields, &mut errors);
    if taken {
        errors.add("username", vec![TAKEN.into()]);
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

/// A password that an operator gives to the user of this name and e-mail address.
///
/// # Errors
/// The messages of what is wrong with it.
pub fn new_password(username: &str, email: &str, password: &str) -> Result<String, Errors> {
    let body = Input::json(serde_json::json!({ "password": password }));
    let mut errors = Errors::default();
    let names = strength::names_of(username, email);
    let password = self::password(&body.fields()?, "password", names, &mut errors);
    password.ok_or(errors)
}

/// Checks `input`.
///
/// # Errors
/// When it is no object.
pub fn parse(input: &Input) -> Result<Draft, Errors> {
    let fields = input.fields()?;
    let mut errors = Errors::default();
    let username = username(&fields, &mut errors);
    let email = email(&fields, &mut errors);
    let names = strength::names_of(username.as_deref().unwrap_or_default(), &email);
    let password = password(&fields, "password", names, &mut errors);
    let confirmation = password_again(&fields, &mut errors);
    Ok(Draft {
        username,
        email,
        passwords: password.zip(confirmation),
        errors,
    })
}

impl Draft {
    /// The name whose being free is in question, unless it is wrong in itself.
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The registration, once it is known whether the name is taken.
    ///
    /// # Errors
    /// The messages of every field that is wrong.
    pub fn finish(mut self, taken: bool) -> Result<Registration, Errors> {
        if taken {
            self.errors.add("username", vec![TAKEN.into()]);
        }
        match (self.username, self.passwords) {
            (Some(username), Some((password, again))) if self.errors.is_empty() => {
                if password != again {
                    return Err(Errors::of(super::WHOLE, "Passwords do not match."));
                }
                Ok(Registration {
                    username,
                    email: self.email,
                    password,
                })
            }
            _ => Err(self.errors),
        }
    }
}

/// What is said of a name that somebody has.
const TAKEN: &str = "A user with that username already exists.";

/// That the name was taken a moment later.
pub fn taken() -> Errors {
    Errors::of("username", TAKEN)
}

const REQUIRED_TEXT: Emptiness = Emptiness {
    required: true,
    nullable: false,
    blank: false,
};

fn username(fields: &Fields<'_>, errors: &mut Errors) -> Option<String> {
    const NAME: &str = "username";
    let name = required(fields, NAME, errors)?;
    let name = text::strip(&name);
    if name.is_empty() {
        errors.add(NAME, vec![text::BLANK.into()]);
        return None;
    }
    let mut messages = Vec::new();
    let may_stand = |c: char| c.is_alphanumeric() && !names::is_invisible(c) || "@.+-_".contains(c);
    if !name.chars().all(may_stand) {
        messages.push(
            "Enter a valid username. This value may contain only letters, numbers, and \
             @/./+/-/_ characters."
                .into(),
        );
    }
    messages.extend(text::refusals(name, 150));
    if messages.is_empty() {
        return Some(name.to_owned());
    }
    errors.add(NAME, messages);
    None
}

fn email(fields: &Fields<'_>, errors: &mut Errors) -> String {
    const NAME: &str = "email";
    let empty = Emptiness {
        required: false,
        nullable: false,
        blank: true,
    };
    let Some(value) = fields.value(NAME, empty) else {
        return String::new();
    };
    let Some(address) = errors.keep(NAME, text::any(&value)) else {
        return String::new();
    };
    let address = text::strip(&address);
    let mut messages = text::refusals(address, 254);
    if !address.is_empty() && !is_address(address) {
        messages.push("Enter a valid email address.".into());
    }
    if messages.is_empty() {
        return address.to_owned();
    }
    errors.add(NAME, messages);
    String::new()
}

/// A new password of somebody with these names. It is taken as typed.
pub(super) fn password(
    fields: &Fields<'_>,
    name: &'static str,
    names: [&str; 3],
    errors: &mut Errors,
) -> Option<String> {
    let password = typed(fields, name, errors)?;
    let messages = strength::refusals(&password, &names);
    if messages.is_empty() {
        return Some(password);
    }
    errors.add(name, messages);
    None
}

/// Only compared with the password.
fn password_again(fields: &Fields<'_>, errors: &mut Errors) -> Option<String> {
    typed(fields, "confirm_password", errors)
}

/// A password as typed; one of spaces alone is none.
fn typed(fields: &Fields<'_>, name: &'static str, errors: &mut Errors) -> Option<String> {
    let password = required(fields, name, errors)?;
    if text::strip(&password).is_empty() {
        errors.add(name, vec![text::BLANK.into()]);
        return None;
    }
    let messages = text::refusals(&password, MAX_PASSWORD);
    if messages.is_empty() {
        return Some(password);
    }
    errors.add(name, messages);
    None
}

/// In characters; longer ones only cost time to hash.
const MAX_PASSWORD: usize = 4096;

/// The text of a field that must be there, as typed.
pub(super) fn required(
    fields: &Fields<'_>,
    name: &'static str,
    errors: &mut Errors,
) -> Option<String> {
    let Some(value) = fields.value(name, REQUIRED_TEXT) else {
        errors.add(name, vec![REQUIRED.into()]);
        return None;
    };
    errors.keep(name, text::any(&value))
}

/// Longest address that is looked at.
const MAX_ADDRESS: usize = 320;

/// Whether this could be an address on the internet: a name of printable words with single dots,
/// and a host of at least two labels (or `localhost`).
fn is_address(address: &str) -> bool {
    if address.chars().count() > MAX_ADDRESS {
        return false;
    }
    let Some((name, host)) = address.rsplit_once('@') else {
        return false;
    };
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~-".contains(c))
    };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let labels: Vec<&str> = host.split('.').collect();
    let is_host = labels.len() > 1
        && labels.iter().all(|label| is_label(label))
        && labels.last().is_some_and(|last| last.len() > 1);
    name.split('.').all(is_word) && (is_host || host.eq_ignore_ascii_case("localhost"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(body: Value, taken: bool) -> Result<Registration, Value> {
        parse(&Input::json(body))
            .and_then(|draft| draft.finish(taken))
            .map_err(|errors| serde_json::to_value(errors).unwrap())
    }

    fn with(name: &str, value: Value) -> Value {
        let mut body =
            json!({"username": "ann", "password": "Staple-8", "confirm_password": "Staple-8"});
        body[name] = value;
        body
    }

    #[test]
    fn a_good_one_is_taken_as_it_is() {
        let body = json!({"username": " a.b@c+d-zoé_ ", "email": "a@b.co",
            "password": " Staple 8 ", "confirm_password": " Staple 8 "});
        let Ok(registration) = check(body, false) else {
            panic!("must be accepted");
        };
        assert_eq!(registration.username, "a.b@c+d-zoé_");
        assert_eq!(registration.email, "a@b.co");
        assert_eq!(registration.password, " Staple 8 ");
        for body in [with("email", json!("")), with("username", json!(42))] {
            assert!(check(body, false).is_ok());
        }
    }

    #[test]
    fn what_is_missing_is_named_together() {
        let required = ["This field is required."];
        assert_eq!(
            check(json!({}), false).err(),
            Some(json!({"username": required, "password": required, "confirm_password": required}))
        );
    }

    #[test]
    fn each_field_has_its_messages() {
        let characters = "Enter a valid username. This value may contain only letters, numbers, \
            and @/./+/-/_ characters.";
        let null = "This field may not be null.";
        let blank = "This field may not be blank.";
        for (name, value, messages) in [
            ("username", json!(null), vec![null]),
            ("username", json!("  "), vec![blank]),
            ("username", json!([]), vec!["Not a valid string."]),
            ("username", json!("has space"), vec![characters]),
            ("username", json!("ann\u{3164}"), vec![characters]),
            ("username", json!("ann\u{200b}"), vec![characters]),
            ("username", json!("\u{202e}nna"), vec![characters]),
            (
                "username",
                json!("x".repeat(151)),
                vec!["Ensure this field has no more than 150 characters."],
            ),
            (
                "username",
                json!("a\0"),
                vec![characters, "Null characters are not allowed."],
            ),
            ("password", json!(null), vec![null]),
            ("password", json!("  "), vec![blank]),
            (
                "password",
                json!("short-7"),
                vec!["Use at least 8 characters."],
            ),
            (
                "password",
                json!("Password1"),
                vec!["Many people use this password. Choose another one."],
            ),
            ("confirm_password", json!(""), vec![blank]),
            ("email", json!(null), vec![null]),
            (
                "email",
                json!("not-an-email"),
                vec!["Enter a valid email address."],
            ),
            (
                "email",
                json!(format!("{}@example.com", "x".repeat(250))),
                vec!["Ensure this field has no more than 254 characters."],
            ),
        ] {
            assert_eq!(
                check(with(name, value.clone()), false).err(),
                Some(json!({name: messages})),
                "{name} {value}"
            );
        }
    }

    #[test]
    fn a_taken_name_and_different_passwords() {
        let taken = json!({"username": ["A user with that username already exists."]});
        assert_eq!(check(with("zz", json!(1)), true).err(), Some(taken));
        assert_eq!(
            check(with("confirm_password", json!("other")), false).err(),
            Some(json!({"non_field_errors": ["Passwords do not match."]}))
        );
    }

    #[test]
    fn an_operator_may_give_a_password_to_somebody_whose_name_nobody_could_have_now() {
        let new = |password| new_password("has space", "jane.doe7@example.com", password);
        assert!(new("Staple-8").is_ok());
        for password in [
            "",
            "short",
            "password",
            "Has Space",
            "Jane.Doe7",
            "jane.doe7@example.com",
        ] {
            assert!(new(password).is_err(), "{password}");
        }
        assert!(check_name("ann", "", false).is_ok());
        assert!(check_name("ann", "", true).is_err());
        assert!(check_name("has space", "", false).is_err());
    }

    #[test]
    fn addresses() {
        for good in [
            "a@b.co",
            "a.b+c@d-e.example",
            "a@localhost",
            "a@bücher.example",
        ] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "a",
            "@b.co",
            "a@",
            "a@b",
            "a..b@c.de",
            "a b@c.de",
            "a@-b.de",
            "a@b..de",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
