//! Reads that requests share. Whoever asks while a read runs waits for the next one, together with
//! all others who asked meanwhile: nobody is given what was read before they asked, and however many
//! ask, one read runs and one waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as Turn, watch};

/// A read that requests share.
#[derive(Debug)]
pub struct Shared<T>(Arc<State<T>>);

#[derive(Debug)]
struct State<T> {
    running: Turn<()>,
    /// The read that has not begun.
    next: Mutex<Option<watch::Receiver<Option<T>>>>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Arc::new(State {
            running: Turn::new(()),
            next: Mutex::default(),
        }))
    }
}

impl<T: Clone + Send + Sync + 'static> Shared<T> {
    /// What a read gave that began after this was called; `None` when the read broke. `read` is not
    /// called when others have asked for one that has not begun. Cancel-safe: a read goes on for
    /// others, so it must end by itself.
    pub async fn get<R>(&self, read: impl FnOnce() -> R) -> Option<T>
    where
        R: Future<Output = T> + Send + 'static,
    {
        let mut given = {
            let mut next = self.0.next();
            if let Some(given) = &*next {
                given.clone()
            } else {
                let (give, given) = watch::channel(None);
                *next = Some(given.clone());
                tokio::spawn(Arc::clone(&self.0).run(read(), give));
                given
            }
        };
        let given = given.wait_for(Option::is_some).await;
        given.ok().and_then(|given| given.clone())
    }
}

impl<T> State<T> {
    async fn run(self: Arc<Self>, read: impl Future<Output = T>, give: watch::Sender<Option<T>>) {
        let _turn = self.running.lock().await;
        // Whoever comes from here on may have changed something that this read does not see.
        *self.next() = None;
        give.send_replace(Some(read.await));
    }

    fn next(&self) -> MutexGuard<'_, Option<watch::Receiver<Option<T>>>> {
        // Each change is one assignment, so a panic elsewhere leaves it whole.
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_hundred_who_ask_during_a_read_share_the_next() {
        let shared = Arc::new(Shared::default());
        let (reads, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let ask = || {
            let (shared, reads, gate) = (shared.clone(), reads.clone(), gate.clone());
            tokio::spawn(async move {
                let read = || async move {
                    let number = reads.fetch_add(1, SeqCst) + 1;
                    gate.acquire().await.unwrap().forget();
                    number
                };
                shared.get(read).await
            })
        };
        let first = ask();
        while reads.load(SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let others: Vec<_> = (0..100).map(|_| ask()).collect();
        while shared.0.next().is_none() {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
        assert_eq!(first.await.unwrap(), Some(1));
        for given in join_all(others).await {
            assert_eq!(given.unwrap(), Some(2), "read after they asked, once");
        }
    }

    #[tokio::test]
    async fn a_read_that_breaks_is_no_answer_and_the_next_one_works() {
        let shared = Shared::default();
        let broken = shared.get(|| async { panic!("for this test") });
        assert_eq!(broken.await, None::<u8>);
        assert_eq!(shared.get(|| async { 7 }).await, Some(7));
    }
}
