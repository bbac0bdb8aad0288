//! Sockets: from a handshake to the messages of one client. The file of each path has what its clients may
//! send. What is sent to all comes from the groups of [`live`](crate::live).

pub mod activation;
pub mod consumer;
pub mod emr;
mod endpoint;
pub mod filter;
pub mod handshake;
pub mod live;
mod liveness;
mod message;
pub mod socket;
pub mod source;

pub use endpoint::{ENDPOINTS, Endpoint};
