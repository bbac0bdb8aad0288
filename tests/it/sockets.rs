//! What sockets show, and when.

pub mod activity;
pub mod clients;
pub mod delivery;
pub mod library;
pub mod live;
pub mod rollover;
