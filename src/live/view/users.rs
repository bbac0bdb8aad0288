//! Users who have open sockets: when their role changes, or they are disabled or deleted, by
//! whatever hand, every socket of theirs knows it, on every node.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use uuid::Uuid;

use super::View;
use crate::{
    db::{
        Client,
        users::{self, Role},
    },
    error::Result,
    live::signal::{Hint, Rows, Signal},
};

/// The users of this process's open sockets.
#[derive(Debug)]
pub struct OpenUsers {
    /// None for those who are disabled or gone.
    roles: Mutex<HashMap<Uuid, watch::Sender<Option<Role>>>>,
    signal: Arc<Signal>,
}

impl OpenUsers {
    /// None yet; `signal` is the view's.
    pub fn new(signal: Arc<Signal>) -> Arc<Self> {
        Arc::new(Self {
            roles: Mutex::default(),
            signal,
        })
    }

    /// Notes a socket of user `id`, who had `role` a moment ago.
    pub fn join(&self, id: Uuid, role: Role) -> UserMember {
        let mut roles = self.lock();
        let role = roles.entry(id).or_insert_with(|| {
            // It may have changed since it was read, before anybody here wanted to know.
            self.signal.raise(Hint {
                updated: Rows::Named([id].into()),
                ..Hint::default()
            });
            watch::Sender::new(Some(role))
        });
        UserMember(role.subscribe())
    }

    fn watched(&self, rows: &Rows) -> Vec<Uuid> {
        let roles = self.lock();
        match rows {
            Rows::None => Vec::new(),
            Rows::Named(ids) => ids
                .iter()
                .copied()
                .filter(|id| roles.contains_key(id))
                .collect(),
            Rows::All => roles.keys().copied().collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, watch::Sender<Option<Role>>>> {
        // Entries are added and removed whole, so a panic elsewhere leaves the map usable.
        self.roles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket's hold on its user.
#[derive(Debug)]
pub struct UserMember(watch::Receiver<Option<Role>>);

impl UserMember {
    /// The role they have by now; none when they are shut out.
    pub fn role(&self) -> Option<Role> {
        *self.0.borrow()
    }

    /// Waits until they are disabled or gone. Cancel-safe.
    pub async fn shut_out(&mut self) {
        // It fails only without a sender, which goes last of all: when they are shut out.
        let _ = self.0.wait_for(Option::is_none).await;
    }
}

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
        let mut roles = self.0.lock();
        // Each first socket of a user comes by here, so those whose last has gone do not gather.
        roles.retain(|_, role| role.receiver_count() > 0);
        !roles.is_empty()
    }

    fn forget(&mut self) -> bool {
        false
    }

    fn must_read(&self, hint: &Hint) -> bool {
        !self.0.watched(&hint.clone().rows()).is_empty()
    }

    async fn refresh(&mut self, client: Option<&Client>, hint: &Hint) -> Result<usize> {
        let Some(client) = client else { return Ok(0) };
        let ids = self.0.watched(&hint.clone().rows());
        let now: HashMap<Uuid, Role> = users::roles(client, &ids).await?.into_iter().collect();
        let read = now.len();
        let mut roles = self.0.lock();
        for id in ids {
            let role = now.get(&id).copied();
            if let Some(sender) = roles.get(&id) {
                sender.send_replace(role);
            }
            if role.is_none() {
                // If they ever come back, it is with other sockets than those that are told now.
                roles.remove(&id);
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_socket_of_a_user_has_the_role_read_again() {
        let signal = Arc::new(Signal::default());
        let users = OpenUsers::new(Arc::clone(&signal));
        let id = Uuid::from_u128(7);
        let first = users.join(id, Role::Editor);
        let rows = Rows::Named([id].into());
        assert_eq!(signal.take().hint.rows(), rows);
        let second = users.join(id, Role::Viewer);
        assert!(signal.take().hint.is_empty());
        assert_eq!(second.role(), first.role(), "what is followed is newer");
    }

    #[test]
    fn users_without_sockets_are_forgotten() {
        let users = OpenUsers::new(Arc::default());
        let [one, other] = [1, 2].map(|id| users.join(Uuid::from_u128(id), Role::Editor));
        let view = Users::new(Arc::clone(&users));
        drop(one);
        assert!(view.is_watched());
        assert_eq!(users.watched(&Rows::All), [Uuid::from_u128(2)]);
        drop(other);
        assert!(!view.is_watched());
        assert!(users.watched(&Rows::All).is_empty());
    }
}
