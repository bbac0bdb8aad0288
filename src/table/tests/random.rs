//! Random rows, filters, orders and places, from so few values that they meet often.

use jiff::{Timestamp, civil::Date};
use proptest::{collection::vec, option, prelude::*, sample::select};
use uuid::Uuid;

use super::model::Where;
use crate::{
    db::sources::Source,
    local_time::LocalTime,
    table::{
        column::{self, Column, Kind, TEXTS},
        window::Anchor,
    },
};

pub(super) const IDS: u128 = 48;

pub(super) fn id() -> impl Strategy<Value = Uuid> {
    // Spread, so that no order of ids is that of their making.
    (0..IDS)
        .prop_map(|n| Uuid::from_u128(n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)))
}

fn text() -> impl Strategy<Value = String> {
    let texts = [
        "",
        "a",
        "A",
        "á",
        "Á",
        "b",
        "Côte",
        "cote",
        "COTE",
        "Cote d'Ivoire",
        "straße",
        "STRASSE",
        "İ",
        "ı",
        "i",
        "I",
        "Niel Pol",
        "pol niel",
        "ﬁ",
        "fi",
        "𝔞",
        "Ωμέγα",
        "ΩΜΈΓΑ",
        "\u{301}",
        "z\u{ffff}",
        "z\u{10000}",
        "active",
        "inactive",
    ];
    prop_oneof![8 => select(texts.to_vec()).prop_map(str::to_owned), 1 => "[a-cÀ-Ã]{0,3}"]
}

fn few() -> impl Strategy<Value = String> {
    select(&["a", "Á", "b"][..]).prop_map(str::to_owned)
}

fn date() -> impl Strategy<Value = Date> {
    (2026_i16..2028, 1_i8..3, 1_i8..4).prop_map(|(y, m, d)| Date::new(y, m, d).unwrap())
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0_i64..12).prop_map(|n| Timestamp::from_microsecond(1_790_000_000_000_000 + n * 7).unwrap())
}

pub(super) fn row() -> impl Strategy<Value = Source> {
    let texts = (text(), few(), text(), text(), few(), text(), few(), few());
    let dates = (option::of(date()), option::of(date()), option::of(date()));
    let rest = (option::weighted(0.3, text()), few(), few(), few());
    (id(), (time(), time()), texts, dates, rest).prop_map(
        |(id, (created_at, updated_at), t, d, r)| {
            // A column that is added stays empty.
            let mut texts = [""; TEXTS];
            let given = [
                &t.0, &t.1, &t.2, &t.3, &t.4, &t.5, &t.6, &t.7, &r.1, &r.2, &r.3,
            ];
            for (text, given) in texts.iter_mut().zip(given) {
                *text = given;
            }
            let times = [created_at, updated_at].map(LocalTime);
            column::source(id, times, [d.0, d.1, d.2], r.0.clone(), texts)
        },
    )
}

fn columns(is: fn(Kind) -> bool) -> impl Strategy<Value = &'static str> {
    let columns = Column::ALL
        .into_iter()
        .filter(move |column| is(column.kind()));
    select(columns.map(Column::name).collect::<Vec<_>>())
}

pub(super) fn filter() -> impl Strategy<Value = Where> {
    let texts = (
        columns(|kind| matches!(kind, Kind::Text(_))),
        vec(prop_oneof![few(), text()], 1..4),
    );
    let days = (
        columns(|kind| matches!(kind, Kind::Date(_))),
        vec(option::of(date()), 1..4),
    );
    let range = (
        columns(|kind| matches!(kind, Kind::Date(_))),
        (option::of(date()), option::of(date())),
    );
    let times = (
        columns(|kind| matches!(kind, Kind::Time(_))),
        (option::of(time()), option::of(time())),
    );
    let words = select(
        &[
            "cote", "COTE", "ss", "ß", "i", "niel pol", "á  ω", "f", "d'i", "zz", "\u{301}",
        ][..],
    );
    (
        vec(texts, 0..3),
        vec(days, 0..2),
        vec(range, 0..2),
        vec(times, 0..2),
        option::weighted(0.3, words),
    )
        .prop_map(|(texts, days, ranges, times, words)| {
            let days: std::collections::BTreeMap<_, _> = days.into_iter().collect();
            let has_end =
                |(from, to): &(Option<Date>, Option<Date>)| from.is_some() || to.is_some();
            Where {
                texts: texts.into_iter().collect(),
                ranges: ranges
                    .into_iter()
                    .filter(|(column, range)| has_end(range) && !days.contains_key(column))
                    .collect(),
                times: times
                    .into_iter()
                    .filter(|(_, (f, t))| f.is_some() || t.is_some())
                    .collect(),
                days,
                search: words.unwrap_or_default().to_owned(),
            }
        })
        // A third are wide.
        .prop_flat_map(|filter| {
            prop_oneof![
                Just(filter.clone()),
                Just(Where {
                    texts: filter.texts.into_iter().take(1).collect(),
                    ..Where::default()
                }),
                Just(Where {
                    search: filter.search,
                    ..Where::default()
                })
            ]
        })
}

pub(super) fn order() -> impl Strategy<Value = Vec<String>> {
    vec((columns(|_| true), any::<bool>()), 0..4).prop_map(|terms| {
        let mut names: Vec<&str> = Vec::new();
        let mut order = Vec::new();
        for (name, down) in terms {
            if !names.contains(&name) {
                names.push(name);
                order.push(format!("{}{name}", if down { "-" } else { "" }));
            }
        }
        order
    })
}

pub(super) fn anchor() -> impl Strategy<Value = Anchor> {
    prop_oneof![
        1 => Just(Anchor::Start),
        2 => (0_usize..60).prop_map(Anchor::Index),
        4 => id().prop_map(Anchor::Row),
    ]
}
