//! The integration tests: one binary, a module a subject.

#![allow(
    unreachable_pub,
    reason = "a test binary exports nothing: pub is for the modules beside"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test is not configured by the server's configuration"
)]

mod abuse;
mod accounts;
mod activity;
mod advice;
mod architecture;
mod builds;
mod check;
mod client;
mod clients;
mod compat;
mod console;
mod dashboard;
mod day;
mod doctor;
mod documents;
mod embedded;
mod emr;
mod exhaustion;
mod failover;
mod faults;
mod headers;
mod hosts;
mod import;
mod keep_alive;
mod library;
mod limits;
mod logs;
mod manual;
mod metrics;
mod migrations;
mod monitoring;
mod names;
mod nodes;
mod operate;
mod oracle;
mod outages;
mod packaging;
mod pgbouncer;
mod plans;
mod planted;
mod pooler;
mod postgres;
mod program;
mod proxy;
mod queue;
mod refusals;
mod replication;
mod rights;
mod roles;
mod rows;
mod schema;
mod secrets;
mod security;
mod server;
mod settings;
mod silent;
mod sockets;
mod sql;
mod strangers;
mod supervisor;
mod tls;
mod unread;
mod uploads;
mod users;
mod variables;
mod versions;
