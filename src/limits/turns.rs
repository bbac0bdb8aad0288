//! Turns at something that only a few may do at once. Those who wait are served in turn: first by
//! whether they signed in from their address before, then by address, then by name. A crowd behind
//! one address or one name delays the others by one turn each, however large the crowd is.

use std::{
    collections::{HashMap, VecDeque},
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// Who waits for a turn. Made by [`SignIns::asker`](super::SignIns::asker).
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// Whether this name signed in from this address before.
    pub(super) is_familiar: bool,
    pub(super) address: u64,
    pub(super) name: u64,
}

/// How many may wait.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    name: usize,
    address: usize,
    all: usize,
}

impl Bounds {
    /// Those of `RATE_LIMITS=on`.
    pub const ON: Self = Self {
        name: 128,
        address: 1_024,
        all: 8_192,
    };
    /// Those of `RATE_LIMITS=off`: memory stays bounded, nobody is told apart.
    pub const OFF: Self = Self {
        name: 8_192,
        address: 8_192,
        all: 8_192,
    };
}

/// Why somebody may not even wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Too many of this name or address wait.
    OfAsker,
    /// Too many wait altogether.
    OfAll,
}

/// The places, each with a `T` that belongs to whoever has the turn.
#[derive(Debug)]
pub struct Turns<T> {
    state: Mutex<State<T>>,
    bounds: Bounds,
}

#[derive(Debug)]
struct State<T> {
    free: Vec<T>,
    queue: Queue<T>,
}

type Waiter<T> = oneshot::Sender<Turn<T>>;

impl<T> Turns<T> {
    /// As many at once as there are `places`.
    pub fn new(places: Vec<T>, bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                free: places,
                queue: Queue::default(),
            }),
            bounds,
        })
    }

    /// Waits for a turn. Cancel-safe: whoever stops waiting loses the turn to the next.
    ///
    /// # Errors
    /// [`Full`] when too many wait already.
    pub async fn take(self: &Arc<Self>, asker: Asker) -> Result<Turn<T>, Full> {
        let turn = {
            let mut state = self.lock();
            if let Some(place) = state.free.pop() {
                return Ok(self.turn(place));
            }
            let (sender, turn) = oneshot::channel();
            state.queue.push(asker, sender, self.bounds)?;
            turn
        };
        Ok(turn.await.expect("whoever has a turn hands it on"))
    }

    fn turn(self: &Arc<Self>, place: T) -> Turn<T> {
        Turn {
            turns: Arc::clone(self),
            place: Some(place),
        }
    }

    /// Hands a place to the next who still waits.
    fn hand_on(self: &Arc<Self>, place: T) {
        let mut state = self.lock();
        let mut turn = self.turn(place);
        while let Some(waiter) = state.queue.pop() {
            match waiter.send(turn) {
                Ok(()) => return,
                Err(refused) => turn = refused,
            }
        }
        let place = turn.place.take();
        state.free.extend(place);
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Each change is whole, so a panic elsewhere leaves it usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A turn; the next gets it when this is dropped.
#[derive(Debug)]
pub struct Turn<T> {
    turns: Arc<Turns<T>>,
    place: Option<T>,
}

impl<T> Deref for Turn<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.place.as_ref().expect("it is there until the drop")
    }
}

impl<T> DerefMut for Turn<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.place.as_mut().expect("it is there until the drop")
    }
}

impl<T> Drop for Turn<T> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.turns.hand_on(place);
        }
    }
}

/// Those who wait.
#[derive(Debug)]
struct Queue<T> {
    familiar: Ring<u64, Ring<u64, VecDeque<Waiter<T>>>>,
    others: Ring<u64, Ring<u64, VecDeque<Waiter<T>>>>,
    /// Whether one of the others had the last turn.
    familiar_next: bool,
    waiting: usize,
    of_address: HashMap<u64, usize>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            familiar: Ring::default(),
            others: Ring::default(),
            familiar_next: true,
            waiting: 0,
            of_address: HashMap::new(),
        }
    }
}

impl<T> Queue<T> {
    fn push(&mut self, asker: Asker, waiter: Waiter<T>, bounds: Bounds) -> Result<(), Full> {
        if self.is_full_for(asker, bounds).is_some() {
            // Some of those may have given up.
            self.forget_the_gone();
            if let Some(full) = self.is_full_for(asker, bounds) {
                return Err(full);
            }
        }
        self.waiting += 1;
        *self.of_address.entry(asker.address).or_default() += 1;
        let names = self.ring(asker).entry(asker.address);
        names.entry(asker.name).push_back(waiter);
        Ok(())
    }

