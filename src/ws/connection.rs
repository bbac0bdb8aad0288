//! One client's TCP stream, from the 101 answer to its end (RFC 6455, sections 5.5 and 7).
//!
//! At most one frame is being written at a time; control frames come next, and then the owner
//! decides. Reading goes on meanwhile, one message at a time. Holds no buffer while idle, and never
//! knows who the client is or what the messages mean.

use bytes::{Buf, Bytes};
use std::{
    future::poll_fn,
    io::{self, IoSlice},
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    deflate::Params,
    frame,
    reader::{Incoming, Message, Reader},
    violation::Violation,
};

/// How much is read at once, on the stack.
const READ_BYTES: usize = 8 * 1024;

/// Pings that may stay unanswered; when the next is due, the client is gone.
const MISSED_PINGS: u8 = 2;

/// What a connection may take, in bytes and in time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest message taken from a client, also when inflated.
    pub message_bytes: usize,
    /// How long a client may take over one message, from its first bytes to its last.
    pub message: Duration,
    /// How often a client is pinged.
    pub ping: Duration,
    /// How long a frame may wait without one byte of it being taken.
    pub write: Duration,
    /// How much may be on its way to a client before it has to show that it has read it.
    pub unconfirmed_bytes: usize,
    /// How long a client may take to answer a close, and to hang up.
    pub close: Duration,
}

/// What happened on a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The client sent a message.
    Message(Message),
    /// What was pending, be it only a pong, has been written, or the client keeps up again: the next
    /// frame may be sent.
    Flushed,
    /// It is over, and stays so: the connection is to be dropped.
    Closed(Reason),
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The client closed it, with this code if it gave one.
    Client(Option<u16>),
    /// The owner closed it, with this code.
    Server(u16),
    /// The client broke the rules, and was told so.
    Violation(Violation),
    /// The client answered no ping. It can't be told.
    Gone,
    /// The client took nothing of a frame for too long. It can't be told, in the middle of a frame.
    Slow,
    /// TCP ended or failed without a close.
    Io(io::ErrorKind),
}

/// A client's connection after the handshake.
///
/// The owner calls [`Connection::next`] in a loop, beside whatever else it waits for, and
/// [`Connection::send`] whenever [`Connection::can_send`].
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    reader: Reader,
    /// Read already, but not looked at.
    unread: Bytes,
    /// What is left of the frame being written.
    current: Bytes,
    /// The answer to the newest ping, to be written next.
    pong: Option<Bytes>,
    /// Our close frame, to be written last.
    farewell: Option<Bytes>,
    phase: Phase,
    /// Something had to wait; its end is told once.
    owes_flushed: bool,
    unanswered_pings: u8,
    /// Sent since the client last showed that it had read all before.
    unconfirmed: usize,
    /// Whether the frame being written ends with a ping that asks whether it has.
    asks: bool,
    deflate: Option<Params>,
    limits: Arc<Limits>,
    ping_due: Instant,
    /// When the message under way must be whole.
    message_due: Option<Instant>,
    /// When the last byte was taken of what was or is pending.
    progress: Instant,
    /// Rings no later than the next deadline; moved only when it rings too early or would ring late.
    alarm: Pin<Box<Sleep>>,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// We have closed; the client's close is to come.
    Closing(Reason),
    /// Nothing more will be read; once all is written, we hang up.
    Leaving(Reason),
    /// We have hung up and wait for the client to do so, lest what it sends meets a closed port and
    /// the answer destroys our last words on their way.
    Lingering(Reason),
    Ended(Reason),
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 1 << 20,
            message: Duration::from_secs(30),
            ping: Duration::from_secs(30),
            write: Duration::from_secs(30),
            unconfirmed_bytes: 512 * 1024,
            close: Duration::from_secs(3),
        }
    }
}

impl Connection {
    /// A connection whose 101 answer was written. `unread` is what the client sent since, as far as
    /// it was read with the handshake.
    pub fn new(
        stream: TcpStream,
        unread: Bytes,
        deflate: Option<Params>,
        limits: Arc<Limits>,
    ) -> Self {
        let now = Instant::now();
        let ping_due = now + limits.ping;
        Self {
            stream,
            reader: Reader::new(limits.message_bytes, deflate.is_some()),
            // An empty piece of a larger buffer would keep all of it.
            unread: if unread.is_empty() {
                Bytes::new()
            } else {
                unread
            },
            current: Bytes::new(),
            pong: None,
            farewell: None,
            phase: Phase::Open,
            owes_flushed: false,
            unanswered_pings: 0,
            unconfirmed: 0,
            asks: false,
            deflate,
            limits,
            ping_due,
            message_due: None,
            progress: now,
            alarm: Box::pin(sleep_until(ping_due)),
        }
    }

    /// The compression agreed on, for `Frame::wire`.
    pub fn deflate(&self) -> Option<Params> {
        self.deflate
    }

    /// Whether something waits for the client to take it.
    pub fn is_writing(&self) -> bool {
        !self.current.is_empty() || self.pong.is_some() || self.farewell.is_some()
    }

