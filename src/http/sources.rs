//! The catalogue over HTTP: list, counts, add, update, delete, activate.

use serde_json::json;
use uuid::Uuid;
use warp::{
    http::{Method, StatusCode},
    reply::Response,
};

use super::Request;
use crate::{
    app::App,
    auth::Identity,
    bodies::{self, CardBody, SourceBody},
    db::{
        counts,
        sources::{self, Change, Source},
        uploads::Upload,
    },
    forms::source::{self, Mode},
    pg,
    reply::{self, Problem},
    uploads::Received,
};

/// Every source, newest first.
pub(super) async fn read(app: &App, who: Option<Identity>) -> Result<Response, Problem> {
    let user = who.expect("the endpoint is not open").user_id;
    let under_way = app.limits.lists.begin(user).await?;
    let list = pg::in_time(app.catalogue.list()).await?;
    app.limits.lists.pace(user, list.bytes()).await;
    Ok(reply::list(list, under_way))
}

/// The counts of the Data Library.
pub(super) async fn library(app: &App) -> Result<Response, Problem> {
    let counted = pg::in_time(async { counts::read(&*app.pool.client().await?).await }).await?;
    Ok(reply::json(
        StatusCode::OK,
        &bodies::library(&counted.counts),
    ))
}

/// Adds a source. Here and below, `by` is the name of who asks for it.
pub(super) async fn add(app: &App, by: &str, mut request: Request) -> Result<Response, Problem> {
    let (change, file) = asked(app, &mut request, Mode::Add).await?;
    let file = attached(file).await?;
    let added = app.writes.insert(&change, by).await.map(Some);
    if let Some(file) = &file {
        app.uploads.settle(file, &added).await;
    }
    let added = added?.expect("an insert that succeeds has a row");
    Ok(reply::json(StatusCode::CREATED, &body(app, &added)))
}

/// Changes a source: some of its fields by PATCH, else as a whole.
pub(super) async fn update(
    app: &App,
    by: &str,
    id: Uuid,
    mut request: Request,
) -> Result<Response, Problem> {
    let mode = match request.method {
        Method::PATCH => Mode::Patch,
        _ => Mode::Replace,
    };
    let (change, file) = match asked(app, &mut request, mode).await {
        Ok(asked) => asked,
        // Who may not come in is told nothing of what there is.
        Err(problem @ Problem::Detail(StatusCode::FORBIDDEN, _)) => return Err(problem),
        // That there is nothing to change matters more than what is wrong with the change.
        Err(problem) => {
            let found =
                pg::in_time(async { sources::find(&*app.pool.client().await?, id).await }).await?;
            return Err(if found.is_some() { problem } else { NOT_FOUND });
        }
    };
    let file = attached(file).await?;
    let updated = app.writes.update(id, &change, by).await;
    match &file {
        Some(file) => app.uploads.settle(file, &updated).await,
        None if change.data_upload.is_some() => app.uploads.nudge(),
        None => {}
    }
    let updated = updated?.ok_or(NOT_FOUND)?;
    Ok(reply::json(StatusCode::OK, &body(app, &updated)))
}

/// Removes a source.
pub(super) async fn delete(app: &App, by: &str, id: Uuid) -> Result<Response, Problem> {
    if app.writes.delete(id, by).await? {
        app.uploads.nudge();
        Ok(reply::empty())
    } else {
        Err(Problem::detail(
            StatusCode::NOT_FOUND,
            "No SourceModel matches the given query.",
        ))
    }
}

/// Sets a source's status; `done` is the word for it.
pub(super) async fn set_status(
    app: &App,
    by: &str,
    id: Uuid,
    status: &str,
    done: &str,
) -> Result<Response, Problem> {
    let change = Change {
        status: Some(status.to_owned()),
        ..Change::default()
    };
    let updated = change_one(app, by, id, &change).await?;
    Ok(reply::json(
        StatusCode::OK,
        &json!({
            "message": format!("Source {done} successfully"),
            "source": CardBody::from(&updated),
        }),
    ))
}

const NOT_FOUND: Problem = Problem::Error(StatusCode::NOT_FOUND, "Source not found");

/// The change that a request asks for, and the file that came with it.
async fn asked(
    app: &App,
    request: &mut Request,
    mode: Mode,
) -> Result<(Change, Option<Received>), Problem> {
    let (input, file) = request.input_with_file(app, source::UPLOAD).await?;
    let mut change = source::parse(&input, mode)?;
    if let Some(file) = &file {
        if file.is_empty() {
            return Err(source::empty_file().into());
        }
        change.data_upload = Some(Some(file.reference()));
    }
    Ok((change, file))
}

/// Notes of a file that a source is about to name it.
async fn attached(file: Option<Received>) -> Result<Option<Upload>, Problem> {
    Ok(match file {
        Some(file) => Some(file.attach().await?),
        None => None,
    })
}

/// Adds the sample sources that are missing, and says how many those were.
pub(super) async fn add_demo(app: &App, by: &str) -> Result<Response, Problem> {
    let added = app.writes.demo(by).await?;
    Ok(reply::json(StatusCode::OK, &json!({ "added": added })))
}

async fn change_one(app: &App, by: &str, id: Uuid, change: &Change) -> Result<Source, Problem> {
    app.writes.update(id, change, by).await?.ok_or(NOT_FOUND)
}

fn body<'a>(app: &'a App, source: &'a Source) -> SourceBody<'a> {
    SourceBody::new(source, &app.settings.time_zone)
}
