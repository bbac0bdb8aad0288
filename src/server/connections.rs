//! The connections that are served: how many at once, and which of them wait for a request. When
//! there is no place for another, the one that has been silent the longest makes room.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::body::{Body, Frame, SizeHint};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};
use tokio_util::sync::CancellationToken;

use crate::{
    limits::{self, Place},
    peer::Peer,
};

/// A connection that was silent for less is not closed to make room: its request may be on the way.
const MIN_SILENCE: Duration = Duration::from_secs(1);
/// How long a connection that makes room may take to be gone.
const MAKE_ROOM: Duration = Duration::from_secs(1);

/// The connections that are served at once.
#[derive(Debug)]
pub(super) struct Connections {
    places: Arc<Semaphore>,
    max: u32,
    limits: limits::Connections,
    states: Mutex<States>,
}

#[derive(Debug, Default)]
struct States {
    next: u64,
    each: HashMap<u64, State>,
    /// The silent ones, the one that has been so the longest first.
    silent: BTreeSet<(Instant, u64)>,
}

#[derive(Debug)]
struct State {
    /// Requests that are being answered.
    answering: usize,
    silent_since: Instant,
    must_go: CancellationToken,
}

/// Why a client is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Its address has enough connections.
    OfAddress,
    /// The server has.
    Full,
}

impl Connections {
    pub(super) fn new(max: usize, limits: limits::Connections) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(max)),
            max: u32::try_from(max).unwrap_or(u32::MAX),
            limits,
            states: Mutex::default(),
        })
    }

    /// Counts a connection of this address; none of a trusted proxy.
    pub(super) fn count(&self, address: IpAddr, is_proxy: bool) -> Result<Option<Place>, Refused> {
        if is_proxy {
            return Ok(None);
        }
        let place = self.limits.from_address(&Peer::direct(address));
        place.map(Some).map_err(|_| Refused::OfAddress)
    }

    /// Counts a request that a trusted proxy passes on.
    pub(super) fn count_request(&self, peer: &Peer) -> Result<Place, Refused> {
        self.limits
            .through_proxy(peer)
            .map_err(|_| Refused::OfAddress)
    }

    /// A place, if one is free.
    pub(super) fn try_enter(self: &Arc<Self>) -> Option<Entered> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(self.entered(place))
    }

    /// Lets the connection go that has been silent the longest; false when none has been for long.
    pub(super) fn make_room(&self) -> bool {
        let mut states = self.lock();
        let Some((since, id)) = states.silent.first().copied() else {
            return false;
        };
        if since.elapsed() < MIN_SILENCE {
            return false;
        }
        states.silent.pop_first();
        if let Some(state) = states.each.get(&id) {
            state.must_go.cancel();
        }
        true
    }

    /// The place that a connection leaves which has to go.
    pub(super) async fn enter(self: Arc<Self>) -> Result<Entered, Refused> {
        let freed = Arc::clone(&self.places).acquire_owned();
        match time::timeout(MAKE_ROOM, freed).await {
            Ok(Ok(place)) => Ok(self.entered(place)),
            _ => Err(Refused::Full),
        }
    }

    /// Waits until all have gone.
    pub(super) async fn all_gone(&self) {
        let _ = self.places.acquire_many(self.max).await;
    }

    fn entered(self: &Arc<Self>, place: OwnedSemaphorePermit) -> Entered {
        let must_go = CancellationToken::new();
        let now = Instant::now();
        let mut states = self.lock();
        let id = states.next;
        states.next += 1;
        let state = State {
            answering: 0,
            silent_since: now,
            must_go: must_go.clone(),
        };
        states.each.insert(id, state);
        states.silent.insert((now, id));
        Entered {
            place: Arc::new(place),
            must_go,
            registered: Registered {
                connections: Arc::clone(self),
                id,
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, States> {
        // Each change is whole, so a panic elsewhere leaves it usable.
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is served as HTTP. A socket takes the place along when it leaves HTTP.
pub(super) struct Entered {
    /// Its place among those that are served at once.
    pub(super) place: Arc<OwnedSemaphorePermit>,
    /// Cancelled when it has to make room.
    pub(super) must_go: CancellationToken,
    registered: Registered,
}

impl Entered {
    /// A request on it is being answered, until what is given is dropped; `counted` goes with it.
    pub(super) fn answering(&self, counted: Option<Place>) -> Answering {
        let connections = Arc::clone(&self.registered.connections);
        let id = self.registered.id;
        let mut states = connections.lock();
        if let Some(state) = states.each.get_mut(&id) {
            state.answering += 1;
            let silent = (state.silent_since, id);
            states.silent.remove(&silent);
        }
        drop(states);
        Answering {
            connections,
            id,
            _counted: counted,
        }
    }
}

/// A connection's entry; removed when dropped.
struct Registered {
    connections: Arc<Connections>,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut states = self.connections.lock();
        if let Some(state) = states.each.remove(&self.id) {
            states.silent.remove(&(state.silent_since, self.id));
        }
    }
}

/// That a connection is not silent.
pub(super) struct Answering {
    connections: Arc<Connections>,
    id: u64,
    _counted: Option<Place>,
}

impl Drop for Answering {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut states = self.connections.lock();
        if let Some(state) = states.each.get_mut(&self.id) {
            state.answering -= 1;
            if state.answering == 0 {
                state.silent_since = now;
                states.silent.insert((now, self.id));
            }
        }
    }
}

/// A body that keeps something until it has been sent or given up.
pub(super) struct Keeping<B, T> {
    body: B,
    _kept: T,
}

impl<B, T> Keeping<B, T> {
    pub(super) fn new(body: B, kept: T) -> Self {
        Self { body, _kept: kept }
    }
}

impl<B: Body + Unpin, T: Unpin> Body for Keeping<B, T> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
