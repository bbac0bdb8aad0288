//! How many rows pass a filter, and how many of them hold each value of a column; kept right change by
//! change, as views are. Knows neither who watches nor what they are sent.

use std::{borrow::Cow, collections::HashMap};

use super::{
    column::{Column, Kind},
    dictionary::Dictionary,
    filter::Filter,
    matcher::Matcher,
    row::unpack_date,
    store::Store,
};

/// A count and its groups.
#[derive(Debug)]
pub struct Count {
    matcher: Matcher,
    by: Option<By>,
    total: usize,
    /// By the number of the text, or the packed date.
    groups: HashMap<u32, u32>,
    /// The bits of the columns that it looks at.
    columns: u32,
    touched: u64,
}

/// A column whose values make groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct By(Column);

/// What a count says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted<'a> {
    /// How many rows pass.
    pub total: usize,
    /// The largest groups, largest first; those of one size in the order of their names. `None` when
    /// none were asked for. A row without a date is in the group `null`.
    pub groups: Option<Vec<(Cow<'a, str>, u32)>>,
    /// How many groups are left out.
    pub more: usize,
}

impl Counted<'_> {
    /// The same, apart from the store.
    pub fn into_owned(self) -> Counted<'static> {
        let owned = |(name, count): (Cow<'_, str>, u32)| (Cow::Owned(name.into_owned()), count);
        Counted {
            total: self.total,
            groups: self
                .groups
                .map(|groups| groups.into_iter().map(owned).collect()),
            more: self.more,
        }
    }
}

/// So many groups are told.
pub const MOST_GROUPS: usize = 1000;

impl By {
    /// The column of this name, which holds texts or dates.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn new(name: &str) -> Result<Self, String> {
        match Column::named(name) {
            Some(column) if matches!(column.kind(), Kind::Text(_) | Kind::Date(_)) => {
                Ok(Self(column))
            }
            Some(_) => Err(format!("Rows cannot be grouped by {name}.")),
            None => Err(format!("There is no column {name:?}.")),
        }
    }

    /// The column.
    pub fn column(self) -> Column {
        self.0
    }

    fn group(self, store: &Store, slot: u32) -> u32 {
        match self.0.kind() {
            Kind::Text(n) => store.text(n, slot),
            Kind::Date(n) => store.date(n, slot).cast_unsigned(),
            Kind::Id | Kind::Time(_) | Kind::Upload => unreachable!("it has no groups"),
        }
    }
}

impl Count {
    /// Counts the rows of `store`.
    pub(super) fn new(filter: &Filter, by: Option<By>, store: &mut Store) -> Self {
        // Names of groups are compared when they are told.
        store.words.rank_all();
        let mut count = Self::empty(filter, by, store);
        for slot in store.slots() {
            count.add(store, slot);
        }
        count
    }

    /// Counts no row.
    pub(super) fn empty(filter: &Filter, by: Option<By>, store: &Store) -> Self {
        let matcher = Matcher::new(filter, &store.words);
        Self {
            // The id is among the columns of a row that comes or goes.
            columns: matcher.columns() | by.map_or(0, |by| by.0.bit()) | Column::Id.bit(),
            matcher,
            by,
            total: 0,
            groups: HashMap::new(),
            touched: 0,
        }
    }

    /// The tick of the last batch that changed it.
    pub fn touched(&self) -> u64 {
        self.touched
    }

    /// How many rows pass.
    pub fn total(&self) -> usize {
        self.total
    }

    /// What it says now.
    pub fn counted<'a>(&self, store: &'a Store) -> Counted<'a> {
        let Some(by) = self.by else {
            return Counted {
                total: self.total,
                groups: None,
                more: 0,
            };
        };
        let mut groups: Vec<(u32, u32)> = self.groups.iter().map(|(&g, &n)| (g, n)).collect();
        let larger_first = |&(a, n): &(u32, u32), &(b, m): &(u32, u32)| {
            m.cmp(&n).then_with(|| match by.0.kind() {
                Kind::Text(_) => store.words.compare(a, b),
                _ => a.cmp(&b),
            })
        };
        let more = groups.len().saturating_sub(MOST_GROUPS);
        if more > 0 {
            groups.select_nth_unstable_by(MOST_GROUPS, larger_first);
            groups.truncate(MOST_GROUPS);
        }
        groups.sort_unstable_by(larger_first);
        let name = |group: u32| match by.0.kind() {
            Kind::Text(_) => Cow::Borrowed(store.words.text(group)),
            _ => match unpack_date(group.cast_signed()) {
                None => "null".into(),
                Some(date) => date.to_string().into(),
            },
        };
        let groups = groups
            .into_iter()
            .map(|(group, n)| (name(group), n))
            .collect();
        Counted {
            total: self.total,
            groups: Some(groups),
            more,
        }
    }

    /// Says that everything may be different from what it was before `tick`.
    pub(super) fn touch(&mut self, tick: u64) {
        self.touched = tick;
    }

    /// Takes note of a text that is new in the dictionary.
    pub(super) fn learn(&mut self, words: &Dictionary, number: u32) {
        self.matcher.learn(words, number);
    }

    /// A row will change in these columns, or go.
    pub(super) fn leave(&mut self, store: &Store, slot: u32, changed: u32, tick: u64) {
        if changed & self.columns == 0 || !self.matcher.matches(store, slot) {
            return;
        }
        self.touched = tick;
        self.total -= 1;
        if let Some(by) = self.by {
            let group = by.group(store, slot);
            let count = self.groups.get_mut(&group).expect("the row was counted");
            *count -= 1;
            if *count == 0 {
                self.groups.remove(&group);
            }
        }
    }

    /// A row has changed in these columns, or come.
    pub(super) fn enter(&mut self, store: &Store, slot: u32, changed: u32, tick: u64) {
        if changed & self.columns != 0 && self.add(store, slot) {
            self.touched = tick;
        }
    }

    fn add(&mut self, store: &Store, slot: u32) -> bool {
        let matches = self.matcher.matches(store, slot);
        if matches {
            self.total += 1;
            if let Some(by) = self.by {
                *self.groups.entry(by.group(store, slot)).or_default() += 1;
            }
        }
        matches
    }

    /// How much memory it takes, nearly.
    pub fn bytes(&self) -> usize {
        const GROUP: usize = 10;
        self.matcher.bytes() + self.groups.capacity() * GROUP
    }
}
