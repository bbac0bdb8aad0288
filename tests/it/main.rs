//! The integration tests: one binary, a module a subject.

#![allow(
    unreachable_pub,
    reason = "a test binary exports nothing: pub is for the modules beside"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test is not configured by the server's configuration"
)]

mod api;
mod cli;
mod compat;
mod console;
mod database;
mod docs;
mod faults;
mod sockets;
mod support;
