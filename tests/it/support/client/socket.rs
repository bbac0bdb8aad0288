//! A WebSocket client that collects whatever comes, in the background, from the first moment.
//! It asks for no extension that a test does not ask for, reads compressed messages, answers pings by itself, and keeps
//! how and with what code it was closed.

use std::io;
use std::time::Duration;

use base64::Engine;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::http::Http;
use super::inflated::Inflated;
use super::wire::{Address, Request, Response, read_head};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// How long the other side may take from its close frame to the end of the connection.
const FAREWELL: Duration = Duration::from_secs(3);

/// A message as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    Text(String),
    Binary(Vec<u8>),
}

/// How a connection ended: 1006 without a close frame, 1005 with one that has no code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Close {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

/// Why a handshake did not lead to a socket.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The server answered with something else than 101.
    Answer(Response),
    /// No answer, or a 101 that is none.
    Broken(io::Error),
}

type Connection = Inflated<TcpStream>;

/// What has come so far.
#[derive(Debug, Default)]
struct Inbox {
    frames: Vec<Frame>,
    closed: Option<Close>,
}

/// An open (or by now closed) socket.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) handshake: Response,
    sink: SplitSink<WebSocketStream<Connection>, Message>,
    inbox: watch::Receiver<Inbox>,
    read: usize,
    reader: JoinHandle<()>,
}

impl Socket {
    /// Opens a socket as the page of that visitor would: with its cookies and its origin.
    pub(crate) async fn open(visitor: &Http, path: &str) -> Result<Self, Refusal> {
        Self::connect(visitor.address(), path, visitor.headers()).await
    }

    /// Opens a socket with exactly these headers beside those of the handshake.
    pub(crate) async fn connect(
        address: &Address,
        path: &str,
        headers: Vec<(String, String)>,
    ) -> Result<Self, Refusal> {
        timeout(HANDSHAKE, shake_hands(address, path, headers))
            .await
            .unwrap_or_else(|_| Err(Refusal::Broken(io::ErrorKind::TimedOut.into())))
    }

    /// Sends a text message; a socket that is already closed swallows it.
    pub(crate) async fn send_text(&mut self, text: impl Into<String>) {
        let _ = self.sink.send(Message::Text(text.into().into())).await;
    }

    pub(crate) async fn send_json(&mut self, value: &Value) {
        self.send_text(value.to_string()).await;
    }

    pub(crate) async fn send_binary(&mut self, bytes: Vec<u8>) {
        let _ = self.sink.send(Message::Binary(bytes.into())).await;
    }

    /// The next message, read as JSON; panics when none comes in time, or when it is no JSON.
    pub(crate) async fn next_json(&mut self, within: Duration) -> Value {
        let index = self.read;
        let arrived = self
            .inbox
            .wait_for(|inbox| inbox.frames.len() > index || inbox.closed.is_some());
        let Ok(arrived) = timeout(within, arrived).await else {
            panic!("no message within {within:?}");
        };
        let inbox = arrived.expect("the reading task says when it ends");
        let Some(frame) = inbox.frames.get(index).cloned() else {
            panic!("closed instead of a message: {:?}", inbox.closed);
        };
        drop(inbox);
        self.read += 1;
        match &frame {
            Frame::Text(text) => serde_json::from_str(text)
                .unwrap_or_else(|error| panic!("a message that is no JSON ({error}): {text}")),
            Frame::Binary(_) => panic!("a binary message: {frame:?}"),
        }
    }

    /// The next message, whenever it comes; `None` once the connection has ended. Cancel-safe.
    pub(crate) async fn next_frame(&mut self) -> Option<Frame> {
        let index = self.read;
        let arrived = self
            .inbox
            .wait_for(|inbox| inbox.frames.len() > index || inbox.closed.is_some())
            .await
            .expect("the reading task says when it ends");
        let frame = arrived.frames.get(index).cloned()?;
        drop(arrived);
        self.read += 1;
        Some(frame)
    }

