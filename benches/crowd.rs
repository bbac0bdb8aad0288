//! Many clients in this process, each a task that drains its connection and notes what it got when.
//! Their work is the same whoever serves them, so that it cancels out of a ratio.

use std::{
    cell::RefCell,
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::Poll,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
    sync::{Notify, Semaphore, watch},
    task::JoinSet,
    time,
};

use crate::{
    Result,
    websocket::{Found, Handshake, PONG, Reader},
};

/// Whoever has not got what it waits for after this long will not get it.
const PATIENCE: Duration = Duration::from_mins(1);
/// Handshakes at once; more would only queue.
const AT_ONCE: usize = 128;
/// Read at once, into memory that all clients of a thread share.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Clients of one server that do the same.
pub(crate) struct Crowd {
    clients: Vec<Arc<Client>>,
    shared: Arc<Shared>,
    reading: watch::Sender<bool>,
    // Aborted when dropped, which closes their connections.
    tasks: JoinSet<()>,
}

/// What one client has got.
#[derive(Debug, Default)]
struct Client {
    messages: AtomicU64,
    /// Bytes of the last on the wire.
    last: AtomicU64,
    /// The last one's version.
    version: AtomicU64,
    /// When the last one was here, in nanoseconds since the crowd began.
    at: AtomicU64,
    lost: AtomicBool,
}

struct Shared {
    began: Instant,
    messages: AtomicU64,
    /// So many messages of all are waited for.
    awaited: AtomicU64,
    reached: Notify,
}

/// What one round of messages was like.
pub(crate) struct Round {
    /// When each client had the whole message.
    pub(crate) arrivals: Vec<Instant>,
    /// Bytes on the wire, the same for all.
    pub(crate) wire: u64,
    /// The version, the same for all.
    pub(crate) version: u64,
}

impl Round {
    /// From `start` until the last client had it.
    pub(crate) fn since(&self, start: Instant) -> Duration {
        self.arrivals
            .iter()
            .max()
            .map_or(Duration::ZERO, |last| *last - start)
    }
}

impl Crowd {
    /// Connects without a handshake, to the raw TCP server.
    pub(crate) async fn raw(server: SocketAddr, count: usize) -> Result<Self> {
        Self::gather(count, move || async move {
            let stream = TcpStream::connect(server).await?;
            stream.set_nodelay(true)?;
            Ok((stream, Vec::new()))
        })
        .await
    }

    /// Opens sockets.
    pub(crate) async fn sockets(
        server: SocketAddr,
        handshake: Handshake,
        count: usize,
    ) -> Result<Self> {
        let handshake = Arc::new(handshake);
        Self::gather(count, move || {
            let handshake = Arc::clone(&handshake);
            async move { handshake.open(server).await }
        })
        .await
    }

