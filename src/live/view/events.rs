//! Events: what happened to rows, for members that are there when it happens. Who is not is not told.

use std::{marker::PhantomData, sync::Arc};

use uuid::Uuid;

use super::{View, named};
use crate::{
    error::Result,
    live::{
        group::{Events, Members},
        signal::{Hint, Rows},
    },
    pg::{Client, PooledClient},
    ws::Frame,
};

/// A kind of events.
pub trait Event: Send + 'static {
    /// Tells that anything may have happened.
    fn lagged() -> Frame;

    /// What happened to the rows `ids`, which are those that `hint` names; and how many rows were
    /// read for that.
    fn read(
        client: &Client,
        hint: &Hint,
        ids: &[Uuid],
    ) -> impl Future<Output = Result<(Vec<Frame>, usize)>> + Send;

    /// What is told when `hint` does not name all of its rows.
    fn unnamed(_: &Hint) -> Vec<Frame> {
        vec![Self::lagged()]
    }
}

/// The view that tells a group of events of a kind.
pub struct EventView<E>(pub Arc<Events>, pub PhantomData<fn() -> E>);

impl<E: Event> View for EventView<E> {
    const IS_OF_EVENTS: bool = true;

    fn is_watched(&self) -> bool {
        self.0.members() > 0
    }

    fn forget(&mut self) -> bool {
        false
    }

    fn must_read(&self, hint: &Hint) -> bool {
        matches!(hint.clone().rows(), Rows::Named(_))
    }

    async fn refresh(&mut self, client: Option<&PooledClient>, hint: &Hint) -> Result<usize> {
        let (frames, read) = match client {
            Some(client) => E::read(client, hint, &named(&hint.clone().rows())).await?,
            None if hint.is_empty() => (Vec::new(), 0),
            None => (E::unnamed(hint), 0),
        };
        for frame in frames {
            self.0.publish(frame);
        }
        Ok(read)
    }
}
