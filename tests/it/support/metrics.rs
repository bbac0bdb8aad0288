//! A metric, as `/metrics` shows it.

use std::str::FromStr;

use super::client::Http;

/// The metric of this name and labels, as `name{label="value"}`; `None` when it is not shown.
pub async fn metric<T: FromStr>(operator: &mut Http, name: &str) -> Option<T> {
    let answer = operator.get("/metrics").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
        .text()
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}