    /// Waits until the connection has ended; panics when it does not in time.
    pub(crate) async fn closed_within(&mut self, within: Duration) -> Close {
        let closed = self.inbox.wait_for(|inbox| inbox.closed.is_some());
        match timeout(within, closed).await {
            Ok(Ok(inbox)) => inbox.closed.clone().expect("that was waited for"),
            _ => panic!("still open after {within:?}"),
        }
    }

    /// Sends a close frame and waits for the end, a few seconds at most.
    pub(crate) async fn close(&mut self, code: u16) {
        let frame = CloseFrame {
            code: code.into(),
            reason: "".into(),
        };
        let _ = self.sink.send(Message::Close(Some(frame))).await;
        let closed = self.inbox.wait_for(|inbox| inbox.closed.is_some());
        let _ = timeout(FAREWELL, closed).await;
    }

    /// All messages from that one on, by the order of their coming.
    pub(crate) fn frames_from(&self, index: usize) -> Vec<Frame> {
        self.inbox.borrow().frames[index..].to_vec()
    }

    pub(crate) fn count(&self) -> usize {
        self.inbox.borrow().frames.len()
    }

    pub(crate) fn closed(&self) -> Option<Close> {
        self.inbox.borrow().closed.clone()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn shake_hands(
    address: &Address,
    path: &str,
    headers: Vec<(String, String)>,
) -> Result<Socket, Refusal> {
    let mut request = Request::new("GET", path);
    let key = base64::engine::general_purpose::STANDARD.encode(rand::random::<[u8; 16]>());
    request.headers = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", &key),
        ("Sec-WebSocket-Version", "13"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    request.headers.extend(headers);
    let mut stream = address.connect().await.map_err(Refusal::Broken)?;
    let head = request.head(address);
    tokio::io::AsyncWriteExt::write_all(&mut stream, &head)
        .await
        .map_err(Refusal::Broken)?;
    let (handshake, rest) = read_head(&mut stream).await.map_err(Refusal::Broken)?;
    if handshake.status != 101 {
        let answer = handshake.read_body("GET", &mut stream, rest).await;
        return Err(answer.map_or_else(Refusal::Broken, Refusal::Answer));
    }
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    if handshake.header("sec-websocket-accept") != Some(&accept) {
        return Err(Refusal::Broken(io::Error::other(
            "101 without the right accept key",
        )));
    }
    let config = WebSocketConfig::default()
        .max_message_size(None)
        .max_frame_size(None);
    let is_compressed = handshake
        .header("sec-websocket-extensions")
        .is_some_and(|agreed| agreed.starts_with("permessage-deflate"));
    let stream = Inflated::new(stream, is_compressed, rest);
    let socket = WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await;
    let (sink, stream) = socket.split();
    let (sender, inbox) = watch::channel(Inbox::default());
    let reader = tokio::spawn(collect(stream, sender));
    Ok(Socket {
        handshake,
        sink,
        inbox,
        read: 0,
        reader,
    })
}

/// Puts everything into the inbox until the connection has ended.
async fn collect(
    mut stream: SplitStream<WebSocketStream<Connection>>,
    inbox: watch::Sender<Inbox>,
) {
    let mut close = Close {
        code: 1006,
        reason: String::new(),
    };
    loop {
        let frame = match stream.next().await {
            Some(Ok(Message::Text(text))) => Frame::Text(text.as_str().to_owned()),
            Some(Ok(Message::Binary(bytes))) => Frame::Binary(bytes.to_vec()),
            Some(Ok(Message::Close(frame))) => {
                close = frame.map_or(
                    Close {
                        code: 1005,
                        reason: String::new(),
                    },
                    |frame| Close {
                        code: frame.code.into(),
                        reason: frame.reason.as_str().to_owned(),
                    },
                );
                // Reading on sends the answer and sees the end of the connection.
                let _ = timeout(FAREWELL, async {
                    while let Some(Ok(_)) = stream.next().await {}
                })
                .await;
                break;
            }
            Some(Ok(_)) => continue,
            Some(Err(Error::Protocol(_))) => {
                close.code = 1002;
                break;
            }
            Some(Err(_)) | None => break,
        };
        inbox.send_modify(|inbox| inbox.frames.push(frame));
    }
    inbox.send_modify(|inbox| inbox.closed = Some(close));
}