    fn is_full_for(&mut self, asker: Asker, bounds: Bounds) -> Option<Full> {
        if self.waiting >= bounds.all {
            return Some(Full::OfAll);
        }
        let of_address = self.of_address.get(&asker.address).copied();
        let names = self.ring(asker).queues.get(&asker.address);
        let of_name = names.and_then(|names| names.queues.get(&asker.name));
        let is_full = of_address.is_some_and(|waiting| waiting >= bounds.address)
            || of_name.is_some_and(|waiting| waiting.len() >= bounds.name);
        is_full.then_some(Full::OfAsker)
    }

    fn ring(&mut self, asker: Asker) -> &mut Ring<u64, Ring<u64, VecDeque<Waiter<T>>>> {
        if asker.is_familiar {
            &mut self.familiar
        } else {
            &mut self.others
        }
    }

    /// The next whose turn it is: of the familiar and the others in turn, while both wait.
    fn pop(&mut self) -> Option<Waiter<T>> {
        let familiar_first = self.familiar_next;
        self.familiar_next = !familiar_first;
        let (first, second) = if familiar_first {
            (&mut self.familiar, &mut self.others)
        } else {
            (&mut self.others, &mut self.familiar)
        };
        let next = |ring: &mut Ring<u64, Ring<u64, VecDeque<Waiter<T>>>>| {
            ring.turn(|names| names.turn(VecDeque::pop_front).map(|(_, waiter)| waiter))
        };
        let (address, waiter) = next(first).or_else(|| next(second))?;
        self.waiting -= 1;
        if let Some(waiting) = self.of_address.get_mut(&address) {
            *waiting -= 1;
            if *waiting == 0 {
                self.of_address.remove(&address);
            }
        }
        Some(waiter)
    }

    fn forget_the_gone(&mut self) {
        let rings = [
            std::mem::take(&mut self.familiar),
            std::mem::take(&mut self.others),
        ];
        self.waiting = 0;
        self.of_address.clear();
        for (is_familiar, mut ring) in [true, false].into_iter().zip(rings) {
            while let Some((address, (name, waiter))) =
                ring.turn(|names| names.turn(VecDeque::pop_front))
            {
                if waiter.is_closed() {
                    continue;
                }
                let asker = Asker {
                    is_familiar,
                    address,
                    name,
                };
                self.waiting += 1;
                *self.of_address.entry(address).or_default() += 1;
                let names = self.ring(asker).entry(address);
                names.entry(name).push_back(waiter);
            }
        }
    }
}

/// Queues that are served one after another. Holds only those in which somebody waits.
#[derive(Debug)]
struct Ring<K, Q> {
    order: VecDeque<K>,
    queues: HashMap<K, Q>,
}

impl<K, Q> Default for Ring<K, Q> {
    fn default() -> Self {
        Self {
            order: VecDeque::new(),
            queues: HashMap::new(),
        }
    }
}

/// What a [`Ring`] is made of.
trait Empty: Default {
    fn is_empty(&self) -> bool;
}

impl<W> Empty for VecDeque<W> {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl<K, Q> Empty for Ring<K, Q> {
    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

impl<Q: Empty> Ring<u64, Q> {
    /// The queue of `key`; a new one comes after all others.
    fn entry(&mut self, key: u64) -> &mut Q {
        let order = &mut self.order;
        self.queues.entry(key).or_insert_with(|| {
            order.push_back(key);
            Q::default()
        })
    }

    /// What `pop` takes from the queue whose turn it is, which then comes last.
    fn turn<W>(&mut self, pop: impl FnOnce(&mut Q) -> Option<W>) -> Option<(u64, W)> {
        let key = self.order.pop_front()?;
        let queue = self.queues.get_mut(&key)?;
        let taken = pop(queue);
        if queue.is_empty() {
            self.queues.remove(&key);
        } else {
            self.order.push_back(key);
        }
        Some((key, taken?))
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, future::Future, pin::pin, task::Context};

    use super::*;

    const BOUNDS: Bounds = Bounds {
        name: 3,
        address: 5,
        all: 100,
    };

    fn asker(address: u64, name: u64) -> Asker {
        Asker {
            is_familiar: false,
            address,
            name,
        }
    }

    fn familiar(address: u64, name: u64) -> Asker {
        Asker {
            is_familiar: true,
            ..asker(address, name)
        }
    }

