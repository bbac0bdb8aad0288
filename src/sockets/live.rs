//! `ws/live/`: windows and counts of sources, as many as a page needs on one socket. This file reads
//! what a client sends; [`feed`] follows.

pub mod feed;

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{consumer::Answer, message::object};
use crate::{
    live::{
        view::json_frame,
        windows::{Resume, Shown},
    },
    table::{
        counts::By,
        filter::{Errors, Filter},
        order::Order,
        window::{Anchor, MOST_ROWS},
    },
    ws::Frame,
};

/// The name of a subscription has so many characters at most.
const LONGEST_NAME: usize = 64;
/// So many rows a window has when nobody says how many.
const DEFAULT_ROWS: usize = 100;

/// What a client asks for.
#[derive(Debug)]
pub enum Command {
    /// To watch something under a name.
    Subscribe {
        /// The client's name for it.
        name: String,
        /// What it is.
        shown: Shown,
    },
    /// To see other rows.
    Move {
        /// The name of a window.
        name: String,
        /// Where it begins now; where it began, if that is not said.
        anchor: Option<Anchor>,
        /// How many rows it has now; as many as before, if that is not said.
        limit: Option<usize>,
    },
    /// To watch it no longer.
    Unsubscribe {
        /// Its name.
        name: String,
    },
    /// Something that cannot be done; the answer waits for those before it.
    Wrong(Frame),
}

/// Reads one message. Dates are days of `zone`.
pub(super) fn answer(text: &str, zone: &TimeZone) -> Answer {
    Answer::Live(command(text, zone))
}

/// An answer that names what is wrong, by where it stands in the message.
pub(super) fn error(name: Option<&str>, errors: &Errors) -> Frame {
    json_frame(&json!({ "error": name, "errors": errors }))
}

/// The same of a message that is not taken at all.
pub(super) fn refused(why: &str) -> Command {
    Command::Wrong(error(None, &one("message", why)))
}

fn one(at: &str, why: &str) -> Errors {
    [(at.to_owned(), vec![why.to_owned()])].into()
}

fn command(text: &str, zone: &TimeZone) -> Command {
    const UNKNOWN: &str = "the message has none of subscribe, move and unsubscribe";
    let message = match object(text) {
        Ok(message) => message,
        Err(why) => return refused(why),
    };
    let verbs = ["subscribe", "move", "unsubscribe"];
    let Some(verb) = verbs.into_iter().find(|verb| message.contains_key(*verb)) else {
        return refused(UNKNOWN);
    };
    let mut fields = Fields::of(&message);
    let Some(name) = fields
        .take(verb)
        .and_then(Value::as_str)
        .filter(|name| is_name(name))
    else {
        return Command::Wrong(error(
            None,
            &one(verb, "Give a name of 1 to 64 characters."),
        ));
    };
    let name = name.to_owned();
    let command = match verb {
        "subscribe" => fields.subscribe(name.clone(), zone),
        "move" => {
            let (anchor, limit) = (fields.anchor(), fields.limit());
            Some(Command::Move {
                name: name.clone(),
                anchor,
                limit,
            })
        }
        _ => Some(Command::Unsubscribe { name: name.clone() }),
    };
    let errors = fields.end();
    match command {
        Some(command) if errors.is_empty() => command,
        _ => Command::Wrong(error(Some(&name), &errors)),
    }
}

/// Names with the two characters are refused by which the parser of JSON notes what is no text.
fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.chars().count()) && !name.contains(['\u{fdd0}', '\u{fdd1}'])
}

/// The fields of an object, of which none must be left over.
struct Fields<'a> {
    left: Map<String, Value>,
    of: &'a Map<String, Value>,
    errors: Errors,
}

impl<'a> Fields<'a> {
    fn of(object: &'a Map<String, Value>) -> Self {
        Self {
            left: object.clone(),
            of: object,
            errors: Errors::new(),
        }
    }

