//! The naive model: every question is answered from all rows, by texts and dates, not by numbers.

use std::{cmp::Ordering, collections::BTreeMap};

use jiff::{Timestamp, civil::Date};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    db::sources::Source,
    table::{fold::fold, window::Anchor},
};

/// A filter in plain parts.
#[derive(Clone, Debug, Default)]
pub(super) struct Where {
    pub(super) texts: BTreeMap<&'static str, Vec<String>>,
    pub(super) days: BTreeMap<&'static str, Vec<Option<Date>>>,
    pub(super) ranges: BTreeMap<&'static str, (Option<Date>, Option<Date>)>,
    pub(super) times: BTreeMap<&'static str, (Option<Timestamp>, Option<Timestamp>)>,
    pub(super) search: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Text(&'a str),
    Time(Timestamp),
    Date(Option<Date>),
    Upload(Option<&'a str>),
    Id(Uuid),
}

pub(super) const SEARCHED: [&str; 10] = [
    "created_by",
    "country",
    "data_vendor",
    "panel",
    "panel_group",
    "scope_of_subscription",
    "data_type",
    "granularity",
    "status",
    "datadelivery_status",
];

pub(super) fn cell<'a>(source: &'a Source, column: &str) -> Cell<'a> {
    match column {
        "id" => Cell::Id(source.id),
        "next_status" => Cell::Text(&source.next_status),
        "created_at" => Cell::Time(*source.created_at),
        "updated_at" => Cell::Time(*source.updated_at),
        "created_by" => Cell::Text(&source.created_by),
        "country" => Cell::Text(&source.country),
        "data_vendor" => Cell::Text(&source.data_vendor),
        "panel" => Cell::Text(&source.panel),
        "panel_group" => Cell::Text(&source.panel_group),
        "scope_of_subscription" => Cell::Text(&source.scope_of_subscription),
        "data_type" => Cell::Text(&source.data_type),
        "granularity" => Cell::Text(&source.granularity),
        "end_date" => Cell::Date(source.end_date),
        "current_update" => Cell::Date(source.current_update),
        "next_update" => Cell::Date(source.next_update),
        "datadelivery_status" => Cell::Text(&source.datadelivery_status),
        "data_upload" => Cell::Upload(source.data_upload.as_deref()),
        "status" => Cell::Text(&source.status),
        // A column that the rows of these tests leave empty.
        _ => Cell::Text(""),
    }
}

impl Where {
    pub(super) fn json(&self) -> Value {
        let mut map = Map::new();
        for (column, texts) in &self.texts {
            map.insert((*column).into(), json!(texts));
        }
        for (column, days) in &self.days {
            map.insert((*column).into(), json!(days));
        }
        let ends = |from: Option<String>, to: Option<String>| {
            let ends = [("from", from), ("to", to)].into_iter();
            let ends = ends.filter_map(|(key, end)| Some((key.to_owned(), json!(end?))));
            Value::Object(ends.collect())
        };
        for (column, (from, to)) in &self.ranges {
            map.insert(
                (*column).into(),
                ends(from.map(|d| d.to_string()), to.map(|d| d.to_string())),
            );
        }
        for (column, (from, to)) in &self.times {
            map.insert(
                (*column).into(),
                ends(from.map(|t| t.to_string()), to.map(|t| t.to_string())),
            );
        }
        if !self.search.is_empty() {
            map.insert("text".into(), json!(self.search));
        }
        Value::Object(map)
    }

