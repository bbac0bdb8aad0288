//! The catalogue over HTTP: list, counts, add, update, delete, activate.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use warp::http::StatusCode;

use super::{
    answer::{Created, Empty, Json, JsonList},
    operation::{Call, Editor, Viewer},
    request::Request,
};
use crate::{
    app::App,
    bodies::{self, Section},
    db::{
        counts,
        sources::{self, Card, Change, FieldValue, Source, UPLOAD},
        uploads::Upload,
    },
    forms::source::{self, Mode},
    local_time::InZone,
    pg,
    reply::{self, Problem, Response},
    uploads::Received,
};

/// Every source, newest first.
pub(super) async fn read(call: Call<Viewer>) -> Result<Response, Problem> {
    let Call { app, who, .. } = call;
    let user = who.user_id;
    let under_way = app.limits.lists.begin(user).await?;
    let list = app.catalogue.list().await?;
    app.limits.lists.pace(user, list.bytes()).await;
    Ok(reply::list(list, under_way))
}

/// The counts of the Data Library.
pub(super) async fn library(call: Call<Viewer>) -> Result<JsonList<Section>, Problem> {
    let app = call.app;
    let counted = pg::in_time(async { counts::read(&*app.pool.client().await?).await }).await?;
    Ok(JsonList::render(&bodies::library(&counted.counts)))
}

/// Adds a source.
pub(super) async fn add(call: Call<Editor>) -> Result<Created<Source>, Problem> {
    let Call {
        app,
        who,
        mut request,
        ..
    } = call;
    let (change, file) = asked(&app, &mut request, Mode::Add).await?;
    let file = attached(file).await?;
    let added = app.writes.insert(&change, &who.username).await.map(Some);
    if let Some(file) = &file {
        app.uploads.settle(file, &added).await;
    }
    let added = added.map_err(Problem::to_editor)?;
    let added = added.expect("an insert that succeeds has a row");
    Ok(Json::render(&body(&app, &added)))
}

/// Changes some fields of a source.
pub(super) async fn update(call: Call<Editor, Uuid>) -> Result<Json<Source>, Problem> {
    change(call, Mode::Patch).await
}

/// Changes a source as a whole.
pub(super) async fn replace(call: Call<Editor, Uuid>) -> Result<Json<Source>, Problem> {
    change(call, Mode::Replace).await
}

async fn change(call: Call<Editor, Uuid>, mode: Mode) -> Result<Json<Source>, Problem> {
    let Call {
        app,
        who,
        parts: id,
        mut request,
    } = call;
    let (change, file) = match asked(&app, &mut request, mode).await {
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
    let updated = app.writes.update(id, &change, &who.username).await;
    if let Some(file) = &file {
        app.uploads.settle(file, &updated).await;
    }
    let updated = updated.map_err(Problem::to_editor)?.ok_or(NOT_FOUND)?;
    Ok(Json::render(&body(&app, &updated)))
}

/// Removes a source.
pub(super) async fn delete(call: Call<Editor, Uuid>) -> Result<Empty, Problem> {
    let Call {
        app,
        who,
        parts: id,
        ..
    } = call;
    let deleted = app.writes.delete(id, &who.username).await;
    if deleted.map_err(Problem::to_editor)? {
        Ok(Empty)
    } else {
        Err(Problem::detail(
            StatusCode::NOT_FOUND,
            "No SourceModel matches the given query.",
        ))
    }
}

/// Success, with the source.
#[derive(Serialize, ToSchema)]
pub(super) struct Switched {
    message: String,
    source: Card,
}

/// Sets a source's status to active.
pub(super) async fn activate(call: Call<Editor, Uuid>) -> Result<Json<Switched>, Problem> {
    set_status(call, "active", "activated").await
}

/// Sets a source's status to inactive.
pub(super) async fn deactivate(call: Call<Editor, Uuid>) -> Result<Json<Switched>, Problem> {
    set_status(call, "inactive", "deactivated").await
}

/// Sets a source's status to active; the answer says so in another word.
pub(super) async fn reactivate(call: Call<Editor, Uuid>) -> Result<Json<Switched>, Problem> {
    set_status(call, "active", "reactivated").await
}

async fn set_status(
    call: Call<Editor, Uuid>,
    status: &str,
    done: &str,
) -> Result<Json<Switched>, Problem> {
    let Call {
        app,
        who,
        parts: id,
        ..
    } = call;
    let change = Change::of_status(status);
    let updated = app.writes.update(id, &change, &who.username).await;
    Ok(Json::new(&Switched {
        message: format!("Source {done} successfully"),
        source: updated.map_err(Problem::to_editor)?.ok_or(NOT_FOUND)?,
    }))
}

const NOT_FOUND: Problem = Problem::Error(StatusCode::NOT_FOUND, "Source not found");

/// The change that a request asks for, and the file that came with it.
async fn asked(
    app: &App,
    request: &mut Request,
    mode: Mode,
) -> Result<(Change, Option<Received>), Problem> {
    let (input, file) = request.input_with_file(app, UPLOAD).await?;
    let mut change = source::parse(&input, mode)?;
    if let Some(file) = &file {
        if file.is_empty() {
            return Err(source::empty_file().into());
        }
        change.set(UPLOAD, FieldValue::File(Some(file.reference())));
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

/// The number of sample sources that were added.
#[derive(Serialize, ToSchema)]
pub(super) struct Added {
    added: usize,
}

/// Adds the sample sources that are missing.
pub(super) async fn add_demo(call: Call<Editor>) -> Result<Json<Added>, Problem> {
    let Call { app, who, .. } = call;
    let added = app.writes.demo(&who.username).await;
    let added = added.map_err(Problem::to_editor)?;
    Ok(Json::new(&Added { added }))
}

fn body<'a>(app: &'a App, source: &'a Source) -> InZone<'a, Source> {
    InZone(&app.settings.time_zone, source)
}
