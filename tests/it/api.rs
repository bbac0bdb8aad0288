//! HTTP: who may do what, sessions, limits, uploads, users and runs.

pub mod access;
pub mod accounts;
pub mod emr;
pub mod hosts;
pub mod keep_alive;
pub mod limits;
pub mod names;
pub mod roles;
pub mod security_headers;
pub mod source_pages;
pub mod sources;
pub mod uploads;
pub mod users;