    /// Whether the owner may send a frame: nothing is pending and no one has closed.
    pub fn can_send(&self) -> bool {
        !self.is_writing() && self.phase == Phase::Open
    }

    /// Whether the client has read what was sent, up to [`Limits::unconfirmed_bytes`]. The kernels on
    /// both sides take megabytes for a client that has stopped reading; a frame that can be skipped
    /// is better not given to them while this is false, because it would be stale when it is read.
    /// [`Event::Flushed`] tells when it is true again.
    pub fn keeps_up(&self) -> bool {
        self.unconfirmed <= self.limits.unconfirmed_bytes
    }

    /// Writes a frame, at once as far as the client takes it; [`Event::Flushed`] tells when the rest
    /// is gone. Panics unless [`Connection::can_send`], because the frames would be mixed up.
    pub fn send(&mut self, bytes: Bytes) {
        assert!(self.can_send(), "one frame at a time");
        self.owes_flushed = false;
        if self.keeps_up() {
            self.unconfirmed += bytes.len();
            self.asks = !self.keeps_up();
        }
        self.current = bytes;
        self.write();
    }

    /// Closes with `code`, after a frame that is partly written; [`Event::Closed`] follows when the
    /// client has answered, or did not in time. What it sends meanwhile is thrown away.
    pub fn close(&mut self, code: u16, reason: &str) {
        if self.phase == Phase::Open {
            self.phase = Phase::Closing(Reason::Server(code));
            self.say_farewell(frame::close(Some(code), reason));
        }
    }

    /// Waits for what happens next; writes, answers pings and keeps time meanwhile. Cancel-safe: all
    /// state is in the connection.
    ///
    /// Without `reading` no message is taken; what the client sends waits in the kernel.
    pub async fn next(&mut self, reading: bool) -> Event {
        poll_fn(|cx| self.poll_next(cx, reading)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, reading: bool) -> Poll<Event> {
        loop {
            self.poll_write(cx);
            self.hang_up_when_written();
            if let Phase::Ended(reason) = self.phase {
                return Poll::Ready(Event::Closed(reason));
            }
            if self.owes_flushed && self.can_send() {
                self.owes_flushed = false;
                return Poll::Ready(Event::Flushed);
            }
            // Before reading, lest a client that never stops talking has no deadlines.
            if self.poll_time(cx).is_ready() {
                continue;
            }
            if !reading && self.phase == Phase::Open {
                return Poll::Pending;
            }
            if let Some(message) = ready!(self.poll_read(cx)) {
                return Poll::Ready(Event::Message(message));
            }
        }
    }

    /// Writes until nothing is pending or the client takes no more, in which case the task is woken
    /// when it does.
    fn poll_write(&mut self, cx: &mut Context<'_>) {
        while self.is_writing() {
            match self.stream.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => self.write(),
                Poll::Ready(Err(error)) => self.end(Reason::Io(error.kind())),
                Poll::Pending => break,
            }
        }
    }

    /// Writes as much as the client takes now.
    fn write(&mut self) {
        // The deadline of what did not have to wait before begins here.
        let mut progress = !self.owes_flushed;
        loop {
            if self.current.is_empty() {
                // Lets go of the shared frame, not only of its last byte.
                self.current = Bytes::new();
                self.current = if std::mem::take(&mut self.asks) {
                    Bytes::from_static(&frame::EMPTY_PING)
                } else if let Some(next) = self.pong.take().or_else(|| self.farewell.take()) {
                    next
                } else {
                    break;
                };
            }
            match self.write_some() {
                Ok(()) => progress = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.owes_flushed = true;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.end(Reason::Io(error.kind())),
            }
        }
        if progress {
            self.progress = Instant::now();
        }
    }

    /// Writes some of what is being written and, with its end, the question whether it was read: one
    /// packet, which wakes the client once.
    fn write_some(&mut self) -> io::Result<()> {
        if !self.asks {
            // To write two slices, one of them empty, costs the kernel a tenth more.
            let taken = self.stream.try_write(&self.current)?;
            self.current.advance(taken);
            return Ok(());
        }
        let slices = [&self.current[..], &frame::EMPTY_PING].map(IoSlice::new);
        let taken = self.stream.try_write_vectored(&slices)?;
        if taken <= self.current.len() {
            self.current.advance(taken);
        } else {
            let asked = taken - self.current.len();
            self.current = Bytes::from_static(&frame::EMPTY_PING[asked..]);
            self.asks = false;
        }
        Ok(())
    }

