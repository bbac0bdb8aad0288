//! People over HTTP: oneself, and for admins everybody. Never shows a hash.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use warp::http::StatusCode;

use super::{
    answer::{Empty, Json, JsonList},
    operation::{Admin, Call, Viewer},
};
use crate::{
    db::users::{self, Account, LAST_ADMIN, Role},
    error::Error,
    forms::user,
    local_time::InZone,
    pg,
    reply::Problem,
};

/// The current user.
#[derive(Serialize, ToSchema)]
pub(super) struct Me {
    username: String,
    email: String,
    role: Role,
}

/// Who is asking, and what they may do.
pub(super) async fn me(call: Call<Viewer>) -> Result<Json<Me>, Problem> {
    let Call { app, who, .. } = call;
    let id = who.user_id;
    let account = pg::in_time(async { users::find(&*app.pool.client().await?, id).await })
        .await?
        .ok_or(NOT_FOUND)?;
    Ok(Json::new(&Me {
        username: account.username,
        email: account.email,
        role: account.role,
    }))
}

/// Everybody, by name.
pub(super) async fn list(call: Call<Admin>) -> Result<JsonList<Account>, Problem> {
    let app = call.app;
    let accounts = pg::in_time(async { users::list(&*app.pool.client().await?).await }).await?;
    Ok(JsonList::render(&InZone(
        &app.settings.time_zone,
        &accounts,
    )))
}

/// Removes a user.
pub(super) async fn delete(call: Call<Admin, Uuid>) -> Result<Empty, Problem> {
    let Call { app, parts: id, .. } = call;
    let work = async { users::delete(&mut *app.pool.client().await?, id).await };
    let existed = pg::in_time(work).await.map_err(refused)?;
    existed.then_some(Empty).ok_or(NOT_FOUND)
}

/// Changes a user.
pub(super) async fn change(call: Call<Admin, Uuid>) -> Result<Json<Account>, Problem> {
    let Call {
        app,
        parts: id,
        mut request,
        ..
    } = call;
    let input = request.input(&app).await?;
    let change = user::parse(&input)?;
    let work = async { users::change(&mut *app.pool.client().await?, id, change).await };
    let account = pg::in_time(work).await.map_err(refused)?.ok_or(NOT_FOUND)?;
    Ok(Json::render(&InZone(&app.settings.time_zone, &account)))
}

const NOT_FOUND: Problem = Problem::Detail(
    StatusCode::NOT_FOUND,
    std::borrow::Cow::Borrowed("No User matches the given query."),
);

fn refused(error: Error) -> Problem {
    match error {
        Error::Constraint(name) if name == LAST_ADMIN => Problem::detail(
            StatusCode::CONFLICT,
            "The last admin cannot be demoted, disabled or deleted.",
        ),
        error => Problem::Failed(error),
    }
}
