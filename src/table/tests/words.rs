//! Folding, and what is searched and ordered by it.

use std::cmp::Ordering;

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    db::sources::Source,
    local_time::LocalTime,
    table::{
        Limits, Table,
        counts::{By, MOST_GROUPS},
        dictionary::Dictionary,
        filter::Filter,
        fold,
        order::Order,
        row::Row,
    },
};

pub(super) fn source(n: u128) -> Source {
    let time = Timestamp::from_second(1_790_000_000).unwrap();
    Source {
        id: Uuid::from_u128(n),
        next_status: "unscheduled".into(),
        created_at: LocalTime(time),
        updated_at: LocalTime(time),
        created_by: "ann".into(),
        panel_group: "DKM".into(),
        granularity: "National".into(),
        datadelivery_status: "delayed".into(),
        status: "active".into(),
        ..Source::default()
    }
}

pub(super) fn table(rows: &[Source]) -> Table {
    let mut table = Table::new(Limits {
        views: 3,
        counts: 3,
    });
    table.begin_load(rows.len());
    table.load(rows.iter().map(Row::from));
    table.end_load();
    table
}

#[test]
fn texts_fold() {
    for (text, folded) in [
        ("Côte d'Ivoire", "cote d'ivoire"),
        ("STRASSE", "strasse"),
        // Lower case only: no case folding, which would make ss of it.
        ("straße", "straße"),
        ("STRAẞE", "straße"),
        ("İstanbul", "istanbul"),
        ("ISTANBUL", "istanbul"),
        ("ıstanbul", "ıstanbul"),
        ("ﬁn", "fin"),
        ("ΟΔΟΣ", "οδοσ"),
        ("Å", "a"),
        ("A\u{30a}", "a"),
        ("\u{301}", ""),
        ("日本", "日本"),
        ("ガ", "カ"),
        ("①", "1"),
    ] {
        assert_eq!(fold::fold(text), folded, "{text}");
    }
}

#[test]
fn texts_compare_by_folding_then_by_code_points() {
    let sorted = [
        "",
        "A",
        "a",
        "Á",
        "á",
        "ab",
        "B",
        "b",
        "ß",
        "z\u{ffff}",
        "z\u{10000}",
    ];
    let mut words = Dictionary::default();
    let numbers: Vec<u32> = sorted
        .iter()
        .rev()
        .map(|text| words.hold(text))
        .rev()
        .collect();
    let sort = |words: &Dictionary| {
        let mut sorted = numbers.clone();
        sorted.sort_by(|a, b| words.compare(*a, *b));
        sorted
            .iter()
            .map(|n| words.text(*n).to_owned())
            .collect::<Vec<_>>()
    };
    let expected = [
        "",
        "A",
        "a",
        "Á",
        "á",
        "ab",
        "B",
        "b",
        "z\u{ffff}",
        "z\u{10000}",
        "ß",
    ];
    assert_eq!(sort(&words), expected);
    words.rank_all();
    assert_eq!(sort(&words), expected, "ranks say the same");
    let (a, fresh) = (words.number("á").unwrap(), words.hold("Ä"));
    assert_eq!(
        words.compare(a, fresh),
        Ordering::Greater,
        "code points decide: U+E1 and U+C4"
    );
}

#[test]
fn texts_that_no_row_holds_are_forgotten() {
    let mut words = Dictionary::default();
    let one = words.hold("one");
    words.hold_again(one);
    words.rank_all();
    words.release(one);
    assert_eq!(words.number("one"), Some(one));
    words.release(one);
    assert_eq!(words.number("one"), None);
    assert_eq!(words.hold("other"), one, "its number is used again");
    words.rank_all();
    assert_eq!(words.numbers().count(), 1);
    assert_eq!(words.rank(one), 0);
}

