//! What is accepted of clients, and what they are told.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::words::{source, table};
use crate::table::{
    difference::Difference,
    encode,
    filter::{Filter, Query},
    order::Order,
    window::{Anchor, Window},
};

fn paris() -> TimeZone {
    TimeZone::get("Europe/Paris").unwrap()
}

fn json(value: &Value) -> Result<Filter, Value> {
    Filter::from_json(value, &paris()).map_err(|errors| json!(errors))
}

fn query(text: &str) -> Result<Query, Value> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    Query::new(pairs, &["limit", "after"], &paris()).map_err(|errors| json!(errors))
}

#[test]
fn equal_filters_are_equal_keys() {
    let one = json(&json!({"country": ["b", "a", "a"], "text": "Niel  pol"})).unwrap();
    let other = json(&json!({"text": "POL niel niel", "country": ["a", "b"]})).unwrap();
    assert_eq!(one, other);
    assert_eq!(
        query(
            "country=b&country=a&q=niel+&q=pol"
                .replace('+', "")
                .as_str()
        )
        .unwrap()
        .filter,
        one
    );
    let day = json(&json!({"created_at": {"from": "2026-07-01", "to": "2026-07-01"}})).unwrap();
    let moments = json!({"created_at": {
        "from": "2026-06-30T22:00:00Z", "to": "2026-07-01T23:59:59.999999+02:00"
    }});
    assert_eq!(
        json(&moments).unwrap(),
        day,
        "a date is a whole day of the zone"
    );
    assert_eq!(
        query("created_at_from=2026-07-01&created_at_to=2026-07-01")
            .unwrap()
            .filter,
        day
    );
    let range = json(&json!({"next_update": {"to": "2026-12-31"}})).unwrap();
    assert_eq!(
        query("next_update_to=2026-12-31&limit=3").unwrap().filter,
        range
    );
    let list = json(&json!({"next_update": [null, "2026-12-31"]})).unwrap();
    assert_eq!(
        query("next_update=2026-12-31&next_update=null")
            .unwrap()
            .filter,
        list
    );
    assert!(json(&json!({})).unwrap().is_empty());
    assert!(json(&json!({"text": " \u{301} "})).unwrap().is_empty());
    assert!(json(&json!({"created_at": {"to": "9999-12-31"}})).is_ok());
}

#[test]
fn wrong_filters_are_told_by_path() {
    let wrong = json!({
        "land": ["France"], "country": "France", "status": [], "panel": [1], "data_upload": ["x"],
        "id": ["x"], "end_date": {"form": "2026-01-01"}, "next_update": {}, "text": ["a"],
        "current_update": ["2026-02-30"], "created_at": ["2026-01-01"],
        "updated_at": {"from": "yesterday"}
    });
    assert_eq!(
        json(&wrong).unwrap_err(),
        json!({
            "where.land": ["There is no filter \"land\"."],
            "where.country": ["Give a list of texts."],
            "where.status": ["Give at least one value, or leave the filter out."],
            "where.panel": ["Give a list of texts."],
            "where.data_upload": ["There is no filter \"data_upload\"."],
            "where.id": ["There is no filter \"id\"."],
            "where.end_date": ["A range has no \"form\". Give \"from\", \"to\" or both."],
            "where.next_update": ["Give \"from\", \"to\" or both."],
            "where.text": ["Give words to search for."],
            "where.current_update": ["Give a list of dates such as 2026-12-31 or null, or a range."],
            "where.created_at": ["Give \"from\", \"to\" or both."],
            "where.updated_at": [
                "Enter a date such as 2026-12-31 or a time such as 2026-12-31T08:30:00Z."
            ],
        })
    );
    assert_eq!(
        json(&json!([])).unwrap_err(),
        json!({"where": ["Give an object of conditions."]})
    );
    let day = json!({"end_date": {"from": "2026-12-01T00:00:00Z"}});
    assert!(json(&day).is_err(), "a day has no time");
    let many: Vec<String> = (0..1001).map(|n| n.to_string()).collect();
    assert_eq!(
        json(&json!({ "panel": many })).unwrap_err(),
        json!({"where.panel": ["Give at most 1000 values."]})
    );
    assert_eq!(
        json(&json!({ "text": many.join(" ") })).unwrap_err(),
        json!({"where.text": ["Search for at most 20 words."]})
    );
}

