//! What a socket of `ws/live/` is sent: the answers to its messages, in order, and what changes in what
//! it watches.

use std::{collections::VecDeque, sync::Arc};

use super::{Command, error, one};
use crate::{
    live::windows::{Changed, Member, Windows},
    metrics::Traffic,
};

/// So many messages may wait for their answers; until then no more of the socket is read.
const MOST_WAITING: usize = 32;
/// So many subscriptions a socket may have.
const MOST_SUBSCRIPTIONS: usize = 32;

/// What a socket watches, and what it is owed.
#[derive(Debug)]
pub struct LiveFeed {
    member: Member,
    /// In the order in which they came.
    waiting: VecDeque<Command>,
    ready: VecDeque<Changed>,
}

impl LiveFeed {
    /// Watches nothing yet.
    pub(in crate::sockets) fn new(group: &Arc<Windows>) -> Self {
        Self {
            member: group.join(),
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    /// What goes out to the sockets of its group.
    pub fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(self.member.group().traffic())
    }

    /// Takes a message.
    pub fn take(&mut self, command: Command) {
        self.waiting.push_back(command);
    }

    /// Whether another message may be taken.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < MOST_WAITING
    }

    /// Waits for the next answer or change. Cancel-safe.
    pub(in crate::sockets) async fn next(&mut self) -> Changed {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return frame;
            }
            if self.waiting.is_empty() {
                let frames = self.member.next().await;
                self.ready.extend(frames);
                continue;
            }
            self.answer().await;
            let answers = self.member.stale().await;
            self.ready.extend(answers);
        }
    }

    /// Follows the oldest message that waits. It waits on until that is done. Cancel-safe.
    async fn answer(&mut self) {
        let wrong = match self.waiting.front() {
            None => return,
            Some(Command::Wrong(frame)) => Some(frame.clone()),
            Some(Command::Unsubscribe { name }) => {
                let was_there = self.member.unsubscribe(name);
                (!was_there).then(|| error(Some(name), &one("unsubscribe", UNKNOWN)))
            }
            Some(Command::Move {
                name,
                anchor,
                limit,
            }) => {
                let is_moved = self.member.go_to(name, *anchor, *limit).await;
                let why = if self.member.has(name) {
                    COUNTS
                } else {
                    UNKNOWN
                };
                (!is_moved).then(|| error(Some(name), &one("move", why)))
            }
            Some(Command::Subscribe { name, shown }) => {
                let is_new = !self.member.has(name);
                let done = if is_new && self.member.len() >= MOST_SUBSCRIPTIONS {
                    Err(TOO_MANY)
                } else {
                    self.member.subscribe(name, shown).await.map_err(|_| FULL)
                };
                done.err()
                    .map(|why| error(Some(name), &one("subscribe", why)))
            }
        };
        self.waiting.pop_front();
        self.ready.extend(wrong.map(|frame| (frame, None)));
    }
}

const UNKNOWN: &str = "There is no subscription of this name.";
const COUNTS: &str = "This subscription counts; it has no window.";
const TOO_MANY: &str = "This socket has 32 subscriptions already. End one first.";
const FULL: &str = "The server keeps too many filters and orders at the moment. Try again later.";
