//! Changes sources for the clients of this process, over HTTP and sockets alike: one statement, within the
//! time limit. What others see of a change comes by the arrow.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    db::{
        demo,
        row::FromRow,
        sources::{self, Change, Source},
    },
    error::{Error, Result},
    limits::{Limits, UnderWay},
    live::pending_writes::PendingWrites,
    pg::{self, Pool},
};

/// Runs the statements that change sources.
#[derive(Debug)]
pub struct Writes {
    /// For the statements.
    pub pool: Pool,
    /// How many statements of one user run at once.
    pub limits: Arc<Limits>,
    /// Where each changed row is announced to the views.
    pub pending: Arc<PendingWrites>,
}

impl Writes {
    /// Adds a source for the user `by`.
    ///
    /// # Errors
    /// As [`sources::insert`], and [`Error::Unavailable`] when the
    /// database does not answer in time.
    pub async fn insert(&self, change: &Change, by: &str) -> Result<Source> {
        let id = Uuid::new_v4();
        let insert = async {
            sources::insert(&*self.pool.client().await?, id, change, by)
                .await
                .map(Some)
        };
        let added = self.run(id, by, insert).await?;
        Ok(added.expect("an insert that succeeds has a row"))
    }

    /// Changes a source for the user `by`, and reads it as a `T`; `None` when there is no such source.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub async fn update<T: FromRow>(
        &self,
        id: Uuid,
        change: &Change,
        by: &str,
    ) -> Result<Option<T>> {
        let update = async { sources::update(&*self.pool.client().await?, id, change, by).await };
        self.run(id, by, update).await
    }

    /// Removes a source for the user `by`; false when there was none.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub async fn delete(&self, id: Uuid, by: &str) -> Result<bool> {
        let delete = async {
            let existed = sources::delete(&*self.pool.client().await?, id, by).await?;
            Ok(existed.then_some(()))
        };
        Ok(self.run(id, by, delete).await?.is_some())
    }

    /// Adds the sample sources that are missing for the user `by`; says how many.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub async fn demo(&self, by: &str) -> Result<usize> {
        let _under_way = self.begin(by).await?;
        let result = pg::in_time(async { demo::add(&*self.pool.client().await?, by).await }).await;
        self.pool.wrote(&result);
        result
    }

    async fn run<T>(
        &self,
        id: Uuid,
        by: &str,
        statement: impl Future<Output = Result<Option<T>>>,
    ) -> Result<Option<T>> {
        let _under_way = self.begin(by).await?;
        self.pending.expect(id);
        let result = pg::in_time(statement).await;
        self.pool.wrote(&result);
        if !matches!(result, Ok(Some(_))) {
            self.pending.forget(id);
        }
        result
    }

    /// Waits until the user `by` may have another statement under way.
    async fn begin(&self, by: &str) -> Result<UnderWay> {
        let begun = self.limits.writes.begin(by).await;
        begun.map_err(|_| Error::Unavailable("too many writes of one user are under way".into()))
    }
}
