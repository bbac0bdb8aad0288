//! What is made for whoever is on call, held against what the server really shows: the document, the
//! alerts and the dashboard name every metric, and none that does not exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::PathBuf,
    process::Stdio,
};

use serde_json::Value;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::support::{
    client::Http,
    server::{TestServer, eventually, open},
};

/// Begins and ends the table of `docs/metrics.md`.
const TABLE: [&str; 2] = ["<!-- begin -->\n", "<!-- end -->\n"];

/// A metric as it is shown.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    says: String,
    labels: BTreeSet<String>,
    /// Names in its lines: its own, or those of a histogram's parts.
    lines: BTreeSet<String>,
}

/// What a server shows on which everything has happened that is counted.
async fn shown() -> String {
    let (server, database) = TestServer::start().await;
    let visitor = server.visitor("somebody").await;
    let list = open(&visitor, "/ws/read_source/").await;
    eventually("the list is there", async || {
        !list.frames_from(0).is_empty()
    })
    .await;
    let dba = database.connect().await;
    dba.batch_execute("insert into sources (country) values ('one')")
        .await
        .unwrap();
    let mut operator = Http::new(&server.base);
    let mut text = String::new();
    eventually("what was sent is counted", async || {
        text = operator.get("/metrics").send().await.text();
        text.contains(r#"marketplace_change_to_send_seconds_count{group="DataSource"} 1"#)
    })
    .await;
    text
}

fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(line) = line.strip_prefix("# HELP ") {
            let (name, says) = line.split_once(' ').expect("a name and a sentence");
            says.clone_into(&mut families.entry(name.to_owned()).or_default().says);
        } else if let Some(line) = line.strip_prefix("# TYPE ") {
            let (name, kind) = line.split_once(' ').expect("a name and a type");
            kind.clone_into(&mut families.entry(name.to_owned()).or_default().kind);
        } else {
            let (series, _) = line.rsplit_once(' ').expect("a series and a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let parts = ["_bucket", "_sum", "_count"];
            let whole = parts.iter().find_map(|part| name.strip_suffix(part));
            let family = match whole.filter(|whole| families.contains_key(*whole)) {
                Some(whole) => families.get_mut(whole).expect("it was just found"),
                None => families.entry(name.to_owned()).or_default(),
            };
            family.lines.insert(name.to_owned());
            let names = labels
                .split("\",")
                .filter_map(|label| label.split_once('='));
            let names = names.map(|(name, _)| name.trim_start_matches(',').to_owned());
            family.labels.extend(names.filter(|name| name != "le"));
        }
    }
    families
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_is_documented_and_every_documented_one_is_shown() {
    let families = families(&shown().await);
    let mut table = String::from("| metric | type | labels | what |\n|---|---|---|---|\n");
    for (name, family) in &families {
        let Family {
            kind,
            says,
            labels,
            lines,
        } = family;
        assert!(!kind.is_empty() && !says.is_empty(), "{name}: {family:?}");
        assert!(!lines.is_empty(), "{name} has no value");
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = labels.join(" ");
        writeln!(table, "| `{name}` | {kind} | {labels} | {says} |").unwrap();
    }
    assert!(families.len() > 35, "{:?}", families.keys());

    let file = path("docs/metrics.md");
    let text = std::fs::read_to_string(&file).expect("the document is there");
    let (before, rest) = text.split_once(TABLE[0]).expect("the table begins");
    let (documented, after) = rest.split_once(TABLE[1]).expect("the table ends");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let [begin, end] = TABLE;
        let text = format!("{before}{begin}{table}{end}{after}");
        std::fs::write(&file, text).expect("the file can be written");
    } else {
        assert!(
            documented == table,
            "docs/metrics.md is out of date; run: UPDATE_DOCS=1 cargo test --test it monitoring\n{table}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_finds_nothing_wrong() {
    promtool(&["check", "rules", "ops/alerts.yml"], "").await;
    promtool(&["test", "rules", "ops/alerts_test.yml"], "").await;
    promtool(&["check", "metrics"], &shown().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_and_dashboard_use_metrics_that_there_are() {
    let families = families(&shown().await);
    let exists = |name: &String| families.values().any(|family| family.lines.contains(name));
    let mut used = BTreeSet::new();
    for file in ["ops/alerts.yml", "ops/alerts_test.yml", "ops/grafana.json"] {
        let text = std::fs::read_to_string(path(file)).expect("the file is there");
        let names = names(&text);
        assert!(names.len() > 10, "{file}: {names:?}");
        let unknown: Vec<_> = names.iter().filter(|name| !exists(name)).collect();
        // In words, a histogram has its own name.
        let unknown: Vec<_> = unknown
            .into_iter()
            .filter(|name| !families.contains_key(*name))
            .collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
        used.extend(names);
    }
    let dashboard = std::fs::read_to_string(path("ops/grafana.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).expect("it is JSON");
    let mut expressions = Vec::new();
    collect(&dashboard, &mut expressions);
    assert!(expressions.len() > 30, "{expressions:?}");
    let drawn: BTreeSet<String> = expressions.iter().flat_map(|text| names(text)).collect();
    // The number of bytes reserved is no news to anybody.
    let missing: Vec<_> = families
        .iter()
        .filter(|(name, _)| *name != "process_virtual_memory_bytes")
        .filter(|(_, family)| family.lines.is_disjoint(&drawn))
        .map(|(name, _)| name)
        .collect();
    assert!(missing.is_empty(), "not on the dashboard: {missing:?}");
    for expression in expressions {
        let expression = expression
            .replace("$__rate_interval", "1m")
            .replace("$instance", ".*");
        promtool_query(&expression).await;
    }
}

/// Names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.split(|c| !is_part(c))
        .filter(|word| word.starts_with("marketplace_") || word.starts_with("process_"))
        .map(ToOwned::to_owned)
        .collect()
}

/// Every `expr` in the dashboard.
fn collect(value: &Value, expressions: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, expressions)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "expr" => expressions.push(text.clone()),
                    value => collect(value, expressions),
                }
            }
        }
        _ => {}
    }
}

/// Whether an expression is one, which `promtool` tells of rules only.
async fn promtool_query(expression: &str) {
    let rule = serde_json::json!({
        "groups": [{"name": "one", "rules": [{"record": "one", "expr": expression}]}],
    });
    let file = tempfile(&rule.to_string());
    promtool(&["check", "rules", file.to_str().unwrap()], "").await;
    std::fs::remove_file(file).unwrap();
}

/// A file of this text, which is YAML too.
fn tempfile(text: &str) -> PathBuf {
    let name = format!("marketplace-rule-{}.yml", uuid::Uuid::new_v4());
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, text).expect("a file can be written");
    file
}

/// Runs `promtool` on `input`; it must be content.
async fn promtool(arguments: &[&str], input: &str) {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("promtool is there (make tools)");
    let mut stdin = child.stdin.take().expect("it is piped");
    // One that needs no input may have ended by now.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{arguments:?}: {said}\n{input}");
    assert!(!said.contains("FAILED"), "{said}");
}

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
}
