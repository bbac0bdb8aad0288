//! Users who have open sockets: when their role changes, or they are disabled or deleted, by
//! whatever hand, every socket of theirs knows it, on every node.

use std::{collections::HashMap, sync::Arc};

use uuid::Uuid;

use super::{
    View,
    watched::{Member, Open},
};
use crate::{
    db::users::{self, Role},
    error::Result,
    live::signal::Hint,
    pg::PooledClient,
};

/// The users of this process's open sockets, who are gone when they are shut out.
pub type OpenUsers = Open<Role>;

/// A socket's hold on its user.
pub type UserMember = Member<Role>;

/// The view that re-reads the roles of users with open sockets.
pub struct Users(Arc<OpenUsers>);

impl Users {
    /// Follows `open`.
    pub fn new(open: Arc<OpenUsers>) -> Self {
        Self(open)
    }
}

impl View for Users {
    const NAME: &'static str = "users";

    fn is_watched(&self) -> bool {
        self.0.is_any()
    }

    fn forget(&mut self) -> bool {
        false
    }

    fn must_read(&self, hint: &Hint) -> bool {
        !self.0.named(hint).is_empty()
    }

    async fn refresh(&mut self, client: Option<&PooledClient>, hint: &Hint) -> Result<usize> {
        let Some(client) = client else { return Ok(0) };
        let ids = self.0.named(hint);
        let admitted = users::roles(client, &ids).await?.into_iter();
        let now: HashMap<Uuid, Role> = admitted.map(|user| (user.id, user.role)).collect();
        self.0.tell(&ids, &now);
        Ok(now.len())
    }
}
