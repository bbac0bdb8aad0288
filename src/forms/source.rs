//! A source as people send it: which fields it takes and what each may hold. Produces the change to
//! store; derived columns are never part of it.

use jiff::civil::Date;
use serde_json::Value;

use super::{Emptiness, Errors, Fields, Input, REQUIRED, text};
use crate::db::sources::{AUTHOR, Change, FIELDS, FieldValue, Kind, NEXT_UPDATE, STATUS, UPLOAD};

/// What the change is for; the ways in differ a little in what they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A new source over HTTP.
    Add,
    /// A full update over HTTP: only who made it must be named, the rest may be left out.
    Replace,
    /// A partial update over HTTP.
    Patch,
    /// A new source over a socket.
    SocketAdd,
    /// An update over a socket.
    SocketUpdate,
}

impl Mode {
    fn needs_author(self) -> bool {
        self != Self::Patch
    }

    fn is_socket(self) -> bool {
        matches!(self, Self::SocketAdd | Self::SocketUpdate)
    }

    /// Whether `next_update` may also be a word for "none".
    fn takes_words(self) -> bool {
        self != Self::Add
    }
}

/// The change that `input` asks for.
///
/// # Errors
/// The messages of every field that is wrong.
pub fn parse(input: &Input, mode: Mode) -> Result<Change, Errors> {
    let sent = input.fields()?;
    let mut errors = Errors::default();
    let mut change = Change::default();
    for field in FIELDS {
        if field.name == STATUS {
            derived(&sent, mode, &mut errors);
        }
        let value = match field.kind {
            Kind::Text { max, blank } => {
                let rule = text::Rule { max, blank };
                text_of(&sent, field.name, rule, mode, &mut errors).map(FieldValue::Text)
            }
            Kind::Date => date_of(&sent, field.name, mode, &mut errors),
            Kind::File => {
                file_of(&sent, field.name, mode, &mut errors).then_some(FieldValue::File(None))
            }
        };
        if let Some(value) = value {
            change.set(field.name, value);
        }
    }
    if errors.is_empty() {
        Ok(change)
    } else {
        Err(errors)
    }
}

/// Checks a derived field: a client that sends nonsense in it has a defect.
fn derived(sent: &Fields<'_>, mode: Mode, errors: &mut Errors) {
    if !mode.is_socket() {
        let rule = text::Rule {
            max: 50,
            blank: false,
        };
        text_of(sent, "datadelivery_status", rule, mode, errors);
    }
}

/// What is said of a file that contains nothing.
pub fn empty_file() -> Errors {
    Errors::of(UPLOAD, "The submitted file is empty.")
}

/// The text that a field is to have, if it was sent and is right.
fn text_of(
    sent: &Fields<'_>,
    name: &'static str,
    rule: text::Rule,
    mode: Mode,
    errors: &mut Errors,
) -> Option<String> {
    let empty = Emptiness {
        required: name == AUTHOR,
        nullable: false,
        blank: rule.blank,
    };
    if let Some(value) = sent.value(name, empty) {
        return errors.keep(name, text::parse(&value, rule));
    }
    if empty.required && mode.needs_author() {
        errors.add(name, vec![REQUIRED.into()]);
    }
    None
}

/// The date, or none, that a field is to have, if it was sent and is right.
fn date_of(
    sent: &Fields<'_>,
    name: &'static str,
    mode: Mode,
    errors: &mut Errors,
) -> Option<FieldValue> {
    let value = sent.value(name, MAY_BE_NULL)?;
    let is_none = match &*value {
        Value::Null => true,
        Value::String(text) if text.is_empty() && mode.is_socket() => true,
        Value::String(text) => {
            name == NEXT_UPDATE
                && mode.takes_words()
                && matches!(text.as_str(), "" | "undefined" | "unscheduled")
        }
        _ => false,
    };
    let date = if is_none {
        Ok(None)
    } else {
        date(&value).map(Some)
    };
    errors.keep(name, date).map(FieldValue::Date)
}

const MAY_BE_NULL: Emptiness = Emptiness {
    required: false,
    nullable: true,
    blank: false,
};

/// `YYYY-MM-DD`, from year 1 to 9999, and nothing else.
fn date(value: &Value) -> Result<Date, Vec<String>> {
    let parse = || {
        let text = value.as_str()?.as_bytes();
        let (&[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2], []) = text.split_first_chunk()? else {
            return None;
        };
        let number = |digits: &[u8]| {
            digits.iter().try_fold(0_i16, |sum, digit| {
                let digit = char::from(*digit).to_digit(10)?;
                Some(sum * 10 + i16::try_from(digit).ok()?)
            })
        };
        let small = |digits| i8::try_from(number(digits)?).ok();
        let year = number(&[y1, y2, y3, y4]).filter(|year| *year >= 1)?;
        Date::new(year, small(&[m1, m2])?, small(&[d1, d2])?).ok()
    };
    parse().ok_or_else(|| {
        vec!["Date has wrong format. Use one of these formats instead: YYYY-MM-DD.".into()]
    })
}

