//! A filter made ready for a store: texts as a bit for each number of the dictionary, so that a row is
//! judged without looking at a text. Whoever adds texts to the dictionary tells it.

use super::{
    bits::Bits,
    column::{Column, Kind, searched_bits},
    dictionary::Dictionary,
    filter::{Condition, Filter},
    store::Store,
};

/// Judges rows.
#[derive(Debug)]
pub(super) struct Matcher {
    tests: Vec<Test>,
    columns: u32,
}

#[derive(Debug)]
enum Test {
    Text { column: usize, texts: Texts },
    Word(Texts),
    Days { column: usize, days: Vec<i32> },
    DayRange { column: usize, from: i32, to: i32 },
    TimeRange { column: usize, from: i64, to: i64 },
}

/// Which texts pass.
#[derive(Debug)]
struct Texts {
    rule: Rule,
    passing: Bits,
}

#[derive(Debug)]
enum Rule {
    OneOf(Vec<String>),
    Contains(String),
}

impl Matcher {
    pub(super) fn new(filter: &Filter, words: &Dictionary) -> Self {
        let mut tests = Vec::new();
        let mut columns = 0;
        // Numbers are cheaper to judge than texts, and one column than all.
        let (mut ranges, mut lists) = (Vec::new(), Vec::new());
        for (column, condition) in &filter.conditions {
            columns |= column.bit();
            match (column.kind(), condition) {
                (Kind::Text(column), Condition::Texts(list)) => {
                    let rule = Rule::OneOf(list.iter().cloned().collect());
                    lists.push(Test::Text {
                        column,
                        texts: Texts::new(rule, words),
                    });
                }
                (Kind::Date(column), Condition::Days(days)) => {
                    ranges.push(Test::Days {
                        column,
                        days: days.iter().copied().collect(),
                    });
                }
                (Kind::Date(column), &Condition::DayRange(from, to)) => {
                    ranges.push(Test::DayRange { column, from, to });
                }
                (Kind::Time(column), &Condition::TimeRange(from, to)) => {
                    ranges.push(Test::TimeRange { column, from, to });
                }
                _ => unreachable!("a filter has conditions of its columns' kinds"),
            }
        }
        tests.append(&mut lists);
        tests.append(&mut ranges);
        for word in &filter.words {
            columns |= searched_bits();
            tests.push(Test::Word(Texts::new(Rule::Contains(word.clone()), words)));
        }
        Self { tests, columns }
    }

    /// Whether the slot's row passes.
    #[inline]
    pub(super) fn matches(&self, store: &Store, slot: u32) -> bool {
        self.tests.iter().all(|test| match test {
            Test::Text { column, texts } => texts.passing.has(store.text(*column, slot)),
            Test::Word(texts) => {
                (0..Column::SEARCHED).any(|column| texts.passing.has(store.text(column, slot)))
            }
            Test::Days { column, days } => days.binary_search(&store.date(*column, slot)).is_ok(),
            Test::DayRange { column, from, to } => {
                (*from..=*to).contains(&store.date(*column, slot))
            }
            Test::TimeRange { column, from, to } => {
                (*from..=*to).contains(&store.time(*column, slot))
            }
        })
    }

    /// The slots of all rows that pass. They are judged one beside the other, not in an order.
    pub(super) fn all(&self, store: &Store) -> Bits {
        let mut passing = Bits::default();
        for slot in store.slots().filter(|&slot| self.matches(store, slot)) {
            passing.set(slot, true);
        }
        passing
    }

    /// Takes note of what a number of the dictionary stands for now.
    pub(super) fn learn(&mut self, words: &Dictionary, number: u32) {
        for test in &mut self.tests {
            if let Test::Text { texts, .. } | Test::Word(texts) = test {
                texts.learn(words, number, &mut String::new());
            }
        }
    }

    /// The bits of the columns that it looks at.
    pub(super) fn columns(&self) -> u32 {
        self.columns
    }

    /// How much memory it takes, nearly.
    pub(super) fn bytes(&self) -> usize {
        let texts = |test: &Test| match test {
            Test::Text { texts, .. } | Test::Word(texts) => texts.passing.bytes(),
            Test::Days { days, .. } => days.capacity() * size_of::<i32>(),
            Test::DayRange { .. } | Test::TimeRange { .. } => 0,
        };
        self.tests.iter().map(texts).sum::<usize>() + self.tests.capacity() * size_of::<Test>()
    }
}

impl Texts {
    fn new(rule: Rule, words: &Dictionary) -> Self {
        let mut texts = Self {
            rule,
            passing: Bits::default(),
        };
        match &texts.rule {
            Rule::OneOf(list) => {
                for number in list.iter().filter_map(|text| words.number(text)) {
                    texts.passing.set(number, true);
                }
            }
            Rule::Contains(_) => {
                let mut lower = String::new();
                for number in words.numbers() {
                    texts.learn(words, number, &mut lower);
                }
            }
        }
        texts
    }

    fn learn(&mut self, words: &Dictionary, number: u32, lower: &mut String) {
        let passes = match &self.rule {
            Rule::OneOf(list) => list
                .binary_search_by(|text| text.as_str().cmp(words.text(number)))
                .is_ok(),
            Rule::Contains(word) => words.contains(number, word, lower),
        };
        self.passing.set(number, passes);
    }
}
