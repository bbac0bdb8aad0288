//! What is written about the API, held against the server: every path and method, what it answers to
//! thousands of requests that nobody thought of, every message of the sockets; and the page.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use marketplace::http::routes::ROUTES;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{
    client::{Browser, Http},
    pipeline::{Pipeline, fake::Fake},
    postgres::TestDatabase,
    server::{ORIGIN, TestServer},
};

/// The id that the documents' examples use.
const EXAMPLE: &str = "11111111-1111-4111-8111-111111111111";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_is_described_with_its_methods_and_nothing_else_is() {
    let (server, database) = TestServer::start().await;
    let mut admin = admin(&server.base, &database).await;
    let document = openapi(&mut admin).await;
    let sockets = asyncapi(&mut admin).await;
    let addresses = sockets
        .lines()
        .filter_map(|line| line.trim().strip_prefix("address: "))
        .map(ToOwned::to_owned);
    let paths = document["paths"].as_object().unwrap();
    let described: Vec<String> = paths
        .keys()
        .map(|path| listed(path))
        .chain(addresses)
        .collect();
    let described_once: BTreeSet<&str> = described.iter().map(String::as_str).collect();
    assert_eq!(
        described_once,
        ROUTES.iter().map(|route| route.path).collect()
    );
    assert_eq!(described.len(), ROUTES.len(), "each once");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(document["info"]["version"], version);
    assert!(sockets.contains(&format!("\n  version: {version}\n")));

    for (path, item) in paths {
        let methods: BTreeSet<String> = item
            .as_object()
            .unwrap()
            .keys()
            .map(|method| method.to_uppercase())
            .collect();
        let answer = admin
            .call("OPTIONS", &path.replace("{id}", EXAMPLE))
            .send()
            .await;
        let allowed = answer.header("allow").expect("it says what is allowed");
        let allowed: BTreeSet<String> = allowed
            .split(", ")
            .filter(|method| !["HEAD", "OPTIONS"].contains(method))
            .map(ToOwned::to_owned)
            .collect();
        assert_eq!(methods, allowed, "{path}");
        if answer.header("allow").unwrap().contains("HEAD") {
            let path = path.replace("{id}", EXAMPLE);
            let get = admin.get(&path).send().await.status;
            let head = admin.call("HEAD", &path).send().await.status;
            assert_eq!(get, head, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_added_leads_to_what_may_be_done_with_it() {
    let (server, database) = TestServer::start().await;
    let mut admin = admin(&server.base, &database).await;
    let document = openapi(&mut admin).await;
    let form = json!({ "country": "France", "created_by": "admin" });
    let added = admin.post("/api/add-source/").json(&form).send().await;
    assert_eq!(added.status, 201, "{}", added.text());
    let answer = &document["paths"]["/api/add-source/"]["post"]["responses"]["201"];
    let links = answer["links"].as_object().expect("it leads somewhere");
    let mut followed = 0;
    let removal = "delete_source_delete";
    let others = links.keys().filter(|name| *name != removal);
    for name in others.map(String::as_str).chain([removal]) {
        assert_eq!(links[name]["parameters"]["id"], "$response.body#/id");
        let (method, path) = operation(&document, &links[name]["operationId"]);
        let path = path.replace("{id}", added.json()["id"].as_str().unwrap());
        let answer = admin.call(&method, &path).json(&json!({})).send().await;
        assert!(answer.status < 300, "{method} {path}: {}", answer.text());
        followed += 1;
    }
    assert_eq!(followed, 5);
}

/// The method and the path of an operation.
fn operation(document: &Value, id: &Value) -> (String, String) {
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation["operationId"] == *id {
                return (method.to_uppercase(), path.clone());
            }
        }
    }
    panic!("no operation {id}");
}

/// What is looked at in each answer. Not that data of another shape is refused nor that all of the
/// right one is taken: as they always have, bodies may have more fields than are known, numbers are
/// texts and no body is one without fields; and a name may be in use, a password wrong.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,ignored_auth,unsupported_method,\
    allow_header_conformance";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_asked_is_answered_as_described() {
    let fake = Fake::start().await;
    let (server, database, _dba) = Pipeline::of(&fake).await;
    let mut admin = admin(&server.base, &database).await;
    make_examples(&database).await;
    let mut document = openapi(&mut admin).await;
    let file = folder().join("openapi.json");
    let file = file.to_str().unwrap();
    fs::write(file, document.to_string()).unwrap();
    run("openapi-spec-validator", &["--schema", "3.1", file]).await;

    // A field that is not described would go unnoticed otherwise.
    close(&mut document["components"]["schemas"]);
    fs::write(file, document.to_string()).unwrap();
    let cookie = format!("Cookie: sessionid={}", admin.cookie("sessionid").unwrap());
    let har = folder().join("schemathesis.har");
    let har = har.to_str().unwrap();
    for (chosen, examples) in [
        ("--exclude-path-regex", "30"),
        ("--include-path-regex", "5"),
    ] {
        let mut arguments = vec!["run", file, "--url", &server.base];
        arguments.extend(["--header", &cookie, chosen, LAST]);
        arguments.extend(["--max-examples", examples]);
        arguments.extend(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing"]);
        arguments.extend(["--generation-deterministic", "--no-shrink"]);
        arguments.extend(["--suppress-health-check", "all", "--warnings", "off"]);
        arguments.extend(["--output-truncate", "false", "--no-color"]);
        arguments.extend(["--report", "har", "--report-har-path", har]);
        run("schemathesis", &arguments).await;
        if examples == "30" {
            assert_eq!(never_done(&document, har), BTreeSet::new());
        }
    }
}

/// What ends the session or removes what others need, and so has its turn after them.
const LAST: &str = "logout|delete-source";

/// What was asked, and answered.
fn entries(har: &str) -> Vec<Value> {
    let mut har: Value = serde_json::from_slice(&fs::read(har).unwrap()).unwrap();
    match har["log"]["entries"].take() {
        Value::Array(entries) => entries,
        other => panic!("{other} are no entries"),
    }
}

/// The method and the path of a request.
fn asked(entry: &Value) -> (&str, String) {
    let request = &entry["request"];
    let url = request["url"].as_str().unwrap().split('?').next().unwrap();
    let path = url.splitn(4, '/').nth(3).unwrap();
    (request["method"].as_str().unwrap(), format!("/{path}"))
}

/// Operations that were asked for, but never did what they are for.
fn never_done(document: &Value, har: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for entry in &entries(har) {
        let (method, path) = asked(entry);
        let path = path.replace(EXAMPLE, "{id}");
        seen.insert(format!("{} {method} {path}", entry["response"]["status"]));
    }
    println!("{} different answers to different requests", seen.len());
    let mut never = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        // The console is for browsers, and files are there once they were sent: see their tests.
        if path == "/"
            || path.starts_with("/console/")
            || path.starts_with("/api/uploads/")
            || LAST.split('|').any(|last| path.contains(last))
        {
            continue;
        }
        for (method, operation) in item.as_object().unwrap() {
            for status in operation["responses"].as_object().unwrap().keys() {
                let case = format!("{status} {} {path}", method.to_uppercase());
                if status.starts_with('2') && !seen.contains(&case) {
                    never.insert(case);
                }
            }
        }
    }
    never
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_of_the_sockets_is_described_and_comes() {
    let fake = Fake::start().await;
    let (pipeline, database, _dba) = Pipeline::of(&fake).await;
    let mut admin = admin(&pipeline.base, &database).await;
    make_examples(&database).await;
    let file = folder().join("asyncapi.yaml");
    fs::write(&file, asyncapi(&mut admin).await).unwrap();
    let script = root().join("tests/documents/sockets.py");
    let server = pipeline.base.replacen("http", "ws", 1);
    let cookie = format!("sessionid={}", admin.cookie("sessionid").unwrap());
    let files = [script.to_str().unwrap(), file.to_str().unwrap()];
    run(
        "python",
        &[&files[..], &[&server, &cookie, ORIGIN]].concat(),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_read_the_documents_and_try_requests() {
    let (server, database) = TestServer::start().await;
    admin(&server.base, &database).await;
    let mut window = Browser::open(&format!("{}/api/docs", server.base)).await;
    window
        .until("!!document.querySelector('.refused a[href=\"/\"]')")
        .await;
    window.forgive("403").await;
    window.go(&server.base).await;
    window.until("!!document.querySelector('form')").await;
    window.fill("[name=username]", "admin").await;
    window.fill("[name=password]", "Correct-horse-7").await;
    window.press("Enter").await;
    window.until("!!document.querySelector('#leave')").await;

    window.go(&format!("{}/api/docs", server.base)).await;
    window
        .until("document.querySelectorAll('.docs details').length > 30")
        .await;
    window.click("#me summary").await;
    window.until("!!document.querySelector('#me .try')").await;
    window.click("#me .try button").await;
    window
        .until("document.querySelector('#me pre')?.textContent.includes('\"username\": \"admin\"')")
        .await;
    window.click("#add_source summary").await;
    window
        .until("!!document.querySelector('#add_source .shape')")
        .await;
    let shape = "document.querySelector('#add_source .shape').textContent";
    assert!(
        window
            .evaluate(shape)
            .await
            .as_str()
            .unwrap()
            .contains("scope_of_subscription")
    );
    crate::console::picture(&mut window, "documents").await;
    crate::console::is_accessible(&mut window, "the documents").await;
    assert_eq!(window.complaints, [""; 0]);
    window.close().await;
}

/// Somebody signed in whom no role keeps from anything.
async fn admin(base: &str, database: &TestDatabase) -> Http {
    let mut admin = Http::new(base).on_page(ORIGIN);
    let password = "Correct-horse-7";
    let account = json!({
        "username": "admin", "email": "", "password": password, "confirm_password": password,
    });
    let answer = admin.post("/api/register/").json(&account).send().await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let dba = database.connect().await;
    dba.execute("update users set role = 'admin'", &[])
        .await
        .unwrap();
    let answer = admin.post("/api/login/").json(&account).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    admin
}

/// Rows that the examples in the documents speak of.
async fn make_examples(database: &TestDatabase) {
    let sql = format!(
        "insert into sources (id, created_by, country) values ('{EXAMPLE}', 'Ann', 'Norway');
         insert into pipeline_runs (id, step) values ('{EXAMPLE}', 'qc');
         insert into users (id, username, password_hash) values ('{EXAMPLE}', 'bob', '!');"
    );
    database.connect().await.batch_execute(&sql).await.unwrap();
}

async fn openapi(admin: &mut Http) -> Value {
    let answer = admin.get("/api/openapi.json").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn asyncapi(admin: &mut Http) -> String {
    let answer = admin.get("/api/asyncapi.yaml").send().await;
    assert_eq!(answer.header("content-type"), Some("application/yaml"));
    answer.text()
}

/// A path of the document as the server lists it.
fn listed(path: &str) -> String {
    path.replace('{', "<").replace('}', ">")
}

/// Allows no field that is not listed.
fn close(schema: &mut Value) {
    if let Value::Array(parts) = schema {
        parts.iter_mut().for_each(close);
    }
    if let Value::Object(parts) = schema {
        parts.values_mut().for_each(close);
        if parts.contains_key("properties") {
            parts.entry("additionalProperties").or_insert(false.into());
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the tests leave what they read.
fn folder() -> PathBuf {
    let folder = root().join("target/documents");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs a program of the tests' Python; panics with what it says unless it is content.
async fn run(program: &str, arguments: &[&str]) {
    let path = root().join("target/venv/bin").join(program);
    assert!(
        path.exists(),
        "{} is missing: run `make tools`",
        path.display()
    );
    let output = Command::new(path)
        .args(arguments)
        .current_dir(folder())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{program}: {}\n{out}\n{err}",
        output.status
    );
    println!("{out}");
}