    fn take(&mut self, name: &str) -> Option<&'a Value> {
        self.left.shift_remove(name)?;
        self.of.get(name)
    }

    fn wrong(&mut self, at: &str, why: &str) {
        self.errors
            .entry(at.to_owned())
            .or_default()
            .push(why.to_owned());
    }

    fn end(mut self) -> Errors {
        for name in std::mem::take(&mut self.left).keys() {
            self.wrong(name, "There is no such key.");
        }
        self.errors
    }

    fn subscribe(&mut self, name: String, zone: &TimeZone) -> Option<Command> {
        // What a client has of a window may stand beside it.
        let resume = self.resume();
        let shown = match (self.take("rows"), self.take("counts")) {
            (Some(rows), None) => self.inner(rows, "rows", |fields| fields.rows(resume, zone)),
            (None, Some(counts)) => self.inner(counts, "counts", |fields| fields.counts(zone)),
            _ => {
                self.wrong("subscribe", "Give either rows or counts.");
                None
            }
        };
        Some(Command::Subscribe {
            name,
            shown: shown?,
        })
    }

    /// Reads an object in this one. Its errors become errors of this one.
    fn inner(
        &mut self,
        value: &Value,
        at: &str,
        read: impl FnOnce(&mut Fields<'_>) -> Option<Shown>,
    ) -> Option<Shown> {
        let Some(object) = value.as_object() else {
            self.wrong(at, "Give an object.");
            return None;
        };
        let mut fields = Fields::of(object);
        let shown = read(&mut fields);
        self.errors.extend(fields.end());
        shown
    }

    fn rows(&mut self, resume: Option<Resume>, zone: &TimeZone) -> Option<Shown> {
        let (filter, order) = (self.filter(zone), self.order());
        let anchor = self.anchor().unwrap_or(Anchor::Start);
        let limit = self.limit().unwrap_or(DEFAULT_ROWS);
        let resume = self.resume().or(resume);
        Some(Shown::Rows {
            query: (filter?, order?),
            anchor,
            limit,
            resume,
        })
    }

    fn counts(&mut self, zone: &TimeZone) -> Option<Shown> {
        let filter = self.filter(zone);
        let by = match self.take("by") {
            None | Some(Value::Null) => None,
            Some(name) => match By::new(name.as_str().unwrap_or_default()) {
                Ok(by) => Some(by),
                Err(why) => {
                    self.wrong("by", &why);
                    None
                }
            },
        };
        Some(Shown::Counts {
            filter: filter?,
            by,
        })
    }

    fn filter(&mut self, zone: &TimeZone) -> Option<Filter> {
        let Some(conditions) = self.take("where") else {
            return Some(Filter::default());
        };
        match Filter::from_json(conditions, zone) {
            Ok(filter) => Some(filter),
            Err(errors) => {
                self.errors.extend(errors);
                None
            }
        }
    }

    fn order(&mut self) -> Option<Order> {
        let Some(columns) = self.take("order") else {
            return Some(Order::default());
        };
        match Order::from_json(columns) {
            Ok(order) => Some(order),
            Err(why) => {
                self.errors.entry("order".into()).or_default().extend(why);
                None
            }
        }
    }

    fn anchor(&mut self) -> Option<Anchor> {
        match Anchor::from_json(self.take("from")?) {
            Ok(anchor) => Some(anchor),
            Err(why) => {
                self.wrong("from", &why);
                None
            }
        }
    }

    fn limit(&mut self) -> Option<usize> {
        let limit = self.take("limit")?;
        let rows = limit.as_u64().and_then(|limit| usize::try_from(limit).ok());
        let rows = rows.filter(|rows| (1..=MOST_ROWS).contains(rows));
        if rows.is_none() {
            self.wrong("limit", "Give a number from 1 to 500.");
        }
        rows
    }

    fn resume(&mut self) -> Option<Resume> {
        let (since, have) = (self.take("since"), self.take("have"));
        let Value::String(since) = since? else {
            self.wrong("since", "Give the version of a window.");
            return None;
        };
        let ids = have.map_or(Some(Vec::new()), |have| {
            let ids = have.as_array().filter(|ids| ids.len() <= MOST_ROWS)?.iter();
            ids.map(|id| Uuid::try_parse(id.as_str()?).ok()).collect()
        });
        if ids.is_none() {
            self.wrong("have", "Give the ids of at most 500 rows.");
        }
        Some(Resume {
            since: since.clone(),
            ids: ids?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Command {
        command(text, &TimeZone::UTC)
    }

    #[test]
    fn what_is_wrong_is_named_by_its_place() {
        for (text, name, at) in [
            ("nonsense", "null", "message"),
            ("[]", "null", "message"),
            ("{}", "null", "message"),
            (r#"{"subscribe":"","rows":{}}"#, "null", "subscribe"),
            (r#"{"subscribe":7,"rows":{}}"#, "null", "subscribe"),
            (r#"{"subscribe":"\ud800","rows":{}}"#, "null", "subscribe"),
            (r#"{"subscribe":"a"}"#, r#""a""#, "subscribe"),
            (
                r#"{"subscribe":"a","rows":{},"counts":{}}"#,
                r#""a""#,
                "subscribe",
            ),
            (r#"{"subscribe":"a","rows":[]}"#, r#""a""#, "rows"),
            (r#"{"subscribe":"a","rows":{},"x":1}"#, r#""a""#, "x"),
            (r#"{"subscribe":"a","rows":{"x":1}}"#, r#""a""#, "x"),
            (
                r#"{"subscribe":"a","rows":{"where":{"country":"France"}}}"#,
                r#""a""#,
                "where.country",
            ),
            (
                r#"{"subscribe":"a","rows":{"order":["nowhere"]}}"#,
                r#""a""#,
                "order",
            ),
            (
                r#"{"subscribe":"a","rows":{"from":{"index":-1}}}"#,
                r#""a""#,
                "from",
            ),
            (
                r#"{"subscribe":"a","rows":{"from":{"start":true,"index":1}}}"#,
                r#""a""#,
                "from",
            ),
            (r#"{"subscribe":"a","rows":{"limit":0}}"#, r#""a""#, "limit"),
            (
                r#"{"subscribe":"a","rows":{"limit":501}}"#,
                r#""a""#,
                "limit",
            ),
            (
                r#"{"subscribe":"a","rows":{"since":"1:2","have":["x"]}}"#,
                r#""a""#,
                "have",
            ),
            (
                r#"{"subscribe":"a","counts":{"by":"created_at"}}"#,
                r#""a""#,
                "by",
            ),
            (r#"{"move":"a","from":{"id":"x"}}"#, r#""a""#, "from"),
            (r#"{"unsubscribe":"a","x":null}"#, r#""a""#, "x"),
        ] {
            let Command::Wrong(frame) = read(text) else {
                panic!("{text} is taken");
            };
            let said = String::from_utf8(frame.payload().to_vec()).unwrap();
            let begins = format!(r#"{{"error":{name},"errors":{{"{at}":["#);
            assert!(said.starts_with(&begins), "{text}: {said}");
        }
    }

    #[test]
    fn a_window_begins_at_the_start_and_has_100_rows_by_default() {
        let Command::Subscribe {
            name,
            shown: Shown::Rows { anchor, limit, .. },
        } = read(r#"{"subscribe":"a","rows":{}}"#)
        else {
            panic!("it subscribes");
        };
        assert_eq!(
            (name.as_str(), anchor, limit),
            ("a", Anchor::Start, DEFAULT_ROWS)
        );
    }
}
