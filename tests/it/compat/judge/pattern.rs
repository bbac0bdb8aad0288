//! The patterns in which accepted outcomes are written: objects are subsets, `"<any>"` is anything, and an object with
//! one key `$in`, `$not`, `$lt`, `$len`, `$maxlen`, `$has` or `$words` is that condition.

use serde_json::Value;

use super::diff::short;

/// Why a value does not fit a pattern; nothing when it does.
pub(crate) fn mismatches(pattern: &Value, got: &Value, path: &str) -> Vec<String> {
    if pattern == "<any>" {
        return vec![];
    }
    if let Some((operator, argument)) = condition(pattern) {
        let reason = violated(operator, argument, got);
        return reason
            .into_iter()
            .map(|reason| format!("{path}: {} {reason}", short(got)))
            .collect();
    }
    let mut lines = vec![];
    match (pattern, got) {
        (Value::Object(wanted), Value::Object(came)) => {
            for (key, value) in wanted {
                match came.get(key) {
                    Some(other) => lines.extend(mismatches(value, other, &format!("{path}.{key}"))),
                    // What is not there is certainly not that.
                    None if value.get("$not").is_some() => {}
                    None => lines.push(format!("{path}.{key}: missing")),
                }
            }
        }
        (Value::Array(wanted), Value::Array(came)) => {
            if wanted.len() != came.len() {
                lines.push(format!(
                    "{path}: {} elements expected, {} came",
                    wanted.len(),
                    came.len()
                ));
            }
            for (index, (value, other)) in wanted.iter().zip(came).enumerate() {
                lines.extend(mismatches(value, other, &format!("{path}[{index}]")));
            }
        }
        _ if !same(pattern, got) => {
            lines.push(format!(
                "{path}: expected {}, got {}",
                short(pattern),
                short(got)
            ));
        }
        _ => {}
    }
    lines
}

/// Numbers are the same whether they are written with a point or not.
fn same(pattern: &Value, got: &Value) -> bool {
    pattern == got
        || pattern
            .as_f64()
            .zip(got.as_f64())
            .is_some_and(|(wanted, came)| wanted.total_cmp(&came).is_eq())
}

fn condition(pattern: &Value) -> Option<(&str, &Value)> {
    const OPERATORS: [&str; 7] = ["$in", "$lt", "$len", "$has", "$not", "$maxlen", "$words"];
    let map = pattern.as_object().filter(|map| map.len() == 1)?;
    let (operator, argument) = map.iter().next()?;
    OPERATORS
        .contains(&operator.as_str())
        .then_some((operator, argument))
}

fn violated(operator: &str, argument: &Value, got: &Value) -> Option<String> {
    let fits = |pattern: &Value, value: &Value| mismatches(pattern, value, "").is_empty();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let length = || match got {
        Value::String(text) => Some(text.chars().count() as u64),
        Value::Array(list) => Some(list.len() as u64),
        Value::Object(map) => Some(map.len() as u64),
        _ => None,
    };
    let holds = match operator {
        "$in" => list(argument).iter().any(|pattern| fits(pattern, got)),
        "$not" => !fits(argument, got),
        "$lt" => got
            .as_f64()
            .zip(argument.as_f64())
            .is_some_and(|(value, limit)| value < limit),
        "$len" => length().is_some_and(|length| argument == length),
        "$maxlen" => length()
            .zip(argument.as_u64())
            .is_some_and(|(length, limit)| length <= limit),
        "$has" => list(got).iter().any(|value| fits(argument, value)),
        _ => lists_words(&list(argument), got),
    };
    (!holds).then(|| format!("breaks {operator} {}", short(argument)))
}

/// Whether a comma-separated header names all the words, or `*`.
fn lists_words(wanted: &[Value], got: &Value) -> bool {
    let have: Vec<_> = got
        .as_str()
        .unwrap_or_default()
        .split(',')
        .map(|word| word.trim().to_lowercase())
        .collect();
    let has = |word: &str| have.iter().any(|had| had == word);
    has("*")
        || wanted
            .iter()
            .filter_map(Value::as_str)
            .all(|word| has(&word.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[allow(
        clippy::needless_pass_by_value,
        reason = "the literals of the tests read better"
    )]
    fn fits(pattern: Value, got: Value) -> bool {
        mismatches(&pattern, &got, "$").is_empty()
    }

    #[test]
    fn objects_are_subsets_and_lists_are_not() {
        assert!(fits(json!({"a": 1}), json!({"a": 1, "b": 2})));
        assert!(!fits(json!({"a": 1}), json!({"b": 2})));
        assert!(fits(json!([{"a": 1}]), json!([{"a": 1, "b": 2}])));
        assert!(!fits(json!([1]), json!([1, 2])));
        assert!(!fits(json!({}), json!([])));
        assert!(fits(json!({"a": "<any>"}), json!({"a": null})));
        assert!(!fits(json!({"a": "<any>"}), json!({})));
    }

    #[test]
    fn conditions() {
        assert!(fits(json!({"$in": [400, {"a": 1}]}), json!({"a": 1})));
        assert!(!fits(json!({"$in": [400]}), json!(404)));
        assert!(fits(json!({"$lt": 500}), json!(499)) && !fits(json!({"$lt": 500}), json!(500)));
        assert!(!fits(json!({"$lt": 500}), json!("4")));
        assert!(fits(json!({"$len": 1}), json!([0])) && !fits(json!({"$len": 1}), json!([])));
        assert!(
            fits(json!({"$maxlen": 1}), json!([])) && !fits(json!({"$maxlen": 1}), json!([0, 0]))
        );
        assert!(fits(
            json!({"$has": {"a": 1}}),
            json!([{}, {"a": 1, "b": 1}])
        ));
        assert!(
            !fits(json!({"$has": {"a": 1}}), json!([])) && !fits(json!({"$has": 1}), json!(null))
        );
        assert!(fits(json!({"$words": ["POST"]}), json!("get, post")));
        assert!(
            fits(json!({"$words": ["POST"]}), json!("*"))
                && !fits(json!({"$words": ["POST"]}), json!("GET"))
        );
        assert!(
            fits(json!({"$not": {"a": 1}}), json!({"a": 2}))
                && !fits(json!({"$not": {"a": 1}}), json!({"a": 1}))
        );
        assert!(
            fits(json!({"h": {"$not": "<any>"}}), json!({}))
                && !fits(json!({"h": {"$not": "<any>"}}), json!({"h": 1}))
        );
    }
}
