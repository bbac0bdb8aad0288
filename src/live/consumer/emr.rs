//! `ws/EMRConsumer/`: starts a step of the pipeline on a cluster.

use serde_json::{Value, json};

use super::message::{is_nothing, object};
use crate::{
    app::App,
    auth::{Identity, role::FORBIDDEN},
};

/// The answer to one message. No cluster can be configured, so no step is started.
#[expect(
    clippy::unused_async,
    reason = "consumers are called alike, and the others wait for the database"
)]
pub async fn answer(_app: &App, who: &Identity, text: &str) -> Value {
    let error = match object(text) {
        _ if !who.role.may_edit() => FORBIDDEN,
        Err(why) => why,
        Ok(message) if is_nothing(message.get("step")) => "No step provided",
        Ok(_) => "EMR is not configured: set EMR_CLUSTER_ID, S3_PATH and the AWS_ variables",
    };
    json!({"success": false, "error": error})
}
