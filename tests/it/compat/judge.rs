//! Decides whether what a server showed in a step is right: as recorded, or one of the accepted improvements.
//! It sees only values, never a connection. In one point it goes further than the recorder's own judge, which leaves out
//! replies to a sender before it looks for them: where nothing else came than such replies, they may be what is accepted.

mod diff;
mod freedom;
mod pattern;

use serde_json::Value;

use super::transcript::{Action, Step};

pub(crate) use diff::{diff, short};
pub(crate) use freedom::as_reference;
pub(crate) use pattern::mismatches;

/// What a step showed, with placeholders.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) value: Value,
    /// Sockets on which the server may send unasked what has a `status`.
    pub(crate) live: Vec<String>,
}

impl From<Value> for Observation {
    fn from(value: Value) -> Self {
        Self {
            value,
            live: Vec::new(),
        }
    }
}

/// The verdict on one step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As the reference did, or in a way that makes no difference.
    Same,
    /// Otherwise, and accepted.
    Accepted,
    Wrong(Vec<String>),
}

/// Judges one step.
pub(crate) fn judge(step: &Step, observed: Option<&Observation>) -> Verdict {
    let (Some(expected), Some(observed)) = (&step.expect, observed) else {
        return Verdict::Same;
    };
    let (want, got) = without_freedoms(step, expected, observed);
    let exact = if step.compare.as_deref() == Some("last") {
        diff_last(&want, &got)
    } else {
        diff(&want, &got, "$")
    };
    if exact.is_empty() && step.judge.as_ref().is_none_or(|judge| judge.same_ok) {
        return Verdict::Same;
    }
    let Some(judge) = &step.judge else {
        return Verdict::Wrong(exact);
    };
    let mut outcomes = vec![&got];
    if exact.is_empty() && step.action == Action::WsExpect {
        outcomes.push(&observed.value);
    }
    let accept: Vec<_> = judge
        .accept
        .iter()
        .map(freedom::without_constants)
        .collect();
    let tried: Vec<_> = accept
        .iter()
        .flat_map(|pattern| {
            outcomes
                .iter()
                .map(|outcome| mismatches(pattern, outcome, "$"))
        })
        .collect();
    if tried.iter().any(Vec::is_empty) {
        return Verdict::Accepted;
    }
    let (kind, id, count, observed) = (&judge.kind, &judge.id, accept.len(), short(&got));
    let not = if exact.is_empty() { "" } else { "not " };
    let nearest = tried.iter().min_by_key(|problems| problems.len());
    let nearest = nearest.map_or("-".into(), |problems| problems.join("; "));
    Verdict::Wrong(vec![format!(
        "{kind} {id}: the answer is {not}the one of the reference and meets none of the {count} \
         accepted outcomes; nearest: {nearest}; observed {observed}"
    )])
}

/// What was expected and what came, without all that a server is free to do otherwise.
fn without_freedoms(step: &Step, expected: &Value, observed: &Observation) -> (Value, Value) {
    let mut want = freedom::without_constants(expected);
    let mut got = freedom::without_constants(&observed.value);
    match step.action {
        Action::Http => {
            freedom::relax(&mut want);
            freedom::relax(&mut got);
        }
        Action::WsExpect => {
            let senders: Vec<_> = step.reply_ok.iter().chain(&observed.live).collect();
            freedom::drop_replies(&want, &mut got, &senders);
            freedom::merge_repeats(&want, &mut got, &step.same_again);
        }
        _ => {}
    }
    (want, got)
}

