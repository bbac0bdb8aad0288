//! One task a socket: what its group makes goes out, what the client sends is answered, and it ends
//! with its session or the server. It never reads a table.

use std::{
    collections::VecDeque,
    io::ErrorKind,
    pin::pin,
    sync::{Arc, LazyLock},
    time::Instant,
};

use bytes::Bytes;
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::{
    consumer::{self, Answer, Answering, Fed, Feed},
    endpoint::Endpoint,
};
use crate::{
    app::App,
    auth::Identity,
    limits::{Seat, TooMany},
    live::view::{sessions::SessionMember, users::UserMember, watched::Member},
    metrics::Traffic,
    panics, request,
    ws::{Connection, Event, Limits, Message, Reason, deflate::Params},
};

/// RFC 6455, section 7.4.1: the server is going down.
const GOING_AWAY: u16 = 1001;
/// RFC 6455, section 7.4.1: what the socket stood for, its session, is no longer valid.
const POLICY: u16 = 1008;
/// RFC 6455's registry of close codes: try again later.
const TRY_AGAIN: u16 = 1013;
/// A socket is told so often that it sends too much; then it is closed.
const MAX_REFUSED: u8 = 100;
/// So many answers may wait for a client to take them; until then no more of it is read.
const MAX_REPLIES: usize = 4;

/// A client whose handshake was accepted.
#[derive(Debug)]
pub struct Client {
    /// The connection, from which HTTP has read no further than `unread`.
    pub stream: TcpStream,
    /// What HTTP had read already.
    pub unread: Bytes,
    /// The compression agreed on.
    pub deflate: Option<Params>,
    /// Where it opened it.
    pub endpoint: &'static Endpoint,
    /// What feeds it.
    pub feed: Feed,
    /// Who it is; nobody when strangers may look.
    pub who: Option<Arc<Identity>>,
    /// The request that opened it.
    pub request: request::Id,
    /// What it counts for among those of its user and its address.
    pub seat: Seat,
    /// Its place among the connections that are served at once.
    pub permit: Option<Arc<OwnedSemaphorePermit>>,
}

/// Serves `client` until either side ends it, or a panic does.
pub async fn serve(app: App, client: Client) {
    app.socket_stats.opened();
    let request = client.request.clone();
    if let Err(panic) = panics::caught(follow(app.clone(), client)).await {
        app.socket_stats.ended(Reason::Io(ErrorKind::Other));
        app.metrics.panics("socket").increment(1);
        let _logging = request.span().entered();
        tracing::error!(%panic, "a socket panicked and is closed");
    }
}

async fn follow(app: App, client: Client) {
    let Client {
        stream,
        unread,
        deflate,
        endpoint,
        feed,
        who,
        request,
        seat,
        permit,
    } = client;
    let session = who
        .as_ref()
        .and_then(|who| who.session.as_ref())
        .map(|it| (it.id, Instant::now() + it.remaining))
        .map(|(id, ends)| app.live.groups.sessions.join(id, ends));
    let user = who
        .as_ref()
        .map(|who| app.live.groups.users.join(who.user_id, who.role));
    let mut socket = Socket {
        connection: Connection::new(stream, unread, deflate, limits()),
        sent: Sent {
            traffic: feed.traffic(),
            joined: Instant::now(),
        },
        feed,
        endpoint,
        replies: VecDeque::new(),
        answering: None,
        who,
        user,
        request,
        seat,
        refused: 0,
        app,
    };
    let ending = ending(socket.app.stopping.clone(), session, socket.user.clone());
    socket.run(ending).await;
    drop(permit);
}

/// Waits until the socket is to be closed, and gives the code and the reason.
async fn ending(
    stopping: CancellationToken,
    mut session: Option<SessionMember>,
    mut user: Option<UserMember>,
) -> (u16, &'static str) {
    tokio::select! {
        biased;
        () = gone(&mut session) => (POLICY, "the session has ended"),
        () = gone(&mut user) => (POLICY, "the account is disabled or gone"),
        () = stopping.cancelled() => (GOING_AWAY, "the server is stopping"),
    }
}

fn limits() -> Arc<Limits> {
    static LIMITS: LazyLock<Arc<Limits>> = LazyLock::new(Arc::default);
    LIMITS.clone()
}

struct Socket {
    connection: Connection,
    feed: Feed,
    sent: Sent,
    endpoint: &'static Endpoint,
    replies: VecDeque<Fed>,
    answering: Option<Answering>,
    who: Option<Arc<Identity>>,
    user: Option<UserMember>,
    request: request::Id,
    seat: Seat,
    /// Messages that were too many.
    refused: u8,
    app: App,
}