    /// Reads what was read before, then from the stream. `Ready` means that something changed.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if !self.unread.is_empty() {
            let unread = std::mem::take(&mut self.unread);
            let (message, taken) = self.take(&unread);
            self.unread = unread.slice(taken..);
            return Poll::Ready(message);
        }
        match self.stream.poll_read_ready(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(self.read()),
            Poll::Ready(Err(error)) => {
                self.end(Reason::Io(error.kind()));
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn read(&mut self) -> Option<Message> {
        let mut buffer = [0; READ_BYTES];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => self.end(Reason::Io(io::ErrorKind::UnexpectedEof)),
            Ok(len) => {
                self.unanswered_pings = 0;
                let (message, taken) = self.take(&buffer[..len]);
                if taken < len {
                    self.unread = Bytes::copy_from_slice(&buffer[taken..len]);
                }
                return message;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => self.end(Reason::Io(error.kind())),
        }
        None
    }

    /// Looks at received bytes up to the first message, and says how many that were.
    fn take(&mut self, bytes: &[u8]) -> (Option<Message>, usize) {
        let taken = self.look_at(bytes);
        if self.reader.held_bytes() == 0 {
            self.message_due = None;
        } else if self.message_due.is_none() {
            self.message_due = Some(Instant::now() + self.limits.message);
        }
        taken
    }

    fn look_at(&mut self, bytes: &[u8]) -> (Option<Message>, usize) {
        let mut rest = bytes;
        while matches!(self.phase, Phase::Open | Phase::Closing(_)) {
            match self.reader.read(&mut rest) {
                Ok(None) => break,
                Ok(Some(Incoming::Message(message))) if self.phase == Phase::Open => {
                    return (Some(message), bytes.len() - rest.len());
                }
                Ok(Some(Incoming::Ping(payload))) => self.answer_ping(&payload),
                Ok(Some(Incoming::Close(code, _))) => {
                    self.leave(Reason::Client(code), frame::close(code, ""));
                }
                Ok(Some(Incoming::Pong)) => self.confirm(),
                Ok(Some(Incoming::Message(_))) => {}
                Err(violation) => self.refuse(violation),
            }
        }
        (None, bytes.len())
    }

    fn answer_ping(&mut self, payload: &[u8]) {
        // After our close nothing more may be said.
        if self.phase == Phase::Open {
            self.pong = Some(frame::pong(payload));
            self.write();
        }
    }

    /// A pong: what was sent before its ping has been read.
    fn confirm(&mut self) {
        if !self.keeps_up() {
            self.unconfirmed = 0;
            self.owes_flushed = true;
            self.progress = Instant::now();
        }
    }

    fn refuse(&mut self, violation: Violation) {
        let close = frame::close(Some(violation.code()), &violation.to_string());
        self.leave(Reason::Violation(violation), close);
    }

    /// Reads no more, and says `close` unless we have closed before.
    fn leave(&mut self, reason: Reason, close: Bytes) {
        if let Phase::Closing(begun) = self.phase {
            self.phase = Phase::Leaving(begun);
        } else {
            self.phase = Phase::Leaving(reason);
            self.say_farewell(close);
        }
    }

    fn say_farewell(&mut self, close: Bytes) {
        self.farewell = Some(close);
        self.progress = Instant::now();
        self.write();
    }

    fn hang_up_when_written(&mut self) {
        if let Phase::Leaving(reason) = self.phase
            && !self.is_writing()
        {
            self.phase = match socket2::SockRef::from(&self.stream).shutdown(Shutdown::Write) {
                Ok(()) => Phase::Lingering(reason),
                Err(_) => Phase::Ended(reason),
            };
        }
    }

    /// Keeps the earliest deadline. `Ready` means that it had passed.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let due = self.deadline();
            if due < self.alarm.deadline() {
                self.alarm.as_mut().reset(due);
            }
            if self.alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            if due <= now {
                self.on_deadline(now);
                return Poll::Ready(());
            }
            self.alarm.as_mut().reset(due);
        }
    }

    fn deadline(&self) -> Instant {
        if self.is_writing() {
            self.progress + self.limits.write
        } else if self.phase == Phase::Open {
            self.message_due
                .map_or(self.ping_due, |due| due.min(self.ping_due))
        } else {
            self.progress + self.limits.close
        }
    }

    fn on_deadline(&mut self, now: Instant) {
        if self.phase != Phase::Open || self.is_writing() {
            self.end(Reason::Slow);
        } else if self.message_due.is_some_and(|due| due <= now) {
            self.refuse(Violation::Unfinished);
        } else if self.unanswered_pings == MISSED_PINGS {
            self.end(Reason::Gone);
        } else {
            self.unanswered_pings += 1;
            self.ping_due = now + self.limits.ping;
            self.current = Bytes::from_static(&frame::EMPTY_PING);
            self.write();
        }
    }

    /// Ends it with `reason`, unless the end had begun with another.
    fn end(&mut self, reason: Reason) {
        if self.is_writing() || reason == Reason::Gone {
            // What the kernel still holds for this client is freed at once instead of being offered
            // for minutes. Where that can't be set, it is freed later.
            let _ = self.stream.set_zero_linger();
        }
        let reason = match self.phase {
            Phase::Open => reason,
            Phase::Closing(begun)
            | Phase::Leaving(begun)
            | Phase::Lingering(begun)
            | Phase::Ended(begun) => begun,
        };
        self.phase = Phase::Ended(reason);
        self.current = Bytes::new();
        self.pong = None;
        self.asks = false;
        self.farewell = None;
    }
}

#[cfg(test)]
mod tests;