/// After a burst several snapshots may be merged into one: the last must be right, and not more may come.
fn diff_last(want: &Value, got: &Value) -> Vec<String> {
    let mut problems = vec![];
    let none = serde_json::json!({"frames": [], "closed": "no such socket"});
    for (sock, expected) in want.as_object().into_iter().flatten() {
        let came = got.get(sock).unwrap_or(&none);
        let frames = |of: &Value| of["frames"].as_array().cloned().unwrap_or_default();
        let (wanted, received) = (frames(expected), frames(came));
        if let Some(last) = wanted.last() {
            match received.last() {
                Some(frame) => problems.extend(diff(last, frame, &format!("$.{sock}.last"))),
                None => problems.push(format!("$.{sock}: no frame, expected {}", short(last))),
            }
        }
        if received.len() > wanted.len() {
            let (more, reference) = (received.len(), wanted.len());
            problems.push(format!(
                "{sock}: more frames ({more}) than the reference ({reference})"
            ));
        }
        problems.extend(diff(
            &expected["closed"],
            &came["closed"],
            &format!("$.{sock}.closed"),
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn step(source: Value) -> Step {
        serde_json::from_value(source).unwrap()
    }

    fn passes(step: &Step, observed: Value) -> bool {
        !matches!(judge(step, Some(&observed.into())), Verdict::Wrong(_))
    }

    #[allow(
        clippy::needless_pass_by_value,
        reason = "the literals of the tests read better"
    )]
    fn http(status: u16, body: Value) -> Value {
        json!({"status": status, "headers": {}, "body_kind": "json", "body": body})
    }

    #[test]
    fn without_a_judge_only_the_recorded_answer_passes() {
        let step = step(json!({"do": "http", "expect": http(200, json!({"a": 1}))}));
        assert!(passes(&step, http(200, json!({"a": 1}))));
        for wrong in [
            json!({"a": 2}),
            json!({"a": 1.0}),
            json!({"a": true}),
            json!({}),
            json!({"a": 1, "b": 1}),
        ] {
            assert!(!passes(&step, http(200, wrong)));
        }
        assert!(!passes(&step, http(201, json!({"a": 1}))));
    }

    #[test]
    fn a_defect_must_not_be_copied_and_a_quirk_may() {
        let accept = json!([{"status": {"$in": [400, 415]}, "body_kind": "json"}]);
        let judged = |kind, same_ok| {
            step(json!({"do": "http", "expect": http(500, json!("x")),
                "judge": {"kind": kind, "id": "D01", "accept": accept, "same_ok": same_ok}}))
        };
        assert!(!passes(&judged("defect", false), http(500, json!("x"))));
        assert!(passes(&judged("defect", false), http(415, json!({}))));
        assert!(passes(&judged("quirk", true), http(500, json!("x"))));
        assert!(!passes(&judged("quirk", true), http(404, json!({}))));
    }

    #[test]
    fn replies_to_the_sender_are_free_and_may_be_demanded() {
        let quiet = json!({"W": {"frames": [], "closed": null}});
        let answered = json!({"W": {"frames": [{"status": "error"}], "closed": null}});
        let noisy = json!({"W": {"frames": [{"data": []}], "closed": null}});
        let free = step(json!({"do": "ws_expect", "reply_ok": ["W"], "expect": quiet}));
        assert!(passes(&free, quiet.clone()) && passes(&free, answered.clone()));
        assert!(!passes(&free, noisy.clone()));
        let demanded = step(
            json!({"do": "ws_expect", "reply_ok": ["W"], "expect": quiet, "judge":
            {"kind": "defect", "id": "D12", "same_ok": false,
             "accept": [{"W": {"frames": {"$has": {"status": "error"}}, "closed": null}}]}}),
        );
        assert!(passes(&demanded, answered));
        assert!(!passes(&demanded, quiet) && !passes(&demanded, noisy));
    }

    #[test]
    fn snapshots_may_be_merged_but_not_multiplied() {
        let frames = |list: Value| json!({"A": {"frames": list, "closed": null}});
        let (one, two) = (json!({"data": [1]}), json!({"data": [1, 2]}));
        let step = step(
            json!({"do": "ws_expect", "compare": "last", "expect": frames(json!([one, two]))}),
        );
        assert!(passes(&step, frames(json!([two]))));
        assert!(passes(&step, frames(json!([one, two, two]))));
        assert!(!passes(&step, frames(json!([two, one]))));
        assert!(!passes(&step, frames(json!([]))));
        assert!(!passes(&step, frames(json!([one, {"data": []}, two]))));
        assert!(!passes(
            &step,
            json!({"A": {"frames": [two], "closed": {"code": 1011}}})
        ));
    }

    #[test]
    fn an_unchanged_snapshot_need_not_come_again() {
        let frames = |list: Value| json!({"L": {"frames": list, "closed": null}});
        let same = step(
            json!({"do": "ws_expect", "same_again": ["L"], "expect": frames(json!([{"data": 1}]))}),
        );
        assert!(
            passes(&same, frames(json!([])))
                && passes(&same, frames(json!([{"data": 1}, {"data": 1}])))
        );
        assert!(!passes(&same, frames(json!([{"data": 2}]))));
    }
}
