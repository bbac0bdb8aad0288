//! The exact comparison of two values, as lines for a person. It makes one allowance: fields of a
//! source may have been added since.

use marketplace::db::sources::FIELDS;
use serde_json::Value;

/// One line for each difference.
pub(crate) fn diff(want: &Value, got: &Value, path: &str) -> Vec<String> {
    let mut lines = vec![];
    match (want, got) {
        (Value::Object(wanted), Value::Object(came)) => {
            for (key, value) in wanted {
                match came.get(key) {
                    Some(other) => lines.extend(diff(value, other, &format!("{path}.{key}"))),
                    None => {
                        lines.push(format!("{path}.{key}: missing (expected {})", short(value)));
                    }
                }
            }
            let unexpected = |key: &str| !wanted.contains_key(key) && !is_added(key);
            for (key, value) in came.iter().filter(|(key, _)| unexpected(key)) {
                lines.push(format!("{path}.{key}: unexpected {}", short(value)));
            }
        }
        (Value::Array(wanted), Value::Array(came)) => {
            if wanted.len() != came.len() {
                let (expected, arrived) = (wanted.len(), came.len());
                lines.push(format!(
                    "{path}: {expected} elements expected, {arrived} came: {}",
                    short(got)
                ));
            }
            for (index, (value, other)) in wanted.iter().zip(came).enumerate() {
                lines.extend(diff(value, other, &format!("{path}[{index}]")));
            }
        }
        _ if want != got => {
            lines.push(format!(
                "{path}: expected {}, got {}",
                short(want),
                short(got)
            ));
        }
        _ => {}
    }
    lines
}

/// Whether a key is a field of a source that was added after the transcripts were recorded. Clients of that
/// time ignore it.
fn is_added(key: &str) -> bool {
    let recorded = include_str!("../../../compat/rest-read.json");
    FIELDS.iter().any(|field| field.name == key) && !recorded.contains(&format!("\"{key}\""))
}

/// A value on one line, cut when it is long.
pub(crate) fn short(value: &Value) -> String {
    const LENGTH: usize = 260;
    let text = value.to_string();
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
