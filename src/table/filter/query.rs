//! Filters and orders as parameters of a request:
//! `country=France&country=Spain&next_update_from=2026-12-01&q=niel&order=-next_update,country`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;

use super::{
    Condition, Errors, Filter,
    json::check_length,
    values::{End, NOT_A_DATE, NOT_A_TIME, day, moment},
};
use crate::table::{
    column::{Column, Kind},
    order::Order,
    row::NO_DATE,
};

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// From `q` and the columns' parameters.
    pub filter: Filter,
    /// From `order`.
    pub order: Order,
}

/// The value that means an empty date.
const NULL: &str = "null";

impl Query {
    /// Reads decoded parameters. Those in `others` are the caller's business. Dates are days of `zone`.
    ///
    /// # Errors
    /// By the name of the parameter.
    pub fn new<'a>(
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
        others: &[&str],
        zone: &TimeZone,
    ) -> Result<Self, Errors> {
        let mut given = BTreeMap::<&str, Vec<&str>>::new();
        for (name, value) in parameters {
            given.entry(name).or_default().push(value);
        }
        let mut query = Self::default();
        let mut errors = Errors::new();
        for (name, values) in given {
            if others.contains(&name) {
                continue;
            }
            if let Err(messages) = query.parameter(name, &values, zone) {
                errors.insert(name.to_owned(), messages);
            }
        }
        if errors.is_empty() {
            Ok(query)
        } else {
            Err(errors)
        }
    }

    fn parameter(
        &mut self,
        name: &str,
        values: &[&str],
        zone: &TimeZone,
    ) -> Result<(), Vec<String>> {
        match name {
            "q" => self
                .filter
                .search(&values.join(" "))
                .map_err(|error| vec![error]),
            "order" => {
                let names = values.iter().flat_map(|value| value.split(','));
                self.order = Order::new(names.filter(|name| !name.is_empty()))?;
                Ok(())
            }
            _ => self
                .condition(name, values, zone)
                .map_err(|error| vec![error]),
        }
    }

    fn condition(&mut self, name: &str, values: &[&str], zone: &TimeZone) -> Result<(), String> {
        let unknown = || "There is no such parameter.".to_owned();
        let conditions = &mut self.filter.conditions;
        if let Some(column) = Column::named(name) {
            check_length(values.len())?;
            let condition = match column.kind() {
                Kind::Text(_) => {
                    Condition::Texts(values.iter().copied().map(str::to_owned).collect())
                }
                Kind::Date(_) => {
                    let day = |&value: &&str| {
                        if value == NULL {
                            Some(NO_DATE)
                        } else {
                            day(value)
                        }
                    };
                    let days: Option<BTreeSet<i32>> = values.iter().map(day).collect();
                    Condition::Days(days.ok_or_else(|| format!("{NOT_A_DATE} Or null."))?)
                }
                Kind::Id | Kind::Time(_) | Kind::Upload => return Err(unknown()),
            };
            // Ranges come after it: their names are longer.
            conditions.insert(column, condition);
            return Ok(());
        }
        let (name, end) = match (name.strip_suffix("_from"), name.strip_suffix("_to")) {
            (Some(name), _) => (name, End::From),
            (_, Some(name)) => (name, End::To),
            (None, None) => return Err(unknown()),
        };
        let column = Column::named(name).ok_or_else(unknown)?;
        let [value] = values else {
            return Err("Give it once.".into());
        };
        match column.kind() {
            Kind::Date(_) => {
                let day = day(value).ok_or(NOT_A_DATE)?;
                let open = Condition::DayRange(i32::MIN, NO_DATE - 1);
                match (conditions.entry(column).or_insert(open), end) {
                    (Condition::DayRange(from, _), End::From) => *from = day,
                    (Condition::DayRange(_, to), End::To) => *to = day,
                    _ => return Err(format!("Give a range or {name}, not both.")),
                }
            }
            Kind::Time(_) => {
                let moment = moment(value, end, zone).ok_or(NOT_A_TIME)?;
                let open = Condition::TimeRange(i64::MIN, i64::MAX);
                match (conditions.entry(column).or_insert(open), end) {
                    (Condition::TimeRange(from, _), End::From) => *from = moment,
                    (Condition::TimeRange(_, to), End::To) => *to = moment,
                    _ => return Err(unknown()),
                }
            }
            Kind::Id | Kind::Text(_) | Kind::Upload => return Err(unknown()),
        }
        Ok(())
    }
}
