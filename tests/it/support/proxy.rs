//! A TCP proxy that misbehaves when it is told to: resets, withholds, goes silent for ever, delays,
//! tears into tiny pieces. It counts what it did, so that a test can prove that its fault happened.
//! It knows nothing of what it carries.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinSet,
    time::sleep,
};

/// Read at once.
const CHUNK: usize = 16 * 1024;
/// So much of a chunk goes out in pieces of one to three bytes, the rest in larger ones: a frame's
/// header is torn every time, and a long body costs no thousands of packets.
const TORN_BYTES: usize = 48;
/// The larger pieces.
const PIECE: usize = 700;

/// What is done to every byte that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is passed on.
    Pass,
    /// It is kept until the mode changes, as is the end of a connection. New connections are
    /// accepted, and treated alike.
    Withhold,
    /// It is passed on so much later.
    Delay(Duration),
    /// It is passed on in tiny pieces.
    Slice,
}

/// A proxy in front of one address; gone when dropped.
pub struct Proxy {
    /// The loopback port on which it accepts.
    pub port: u16,
    shared: Arc<Shared>,
    // Aborted when dropped, which closes what it carries.
    _accepting: JoinSet<()>,
}

struct Shared {
    target: SocketAddr,
    rules: watch::Sender<Rules>,
    /// Connections accepted, which numbers them from 1.
    accepted: AtomicU64,
    harm: Harm,
}

#[derive(Clone, Copy, Debug)]
struct Rules {
    mode: Mode,
    /// Connections up to this number carry nothing any more and do not end.
    silent: u64,
    /// Connections up to this number are reset.
    reset: u64,
}

#[derive(Default)]
struct Harm {
    reset: AtomicU64,
    withheld: AtomicU64,
    delayed: AtomicU64,
    sliced: AtomicU64,
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were reset.
    pub reset: u64,
    /// Chunks that were withheld, for a time or for ever.
    pub withheld: u64,
    /// Chunks that were late.
    pub delayed: u64,
    /// Chunks that were torn.
    pub sliced: u64,
}

impl Proxy {
    /// Accepts on a free port for the server at a loopback port.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("there is a free port");
        let shared = Arc::new(Shared {
            target: SocketAddr::from(([127, 0, 0, 1], port)),
            rules: watch::Sender::new(Rules {
                mode: Mode::Pass,
                silent: 0,
                reset: 0,
            }),
            accepted: AtomicU64::new(0),
            harm: Harm::default(),
        });
        let port = listener.local_addr().expect("it is bound").port();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&shared)));
        Self {
            port,
            shared,
            _accepting: accepting,
        }
    }

    /// Accepts for the server that a database's address names; gives the address that leads here.
    pub async fn in_front_of(url: &str) -> (Self, String) {
        let (server, database) = url.rsplit_once('/').expect("an address has a path");
        let (host, port) = server.rsplit_once(':').expect("an address has a port");
        let proxy = Self::to(port.parse().expect("a port is a number")).await;
        let url = format!("{host}:{}/{database}", proxy.port);
        (proxy, url)
    }

    /// From now on this is done to every connection.
    pub fn set(&self, mode: Mode) {
        self.shared.rules.send_modify(|rules| rules.mode = mode);
    }

    /// Resets every connection there is.
    pub fn reset(&self) {
        let all = self.shared.accepted.load(SeqCst);
        self.shared.rules.send_modify(|rules| rules.reset = all);
    }

    /// Every connection there is carries nothing any more, and neither end is told; those that
    /// come later are served.
    pub fn silence(&self) {
        let all = self.shared.accepted.load(SeqCst);
        self.shared.rules.send_modify(|rules| rules.silent = all);
    }

    /// Resets the connections that were left silent.
    pub fn end_silent(&self) {
        self.shared
            .rules
            .send_modify(|rules| rules.reset = rules.reset.max(rules.silent));
    }

    /// How many connections it has accepted.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(SeqCst)
    }

    /// What it has done.
    pub fn counts(&self) -> Counts {
        let harm = &self.shared.harm;
        Counts {
            reset: harm.reset.load(SeqCst),
            withheld: harm.withheld.load(SeqCst),
            delayed: harm.delayed.load(SeqCst),
            sliced: harm.sliced.load(SeqCst),
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                let number = shared.accepted.fetch_add(1, SeqCst) + 1;
                connections.spawn(carry(client, number, Arc::clone(&shared)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(mut client: TcpStream, number: u64, shared: Arc<Shared>) {
    let mut rules = shared.rules.subscribe();
    let Ok(mut server) = TcpStream::connect(shared.target).await else {
        // As if there were no proxy: the port is closed.
        let _ = client.set_zero_linger();
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let was_reset = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let there = pump(from_client, to_server, number, &shared);
        let back = pump(from_server, to_client, number, &shared);
        tokio::select! {
            _ = async { tokio::join!(there, back) } => false,
            _ = rules.wait_for(|rules| number <= rules.reset) => true,
        }
    };
    if was_reset {
        shared.harm.reset.fetch_add(1, SeqCst);
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

/// Carries one direction until it ends.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, number: u64, shared: &Shared) {
    let mut rules = shared.rules.subscribe();
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        let withheld = |rules: &Rules| rules.mode == Mode::Withhold || number <= rules.silent;
        if withheld(&rules.borrow_and_update()) {
            shared.harm.withheld.fetch_add(1, SeqCst);
            // The sender is held by whoever holds this, so it lives.
            let _ = rules.wait_for(|rules| !withheld(rules)).await;
        }
        if read == 0 {
            let _ = to.shutdown().await;
            return;
        }
        let mode = rules.borrow().mode;
        let chunk = &buffer[..read];
        let written = match mode {
            Mode::Pass | Mode::Withhold => to.write_all(chunk).await,
            Mode::Delay(time) => {
                shared.harm.delayed.fetch_add(1, SeqCst);
                sleep(time).await;
                to.write_all(chunk).await
            }
            Mode::Slice => {
                shared.harm.sliced.fetch_add(1, SeqCst);
                slice(&mut to, chunk).await
            }
        };
        if written.is_err() {
            return;
        }
    }
}

async fn slice(to: &mut WriteHalf<'_>, chunk: &[u8]) -> std::io::Result<()> {
    let (torn, rest) = chunk.split_at(chunk.len().min(TORN_BYTES));
    let mut sizes = [1, 2, 3].into_iter().cycle();
    let mut left = torn;
    while !left.is_empty() {
        let size = sizes.next().unwrap_or(1).min(left.len());
        to.write_all(&left[..size]).await?;
        left = &left[size..];
        // Whoever reads gets a chance to see the piece alone.
        tokio::task::yield_now().await;
    }
    for piece in rest.chunks(PIECE) {
        to.write_all(piece).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}
