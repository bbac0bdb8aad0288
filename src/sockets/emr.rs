//! `ws/EMRConsumer/`: starts and cancels runs of the pipeline. How they fare everybody hears from the
//! table, never from here.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::message::{action, failure, is_nothing, object, request_id};
use crate::{
    app::App,
    auth::{Identity, role::FORBIDDEN},
    config::emr::DeployMode,
    emr::{Kind, Order, Refusal},
};

/// The answer to one message.
pub async fn answer(app: &App, who: &Identity, text: &str) -> Value {
    let message = match object(text) {
        _ if !who.role.may_edit() => return failed(FORBIDDEN),
        Ok(message) => message,
        Err(why) => return failed(why),
    };
    let done = match action(&message) {
        "cancel" => cancel(app, who, &message).await,
        _ if is_nothing(message.get("step")) => return failed("No step provided"),
        _ => start(app, who, &message).await,
    };
    done.unwrap_or_else(|refusal| match &refusal {
        Refusal::Failed(error) => {
            tracing::error!(%error, "a run could not be started or cancelled");
            let error = failure(error);
            json!({"success": false, "error": error, "request_id": request_id()})
        }
        Refusal::Cluster {
            why,
            run_id: Some(run_id),
        } => json!({"success": false, "error": why, "run_id": run_id}),
        refusal => failed(&refusal.to_string()),
    })
}

async fn start(app: &App, who: &Identity, message: &Map<String, Value>) -> Result<Value, Refusal> {
    let order = Order {
        kind: Kind::Step,
        name: match message.get("step") {
            Some(Value::String(name)) => name.clone(),
            _ => return Err(Refusal::Invalid("step is not a text".into())),
        },
        deploy_mode: match message.get("deploy_mode") {
            None | Some(Value::Null) => DeployMode::Cluster,
            Some(mode) => mode
                .as_str()
                .and_then(DeployMode::named)
                .ok_or_else(|| Refusal::Invalid("deploy_mode is client or cluster".into()))?,
        },
        source_id: match message.get("source_id") {
            None | Some(Value::Null) => None,
            Some(id) => Some(uuid(id).ok_or(Refusal::NotFound("Source"))?),
        },
        requested_by: who.username.clone(),
    };
    let run = app.emr.start(&app.pool, order).await?;
    Ok(json!({"success": true, "step_id": run.step_id}))
}

async fn cancel(app: &App, who: &Identity, message: &Map<String, Value>) -> Result<Value, Refusal> {
    let id = message.get("run_id").and_then(uuid);
    let id = id.ok_or(Refusal::NotFound("Run"))?;
    let run = app.emr.cancel(&app.pool, id).await?;
    tracing::info!(user = who.username, run = %id, "run cancelled");
    Ok(json!({"success": true, "run_id": id, "state": run.state}))
}

fn uuid(value: &Value) -> Option<Uuid> {
    Uuid::try_parse(value.as_str()?).ok()
}

fn failed(error: &str) -> Value {
    json!({"success": false, "error": error})
}