    pub(super) fn matches(&self, source: &Source) -> bool {
        let text = |column: &str| match cell(source, column) {
            Cell::Text(text) => text.to_owned(),
            _ => unreachable!(),
        };
        let date = |column: &str| match cell(source, column) {
            Cell::Date(date) => date,
            _ => unreachable!(),
        };
        let time = |column: &str| match cell(source, column) {
            Cell::Time(time) => time,
            _ => unreachable!(),
        };
        self.texts
            .iter()
            .all(|(column, texts)| texts.contains(&text(column)))
            && self
                .days
                .iter()
                .all(|(column, days)| days.contains(&date(column)))
            && self.ranges.iter().all(|(column, (from, to))| {
                date(column).is_some_and(|date| {
                    from.is_none_or(|from| from <= date) && to.is_none_or(|to| date <= to)
                })
            })
            && self.times.iter().all(|(column, (from, to))| {
                from.is_none_or(|from| from <= time(column))
                    && to.is_none_or(|to| time(column) <= to)
            })
            && self.search.split_whitespace().all(|word| {
                SEARCHED
                    .iter()
                    .any(|column| fold(&text(column)).contains(&*fold(word)))
            })
    }
}

pub(super) fn compare(order: &[String], a: &Source, b: &Source) -> Ordering {
    for name in order {
        let (down, column) = match name.strip_prefix('-') {
            Some(column) => (true, column),
            None => (false, name.as_str()),
        };
        let text = |a: &str, b: &str| {
            fold(a)
                .chars()
                .cmp(fold(b).chars())
                .then(a.chars().cmp(b.chars()))
        };
        let (a_null, b_null, ordering) = match (cell(a, column), cell(b, column)) {
            (Cell::Text(a), Cell::Text(b)) => (false, false, text(a, b)),
            (Cell::Time(a), Cell::Time(b)) => (false, false, a.cmp(&b)),
            (Cell::Id(a), Cell::Id(b)) => (false, false, a.cmp(&b)),
            (Cell::Date(a), Cell::Date(b)) => (a.is_none(), b.is_none(), a.cmp(&b)),
            (Cell::Upload(a), Cell::Upload(b)) => (
                a.is_none(),
                b.is_none(),
                text(a.unwrap_or_default(), b.unwrap_or_default()),
            ),
            _ => unreachable!(),
        };
        let ordering = match (a_null, b_null) {
            (false, false) if down => ordering.reverse(),
            (false, false) => ordering,
            (a, b) => a.cmp(&b),
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
    b.created_at.cmp(&a.created_at).then(a.id.cmp(&b.id))
}

/// The rows of a filter in an order.
pub(super) fn list(rows: &BTreeMap<Uuid, Source>, filter: &Where, order: &[String]) -> Vec<Source> {
    let mut list: Vec<Source> = rows
        .values()
        .filter(|row| filter.matches(row))
        .cloned()
        .collect();
    list.sort_by(|a, b| compare(order, a, b));
    list
}

/// A window that remembers its row as it was.
#[derive(Clone, Debug)]
pub(super) struct NaiveWindow {
    pub(super) anchor: Anchor,
    pub(super) limit: usize,
    pub(super) row: Option<Source>,
}

impl NaiveWindow {
    /// Its index and its rows.
    pub(super) fn cut(
        &mut self,
        list: &[Source],
        all: &BTreeMap<Uuid, Source>,
        order: &[String],
    ) -> (usize, Vec<Source>) {
        let last_full = list.len().saturating_sub(self.limit);
        let first = match self.anchor {
            Anchor::Start => 0,
            _ if list.is_empty() => 0,
            Anchor::Index(index) => {
                if index < list.len() {
                    index
                } else {
                    last_full
                }
            }
            Anchor::Row(id) => {
                if let Some(index) = list.iter().position(|row| row.id == id) {
                    self.row = Some(list[index].clone());
                    index
                } else {
                    let was = self.row.clone().or_else(|| all.get(&id).cloned());
                    self.row.clone_from(&was);
                    let index = was.map_or(Some(0), |was| {
                        list.iter()
                            .position(|row| compare(order, row, &was).is_ge())
                    });
                    let index = index.unwrap_or(last_full);
                    if let Some(next) = list.get(index) {
                        self.anchor = Anchor::Row(next.id);
                        self.row = Some(next.clone());
                    }
                    index
                }
            }
        };
        let rows = list[first.min(list.len())..]
            .iter()
            .take(self.limit)
            .cloned()
            .collect();
        (first, rows)
    }
}
