//! Views as the rest of the server needs them, whatever each publishes: which channels raise a view's
//! signal, for which tables the audit raises it, how many members its groups have, and how its task
//! starts. [`Groups`](super::Groups) registers them.

use std::{fmt, marker::PhantomData, pin::Pin, sync::Arc, time::Duration};

use jiff::tz::TimeZone;

use super::{
    audit::Table,
    channel::Channel,
    group::{Events, Group, Members, keyed::Keyed},
    pending_writes::PendingWrites,
    signal::Signal,
    view::{
        self, Reader, Snapshot, View,
        events::{Event, EventView},
        list::{List, ListGroups},
        watched::{Open, State},
    },
    windows::Windows,
};
use crate::{db::listed::Listed, metrics::Metrics, restarts::Restarts};

/// What is said of a view.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// For the log and the metrics.
    pub(super) view: &'static str,
    /// The names of its groups, for operators.
    pub(super) groups: &'static [&'static str],
    /// Those that raise its signal.
    pub(super) channels: Vec<Channel>,
    /// The audit raises its signal when it doubts that all changes of one of these were announced.
    pub(super) tables: Vec<Table>,
}

/// A view that was registered.
pub(super) struct Registered {
    pub(super) about: About,
    pub(super) signal: Arc<Signal>,
    /// Whether the view tells of events, and keeps no state.
    pub(super) is_of_events: bool,
    /// Makes the task that keeps it going.
    pub(super) start: Box<dyn Fn(Reader, Restarts) -> Task + Send + Sync>,
}

/// The work of a part of the server that runs for ever.
pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.about.fmt(f)
    }
}

/// Where views are registered.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) views: Vec<Registered>,
    /// The groups by name.
    pub(super) members: Vec<(&'static str, Arc<dyn Members>)>,
    metrics: Metrics,
    expected: Arc<PendingWrites>,
}

impl Registry {
    /// Without views. Who joins a group waits for what is `expected`.
    pub(super) fn new(metrics: Metrics, expected: Arc<PendingWrites>) -> Self {
        Self {
            views: Vec::new(),
            members: Vec::new(),
            metrics,
            expected,
        }
    }

    /// A table's rows as a list, newest first, for members that want the whole list each time and for
    /// those that want what changed. Its groups are named in this order.
    pub(super) fn list<T: Listed>(&mut self, about: About, zone: &TimeZone) -> ListGroups {
        let signal = Arc::default();
        let groups = ListGroups {
            whole: self.group(&signal, about.groups[0]),
            deltas: self.group(&signal, about.groups[1]),
        };
        let zone = zone.clone();
        self.view(about, signal, &groups, move |groups| {
            List::<T>::new(groups, zone.clone())
        });
        groups
    }

    /// A state that members see whole.
    pub(super) fn state<V: View>(
        &mut self,
        about: About,
        make: impl Fn(Arc<Group<Snapshot>>) -> V + Clone + Send + Sync + 'static,
    ) -> Arc<Group<Snapshot>> {
        let signal = Arc::default();
        let group = self.group(&signal, about.groups[0]);
        self.view(about, signal, &group, make);
        group
    }

    /// Single rows, for members that want one each.
    pub(super) fn rows<V: View>(
        &mut self,
        about: About,
        make: impl Fn(Arc<Keyed>) -> V + Clone + Send + Sync + 'static,
    ) -> Arc<Keyed> {
        let signal = Arc::<Signal>::default();
        let name = about.groups[0];
        let group = Keyed::new(signal.clone(), self.metrics.traffic(name));
        self.members.push((name, group.clone()));
        self.view(about, signal, &group, make);
        group
    }

    /// Windows and counts of the rows of `sources`, which stay in memory for `keep` after the last member
    /// left.
    pub(super) fn windows(
        &mut self,
        about: About,
        keep: Duration,
        zone: &TimeZone,
    ) -> Arc<Windows> {
        let signal = Arc::<Signal>::default();
        let name = about.groups[0];
        let traffic = self.metrics.traffic(name);
        let expected = self.expected.clone();
        let group = Windows::new(signal.clone(), expected, traffic, keep, zone.clone());
        self.members.push((name, group.clone()));
        self.view(about, signal, &group, view::windows::Windows::new);
        group
    }

    /// Events, of which a member hears that is there when they happen.
    pub(super) fn events<E: Event>(&mut self, about: About) -> Arc<Events> {
        let name = about.groups[0];
        let group = Events::new(E::lagged(), self.metrics.traffic(name));
        self.members.push((name, group.clone()));
        self.view(about, Arc::default(), &group, |group| {
            EventView::<E>(group, PhantomData)
        });
        group
    }

    /// What open sockets depend on.
    pub(super) fn watched<T: State>(&mut self, about: About) -> Arc<Open<T>> {
        let signal = Arc::<Signal>::default();
        let open = Open::new(signal.clone());
        self.view(about, signal, &open, |open| open);
        open
    }

    fn group<T: Clone + fmt::Debug + Send + Sync + 'static>(
        &mut self,
        signal: &Arc<Signal>,
        name: &'static str,
    ) -> Arc<Group<T>> {
        let traffic = self.metrics.traffic(name);
        let group = Group::new(signal.clone(), self.expected.clone(), traffic);
        self.members.push((name, group.clone()));
        group
    }

    /// Registers the view that `make` makes for `group`.
    fn view<G: Clone + Send + Sync + 'static, V: View>(
        &mut self,
        about: About,
        signal: Arc<Signal>,
        group: &G,
        make: impl Fn(G) -> V + Clone + Send + Sync + 'static,
    ) {
        let (name, raised, group) = (about.view, Arc::clone(&signal), group.clone());
        let start = move |reader, restarts| -> Task {
            let (make, group) = (make.clone(), group.clone());
            let make = move || make(group.clone());
            Box::pin(view::keep(name, make, raised.clone(), reader, restarts))
        };
        self.views.push(Registered {
            about,
            signal,
            is_of_events: V::IS_OF_EVENTS,
            start: Box::new(start),
        });
    }
}
