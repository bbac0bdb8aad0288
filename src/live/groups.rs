//! The groups that sockets join, and the views that feed them: the one place where a view is
//! registered.

use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;

use super::{
    audit::Table,
    channel::Channel,
    group::{Events, Group, Members, keyed::Keyed},
    pending_writes::PendingWrites,
    registry::{About, Registered, Registry},
    validity::Validity,
    view::{
        Snapshot, activity::Activity, changes::Changes, filter::Filter, library::Library,
        list::ListGroups, runs::Runs, sessions::OpenSessions, toggles::Toggles, users::OpenUsers,
    },
    windows::Windows,
};
use crate::{db::sources::Source, metrics::Metrics};

/// How long rows stay in memory after the last socket left that watches windows of them.
const ROWS_KEPT: Duration = Duration::from_mins(10);

/// The groups that sockets join; a fixed set, made at start.
#[derive(Clone, Debug)]
pub struct Groups {
    /// The counts.
    pub library: Arc<Group<Snapshot>>,
    /// The list of sources.
    pub sources: ListGroups,
    /// Single sources.
    pub filter: Arc<Keyed>,
    /// Windows and counts of sources.
    pub windows: Arc<Windows>,
    /// What statements did to sources.
    pub changes: Arc<Events>,
    /// Sources that were switched on or off.
    pub toggles: Arc<Events>,
    /// States of pipeline runs.
    pub runs: Arc<Events>,
    /// What was changed lately, and by whom.
    pub activity: Arc<Group<Snapshot>>,
    /// Sessions with open sockets.
    pub sessions: Arc<OpenSessions>,
    /// Users with open sockets.
    pub users: Arc<OpenUsers>,
    /// What this process has just written, which joining members wait for.
    pub expected: Arc<PendingWrites>,
    members: Arc<[(&'static str, Arc<dyn Members>)]>,
}

impl Groups {
    /// Groups without members, and the views that feed them. Times are written in `zone`; the counts
    /// hold as `validity` says.
    pub(super) fn new(
        metrics: &Metrics,
        expected: Arc<PendingWrites>,
        zone: &TimeZone,
        validity: &Arc<Validity>,
    ) -> (Self, Vec<Registered>) {
        let mut views = Registry::new(metrics.clone(), expected.clone());
        let (zone, validity) = (zone.clone(), Arc::clone(validity));
        let groups = Self {
            sources: views.list::<Source>(
                About {
                    view: "list",
                    groups: &["DataSource", "DataSource (deltas)"],
                    channels: vec![Channel::SOURCE, Channel::SOURCE_LIB],
                    tables: vec![Table::SOURCES],
                },
                &zone,
            ),
            filter: views.rows(
                About {
                    view: "filter",
                    groups: &["FilterDataSource"],
                    channels: vec![Channel::SOURCE, Channel::SOURCE_LIB],
                    tables: vec![Table::SOURCES],
                },
                {
                    let zone = zone.clone();
                    move |group| Filter::new(group, zone.clone())
                },
            ),
            library: views.state(
                About {
                    view: "library",
                    groups: &["DataLibrary"],
                    channels: vec![Channel::LIB, Channel::SOURCE_LIB],
                    tables: vec![Table::SOURCES, Table::PIPELINE_RUNS],
                },
                move |group| Library::new(group, validity.clone()),
            ),
            windows: views.windows(
                About {
                    view: "windows",
                    groups: &["Live"],
                    channels: vec![Channel::SOURCE, Channel::SOURCE_LIB],
                    tables: vec![Table::SOURCES],
                },
                ROWS_KEPT,
                &zone,
            ),
            changes: views.events::<Changes>(About {
                view: "changes",
                groups: &["CRUDSource"],
                channels: vec![Channel::CRUD],
                tables: vec![Table::SOURCES],
            }),
            toggles: views.events::<Toggles>(About {
                view: "toggles",
                groups: &["ToggleVisibility"],
                channels: vec![Channel::TOGGLE],
                tables: vec![Table::SOURCES],
            }),
            runs: views.events::<Runs>(About {
                view: "runs",
                groups: &["EMR"],
                channels: vec![Channel::EMR],
                tables: vec![Table::PIPELINE_RUNS],
            }),
            activity: views.state(
                About {
                    view: "activity",
                    groups: &["Activity"],
                    channels: vec![Channel::ACTIVITY],
                    tables: Vec::new(),
                },
                move |group| Activity::new(group, zone.clone()),
            ),
            sessions: views.watched(About {
                view: "sessions",
                groups: &[],
                channels: vec![Channel::SESSION],
                tables: vec![Table::SESSIONS, Table::USERS],
            }),
            users: views.watched(About {
                view: "users",
                groups: &[],
                channels: vec![Channel::ACCOUNT],
                tables: vec![Table::USERS],
            }),
            expected,
            members: Arc::new([]),
        };
        let Registry { views, members, .. } = views;
        let members = members.into();
        (Self { members, ..groups }, views)
    }

    /// How many members each group has, by the group's name.
    pub fn members(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let members = self.members.iter();
        members.map(|(name, group)| (*name, group.members()))
    }
}
