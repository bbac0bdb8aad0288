//! What a server may do otherwise than the reference without being judged at all: free headers, replies to a sender,
//! snapshots that say nothing new, and counts that the reference made up.

use serde_json::{Map, Value};

/// Keys by which a reply to a sender is known.
const REPLY_KEYS: [&str; 4] = ["status", "success", "error", "message"];

/// A snapshot without the version that a server may add to it.
pub(crate) fn as_reference(mut frame: Value) -> Value {
    if let Some(map) = frame.as_object_mut().filter(|map| map.contains_key("data")) {
        map.shift_remove("version");
    }
    frame
}

/// The counts of "Data Update" are constants in the reference: any whole number will do.
pub(super) fn without_constants(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(without_constants).collect(),
        Value::Object(map) => {
            let made_up = map
                .get("section")
                .is_some_and(|section| section == "Data Update");
            let free = |key: &str, item: &Value| {
                made_up && matches!(key, "s1" | "s2" | "s3") && (item.is_u64() || item.is_boolean())
            };
            map.iter()
                .map(|(key, item)| {
                    let item = if free(key, item) {
                        "<count>".into()
                    } else {
                        without_constants(item)
                    };
                    (key.clone(), item)
                })
                .collect()
        }
        other => other.clone(),
    }
}

/// Leaves out of an HTTP answer what is free: the type of an empty body, `Allow` other than on a 405 (and `HEAD` in it),
/// the length of cookie values, and `expires` of a cookie that has `Max-Age`.
pub(super) fn relax(answer: &mut Value) {
    let empty = answer["body_kind"] == "empty";
    let not_allowed = answer["status"] == 405;
    let Some(headers) = answer.get_mut("headers").and_then(Value::as_object_mut) else {
        return;
    };
    if empty {
        headers.shift_remove("content-type");
    }
    if not_allowed {
        if let Some(Value::String(allow)) = headers.get_mut("allow") {
            *allow = allow
                .split(", ")
                .filter(|method| *method != "HEAD")
                .collect::<Vec<_>>()
                .join(", ");
        }
    } else {
        headers.shift_remove("allow");
    }
    if let Some(Value::Array(cookies)) = headers.get_mut("set-cookie") {
        for cookie in cookies {
            *cookie = cookie.as_str().map(free_cookie).into();
        }
    }
}

/// `name=<32 chars>; expires=..; max-age=..` without what is free in it.
fn free_cookie(cookie: &str) -> String {
    let parts: Vec<_> = cookie.split("; ").collect();
    let ages = parts.iter().any(|part| part.starts_with("max-age="));
    let kept: Vec<_> = parts
        .iter()
        .filter(|part| !(ages && part.starts_with("expires=")))
        .map(|part| match part.split_once("=<") {
            Some((name, value)) if value.ends_with(" chars>") => format!("{name}=<value>"),
            _ => (*part).to_owned(),
        })
        .collect();
    kept.join("; ")
}

/// Takes out surplus frames by which a server answers a sender to whom the reference said nothing.
pub(super) fn drop_replies(want: &Value, got: &mut Value, senders: &[&String]) {
    for sender in senders {
        let Some(wanted) = want.get(*sender).and_then(|sock| sock["frames"].as_array()) else {
            continue;
        };
        let Some(frames) = frames_of(got.get_mut(*sender)) else {
            continue;
        };
        let mut surplus = frames.len().saturating_sub(wanted.len());
        frames.retain(|frame| {
            let reply = frame
                .as_object()
                .is_some_and(|map| REPLY_KEYS.iter().any(|key| map.contains_key(*key)));
            let dropped = surplus > 0 && reply && !wanted.contains(frame);
            surplus -= usize::from(dropped);
            !dropped
        });
    }
}

/// The same snapshot twice in a row counts once, and on the sockets named it need not come at all when nothing changed.
pub(super) fn merge_repeats(want: &Value, got: &mut Value, same_again: &[String]) {
    for (sock, observed) in got.as_object_mut().into_iter().flatten() {
        let Some(frames) = frames_of(Some(observed)) else {
            continue;
        };
        frames.dedup_by(|frame, before| {
            frame == before && frame.as_object().is_some_and(is_snapshot)
        });
        if frames.is_empty() && same_again.contains(sock) {
            frames.clone_from(want[sock.as_str()]["frames"].as_array().unwrap_or(&vec![]));
        }
    }
}

fn is_snapshot(frame: &Map<String, Value>) -> bool {
    frame.len() == 1 && frame.contains_key("data")
}

fn frames_of(sock: Option<&mut Value>) -> Option<&mut Vec<Value>> {
    sock?.get_mut("frames")?.as_array_mut()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn free_parts_of_an_answer() {
        let mut answer = json!({"status": 200, "body_kind": "empty", "headers": {"content-type": "x", "allow": "GET",
            "set-cookie": ["a=<3 chars>; expires=<http-date>; httponly; max-age=5", "b=<empty>; expires=<http-date>"]}});
        relax(&mut answer);
        assert_eq!(
            answer["headers"],
            json!({"set-cookie": ["a=<value>; httponly; max-age=5", "b=<empty>; expires=<http-date>"]})
        );
        let mut answer = json!({"status": 405, "body_kind": "json", "headers": {"content-type": "x", "allow": "GET, HEAD, OPTIONS"}});
        relax(&mut answer);
        assert_eq!(
            answer["headers"],
            json!({"content-type": "x", "allow": "GET, OPTIONS"})
        );
    }

    #[test]
    fn made_up_counts_and_versions() {
        let counts = |section: &str, count: Value| json!({"section": section, "s1": count});
        assert_eq!(
            without_constants(&counts("Data Update", json!(12))),
            counts("Data Update", json!("<count>"))
        );
        assert_eq!(
            without_constants(&counts("Data Update", json!(-1))),
            counts("Data Update", json!(-1))
        );
        assert_eq!(
            without_constants(&counts("Data Library", json!(12))),
            counts("Data Library", json!(12))
        );
        assert_eq!(
            as_reference(json!({"data": [], "version": "1:2"})),
            json!({"data": []})
        );
        assert_eq!(
            as_reference(json!({"version": "1:2"})),
            json!({"version": "1:2"})
        );
    }

    #[test]
    fn only_surplus_replies_are_dropped() {
        let frames = |list: Value| json!({"F": {"frames": list}});
        let want = frames(json!([{"status": "success"}]));
        let sender = "F".to_owned();
        let dropped = |list: Value| {
            let mut got = frames(list);
            drop_replies(&want, &mut got, &[&sender]);
            got["F"]["frames"].clone()
        };
        assert_eq!(
            dropped(json!([{"status": "success"}, {"error": 1}])),
            json!([{"status": "success"}])
        );
        assert_eq!(dropped(json!([{"error": 1}])), json!([{"error": 1}]));
        assert_eq!(
            dropped(json!([{"status": "success"}, {"status": "success"}]))
                .as_array()
                .unwrap()
                .len(),
            2
        );
    }
}