/// Whether a field says that there is to be no file. A file itself travels beside the fields.
fn file_of(sent: &Fields<'_>, name: &'static str, mode: Mode, errors: &mut Errors) -> bool {
    match sent.value(name, MAY_BE_NULL).as_deref() {
        None => false,
        // A browser writes a chosen file, which no socket message can carry, as an empty object.
        Some(Value::Object(file)) if mode.is_socket() && file.is_empty() => false,
        Some(Value::Null) => !mode.is_socket(),
        Some(_) => {
            let why = "The submitted data was not a file. Check the encoding type on the form.";
            errors.add(name, vec![why.into()]);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, json};

    use super::*;

    const ALL: [Mode; 5] = [
        Mode::Add,
        Mode::Replace,
        Mode::Patch,
        Mode::SocketAdd,
        Mode::SocketUpdate,
    ];
    const HTTP: [Mode; 3] = [Mode::Add, Mode::Replace, Mode::Patch];
    const SOCKET: [Mode; 2] = [Mode::SocketAdd, Mode::SocketUpdate];
    const WRONG_DATE: &str = "Date has wrong format. Use one of these formats instead: YYYY-MM-DD.";

    /// A body with an author and one more field.
    fn body(name: &str, value: Value) -> Input {
        let mut fields = Map::new();
        fields.insert(AUTHOR.into(), "Ann".into());
        fields.insert(name.into(), value);
        Input::json(fields.into())
    }

    fn form(pairs: &[(&str, &str)]) -> Input {
        Input::form(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    fn refused(input: &Input, mode: Mode) -> Value {
        serde_json::to_value(parse(input, mode).expect_err("must be refused")).unwrap()
    }

    #[test]
    fn only_the_author_is_required() {
        for mode in ALL {
            let nothing = Input::json(json!({}));
            if mode == Mode::Patch {
                assert_eq!(parse(&nothing, mode), Ok(Change::default()));
            } else {
                assert_eq!(
                    refused(&nothing, mode),
                    json!({"created_by": ["This field is required."]})
                );
            }
            let change = parse(&Input::json(json!({"created_by": " Ann "})), mode).unwrap();
            assert_eq!(
                change,
                Change::default().with(AUTHOR, FieldValue::Text("Ann".into()))
            );
        }
    }

    #[test]
    fn every_text_field_is_checked() {
        let long = "x".repeat(256);
        for field in FIELDS {
            let (name, Kind::Text { max, .. }) = (field.name, field.kind) else {
                continue;
            };
            for mode in ALL {
                for value in [json!(null), json!(["x"]), json!({}), json!(true)] {
                    assert!(refused(&body(name, value), mode)[name].is_array());
                }
                assert_eq!(
                    refused(&body(name, json!(long[..=max])), mode),
                    json!({name: [format!("Ensure this field has no more than {max} characters.")]})
                );
                assert!(parse(&body(name, json!(long[..max])), mode).is_ok());
                let blank = parse(&body(name, json!("")), mode);
                assert_eq!(blank.is_ok(), name == "scope_of_subscription", "{name}");
            }
        }
    }

    #[test]
    fn all_wrong_fields_are_named_at_once() {
        let input = Input::json(json!({"country": "", "panel": null, "end_date": 1}));
        assert_eq!(
            refused(&input, Mode::Add),
            json!({
                "created_by": ["This field is required."],
                "country": ["This field may not be blank."],
                "panel": ["This field may not be null."],
                "end_date": [WRONG_DATE],
            })
        );
    }

    #[test]
    fn dates_are_days_or_null() {
        for name in ["end_date", "current_update", "next_update"] {
            for mode in ALL {
                for good in ["0001-01-01", "2024-02-29", "9999-12-31"] {
                    assert!(parse(&body(name, json!(good)), mode).is_ok(), "{good}");
                }
                assert!(parse(&body(name, json!(null)), mode).is_ok());
                for bad in [
                    json!(" 2024-06-18"),
                    json!("2024-06-18T00:00:00Z"),
                    json!("18/06/2024"),
                    json!("2023-02-29"),
                    json!("0000-01-01"),
                    json!("10000-01-01"),
                    json!("-001-01-01"),
                    json!("2024-06-１8"),
                    json!("soon"),
                    json!("Unscheduled"),
                    json!(20_240_618),
                    json!(true),
                    json!([]),
                    json!({}),
                ] {
                    assert_eq!(
                        refused(&body(name, bad.clone()), mode),
                        json!({name: [WRONG_DATE]}),
                        "{bad}"
                    );
                }
            }
        }
        let change = parse(&body("end_date", json!("2024-06-18")), Mode::Add).unwrap();
        let day = Date::constant(2024, 6, 18);
        assert_eq!(change.get("end_date"), Some(&FieldValue::Date(Some(day))));
    }

    #[test]
    fn words_for_no_date_depend_on_the_way_in() {
        let is_null = |name, word: &str, mode| {
            let change = parse(&body(name, json!(word)), mode);
            change.is_ok_and(|change| change.get(name) == Some(&FieldValue::Date(None)))
        };
        for word in ["", "undefined", "unscheduled"] {
            assert!(!is_null("next_update", word, Mode::Add));
            for mode in [
                Mode::Replace,
                Mode::Patch,
                Mode::SocketAdd,
                Mode::SocketUpdate,
            ] {
                assert!(is_null("next_update", word, mode), "{word} {mode:?}");
            }
            for name in ["end_date", "current_update"] {
                for mode in HTTP {
                    assert!(!is_null(name, word, mode));
                }
                for mode in SOCKET {
                    assert_eq!(is_null(name, word, mode), word.is_empty());
                }
            }
        }
    }

    #[test]
    fn a_form_says_nothing_with_an_empty_text() {
        let input = form(&[
            ("created_by", "Ann"),
            ("country", ""),
            ("scope_of_subscription", ""),
            ("end_date", ""),
            ("next_update", ""),
            ("data_upload", ""),
        ]);
        for mode in HTTP {
            assert_eq!(
                parse(&input, mode),
                Ok(Change::default()
                    .with(AUTHOR, FieldValue::Text("Ann".into()))
                    .with("scope_of_subscription", FieldValue::Text(String::new()))
                    .with("end_date", FieldValue::Date(None))
                    .with(NEXT_UPDATE, FieldValue::Date(None))
                    .with(UPLOAD, FieldValue::File(None)))
            );
            assert_eq!(
                refused(&form(&[("created_by", "")]), mode),
                json!({"created_by": ["This field may not be blank."]})
            );
        }
        let twice = form(&[("created_by", "Ann"), ("created_by", "Bob")]);
        let change = parse(&twice, Mode::Add).unwrap();
        assert_eq!(change.get(AUTHOR), Some(&FieldValue::Text("Bob".into())));
    }

    #[test]
    fn a_file_cannot_be_text() {
        for mode in ALL {
            for value in [json!("x"), json!(""), json!(1), json!([]), json!({"a": 1})] {
                assert!(refused(&body("data_upload", value), mode)["data_upload"].is_array());
            }
            assert!(parse(&body("data_upload", json!(null)), mode).is_ok());
            let browser = parse(&body("data_upload", json!({})), mode);
            assert_eq!(browser.is_ok(), mode.is_socket());
        }
    }

    #[test]
    fn what_is_derived_or_unknown_is_not_stored() {
        let input = Input::json(json!({
            "created_by": "Ann", "id": 5, "created_at": [], "next_status": {}, "zz": null,
            "datadelivery_status": "received",
        }));
        for mode in ALL {
            let change = parse(&input, mode).unwrap();
            assert_eq!(
                change,
                Change::default().with(AUTHOR, FieldValue::Text("Ann".into()))
            );
        }
        let long = body("datadelivery_status", json!("x".repeat(51)));
        for mode in HTTP {
            assert_eq!(
                refused(&long, mode),
                json!({"datadelivery_status": ["Ensure this field has no more than 50 characters."]})
            );
        }
        for mode in SOCKET {
            assert!(parse(&long, mode).is_ok());
        }
    }

    #[test]
    fn a_body_must_be_an_object() {
        for (value, kind) in [
            (json!([]), "list"),
            (json!("x"), "str"),
            (json!(1), "int"),
            (json!(1.5), "float"),
            (json!(true), "bool"),
        ] {
            assert_eq!(
                refused(&Input::json(value), Mode::Add),
                json!({"non_field_errors":
                    [format!("Invalid data. Expected a dictionary, but got {kind}.")]})
            );
        }
        assert_eq!(
            refused(&Input::json(json!(null)), Mode::Patch),
            json!({"non_field_errors": ["No data provided"]})
        );
    }

    /// Values as clients might send them for any field.
    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,300}".prop_map(Value::from),
            "[0-9+-]{1,6}-[0-9]{1,2}-[0-9]{1,2}".prop_map(Value::from),
            "active|unscheduled|\\PC{0,60}|\0".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 8, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{0,3}", inner, 0..4)
                    .prop_map(|fields| fields.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_taken_fits_into_the_table(
            fields in prop::collection::btree_map(
                prop::sample::select(FIELDS.iter().map(|field| field.name).collect::<Vec<_>>()),
                any_value(),
                0..13,
            ),
            is_form: bool,
        ) {
            let body = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let input = Input { body, is_form };
            for mode in ALL {
                let Ok(change) = parse(&input, mode) else { continue };
                for field in FIELDS {
                    match change.get(field.name) {
                        Some(FieldValue::Text(text)) => {
                            prop_assert!(text.chars().count() <= 255 && !text.contains('\0'));
                        }
                        Some(FieldValue::Date(date)) => {
                            prop_assert!(date.is_none_or(|date| date.year() > 0));
                        }
                        Some(FieldValue::File(file)) => prop_assert_eq!(file, &None),
                        None => {}
                    }
                }
            }
        }
    }
}
