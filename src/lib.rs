//! A change-driven server for PostgreSQL.

pub mod config;
pub mod db;
pub mod error;
pub mod wire;
pub mod ws;
