//! Writes to `sources` for clients of this process, over HTTP and sockets alike: one statement, in
//! time, and expected back by the arrow. Never tells anybody but the caller.

use uuid::Uuid;

use crate::{
    app::App,
    db::{
        demo,
        sources::{self, Change, Source},
    },
    error::{Error, Result},
    limits::UnderWay,
    pg,
};

/// Adds a source for the user `by`.
///
/// # Errors
/// As [`sources::insert`], and [`Error::Unavailable`] when the
/// database does not answer in time.
pub async fn insert(app: &App, change: &Change, by: &str) -> Result<Source> {
    let id = Uuid::new_v4();
    let insert = async {
        sources::insert(&*app.pool.client().await?, id, change, by)
            .await
            .map(Some)
    };
    let added = expected(app, id, by, insert).await?;
    Ok(added.expect("an insert that succeeds has a row"))
}

/// Changes a source for the user `by`; `None` when there is no such source.
///
/// # Errors
/// As [`insert`].
pub async fn update(app: &App, id: Uuid, change: &Change, by: &str) -> Result<Option<Source>> {
    let update = async { sources::update(&*app.pool.client().await?, id, change, by).await };
    expected(app, id, by, update).await
}

/// Removes a source for the user `by`; false when there was none.
///
/// # Errors
/// As [`insert`].
pub async fn delete(app: &App, id: Uuid, by: &str) -> Result<bool> {
    let delete = async {
        let existed = sources::delete(&*app.pool.client().await?, id, by).await?;
        Ok(existed.then_some(()))
    };
    Ok(expected(app, id, by, delete).await?.is_some())
}

/// Adds the sample sources that are missing for the user `by`; says how many.
///
/// # Errors
/// As [`insert`].
pub async fn demo(app: &App, by: &str) -> Result<usize> {
    let _under_way = begin(app, by).await?;
    let result = pg::in_time(async { demo::add(&*app.pool.client().await?, by).await }).await;
    app.pool.wrote(&result);
    result
}

async fn expected<T>(
    app: &App,
    id: Uuid,
    by: &str,
    statement: impl Future<Output = Result<Option<T>>>,
) -> Result<Option<T>> {
    let _under_way = begin(app, by).await?;
    app.groups.expected.expect(id);
    let result = pg::in_time(statement).await;
    app.pool.wrote(&result);
    if !matches!(result, Ok(Some(_))) {
        app.groups.expected.forget(id);
    }
    result
}

/// Waits until the user `by` may have another statement under way.
async fn begin(app: &App, by: &str) -> Result<UnderWay> {
    let begun = app.limits.writes.begin(by).await;
    begun.map_err(|_| Error::Unavailable("too many writes of one user are under way".into()))
}
