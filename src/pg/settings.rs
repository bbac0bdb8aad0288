//! The settings of this program's connections, whatever a role, a database or `postgresql.conf` sets:
//! a setting that is well for people at psql, such as a timeout, another isolation level or a schema in
//! front of `public`, can stop a server or change what its statements mean.
//!
//! They are sent with the start of a connection (`options`). A pooler in transaction mode refuses or
//! ignores that, because a transaction may run on any of its connections. There each transaction begins
//! with them. It connects to nothing.

use std::{fmt::Write, time::Duration};

/// `(name, value)`. `public` is the only schema that names are looked up in, after PostgreSQL's own; a
/// temporary table never hides one of ours.
const FIXED: [(&str, &str); 18] = [
    ("search_path", "public, pg_temp"),
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
];

/// A name of our own, by which a connection shows that its server has read the `options`.
const MARK: &str = "marketplace.settings";

/// Says whether the `options` were read.
pub(crate) const IS_MARKED: &str =
    "select pg_catalog.current_setting('marketplace.settings', true) as mark";
/// What it says then.
pub(crate) const MARKED: &str = "fixed";

/// Servers from this version on have `transaction_timeout`, which older ones do not know.
pub(crate) const HAS_TRANSACTION_TIMEOUT: u32 = 17;

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

    /// Begins a transaction with these settings. `version` is the server's.
    pub(crate) fn begin(self, version: u32) -> String {
        format!(
            "begin isolation level read committed read write; {}",
            self.set_local(version)
        )
    }

    /// Sets them for the rest of a transaction.
    pub(crate) fn set_local(self, version: u32) -> String {
        let timeout = (version >= HAS_TRANSACTION_TIMEOUT)
            .then(|| ("transaction_timeout", String::from("0")));
        let set: Vec<String> = self
            .all()
            .chain(timeout)
            .map(|(name, value)| format!("pg_catalog.set_config('{name}', '{value}', true)"))
            .collect();
        format!("select {}", set.join(", "))
    }

    fn all(self) -> impl Iterator<Item = (&'static str, String)> {
        let lock_timeout = self.lock_timeout.as_millis().to_string();
        FIXED
            .iter()
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
            options.starts_with("-c jit=off -c search_path=public,\\ pg_temp -c "),
            "{options}"
        );
        assert!(options.contains("-c default_transaction_isolation=read\\ committed "));
        assert!(options.ends_with("-c lock_timeout=850 -c marketplace.settings=fixed"));
    }

    #[test]
    fn only_newer_servers_are_told_of_what_older_ones_do_not_know() {
        let settings = Settings::default();
        assert!(!settings.begin(16).contains("transaction_timeout', '0'"));
        assert!(settings.begin(17).contains("'transaction_timeout', '0'"));
    }
}
