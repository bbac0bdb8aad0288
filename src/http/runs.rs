//! Runs of the pipeline over HTTP: list, one with its history, start and cancel.

use serde_json::{Value, json};
use uuid::Uuid;
use warp::{http::StatusCode, reply::Response};

use super::Request;
use crate::{
    app::App,
    auth::Identity,
    bodies::RunBody,
    config::emr::DeployMode,
    db::runs,
    emr::{Kind, Order, Refusal},
    forms::Errors,
    pg,
    reply::{self, Problem},
};

/// Which steps and jobs may be started, and what keeps this server from starting them.
pub(super) fn pipeline(app: &App) -> Response {
    let jobs: Vec<_> = app.emr.jobs().map(ToString::to_string).collect();
    let body = json!({
        "problem": app.emr.check().err(),
        "steps": app.emr.steps(),
        "jobs": jobs,
    });
    reply::json(StatusCode::OK, &body)
}

/// The names of the pipeline's steps, in their order.
pub(super) fn steps(app: &App) -> Response {
    reply::json(StatusCode::OK, &app.emr.steps())
}

/// The newest runs, newest first; `?source=` and `?state=` leave out others.
pub(super) async fn list(app: &App, query: &str) -> Result<Response, Problem> {
    let (mut source, mut state) = (None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "source" if !value.is_empty() => {
                let invalid = || Errors::of("source", "Must be a valid UUID.");
                source = Some(Uuid::try_parse(&value).map_err(|_| invalid())?);
            }
            // No state contains a NUL, which PostgreSQL would not even compare with.
            "state" if !value.is_empty() => state = Some(value.replace('\0', "?")),
            _ => {}
        }
    }
    let rows = pg::in_time(async {
        runs::list(&*app.pool.client().await?, source, state.as_deref()).await
    })
    .await?;
    let bodies: Vec<_> = rows
        .iter()
        .map(|run| RunBody::new(run, &app.settings.time_zone))
        .collect();
    Ok(reply::json(StatusCode::OK, &bodies))
}

/// One run with what it went through.
pub(super) async fn one(app: &App, id: Uuid) -> Result<Response, Problem> {
    let found = pg::in_time(async {
        let client = app.pool.client().await?;
        Ok(match runs::find(&client, id).await? {
            Some(run) => Some((run, runs::history(&client, id).await?)),
            None => None,
        })
    });
    let Some((run, history)) = found.await? else {
        return Err(Problem::Error(StatusCode::NOT_FOUND, "Run not found"));
    };
    let body = RunBody::with_history(&run, &history, &app.settings.time_zone);
    Ok(reply::json(StatusCode::OK, &body))
}

/// Cancels a run.
pub(super) async fn cancel(app: &App, id: Uuid) -> Result<Response, Problem> {
    match app.emr.cancel(&app.pool, id).await {
        Ok(run) => {
            let run = RunBody::new(&run, &app.settings.time_zone);
            let body = json!({"success": true, "run": run});
            Ok(reply::json(StatusCode::OK, &body))
        }
        Err(refusal) => refused(refusal),
    }
}

/// Starts a step or a packaged job: `{"step" or "job", "source_id", "deploy_mode"}`.
pub(super) async fn start(
    app: &App,
    who: Option<Identity>,
    mut request: Request,
) -> Result<Response, Problem> {
    let input = request.input(app).await?;
    let by = who.map(|who| who.username).unwrap_or_default();
    let order = match order(&input.body, by) {
        Ok(order) => order,
        Err(refusal) => return refused(refusal),
    };
    match app.emr.start(&app.pool, order).await {
        Ok(run) => {
            let run = RunBody::new(&run, &app.settings.time_zone);
            let body = json!({"success": true, "run": run});
            Ok(reply::json(StatusCode::CREATED, &body))
        }
        Err(refusal) => refused(refusal),
    }
}

/// Starts a packaged job: `{"job", "deploy_mode"}`.
pub(super) async fn start_job(
    app: &App,
    who: Option<Identity>,
    mut request: Request,
) -> Result<Response, Problem> {
    let input = request.input(app).await?;
    let by = who.map(|who| who.username).unwrap_or_default();
    let order = match job(&input.body, by) {
        Ok(order) => order,
        Err(refusal) => return refused(refusal),
    };
    let details = json!({"job": order.name, "deploy_mode": order.deploy_mode.name()});
    match app.emr.start(&app.pool, order).await {
        Ok(run) => {
            let body = json!({"success": true, "step_id": run.step_id, "details": details});
            Ok(reply::json(StatusCode::OK, &body))
        }
        Err(refusal) => refused(refusal),
    }
}

fn order(body: &Value, requested_by: String) -> Result<Order, Refusal> {
    let named = |name| text(body, name).is_some();
    let mut order = match (named("step"), named("job")) {
        (true, true) => return Err(Refusal::Invalid("name a step or a job, not both".into())),
        (false, true) => job(body, requested_by)?,
        (_, false) => Order {
            kind: Kind::Step,
            name: required(body, "step")?,
            deploy_mode: deploy_mode(body, DeployMode::Cluster)?,
            source_id: None,
            requested_by,
        },
    };
    order.source_id = match body.get("source_id") {
        None | Some(Value::Null) => None,
        Some(id) => {
            let id = id.as_str().and_then(|id| Uuid::try_parse(id).ok());
            Some(id.ok_or(Refusal::Invalid("source_id is not a UUID".into()))?)
        }
    };
    Ok(order)
}

fn job(body: &Value, requested_by: String) -> Result<Order, Refusal> {
    Ok(Order {
        kind: Kind::Job,
        name: required(body, "job")?,
        deploy_mode: deploy_mode(body, DeployMode::Client)?,
        source_id: None,
        requested_by,
    })
}

fn required(body: &Value, name: &str) -> Result<String, Refusal> {
    let value = text(body, name).ok_or_else(|| Refusal::Invalid(format!("{name} is missing")))?;
    Ok(value.to_owned())
}

fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    let value = body.get(name).and_then(Value::as_str);
    value.filter(|value| !value.is_empty())
}

fn deploy_mode(body: &Value, usual: DeployMode) -> Result<DeployMode, Refusal> {
    match body.get("deploy_mode") {
        None | Some(Value::Null) => Ok(usual),
        Some(_) => text(body, "deploy_mode")
            .and_then(DeployMode::named)
            .ok_or_else(|| Refusal::Invalid("deploy_mode is client or cluster".into())),
    }
}

fn refused(refusal: Refusal) -> Result<Response, Problem> {
    let error = refusal.to_string();
    let (status, run_id) = match refusal {
        Refusal::Invalid(_) => (StatusCode::BAD_REQUEST, None),
        Refusal::NotFound(_) => (StatusCode::NOT_FOUND, None),
        Refusal::Conflict(_) => (StatusCode::CONFLICT, None),
        Refusal::NotConfigured(_) => (StatusCode::SERVICE_UNAVAILABLE, None),
        Refusal::Cluster { run_id, .. } => (StatusCode::BAD_GATEWAY, run_id),
        Refusal::Failed(error) => return Err(error.into()),
    };
    let mut body = json!({"success": false, "error": error});
    if let Some(run_id) = run_id {
        body["run_id"] = json!(run_id);
    }
    Ok(reply::json(status, &body))
}