    /// Waits in the queue without a task.
    fn wait(turns: &Arc<Turns<()>>, asker: Asker) -> Result<oneshot::Receiver<Turn<()>>, Full> {
        let (sender, receiver) = oneshot::channel();
        let mut state = turns.lock();
        state.queue.push(asker, sender, turns.bounds)?;
        Ok(receiver)
    }

    /// In which order those are served who came in this order.
    fn served(askers: &[Asker]) -> Vec<usize> {
        let turns = Turns::new(vec![], Bounds::OFF);
        let waiting: Vec<_> = askers.iter().map(|asker| wait(&turns, *asker)).collect();
        let mut waiting: Vec<_> = waiting.into_iter().map(Result::unwrap).collect();
        let order = RefCell::new(Vec::new());
        turns.hand_on(());
        while order.borrow().len() < waiting.len() {
            for (n, receiver) in waiting.iter_mut().enumerate() {
                if let Ok(turn) = receiver.try_recv() {
                    order.borrow_mut().push(n);
                    drop(turn);
                }
            }
        }
        order.into_inner()
    }

    #[test]
    fn a_crowd_of_one_address_or_name_does_not_come_before_others() {
        let crowd = [asker(1, 1); 5];
        let others = [asker(2, 1), asker(1, 2), asker(3, 9)];
        let order = served(&[&crowd[..], &others].concat());
        let place = |n| order.iter().position(|served| *served == n).unwrap();
        assert!(place(5) <= 1, "{order:?}: another address");
        assert!(place(7) <= 2, "{order:?}: a third address");
        assert!(
            place(6) <= 3,
            "{order:?}: another name at the crowd's address"
        );
        assert!(place(4) == 7, "{order:?}");
    }

    #[test]
    fn whoever_signed_in_there_before_waits_for_one_stranger_at_most() {
        let strangers: Vec<Asker> = (0..50).map(|n| asker(n, n)).collect();
        let order = served(&[strangers, vec![familiar(99, 1)]].concat());
        let place = order.iter().position(|served| *served == 50).unwrap();
        assert!(place <= 1, "{order:?}");
        let familiars: Vec<Asker> = (0..50).map(|n| familiar(n, n)).collect();
        let order = served(&[familiars, vec![asker(99, 1)]].concat());
        let place = order.iter().position(|served| *served == 50).unwrap();
        assert!(place <= 1, "strangers get on too: {order:?}");
    }

    #[test]
    fn those_of_one_name_are_served_in_their_order() {
        assert_eq!(served(&[asker(1, 1); 6]), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn queues_are_bounded_and_forget_those_who_have_gone() {
        let turns = Turns::new(vec![], BOUNDS);
        let mut waiting: Vec<_> = (0..3).map(|_| wait(&turns, asker(1, 1)).unwrap()).collect();
        assert_eq!(wait(&turns, asker(1, 1)).unwrap_err(), Full::OfAsker);
        for _ in 0..2 {
            waiting.push(wait(&turns, asker(1, 2)).unwrap());
        }
        assert_eq!(wait(&turns, asker(1, 3)).unwrap_err(), Full::OfAsker);
        for n in 0..95 {
            waiting.push(wait(&turns, asker(100 + n, 1)).unwrap());
        }
        assert_eq!(wait(&turns, asker(2, 1)).unwrap_err(), Full::OfAll);
        waiting.truncate(1);
        waiting.push(wait(&turns, asker(2, 1)).unwrap());
        assert_eq!(turns.lock().queue.waiting, 2);
        turns.hand_on(());
        drop(
            waiting
                .drain(..)
                .map(|mut turn| turn.try_recv())
                .collect::<Vec<_>>(),
        );
        drop(waiting);
        let state = turns.lock();
        assert_eq!(state.queue.waiting, 0);
        assert!(state.queue.of_address.is_empty());
    }

    #[tokio::test]
    async fn a_turn_that_nobody_takes_goes_on_to_the_next() {
        let turns = Turns::new(vec![7], Bounds::ON);
        let first = turns.take(asker(1, 1)).await.unwrap();
        assert_eq!(*first, 7);
        {
            // Was handed the turn, and never looked.
            let mut gone = pin!(turns.take(asker(1, 2)));
            let mut context = Context::from_waker(std::task::Waker::noop());
            assert!(gone.as_mut().poll(&mut context).is_pending());
            drop(first);
        }
        let next = turns.take(asker(1, 3)).await.unwrap();
        assert_eq!(*next, 7);
    }
}
