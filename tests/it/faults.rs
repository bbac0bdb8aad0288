//! What breaks, runs out, lies or is silent: each test proves its fault.

pub mod abuse;
pub mod connections;
pub mod exhaustion;
pub mod failover;
pub mod nodes;
pub mod oracle;
pub mod outages;
pub mod pooler;
pub mod queue;
pub mod refusals;
pub mod replication;
pub mod unannounced;
pub mod unreadable;
