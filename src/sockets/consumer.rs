//! Consumers: what each socket is fed, and how it answers what it is sent.

use std::{pin::Pin, sync::Arc, time::Instant};

use super::{
    filter::FilterFeed,
    live::{Command, feed::LiveFeed},
};
use crate::{
    app::App,
    auth::Identity,
    live::{
        group::{EventMember, Group, Member},
        view::{
            Snapshot, Version, json_frame,
            list::{Deltas, ListGroups},
        },
    },
    metrics::Traffic,
    request,
    ws::Frame,
};

/// What the clients of a socket may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumer {
    /// Nothing but pings, when they follow a list by deltas.
    Reader,
    /// Asks for one source.
    FilterSource,
    /// Adds and changes sources.
    Source,
    /// Switches sources on and off.
    DataSourceActivation,
    /// Starts pipeline steps.
    Emr,
    /// Watches windows and counts.
    Live,
}

/// What a socket is fed without asking.
#[derive(Debug)]
pub enum Feed {
    /// The newest state.
    Snapshots(Member<Snapshot>),
    /// The steps to the newest state.
    Deltas(DeltaFeed),
    /// The sources that were asked for.
    Filter(FilterFeed),
    /// Every event.
    Events(EventMember),
    /// The windows and counts that were asked for.
    Live(Box<LiveFeed>),
}

/// A frame, and when the newest change in it was made, where that is known.
pub type Fed = (Frame, Option<Instant>);

impl Feed {
    /// Whether the client's next message may be taken, as far as answers wait here.
    pub fn has_room(&self) -> bool {
        match self {
            Self::Filter(filter) => filter.has_room(),
            Self::Live(live) => live.has_room(),
            Self::Snapshots(_) | Self::Deltas(_) | Self::Events(_) => true,
        }
    }

    /// What goes out to the sockets of its group.
    pub fn traffic(&self) -> Arc<Traffic> {
        match self {
            Self::Snapshots(member) => member.traffic(),
            Self::Deltas(deltas) => deltas.deltas.traffic(),
            Self::Filter(filter) => filter.traffic(),
            Self::Events(member) => member.traffic(),
            Self::Live(live) => live.traffic(),
        }
    }

    /// Waits for the next frame. Cancel-safe.
    pub async fn next(&mut self) -> Fed {
        match self {
            Self::Snapshots(member) => fed(member.next().await),
            Self::Deltas(deltas) => deltas.next().await,
            Self::Filter(filter) => filter.next().await,
            Self::Events(member) => (member.next().await, None),
            Self::Live(live) => live.next().await,
        }
    }
}

fn fed(snapshot: Snapshot) -> Fed {
    (snapshot.frame, snapshot.changed)
}

/// A member that follows by deltas, with the version it stands at.
#[derive(Debug)]
pub struct DeltaFeed {
    whole: Arc<Group<Snapshot>>,
    deltas: Member<Arc<Deltas>>,
    /// The version it claims to have, until that was looked at.
    since: Option<String>,
    at: Option<Version>,
    deflate: bool,
}

impl DeltaFeed {
    /// Follows a list from the version `since`, as the client sent it.
    pub(super) fn new(list: &ListGroups, since: Option<String>, deflate: bool) -> Self {
        Self {
            whole: Arc::clone(&list.whole),
            deltas: list.deltas.join(deflate),
            since,
            at: None,
            deflate,
        }
    }

    async fn next(&mut self) -> Fed {
        loop {
            if let Some(at) = self.at {
                let deltas = self.deltas.next().await;
                // Of a view that was started again nothing leads there: its epoch is another.
                if at.since(deltas.version()).is_some() {
                    continue;
                }
                if let Some(frame) = deltas.since(at) {
                    self.at = Some(deltas.version());
                    return (frame, deltas.changed);
                }
                self.at = None;
            } else if self.since.is_some() {
                let deltas = self.deltas.next().await;
                let version = self.since.take();
                let version = version.and_then(|since| deltas.version().earlier(&since));
                if let Some(frame) = version.and_then(|version| deltas.since(version)) {
                    self.at = Some(deltas.version());
                    return (frame, deltas.changed);
                }
            }
            // No version, or one too old: a snapshot, the same frame that list members get.
            let snapshot = self.whole.join(self.deflate).next().await;
            self.at = Some(snapshot.version);
            return fed(snapshot);
        }
    }
}

/// What comes of a client's message.
#[derive(Debug)]
pub enum Answer {
    /// Nothing: these sockets push only what their page can show.
    Nothing,
    /// A frame for this socket alone.
    Frame(Frame),
    /// This source, which is followed from then on.
    Show(uuid::Uuid),
    /// What a socket of windows asks for.
    Live(Command),
}

/// The work of answering one message.
pub type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Answers a text message, on behalf of the request that opened the socket. Somebody unknown only
/// reads, so the writing sockets owe them nothing.
pub fn answer(
    consumer: Consumer,
    feed: &Feed,
    app: &App,
    who: Option<Arc<Identity>>,
    request: request::Id,
    text: String,
) -> Answering {
    let app = app.clone();
    let answering: Answering = match (consumer, who) {
        (Consumer::FilterSource, _) => Box::pin(std::future::ready(super::filter::answer(&text))),
        (Consumer::Live, _) => {
            let answer = super::live::answer(&text, &app.settings.time_zone);
            Box::pin(std::future::ready(answer))
        }
        (Consumer::Reader, who) if matches!(feed, Feed::Deltas(_)) => {
            let role = who.map(|who| who.role);
            Box::pin(std::future::ready(super::liveness::answer(
                &app, role, &text,
            )))
        }
        (Consumer::Source, Some(who)) => {
            Box::pin(async move { frame(&super::source::answer(&app, &who, &text).await) })
        }
        (Consumer::DataSourceActivation, Some(who)) => {
            Box::pin(async move { frame(&super::activation::answer(&app, &who, &text).await) })
        }
        (Consumer::Emr, Some(who)) => {
            Box::pin(async move { frame(&super::emr::answer(&app, &who, &text).await) })
        }
        _ => Box::pin(std::future::ready(Answer::Nothing)),
    };
    Box::pin(request.around(answering))
}

/// What a message gets that is not taken: the error, where the socket's page can show one.
pub fn refuse(consumer: Consumer, error: &str) -> Answer {
    match consumer {
        Consumer::Reader => Answer::Nothing,
        Consumer::FilterSource => Answer::Frame(super::filter::error(error)),
        Consumer::Live => Answer::Live(super::live::refused(error)),
        Consumer::Source | Consumer::DataSourceActivation | Consumer::Emr => {
            frame(&serde_json::json!({ "status": "error", "success": false, "error": error }))
        }
    }
}

fn frame(value: &serde_json::Value) -> Answer {
    Answer::Frame(json_frame(value))
}
