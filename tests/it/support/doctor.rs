//! `marketplace doctor`, and its findings.

use serde_json::Value;
use tokio::time::timeout;

use super::{program::program, server::SOON};

/// What is found, as `(level, about, found, advice)`, and the exit code.
pub async fn doctor(url: &str, arguments: &[&str]) -> (i32, Vec<[String; 4]>) {
    let mut command = program(&["doctor", "--json"]);
    command.args(arguments).env("DATABASE_URL", url);
    let output = timeout(SOON * 4, command.output()).await;
    let output = output.expect("it ends").unwrap();
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let text = |one: &Value, key| one[key].as_str().unwrap_or_default().to_owned();
    let findings = findings
        .iter()
        .map(|one| ["level", "about", "found", "advice"].map(|key| text(one, key)))
        .collect();
    (output.status.code().expect("it was not killed"), findings)
}

/// Those that are not ok.
pub fn bad(findings: &[[String; 4]]) -> Vec<[&str; 4]> {
    let bad = findings.iter().filter(|one| one[0] != "ok");
    bad.map(|one| one.each_ref().map(String::as_str)).collect()
}
