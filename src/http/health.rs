//! `/healthz`: the process answers. `/readyz`: it can do its work, or a sentence why not.

use std::time::Duration;

use serde::Serialize;
use tokio::time;
use warp::{Filter, filters::BoxedFilter, http::StatusCode};

use super::reply::{self, Response};
use crate::{app::App, error::Result};

/// Longest wait for the database's answer.
const DEADLINE: Duration = Duration::from_millis(1500);

/// The routes of both.
pub(super) fn routes(app: &App) -> BoxedFilter<(Response,)> {
    let app = app.clone();
    let alive =
        warp::path!("healthz").map(|| reply::json(StatusCode::OK, &Health::new(Vec::new())));
    let ready = warp::path!("readyz").then(move || ready(app.clone()));
    warp::get().and(alive.or(ready).unify()).boxed()
}

async fn ready(app: App) -> Response {
    let mut troubles = Vec::new();
    if *app.migrated.borrow() {
        match time::timeout(DEADLINE, ping(&app)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => troubles.push(error.to_string()),
            Err(_) => troubles.push("the database does not answer".into()),
        }
        if let Err(why) = app.listener.borrow().check() {
            troubles.push(why);
        }
    } else {
        troubles.push("the database has not been migrated yet: it cannot be reached".into());
    }
    let status = if troubles.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    reply::json(status, &Health::new(troubles))
}

async fn ping(app: &App) -> Result<()> {
    app.pool
        .client()
        .await?
        .query_typed("select 1", &[])
        .await?;
    Ok(())
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    troubles: Vec<String>,
}

impl Health {
    fn new(troubles: Vec<String>) -> Self {
        Self {
            status: if troubles.is_empty() {
                "ok"
            } else {
                "unavailable"
            },
            troubles,
        }
    }
}