    async fn gather<F>(count: usize, connect: impl Fn() -> F) -> Result<Self>
    where
        F: Future<Output = Result<(TcpStream, Vec<u8>)>> + Send + 'static,
    {
        let shared = Arc::new(Shared {
            began: Instant::now(),
            messages: AtomicU64::new(0),
            awaited: AtomicU64::new(u64::MAX),
            reached: Notify::new(),
        });
        let (reading, is_reading) = watch::channel(true);
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut connecting = JoinSet::new();
        for _ in 0..count {
            let (connect, places) = (connect(), Arc::clone(&places));
            connecting.spawn(async move {
                let _place = places.acquire().await?;
                connect.await
            });
        }
        let mut clients = Vec::with_capacity(count);
        let mut tasks = JoinSet::new();
        while let Some(connected) = connecting.join_next().await {
            let (stream, unread) = connected??;
            let client = Arc::new(Client::default());
            clients.push(Arc::clone(&client));
            tasks.spawn(drain(
                stream,
                unread,
                client,
                Arc::clone(&shared),
                is_reading.clone(),
            ));
        }
        Ok(Self {
            clients,
            shared,
            reading,
            tasks,
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// How many are still connected.
    pub(crate) fn connected(&self) -> usize {
        self.clients
            .iter()
            .filter(|client| !client.lost.load(SeqCst))
            .count()
    }

    /// From now on they read nothing.
    pub(crate) fn stop_reading(&self) {
        self.reading.send_replace(false);
    }

    /// Messages that all have got.
    pub(crate) fn messages(&self) -> u64 {
        self.shared.messages.load(SeqCst)
    }

    /// Runs `send`, which must make every client get exactly one message, and waits until they have.
    ///
    /// # Errors
    /// When `send` fails, a client is lost or gets nothing, or they did not all get the same.
    pub(crate) async fn round<T>(
        &self,
        send: impl Future<Output = Result<T>>,
    ) -> Result<(T, Round)> {
        let before: Vec<u64> = self
            .clients
            .iter()
            .map(|c| c.messages.load(SeqCst))
            .collect();
        let sum: u64 = before.iter().sum();
        self.shared.awaited.store(sum + self.len() as u64, SeqCst);
        let outcome = send.await?;
        self.reached().await?;
        for (client, before) in self.clients.iter().zip(before) {
            let got = client.messages.load(SeqCst) - before;
            if got != 1 {
                return Err(format!("a client got {got} messages instead of one").into());
            }
        }
        Ok((outcome, self.last()?))
    }

    /// Waits until every client has had its first message, as sockets do that show a state.
    pub(crate) async fn greeted(&self) -> Result<Round> {
        self.shared.awaited.store(self.len() as u64, SeqCst);
        self.reached().await?;
        self.last()
    }

    /// Waits until the last message of every client is of this version, and the same.
    pub(crate) async fn shows(&self, version: u64) -> Result<Round> {
        self.reach(version).await?;
        self.last()
    }

    /// Waits until the last message of every client is of this version, by whatever steps each
    /// came to it.
    pub(crate) async fn reach(&self, version: u64) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self
            .clients
            .iter()
            .any(|client| client.version.load(SeqCst) != version)
        {
            if Instant::now() > deadline {
                let shown = self
                    .clients
                    .iter()
                    .map(|client| client.version.load(SeqCst));
                let (least, most) = (shown.clone().min(), shown.max());
                return Err(
                    format!("clients show {least:?} to {most:?}, not version {version}").into(),
                );
            }
            time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    async fn reached(&self) -> Result<()> {
        let all = async {
            while self.shared.messages.load(SeqCst) < self.shared.awaited.load(SeqCst) {
                self.shared.reached.notified().await;
            }
        };
        if time::timeout(PATIENCE, all).await.is_ok() {
            return Ok(());
        }
        let missing = self.shared.awaited.load(SeqCst) - self.messages();
        let lost = self.len() - self.connected();
        Err(format!(
            "of {} clients, {missing} messages did not arrive; {lost} were lost",
            self.len()
        )
        .into())
    }

    /// The last message of each, which must be the same.
    fn last(&self) -> Result<Round> {
        let arrivals = self.clients.iter();
        let arrivals =
            arrivals.map(|client| self.shared.began + Duration::from_nanos(client.at.load(SeqCst)));
        let arrivals = arrivals.collect();
        let first = self.clients.first().ok_or("there are no clients")?;
        let (wire, version) = (first.last.load(SeqCst), first.version.load(SeqCst));
        for client in &self.clients {
            if client.lost.load(SeqCst) {
                return Err("a client was lost, or a version went backwards".into());
            }
            let other = (client.last.load(SeqCst), client.version.load(SeqCst));
            if other != (wire, version) {
                return Err(format!(
                    "clients got {other:?} and {:?} (bytes, version)",
                    (wire, version)
                )
                .into());
            }
        }
        Ok(Round {
            arrivals,
            wire,
            version,
        })
    }

    /// Closes all connections.
    pub(crate) async fn leave(mut self) {
        self.tasks.shutdown().await;
    }
}

/// One client's life.
async fn drain(
    mut stream: TcpStream,
    unread: Vec<u8>,
    client: Arc<Client>,
    shared: Arc<Shared>,
    mut reading: watch::Receiver<bool>,
) {
    let mut reader = Reader::new();
    let mut open = client.take(&mut reader, &unread, &shared, &stream);
    drop(unread);
    while open {
        open = poll_fn(|cx| {
            BUFFER.with_borrow_mut(|buffer| {
                let mut filled = ReadBuf::new(buffer);
                match Pin::new(&mut stream).poll_read(cx, &mut filled) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(Ok(())) if !filled.filled().is_empty() => {
                        Poll::Ready(client.take(&mut reader, filled.filled(), &shared, &stream))
                    }
                    Poll::Ready(_) => Poll::Ready(false),
                }
            })
        })
        .await;
        if !*reading.borrow() && reading.wait_for(|reading| *reading).await.is_err() {
            return;
        }
    }
    client.lost.store(true, SeqCst);
}

impl Client {
    /// Notes what is in `bytes`; false when that is the end.
    fn take(
        &self,
        reader: &mut Reader,
        mut bytes: &[u8],
        shared: &Shared,
        stream: &TcpStream,
    ) -> bool {
        while let Some(found) = reader.take(&mut bytes) {
            match found {
                Found::Message { wire, version } => {
                    if version < self.version.swap(version, SeqCst) {
                        return false;
                    }
                    self.last.store(wire, SeqCst);
                    let at = shared.began.elapsed().as_nanos();
                    self.at.store(u64::try_from(at).unwrap_or(u64::MAX), SeqCst);
                    self.messages.fetch_add(1, SeqCst);
                    if shared.messages.fetch_add(1, SeqCst) + 1 >= shared.awaited.load(SeqCst) {
                        shared.reached.notify_one();
                    }
                }
                // The kernel always has room for these six bytes.
                Found::Ping => drop(stream.try_write(&PONG)),
                Found::Nothing => {}
                Found::Close => return false,
            }
        }
        true
    }
}
