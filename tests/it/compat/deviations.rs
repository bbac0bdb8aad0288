//! Where this server answers otherwise than the recorded reference on purpose although the transcripts do not mark it:
//! the case, the reason, and what is accepted instead. Everything that is not listed here is judged as recorded.

use serde_json::{Value, json};

use super::transcript::Action;

/// What else is right in the steps of that kind of that case.
pub(crate) fn accepted(case: &str, action: Action) -> Vec<Value> {
    match (case, action) {
        ("read.old_date_year_1", Action::Http) => derived_after_a_direct_edit(),
        ("fanout.sql_update_then_ws_add", Action::WsExpect) => direct_edit_announced(),
        ("wsfilter.after_update_no_push", Action::WsExpect) => sender_answered(),
        _ => vec![],
    }
}

/// The database itself keeps the derived columns right, also after a direct edit; the reference's went stale.
fn derived_after_a_direct_edit() -> Vec<Value> {
    vec![json!({
        "status": 200,
        "body": [{
            "end_date": "0001-01-01",
            "current_update": "9999-12-31",
            "datadelivery_status": "awaiting",
        }],
    })]
}

/// A direct edit is announced, so that a list with it may come before the one that also has the new source.
fn direct_edit_announced() -> Vec<Value> {
    let edited = json!({"id": "<id:s1>", "country": "BySQL"});
    let lists = [
        json!({"data": [edited]}),
        json!({"data": [{"country": "France"}, edited]}),
    ];
    vec![json!({
        "read_source": {"frames": lists, "closed": null},
        "data_library": {"frames": {"$len": 1}, "closed": null},
        "filter_source": {"frames": [], "closed": null},
    })]
}

/// A change through `ws/source` is answered to the sender, also where the transcript watches another socket.
fn sender_answered() -> Vec<Value> {
    let saved = json!({"status": "success", "data": {"id": "<id:s1>", "country": "Spain"}});
    vec![json!({
        "F": {"frames": [], "closed": null},
        "W": {"frames": [saved], "closed": null},
    })]
}
