//! What tests use: clusters, servers, clients, proxies. No tests but those of these tools.

pub mod client;
pub mod dashboard;
pub mod doctor;
pub mod live;
pub mod metrics;
pub mod migrate;
pub mod nginx;
pub mod observe;
pub mod pgbouncer;
pub mod pipeline;
pub mod postgres;
pub mod processes;
pub mod program;
pub mod proxy;
pub mod server;
pub mod sign_in;
