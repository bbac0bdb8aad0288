//! Users who have open sockets: when their role changes, or they are disabled or deleted, by
//! whatever hand, every socket of theirs knows it, on every node.

use std::collections::HashMap;

use uuid::Uuid;

use super::watched::{Member, Open, State};
use crate::{
    db::users::{self, Role},
    error::Result,
    pg::Client,
};

/// The users of this process's open sockets, who are gone when they are shut out.
pub type OpenUsers = Open<Role>;

/// A socket's hold on its user.
pub type UserMember = Member<Role>;

impl State for Role {
    async fn read(client: &Client, ids: &[Uuid]) -> Result<HashMap<Uuid, Self>> {
        let admitted = users::roles(client, ids).await?.into_iter();
        Ok(admitted.map(|user| (user.id, user.role)).collect())
    }
}
