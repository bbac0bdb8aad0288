//! A change-driven server for PostgreSQL.

pub mod ws;
