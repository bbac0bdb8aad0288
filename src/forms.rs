//! What people send, checked: fields with their messages, the same over HTTP and sockets. Knows no
//! request, socket or table beyond the change it produces; messages are part of the API.

pub mod json;
pub mod password;
pub mod registration;
pub mod source;
mod strength;
mod text;
pub mod user;

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// A body as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// An object if the sender did it right.
    pub body: Value,
    /// Whether it came from an HTML form, which can only say "" where JSON says null.
    pub is_form: bool,
}

/// Key of messages that belong to no field.
const WHOLE: &str = "non_field_errors";
const REQUIRED: &str = "This field is required.";

impl Input {
    /// A JSON body.
    pub fn json(body: Value) -> Self {
        Self {
            body,
            is_form: false,
        }
    }

    /// The pairs of a form; of several with one name the last counts.
    pub fn form(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let body = pairs
            .into_iter()
            .map(|(name, value)| (name, Value::String(value)))
            .collect();
        Self {
            body: Value::Object(body),
            is_form: true,
        }
    }

    /// Its fields.
    ///
    /// # Errors
    /// When it is anything but an object.
    fn fields(&self) -> Result<Fields<'_>, Errors> {
        let kind = match &self.body {
            Value::Object(values) => {
                return Ok(Fields {
                    values,
                    is_form: self.is_form,
                });
            }
            Value::Null => return Err(Errors::of(WHOLE, "No data provided")),
            Value::Bool(_) => "bool",
            Value::Number(number) if number.is_f64() => "float",
            Value::Number(_) => "int",
            Value::String(_) => "str",
            Value::Array(_) => "list",
        };
        let message = format!("Invalid data. Expected a dictionary, but got {kind}.");
        Err(Errors::of(WHOLE, message))
    }
}

/// The fields of a body that is an object.
struct Fields<'a> {
    values: &'a Map<String, Value>,
    is_form: bool,
}

/// How a field may be left empty.
#[derive(Clone, Copy)]
struct Emptiness {
    required: bool,
    nullable: bool,
    blank: bool,
}

impl<'a> Fields<'a> {
    /// The value of a field, `None` when it was left out. In a form an empty text stands for null,
    /// or for a field that was left out, whichever the field allows.
    fn value(&self, name: &str, empty: Emptiness) -> Option<Cow<'a, Value>> {
        let value = self.values.get(name)?;
        if !self.is_form || value != "" || empty.blank {
            return Some(Cow::Borrowed(value));
        }
        match empty {
            Emptiness { nullable: true, .. } => Some(Cow::Owned(Value::Null)),
            Emptiness {
                required: false, ..
            } => None,
            _ => Some(Cow::Borrowed(value)),
        }
    }
}

/// Messages by field, in the order in which they were found; serialises to one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors(Vec<(&'static str, Vec<String>)>);

impl Errors {
    /// One message for one field.
    pub fn of(field: &'static str, message: impl Into<String>) -> Self {
        Self(vec![(field, vec![message.into()])])
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first message, for places that can show only one.
    pub fn first(&self) -> Option<(&'static str, &str)> {
        let (field, messages) = self.0.first()?;
        Some((*field, messages.first()?))
    }

    fn add(&mut self, field: &'static str, messages: Vec<String>) {
        self.0.push((field, messages));
    }

    /// The value, or a note of what is wrong with it.
    fn keep<T>(&mut self, field: &'static str, value: Result<T, Vec<String>>) -> Option<T> {
        value.map_err(|messages| self.add(field, messages)).ok()
    }
}

impl Serialize for Errors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(field, messages)| (field, messages)))
    }
}
