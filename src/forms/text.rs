//! The rules for one text field.

use serde_json::Value;

use super::json;

/// What a text field takes.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    /// In characters.
    pub max: usize,
    /// Whether it may be empty.
    pub blank: bool,
}

/// The text of `value`, without the space around it.
///
/// # Errors
/// Every message that applies.
pub(super) fn parse(value: &Value, rule: Rule) -> Result<String, Vec<String>> {
    let text = any(value)?;
    let text = strip(&text);
    if text.is_empty() && !rule.blank {
        return Err(vec![BLANK.into()]);
    }
    let messages = refusals(text, rule.max);
    if messages.is_empty() {
        Ok(text.to_owned())
    } else {
        Err(messages)
    }
}

pub(super) const BLANK: &str = "This field may not be blank.";

/// `value` as text, as it came; numbers become text.
pub(super) fn any(value: &Value) -> Result<String, Vec<String>> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null => Err(vec!["This field may not be null.".into()]),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(vec!["Not a valid string.".into()])
        }
    }
}

/// What is wrong with a text that is there.
pub(super) fn refusals(text: &str, max: usize) -> Vec<String> {
    let mut messages = Vec::new();
    if text.chars().count() > max {
        messages.push(format!(
            "Ensure this field has no more than {max} characters."
        ));
    }
    if text.contains('\0') {
        messages.push("Null characters are not allowed.".into());
    }
    if let Some(code) = json::lone_surrogate(text) {
        messages.push(format!("Surrogate characters are not allowed: U+{code}."));
    }
    messages
}

/// Removes space at both ends. The four separators that Unicode does not call white space count as
/// such here, because clients have always been served so.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RULE: Rule = Rule {
        max: 5,
        blank: false,
    };

    #[test]
    fn texts_and_numbers_are_taken_and_trimmed() {
        for (value, text) in [
            (json!("a"), "a"),
            (json!(" a\tb \u{1f}"), "a\tb"),
            (json!("\u{1}"), "\u{1}"),
            (json!("ééééé   "), "ééééé"),
            (json!(42), "42"),
            (json!(1.5), "1.5"),
            (json!(-1), "-1"),
        ] {
            assert_eq!(parse(&value, RULE).as_deref(), Ok(text), "{value}");
        }
    }

    #[test]
    fn everything_else_is_refused_in_words() {
        let surrogate = json::parse(br#""\ud800""#).unwrap();
        for (value, message) in [
            (json!(""), "This field may not be blank."),
            (json!(" \n\u{1c}"), "This field may not be blank."),
            (json!(null), "This field may not be null."),
            (json!(true), "Not a valid string."),
            (json!([]), "Not a valid string."),
            (json!({}), "Not a valid string."),
            (
                json!("éééééé"),
                "Ensure this field has no more than 5 characters.",
            ),
            (json!("a\0b"), "Null characters are not allowed."),
        ] {
            assert_eq!(
                parse(&value, RULE),
                Err(vec![message.to_owned()]),
                "{value}"
            );
        }
        assert_eq!(
            parse(&surrogate, Rule { max: 50, ..RULE }),
            Err(vec!["Surrogate characters are not allowed: U+D800.".into()])
        );
    }

    #[test]
    fn a_field_that_may_be_blank_may() {
        let rule = Rule {
            blank: true,
            ..RULE
        };
        assert_eq!(parse(&json!(""), rule).as_deref(), Ok(""));
        assert_eq!(parse(&json!("  "), rule).as_deref(), Ok(""));
        assert!(parse(&json!(null), rule).is_err());
    }
}
