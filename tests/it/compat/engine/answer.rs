//! What of an HTTP answer is compared: status, the headers that clients depend on, and the body as a value.

use base64::Engine;
use serde_json::{Map, Value, json};

use crate::{
    compat::{Fallible, judge::Observation, norm, template::Vars, transcript::Step},
    support::client::Response,
};

/// The answer with placeholders; what the step captures is known from here on.
pub(super) fn observe(response: &Response, step: &Step, vars: &mut Vars) -> Fallible<Observation> {
    let headers = headers(response, vars);
    let content_type = headers.get("content-type").and_then(Value::as_str);
    let (kind, body) = body(&response.body, content_type);
    if kind == "json" {
        for (name, path) in &step.capture {
            let path = path.as_str().ok_or("a capture names a path")?;
            if let Some(text) = at(&body, path).and_then(Value::as_str) {
                vars.set(name, text.to_owned());
            }
        }
    }
    let body = norm::value(vars, &body);
    Ok(
        json!({"status": response.status, "headers": headers, "body_kind": kind, "body": body})
            .into(),
    )
}

/// What kind of body that is, and its value.
pub(super) fn body(bytes: &[u8], content_type: Option<&str>) -> (&'static str, Value) {
    if bytes.is_empty() {
        return ("empty", json!({"$empty": true}));
    }
    if content_type.is_some_and(|kind| kind.contains("html")) {
        return ("html", html(&String::from_utf8_lossy(bytes)));
    }
    if let Ok(value) = serde_json::from_slice(bytes) {
        return ("json", value);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return ("text", json!({"$text": text}));
    }
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    ("binary", json!({"$binary_b64": text}))
}

/// The part of a value that a path such as `data.0.id` names.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, part| match value {
        Value::Array(list) => list.get(part.parse::<usize>().ok()?),
        other => other.get(part),
    })
}

fn html(text: &str) -> Value {
    let title = text
        .split_once("<title>")
        .and_then(|(_, rest)| rest.split_once("</title>"))
        .map_or(String::new(), |(title, _)| {
            title.split_whitespace().collect::<Vec<_>>().join(" ")
        });
    let page = if text.contains("DEBUG = True")
        || text.contains("You're seeing this error because you have")
    {
        "django-debug-page"
    } else if text.contains("Django REST framework") {
        "drf-browsable-api"
    } else if text.contains("CSRF") {
        "csrf-failure-page"
    } else {
        "other"
    };
    json!({"$html": {"page": page, "title": title}})
}

fn headers(response: &Response, vars: &Vars) -> Map<String, Value> {
    let mut kept = Map::new();
    let mut cookies = vec![];
    for (name, value) in &response.headers {
        match name.as_str() {
            "set-cookie" => cookies.push(cookie(value)),
            "allow" => drop(kept.insert(name.clone(), words(value, str::to_owned).into())),
            "access-control-allow-methods" => {
                kept.insert(name.clone(), words(value, str::to_uppercase).into());
            }
            "access-control-allow-headers" | "access-control-expose-headers" => {
                kept.insert(name.clone(), words(value, str::to_lowercase).into());
            }
            "content-type" | "www-authenticate" | "location" => {
                kept.insert(name.clone(), norm::text(vars, value).into());
            }
            other if other.starts_with("access-control-") => {
                kept.insert(name.clone(), norm::text(vars, value).into());
            }
            _ => {}
        }
    }
    if !cookies.is_empty() {
        cookies.sort_unstable();
        kept.insert("set-cookie".into(), cookies.into());
    }
    kept
}

/// A list of words without order.
fn words(value: &str, case: impl Fn(&str) -> String) -> String {
    let mut words: Vec<_> = value.split(',').map(|word| case(word.trim())).collect();
    words.sort_unstable();
    words.join(", ")
}

/// `sessionid=abc; Path=/; Max-Age=5` as name, kind of value, and sorted attributes.
fn cookie(line: &str) -> String {
    let mut parts = line.split(';').map(str::trim);
    let pair = parts.next().unwrap_or_default();
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    let kind = match value.trim_matches('"').chars().count() {
        0 => "empty".to_owned(),
        count => format!("{count} chars"),
    };
    let mut attributes: Vec<_> = parts
        .map(|part| match part.split_once('=') {
            Some((key, value)) if key.eq_ignore_ascii_case("expires") => {
                let past = value.contains("1970");
                format!(
                    "expires={}",
                    if past {
                        "Thu, 01 Jan 1970 00:00:00 GMT"
                    } else {
                        "<http-date>"
                    }
                )
            }
            Some((key, value)) if !value.is_empty() => format!("{}={value}", key.to_lowercase()),
            Some((key, _)) => key.to_lowercase(),
            None => part.to_lowercase(),
        })
        .collect();
    attributes.sort_unstable();
    format!("{name}=<{kind}>; {}", attributes.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_compared_by_kind() {
        assert_eq!(
            cookie(
                "sessionid=abcd; expires=Mon, 07 Dec 2026 00:18:40 GMT; HttpOnly; Path=/; SameSite=Lax"
            ),
            "sessionid=<4 chars>; expires=<http-date>; httponly; path=/; samesite=Lax"
        );
        assert_eq!(
            cookie("sessionid=\"\"; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"),
            "sessionid=<empty>; expires=Thu, 01 Jan 1970 00:00:00 GMT; max-age=0"
        );
    }

    #[test]
    fn bodies_have_kinds() {
        assert_eq!(body(b"", Some("text/html")).0, "empty");
        assert_eq!(body(b"[1]", None), ("json", json!([1])));
        assert_eq!(body(b"[1", None), ("text", json!({"$text": "[1"})));
        assert_eq!(body(&[0xff], None).0, "binary");
        let page = b"<title> 404\n Not  Found </title> DEBUG = True";
        let seen = json!({"$html": {"page": "django-debug-page", "title": "404 Not Found"}});
        assert_eq!(body(page, Some("text/html; charset=utf-8")), ("html", seen));
    }

    #[test]
    fn paths_lead_into_values() {
        let value = json!({"data": [{"id": "x"}]});
        assert_eq!(at(&value, "data.0.id"), Some(&json!("x")));
        assert_eq!(at(&value, "data.1.id"), None);
    }
}
