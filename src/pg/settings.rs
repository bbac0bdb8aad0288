//! The settings of this program's connections, whatever a role, a database or `postgresql.conf` sets:
//! a setting that is well for people at psql, such as a timeout, another isolation level or a planner
//! method that is off, can stop a server or change what its statements mean.
//!
//! They are sent with the start of a connection (`options`). A pooler in transaction mode refuses or
//! ignores that, because a transaction may run on any of its connections. There each transaction begins
//! with them. It connects to nothing.

use std::{fmt::Write, time::Duration};

/// Names without a schema are PostgreSQL's own, or temporary tables. Every statement writes `public.` before
/// a name of ours: with `public` in the path, a role that may create objects there could make an operator or
/// a function that fits a statement better than PostgreSQL's, and it would run with the program's rights.
const CLOSED_PATH: (&str, &str) = ("search_path", "pg_catalog, pg_temp");

/// `(name, value)`.
const FIXED: [(&str, &str); 19] = [
    CLOSED_PATH,
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("row_security", "on"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("standard_conforming_strings", "on"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "1"),
    ("array_nulls", "on"),
    ("transform_null_equals", "off"),
    ("quote_all_identifiers", "off"),
    ("plpgsql.extra_errors", "none"),
    ("exit_on_error", "off"),
];

/// How statements are planned, each as PostgreSQL has it; all that PostgreSQL 15 lists as planner methods. One
/// that is off makes a plan's estimated cost huge, which also has it compiled. The statements are short, so
/// compiling one costs more than it saves.
const PLANNER: [(&str, &str); 24] = [
    ("jit", "off"),
    ("plan_cache_mode", "auto"),
    ("from_collapse_limit", "8"),
    ("join_collapse_limit", "8"),
    ("enable_async_append", "on"),
    ("enable_bitmapscan", "on"),
    ("enable_gathermerge", "on"),
    ("enable_hashagg", "on"),
    ("enable_hashjoin", "on"),
    ("enable_incremental_sort", "on"),
    ("enable_indexonlyscan", "on"),
    ("enable_indexscan", "on"),
    ("enable_material", "on"),
    ("enable_memoize", "on"),
    ("enable_mergejoin", "on"),
    ("enable_nestloop", "on"),
    ("enable_parallel_append", "on"),
    ("enable_parallel_hash", "on"),
    ("enable_partition_pruning", "on"),
    ("enable_partitionwise_aggregate", "off"),
    ("enable_partitionwise_join", "off"),
    ("enable_seqscan", "on"),
    ("enable_sort", "on"),
    ("enable_tidscan", "on"),
];

/// Settings that older servers do not know: the major version that brought each.
const NEWER: [(u32, &str, &str); 5] = [
    (16, "enable_presorted_aggregate", "on"),
    (17, "enable_group_by_reordering", "on"),
    (17, "transaction_timeout", "0"),
    (18, "enable_distinct_reordering", "on"),
    (18, "enable_self_join_elimination", "on"),
];

/// A name of our own, by which a connection shows that its server has read the `options`.
const MARK: &str = "marketplace.settings";

/// What the mark is when the server has read the `options`.
pub(crate) const MARKED: &str = "fixed";

/// The statement that says as `mark` whether a server of this version has read the `options`. If it has, the
/// statement also sets what older servers do not know. Through a pooler it changes nothing.
pub(crate) fn ask_for_mark(version: u32) -> String {
    let mark = format!("pg_catalog.current_setting('{MARK}', true)");
    let mut sql = format!("select {mark} as mark");
    for (name, value) in newer(version) {
        let _ = write!(
            sql,
            ", case when {mark} operator(pg_catalog.=) '{MARKED}' \
               then pg_catalog.set_config('{name}', '{value}', false) end"
        );
    }
    sql
}

/// What a server of this version knows and older ones do not.
fn newer(version: u32) -> impl Iterator<Item = (&'static str, &'static str)> {
    NEWER
        .into_iter()
        .filter(move |(since, ..)| *since <= version)
        .map(|(_, name, value)| (name, value))
}

/// Begins a transaction of a connection that has the settings. It does not ask to write: a standby would refuse
/// to begin it, and then it could not be read either.
pub(super) const BEGIN: &str = "begin isolation level read committed";

/// The settings of the connections of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settings {
    /// Longest wait for a lock; zero for no limit.
    pub(crate) lock_timeout: Duration,
}

impl Settings {
    /// What is sent with the start of a connection, after the `options` that the operator has set.
    pub(crate) fn options(self, configured: Option<&str>) -> String {
        let mut options = configured.unwrap_or_default().to_owned();
        for (name, value) in self.all().chain([(MARK, MARKED.to_owned())]) {
            let value = value.replace('\\', r"\\").replace(' ', r"\ ");
            let _ = write!(options, " -c {name}={value}");
        }
        options
    }

    /// Begins a transaction with these settings. `version` is the server's. Only here can a transaction be let
    /// write whose role has `default_transaction_read_only`; a standby refuses that.
    pub(crate) fn begin(self, version: u32) -> String {
        format!("{BEGIN} read write; {}", self.set_local(version))
    }

    /// Sets them for the rest of a transaction. A role's `statement_timeout` counts for each statement, so it is
    /// ended by one that takes next to no time.
    fn set_local(self, version: u32) -> String {
        let newer = newer(version).map(|(name, value)| (name, value.to_owned()));
        let set: Vec<String> = self
            .all()
            .chain(newer)
            .map(|(name, value)| format!("pg_catalog.set_config('{name}', '{value}', true)"))
            .collect();
        format!("set local statement_timeout = 0; select {}", set.join(", "))
    }

    fn all(self) -> impl Iterator<Item = (&'static str, String)> {
        let lock_timeout = self.lock_timeout.as_millis().to_string();
        FIXED
            .iter()
            .chain(&PLANNER)
            .map(|(name, value)| (*name, (*value).to_owned()))
            .chain([("lock_timeout", lock_timeout)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_options_stay_and_come_first() {
        let settings = Settings {
            lock_timeout: Duration::from_millis(850),
        };
        let options = settings.options(Some("-c jit=off"));
        assert!(
            options.starts_with("-c jit=off -c search_path=pg_catalog,\\ pg_temp -c "),
            "{options}"
        );
        assert!(options.contains("-c default_transaction_isolation=read\\ committed "));
        assert!(options.ends_with("-c lock_timeout=850 -c marketplace.settings=fixed"));
    }

    #[test]
    fn only_newer_servers_are_told_of_what_older_ones_do_not_know() {
        let settings = Settings::default();
        assert!(!settings.options(None).contains(" -c transaction_timeout="));
        for text in [settings.begin(16), ask_for_mark(16)] {
            assert!(!text.contains("'transaction_timeout', '0'"), "{text}");
            assert!(
                text.contains("'enable_presorted_aggregate', 'on'"),
                "{text}"
            );
        }
        for text in [settings.begin(17), ask_for_mark(17)] {
            assert!(text.contains("'transaction_timeout', '0'"), "{text}");
        }
        assert!(!ask_for_mark(15).contains("set_config"));
    }
}
