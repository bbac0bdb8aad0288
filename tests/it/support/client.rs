//! Clients for tests: plain HTTP/1.1 and WebSocket, written so that a test decides every byte that is sent.
//! They add nothing that a test did not ask for and never follow, retry or pool.

mod browser;
mod http;
mod inflated;
mod socket;
mod tests;
mod wire;

pub(crate) use browser::Browser;
pub(crate) use http::Http;
pub(crate) use socket::{Close, Frame, Refusal, Socket};
pub(crate) use wire::{Address, Request, Response};