#[test]
fn a_search_finds_each_word_in_some_column() {
    let mut ivory = source(1);
    ivory.country = "Côte d'Ivoire".into();
    ivory.data_vendor = "Nielsen".into();
    let mut street = source(2);
    street.panel = "STRASSE".into();
    let mut table = table(&[ivory.clone(), street.clone()]);
    let mut found = |text: &str| {
        let filter = Filter::from_json(
            &serde_json::json!({ "text": text }),
            &jiff::tz::TimeZone::UTC,
        );
        let view = table
            .open_view(&filter.unwrap(), &Order::default())
            .unwrap();
        let ids: Vec<u128> = table
            .view(view)
            .slots()
            .map(|slot| table.store().id(slot).as_u128())
            .collect();
        table.close_view(view);
        ids
    };
    assert_eq!(found("cote"), [1]);
    assert_eq!(found("CÔTE niel"), [1]);
    assert_eq!(found("niel strasse"), [0; 0]);
    assert_eq!(found("strasse"), [2]);
    assert_eq!(found("straße"), [0; 0]);
    assert_eq!(found(" dkm\u{a0}\u{301} "), [1, 2]);
    assert_eq!(found("unscheduled"), [0; 0], "next_status is not searched");
}

#[test]
fn a_search_finds_words_that_come_later() {
    let mut table = table(&[source(1)]);
    let filter = Filter::from_json(
        &serde_json::json!({"text": "norw"}),
        &jiff::tz::TimeZone::UTC,
    );
    let view = table
        .open_view(&filter.unwrap(), &Order::default())
        .unwrap();
    assert_eq!(table.view(view).len(), 0);
    let mut changed = source(1);
    changed.country = "Norway".into();
    table.apply([Row::from(&changed)], &[]);
    assert_eq!(table.view(view).len(), 1);
    // The number of a text that went comes to stand for another.
    changed.country = "Sweden".into();
    table.apply([Row::from(&changed)], &[]);
    changed.country = "Oman".into();
    table.apply([Row::from(&changed)], &[]);
    assert_eq!(table.view(view).len(), 0);
}

#[test]
fn views_that_nobody_watches_go_first() {
    let mut table = table(&[source(1)]);
    let order = |name| Order::new([name]).unwrap();
    let all = Filter::default();
    let one = table.open_view(&all, &order("country")).unwrap();
    let two = table.open_view(&all, &order("panel")).unwrap();
    assert_eq!(table.open_view(&all, &order("country")), Ok(one), "shared");
    table.open_view(&all, &order("status")).unwrap();
    assert!(
        table.open_view(&all, &order("end_date")).is_err(),
        "all are watched"
    );
    table.close_view(two);
    table.close_view(one);
    let four = table.open_view(&all, &order("end_date")).unwrap();
    assert_eq!(
        table.open_view(&all, &order("country")),
        Ok(one),
        "it is still watched once"
    );
    table.close_view(four);
    assert_ne!(table.open_view(&all, &order("panel")), Ok(two), "made anew");
    table.trim_views(0);
    assert_eq!(table.view(one).len(), 1, "what is watched is kept");
    assert_ne!(
        table.open_view(&all, &order("end_date")),
        Ok(four),
        "made anew"
    );
}

#[test]
fn the_largest_groups_are_told() {
    let rows: Vec<Source> = (0..MOST_GROUPS as u128 + 5)
        .map(|n| Source {
            panel: format!("p{n:04}"),
            ..source(n)
        })
        .chain([Source {
            panel: "p1004".into(),
            ..source(5000)
        }])
        .collect();
    let mut table = table(&rows);
    let by = By::new("panel").unwrap();
    let count = table.open_count(&Filter::default(), Some(by)).unwrap();
    let counted = table.counted(count);
    let groups = counted.groups.unwrap();
    assert_eq!(
        (counted.total, counted.more, groups.len()),
        (MOST_GROUPS + 6, 5, MOST_GROUPS)
    );
    assert_eq!(groups[0], ("p1004".into(), 2));
    assert_eq!(groups[1], ("p0000".into(), 1));
    assert!(By::new("created_at").is_err() && By::new("x").is_err());
}
