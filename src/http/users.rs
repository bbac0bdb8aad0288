//! People over HTTP: oneself, and for admins everybody. Never shows a hash.

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
    bodies::UserBody,
    db::users::{self, LAST_ADMIN},
    error::Error,
    forms::user,
    pg,
    reply::{self, Problem},
};

/// Who is asking, and what they may do.
pub(super) async fn me(app: &App, who: Option<Identity>) -> Result<Response, Problem> {
    let id = who.ok_or(NOT_FOUND)?.user_id;
    let account = pg::in_time(async { users::find(&*app.pool.client().await?, id).await })
        .await?
        .ok_or(NOT_FOUND)?;
    Ok(reply::json(
        StatusCode::OK,
        &json!({
            "username": account.username,
            "email": account.email,
            "role": account.role,
        }),
    ))
}

/// Everybody, by name.
pub(super) async fn list(app: &App) -> Result<Response, Problem> {
    let accounts = pg::in_time(async { users::list(&*app.pool.client().await?).await }).await?;
    let bodies: Vec<_> = accounts
        .iter()
        .map(|account| UserBody::new(account, &app.settings.time_zone))
        .collect();
    Ok(reply::json(StatusCode::OK, &bodies))
}

/// Changes or removes a user.
pub(super) async fn user(app: &App, id: Uuid, mut request: Request) -> Result<Response, Problem> {
    if request.method == Method::DELETE {
        let work = async { users::delete(&mut *app.pool.client().await?, id).await };
        let existed = pg::in_time(work).await.map_err(refused)?;
        return existed.then(reply::empty).ok_or(NOT_FOUND);
    }
    let input = request.input(app).await?;
    let change = user::parse(&input)?;
    let work = async { users::change(&mut *app.pool.client().await?, id, change).await };
    let account = pg::in_time(work).await.map_err(refused)?.ok_or(NOT_FOUND)?;
    Ok(reply::json(
        StatusCode::OK,
        &UserBody::new(&account, &app.settings.time_zone),
    ))
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