#[test]
fn wrong_parameters_are_named() {
    let text = "land=1&country_from=a&next_update_from=x&next_update=null&next_update_to=2026-01-01\
                &end_date_to=2026-01-01&end_date_to=2026-01-02&created_at=2026-01-01&order=-land,panel,panel\
                &after=x&_from=1";
    assert_eq!(
        query(text).unwrap_err(),
        json!({
            "_from": ["There is no such parameter."],
            "land": ["There is no such parameter."],
            "country_from": ["There is no such parameter."],
            "created_at": ["There is no such parameter."],
            "end_date_to": ["Give it once."],
            "next_update_from": ["Enter a date such as 2026-12-31."],
            "next_update_to": ["Give a range or next_update, not both."],
            "order": ["There is no column \"land\".", "panel is named twice."],
        })
    );
}

#[test]
fn orders_that_mean_the_same_are_equal() {
    let order = |names: &[&str]| Order::new(names.iter().copied()).unwrap();
    assert!(order(&["-created_at"]) == Order::default());
    assert!(order(&["-created_at", "id", "panel"]) == Order::default());
    assert_eq!(order(&["panel", "-created_at"]), order(&["panel"]));
    assert_eq!(order(&["panel", "id", "status"]), order(&["panel", "id"]));
    assert_eq!(order(&["created_at", "id"]), order(&["created_at"]));
    assert_ne!(order(&["created_at"]), order(&[]));
    assert_ne!(order(&["-created_at", "-id"]), order(&[]));
    assert_eq!(
        query("order=-next_update,panel").unwrap().order,
        order(&["-next_update", "panel"])
    );
    assert_eq!(
        Order::from_json(&json!(["-panel"])).unwrap(),
        order(&["-panel"])
    );
    assert!(Order::from_json(&json!("panel")).is_err() && Order::from_json(&json!([1])).is_err());
}

#[test]
fn anchors_are_read() {
    let id = source(7).id;
    for (value, anchor) in [
        (json!({"start": true}), Anchor::Start),
        (json!({"index": 5000}), Anchor::Index(5000)),
        (json!({"id": id}), Anchor::Row(id)),
    ] {
        assert_eq!(Anchor::from_json(&value), Ok(anchor));
    }
    let wrong = [
        json!({}),
        json!({"start": false}),
        json!({"index": -1}),
        json!({"index": 1.5}),
        json!({"id": "x"}),
        json!({"start": true, "index": 1}),
        json!("start"),
    ];
    assert!(wrong.iter().all(|value| Anchor::from_json(value).is_err()));
}

#[test]
fn messages_are_as_in_the_contract() {
    let mut table = table(&[source(1), source(2)]);
    let view = table
        .open_view(&Filter::default(), &Order::default())
        .unwrap();
    let mut window = Window::new(view, Anchor::Start, 80);
    let before = table.content(&mut window);
    let text = |table: &crate::table::Table, content, difference: &Difference| {
        let mut out = bytes::BytesMut::new();
        encode::head(&mut out, "rows", "a\"");
        encode::rows(
            &mut out,
            "e:1",
            content,
            difference,
            table.store(),
            |source, out| {
                out.extend_from_slice(source.id.as_u128().to_string().as_bytes());
            },
        );
        String::from_utf8(out.to_vec()).unwrap()
    };
    assert_eq!(
        text(&table, &before, &Difference::Whole),
        r#"{"rows":"a\"","version":"e:1","total":2,"first":0,"data":[1,2]}"#
    );
    let mut changed = source(2);
    changed.panel = "x".into();
    table.apply(
        [&source(3), &changed].map(crate::table::row::Row::from),
        &[source(1).id],
    );
    let after = table.content(&mut window);
    let difference = Difference::new(&before, &after);
    assert_eq!(difference, Difference::Whole, "nothing stayed as it was");
    table.apply([(&source(1)).into()], &[]);
    let last = table.content(&mut window);
    assert_eq!(
        text(&table, &last, &Difference::new(&after, &last)),
        r#"{"rows":"a\"","version":"e:1","total":3,"first":0,"splice":[[0,0,[1]]]}"#
    );
    let mut out = bytes::BytesMut::new();
    let by = crate::table::counts::By::new("status").unwrap();
    let count = table.open_count(&Filter::default(), Some(by)).unwrap();
    encode::counts(&mut out, "e:1", &table.counted(count));
    assert_eq!(out, r#""version":"e:1","total":3,"groups":{"active":3}}"#);
}
