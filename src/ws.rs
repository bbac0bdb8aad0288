//! The WebSocket protocol, the server's side: RFC 6455 and RFC 7692 (permessage-deflate).
//!
//! One payload becomes one [`Frame`], whoever is connected: server frames are not masked, so header
//! and payload are the same bytes for every member of a group and are written straight from shared
//! memory. A [`Connection`] drives one TCP stream; between messages it holds no buffer at all.
//!
//! This module never knows what the messages mean: no groups, no JSON, no SQL, no sessions.

pub mod close;
pub mod connection;
pub mod deflate;
pub mod frame;
pub mod handshake;
pub mod reader;
pub mod violation;

pub use connection::{Connection, Event, Limits, Reason};
pub use frame::Frame;
pub use reader::Message;
pub use violation::Violation;