/// Where what a socket is sent is counted.
struct Sent {
    traffic: Arc<Traffic>,
    joined: Instant,
}

impl Sent {
    fn note(&self, len: usize, changed: Option<Instant>) {
        // What was there before it came was not waited for.
        let changed = changed.filter(|changed| *changed > self.joined);
        self.traffic.sent(len, changed);
    }
}

impl Socket {
    async fn run(&mut self, ending: impl Future<Output = (u16, &'static str)>) {
        let app = self.app.clone();
        // Waited for all along, rather than anew for each frame.
        let mut ending = pin!(ending);
        let mut closing = false;
        loop {
            while self.connection.can_send()
                && let Some(reply) = self.replies.pop_front()
            {
                self.send(reply);
            }
            let can_follow = self.connection.can_send() && self.connection.keeps_up();
            // One message at a time: while one is answered, the next waits in the kernel.
            let reading = self.answering.is_none()
                && self.replies.len() < MAX_REPLIES
                && self.feed.has_room();
            tokio::select! {
                // Most turns are for a frame, and views make few enough to leave turns for the rest.
                biased;
                fed = self.feed.next(), if can_follow => {
                    if self.connection.can_send() {
                        self.send(fed);
                    } else {
                        // A pong or a close has become due while this was waited for.
                        self.replies.push_front(fed);
                    }
                }
                event = self.connection.next(reading) => match event {
                    Event::Message(message) => self.take(message),
                    Event::Flushed => {}
                    Event::Closed(reason) => {
                        let _logging = self.request.span().entered();
                        tracing::debug!(path = self.endpoint.path, ?reason, "socket closed");
                        app.socket_stats.ended(reason);
                        return;
                    }
                },
                (code, reason) = &mut ending, if !closing => {
                    closing = true;
                    self.connection.close(code, reason);
                }
                answer = answered(&mut self.answering) => self.give(answer),
            }
        }
    }

    fn send(&mut self, (frame, changed): Fed) {
        let bytes = frame.wire(self.connection.deflate());
        let len = bytes.len();
        self.connection.send(bytes);
        self.sent.note(len, changed);
    }

    fn take(&mut self, message: Message) {
        if let Err(many) = self.app.limits.sockets.message(&self.seat) {
            return self.refuse(many);
        }
        match message {
            Message::Text(text) => {
                let who = self.who_by_now();
                let request = self.request.clone();
                let answering = consumer::answer(
                    self.endpoint.consumer,
                    &self.feed,
                    &self.app,
                    who,
                    request,
                    text,
                );
                self.answering = Some(answering);
            }
            Message::Binary(_) => self.give(consumer::refuse(
                self.endpoint.consumer,
                "binary messages are not understood; send JSON as text",
            )),
        }
    }

    /// Who it is: with the role of this moment, and nobody once they are shut out.
    fn who_by_now(&mut self) -> Option<Arc<Identity>> {
        let role = self.user.as_ref()?.now()?;
        let who = self.who.as_mut()?;
        if who.role != role {
            Arc::make_mut(who).role = role;
        }
        Some(Arc::clone(who))
    }

    fn refuse(&mut self, many: TooMany) {
        if self.refused == MAX_REFUSED {
            return self.connection.close(TRY_AGAIN, "too many messages");
        }
        self.refused += 1;
        let text = format!("Too many messages. Try again in {} s.", many.seconds());
        self.give(consumer::refuse(self.endpoint.consumer, &text));
    }

    fn give(&mut self, answer: Answer) {
        self.answering = None;
        match (answer, &mut self.feed) {
            (Answer::Frame(frame), Feed::Filter(filter)) => filter.say(frame),
            (Answer::Frame(frame), _) => self.replies.push_back((frame, None)),
            (Answer::Show(id), Feed::Filter(filter)) => filter.ask(id),
            (Answer::Live(command), Feed::Live(live)) => live.take(command),
            // Only the consumers of these feeds answer so.
            (Answer::Show(_) | Answer::Live(_) | Answer::Nothing, _) => {}
        }
    }
}

async fn answered(answering: &mut Option<Answering>) -> Answer {
    match answering {
        Some(answering) => answering.await,
        None => std::future::pending().await,
    }
}

async fn gone<T: Copy>(member: &mut Option<Member<T>>) {
    match member {
        Some(member) => member.gone().await,
        None => std::future::pending().await,
    }
}
