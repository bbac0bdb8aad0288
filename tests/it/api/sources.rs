//! Sources over HTTP: every field of the table of fields can be set and is shown, also in the console.

use marketplace::db::sources::{FIELDS, Kind, UPLOAD};
use serde_json::{Value, json};

use crate::support::server::TestServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_field_that_is_set_is_shown() {
    let (server, _database) = TestServer::start().await;
    let mut ann = server.visitor("ann").await;
    let fields = FIELDS.iter().filter_map(|field| match field.kind {
        Kind::Text { .. } => Some((field.name, json!(format!("{} of Ann", field.name)))),
        Kind::Date => Some((field.name, json!("2026-11-24"))),
        Kind::File => None,
    });
    let form: Value = fields.collect();
    let added = ann.post("/api/add-source/").json(&form).send().await;
    assert_eq!(added.status, 201, "{}", added.text());
    let listed = ann.get("/api/read-source/").send().await.json()[0].clone();
    assert_eq!(listed, added.json());
    for (field, value) in form.as_object().expect("a form has fields") {
        assert_eq!(listed[field], *value, "{field}");
    }
}

#[test]
fn the_form_of_the_console_has_every_field() {
    let script = include_str!("../../../src/console/fields.js");
    let names = script
        .split("{ name: \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let mut shown: Vec<_> = names.collect();
    // The file has an element of its own.
    shown.push(UPLOAD);
    shown.sort_unstable();
    let mut fields: Vec<_> = FIELDS.iter().map(|field| field.name).collect();
    fields.sort_unstable();
    assert_eq!(shown, fields);
}
