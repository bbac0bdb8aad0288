//! What open sockets depend on, by its id: the session each came with, the user each belongs to.
//! Their views read again what changed and tell them here what is so of it by now.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use uuid::Uuid;

use super::View;
use crate::{
    error::Result,
    live::signal::{Hint, Rows, Signal},
    pg::{Client, PooledClient},
};

/// What this process's open sockets depend on.
#[derive(Debug)]
pub struct Open<T> {
    known: Mutex<Known<T>>,
    signal: Arc<Signal>,
}

/// None once it is gone.
type Known<T> = HashMap<Uuid, watch::Sender<Option<T>>>;

impl<T: Copy> Open<T> {
    /// Nothing yet; `signal` is that of the view which tells.
    pub fn new(signal: Arc<Signal>) -> Arc<Self> {
        Arc::new(Self {
            known: Mutex::default(),
            signal,
        })
    }

    /// Notes a socket that depends on `id`, of which `now` was so a moment ago.
    pub fn join(&self, id: Uuid, now: T) -> Member<T> {
        let mut known = self.lock();
        let sender = known.entry(id).or_insert_with(|| {
            // It may have changed since it was read, before anybody here wanted to know.
            self.read_again(Rows::Named([id].into()));
            watch::Sender::new(Some(now))
        });
        Member(sender.subscribe())
    }

    /// Has the view read these.
    pub fn read_again(&self, updated: Rows) {
        self.signal.raise(Hint {
            updated,
            ..Hint::default()
        });
    }

    /// Whether any socket is open.
    pub fn is_any(&self) -> bool {
        let mut known = self.lock();
        // Each that is new comes by here, so those whose last socket has gone do not gather.
        known.retain(|_, sender| sender.receiver_count() > 0);
        !known.is_empty()
    }

    /// Those that `hint` names and sockets depend on.
    pub fn named(&self, hint: &Hint) -> Vec<Uuid> {
        let known = self.lock();
        match hint.clone().rows() {
            Rows::None => Vec::new(),
            Rows::Named(ids) => ids
                .into_iter()
                .filter(|id| known.contains_key(id))
                .collect(),
            Rows::All => known.keys().copied().collect(),
        }
    }

    /// Those of which what is known is so.
    pub fn that(&self, is_so: impl Fn(T) -> bool) -> Vec<Uuid> {
        let known = self.lock();
        let those = known
            .iter()
            .filter(|(_, sender)| sender.borrow().is_some_and(&is_so));
        those.map(|(id, _)| *id).collect()
    }

    /// Tells those who depend on `ids` what is so `now`; what is not among it is gone.
    pub fn tell(&self, ids: &[Uuid], now: &HashMap<Uuid, T>) {
        let mut known = self.lock();
        for id in ids {
            let now = now.get(id).copied();
            if let Some(sender) = known.get(id) {
                sender.send_replace(now);
            }
            if now.is_none() {
                // If it ever comes back, it is with other sockets than those that are told now.
                known.remove(id);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known<T>> {
        // Entries are added and removed whole, so a panic elsewhere leaves the map usable.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What sockets must know of a row that they depend on.
pub trait State: Copy + Send + Sync + 'static {
    /// Reads it for those of `ids` that are not gone.
    fn read(
        client: &Client,
        ids: &[Uuid],
    ) -> impl Future<Output = Result<HashMap<Uuid, Self>>> + Send;
}

/// The view that tells open sockets.
impl<T: State> View for Arc<Open<T>> {
    fn is_watched(&self) -> bool {
        self.is_any()
    }

    fn forget(&mut self) -> bool {
        false
    }

    fn must_read(&self, hint: &Hint) -> bool {
        !self.named(hint).is_empty()
    }

    async fn refresh(&mut self, client: Option<&PooledClient>, hint: &Hint) -> Result<usize> {
        let Some(client) = client else { return Ok(0) };
        let ids = self.named(hint);
        let now = T::read(client, &ids).await?;
        self.tell(&ids, &now);
        Ok(now.len())
    }
}

/// A socket's hold on what it depends on; let go when dropped.
#[derive(Clone, Debug)]
pub struct Member<T>(watch::Receiver<Option<T>>);

impl<T: Copy> Member<T> {
    /// What is so by now; none when it is gone.
    pub fn now(&self) -> Option<T> {
        *self.0.borrow()
    }

    /// Waits until it is gone. Cancel-safe.
    pub async fn gone(&mut self) {
        // It fails only without a sender, which goes last of all: when it is gone.
        let _ = self.0.wait_for(Option::is_none).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_socket_has_it_read_again() {
        let signal = Arc::new(Signal::default());
        let open = Open::new(Arc::clone(&signal));
        let id = Uuid::from_u128(7);
        let first = open.join(id, 'a');
        let rows = Rows::Named([id].into());
        assert_eq!(signal.take().hint.rows(), rows);
        let second = open.join(id, 'b');
        assert!(signal.take().hint.is_empty());
        assert_eq!(second.now(), first.now(), "what is followed is newer");
    }

    #[test]
    fn what_has_no_sockets_is_forgotten() {
        let open = Open::new(Arc::default());
        let [one, other] = [1, 2].map(|id| open.join(Uuid::from_u128(id), 'a'));
        drop(one);
        assert!(open.is_any());
        assert_eq!(open.named(&Hint::everything()), [Uuid::from_u128(2)]);
        drop(other);
        assert!(!open.is_any());
        assert!(open.named(&Hint::everything()).is_empty());
    }

    #[test]
    fn what_is_gone_stays_so_for_those_who_were_told() {
        let open = Open::new(Arc::default());
        let ids = [1, 2].map(Uuid::from_u128);
        let [kept, gone] = ids.map(|id| open.join(id, 'a'));
        open.tell(&ids, &HashMap::from([(ids[0], 'b')]));
        let back = open.join(ids[1], 'c');
        assert_eq!(
            [kept.now(), gone.now(), back.now()],
            [Some('b'), None, Some('c')]
        );
        assert_eq!(open.that(|now| now == 'b'), [ids[0]]);
    }
}
