//! Filters as JSON: the `where` of a subscription.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::{
    Condition, Errors, Filter, MOST_VALUES,
    values::{End, NO_END, NOT_A_DATE, NOT_A_TIME, day, moment},
};
use crate::table::{
    column::{Column, Kind},
    row::NO_DATE,
};

impl Filter {
    /// Reads `{"country":["France"],"next_update":{"from":"2026-12-01"},"text":"niel"}`. Dates are days
    /// of `zone`.
    ///
    /// # Errors
    /// By path: `where.country`.
    pub fn from_json(value: &Value, zone: &TimeZone) -> Result<Self, Errors> {
        let mut filter = Self::default();
        let mut errors = Errors::new();
        let Some(keys) = value.as_object() else {
            errors.insert("where".into(), vec!["Give an object of conditions.".into()]);
            return Err(errors);
        };
        for (key, value) in keys {
            if let Err(error) = filter.condition(key, value, zone) {
                errors.insert(format!("where.{key}"), vec![error]);
            }
        }
        if errors.is_empty() {
            Ok(filter)
        } else {
            Err(errors)
        }
    }

    fn condition(&mut self, key: &str, value: &Value, zone: &TimeZone) -> Result<(), String> {
        if key == "text" {
            return self.search(value.as_str().ok_or("Give words to search for.")?);
        }
        let unknown = || format!("There is no filter {key:?}.");
        let column = Column::named(key).ok_or_else(unknown)?;
        let condition = match column.kind() {
            Kind::Text(_) => Condition::Texts(texts(value)?),
            Kind::Date(_) => match value {
                Value::Object(ends) => {
                    let end = |name, open| match ends.get(name) {
                        None => Ok(open),
                        Some(value) => value.as_str().and_then(day).ok_or(NOT_A_DATE),
                    };
                    check_ends(ends)?;
                    Condition::DayRange(end("from", i32::MIN)?, end("to", NO_DATE - 1)?)
                }
                _ => Condition::Days(days(value)?),
            },
            Kind::Time(_) => {
                let ends = value.as_object().ok_or(NO_END)?;
                let end = |name, end, open| match ends.get(name) {
                    None => Ok(open),
                    Some(value) => value
                        .as_str()
                        .and_then(|text| moment(text, end, zone))
                        .ok_or(NOT_A_TIME),
                };
                check_ends(ends)?;
                Condition::TimeRange(
                    end("from", End::From, i64::MIN)?,
                    end("to", End::To, i64::MAX)?,
                )
            }
            Kind::Id | Kind::Upload => return Err(unknown()),
        };
        self.conditions.insert(column, condition);
        Ok(())
    }
}

fn check_ends(ends: &Map<String, Value>) -> Result<(), String> {
    match ends.keys().find(|key| *key != "from" && *key != "to") {
        Some(other) => Err(format!("A range has no {other:?}. {NO_END}")),
        None if ends.is_empty() => Err(NO_END.into()),
        None => Ok(()),
    }
}

fn texts(value: &Value) -> Result<BTreeSet<String>, String> {
    const WRONG: &str = "Give a list of texts.";
    let values = list(value, WRONG)?.iter();
    let texts: Option<_> = values
        .map(|value| value.as_str().map(str::to_owned))
        .collect();
    texts.ok_or_else(|| WRONG.into())
}

fn days(value: &Value) -> Result<BTreeSet<i32>, String> {
    const WRONG: &str = "Give a list of dates such as 2026-12-31 or null, or a range.";
    let values = list(value, WRONG)?.iter();
    let days: Option<_> = values
        .map(|value| {
            if value.is_null() {
                Some(NO_DATE)
            } else {
                value.as_str().and_then(day)
            }
        })
        .collect();
    days.ok_or_else(|| WRONG.into())
}

fn list<'a>(value: &'a Value, wrong: &str) -> Result<&'a Vec<Value>, String> {
    let values = value.as_array().ok_or(wrong)?;
    check_length(values.len())?;
    Ok(values)
}

pub(super) fn check_length(values: usize) -> Result<(), String> {
    match values {
        0 => Err("Give at least one value, or leave the filter out.".into()),
        n if n > MOST_VALUES => Err(format!("Give at most {MOST_VALUES} values.")),
        _ => Ok(()),
    }
}
