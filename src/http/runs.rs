//! Runs of the pipeline over HTTP: list, one with its history, start and cancel.

use serde::Serialize;
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ArrayBuilder, Ref, RefOr, Schema},
};
use uuid::Uuid;
use warp::http::StatusCode;

use super::{
    answer::{Created, Json, JsonList},
    documents::bodies,
    operation::{Call, Editor, Viewer},
};
use crate::{
    app::App,
    config::emr::DeployMode,
    db::runs::{self, Past, Run},
    emr::{Kind, Order, Refusal},
    forms::Errors,
    local_time::InZone,
    pg,
    reply::Problem,
};

/// The pipeline as the server is configured.
#[derive(Serialize, ToSchema)]
pub(super) struct Pipeline {
    /// Why the server can start nothing; null when it can.
    #[schema(required)]
    problem: Option<String>,
    /// The steps, in their order.
    steps: Vec<String>,
    /// Names of the packaged jobs; `*` stands for any letters, digits, `-` and `_`.
    jobs: Vec<String>,
}

/// Which steps and jobs may be started, and what keeps this server from starting them.
pub(super) async fn pipeline(call: Call<Viewer>) -> Result<Json<Pipeline>, Problem> {
    let emr = &call.app.emr;
    Ok(Json::new(&Pipeline {
        problem: emr.check().err(),
        steps: emr.steps().into_iter().map(ToOwned::to_owned).collect(),
        jobs: emr.jobs().map(ToString::to_string).collect(),
    }))
}

/// The names of the pipeline's steps, in their order.
pub(super) async fn steps(call: Call<Viewer>) -> Result<JsonList<String>, Problem> {
    Ok(JsonList::render(&call.app.emr.steps()))
}

/// The newest runs, newest first; `?source=` and `?state=` leave out others.
pub(super) async fn list(call: Call<Viewer>) -> Result<JsonList<Run>, Problem> {
    let Call { app, request, .. } = call;
    let (mut source, mut state) = (None, None);
    for (name, value) in form_urlencoded::parse(request.query.as_bytes()) {
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
    Ok(JsonList::render(&InZone(&app.settings.time_zone, &rows)))
}

/// One run with what it went through.
pub(super) async fn one(
    call: Call<Viewer, Uuid>,
) -> Result<Json<RunWithHistory<'static>>, Problem> {
    let Call { app, parts: id, .. } = call;
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
    let body = RunWithHistory {
        run: &run,
        history: &history,
    };
    Ok(Json::render(&InZone(&app.settings.time_zone, &body)))
}

/// A run with the states that it was in, oldest first.
#[derive(Serialize)]
pub(super) struct RunWithHistory<'a> {
    #[serde(flatten)]
    run: &'a Run,
    history: &'a [Past],
}

impl ToSchema for RunWithHistory<'_> {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Past::schemas(schemas);
        schemas.push((Past::name().into(), Past::schema()));
    }
}

impl PartialSchema for RunWithHistory<'_> {
    /// All in one object: the document's parts do not add up by themselves.
    fn schema() -> RefOr<Schema> {
        let mut schema = Run::schema();
        if let RefOr::T(Schema::Object(run)) = &mut schema {
            let past = ArrayBuilder::new().items(Ref::from_schema_name(Past::name()));
            run.properties.insert("history".into(), past.into());
            run.required.push("history".into());
        }
        schema
    }
}

/// Success, with the run.
#[derive(Serialize, ToSchema)]
pub(super) struct RunDone<'a> {
    success: bool,
    run: &'a Run,
}

fn done<const STATUS: u16>(app: &App, run: &Run) -> Json<RunDone<'static>, STATUS> {
    let body = RunDone { success: true, run };
    Json::render(&InZone(&app.settings.time_zone, &body))
}

/// Cancels a run.
pub(super) async fn cancel(call: Call<Editor, Uuid>) -> Result<Json<RunDone<'static>>, Problem> {
    let Call { app, parts: id, .. } = call;
    let run = app.emr.cancel(&app.pool, id).await?;
    Ok(done(&app, &run))
}

/// Starts a step or a packaged job: `{"step" or "job", "source_id", "deploy_mode"}`.
pub(super) async fn start(call: Call<Editor>) -> Result<Created<RunDone<'static>>, Problem> {
    let Call {
        app,
        who,
        mut request,
        ..
    } = call;
    let input = request.input(&app).await?;
    let order = order(&input.body, who.0.username)?;
    let run = app.emr.start(&app.pool, order).await?;
    Ok(done(&app, &run))
}

/// Success, with the started job.
#[derive(Serialize, ToSchema)]
pub(super) struct Started {
    success: bool,
    /// EMR's id of the step; null until EMR has accepted it.
    #[schema(required)]
    step_id: Option<String>,
    details: Details,
}

#[derive(Serialize, ToSchema)]
struct Details {
    job: String,
    #[schema(value_type = bodies::DeployMode)]
    deploy_mode: &'static str,
}

/// Starts a packaged job: `{"job", "deploy_mode"}`.
pub(super) async fn start_job(call: Call<Editor>) -> Result<Json<Started>, Problem> {
    let Call {
        app,
        who,
        mut request,
        ..
    } = call;
    let input = request.input(&app).await?;
    let order = job(&input.body, who.0.username)?;
    let details = Details {
        job: order.name.clone(),
        deploy_mode: order.deploy_mode.name(),
    };
    let run = app.emr.start(&app.pool, order).await?;
    Ok(Json::new(&Started {
        success: true,
        step_id: run.step_id,
        details,
    }))
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

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let error = refusal.to_string();
        let (status, run_id) = match refusal {
            Refusal::Invalid(_) => (StatusCode::BAD_REQUEST, None),
            Refusal::NotFound(_) => (StatusCode::NOT_FOUND, None),
            Refusal::Conflict(_) => (StatusCode::CONFLICT, None),
            Refusal::NotConfigured(_) => (StatusCode::SERVICE_UNAVAILABLE, None),
            Refusal::Cluster { run_id, .. } => (StatusCode::BAD_GATEWAY, run_id),
            Refusal::Failed(error) => return Self::to_editor(error),
        };
        Self::Run {
            status,
            error,
            run_id,
        }
    }
}
