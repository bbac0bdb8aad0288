//! Runs on Amazon EMR: the real program against a fake cluster, and against moto for the wire format.

mod cancelling;
mod crashes;
mod credentials;
mod following;
mod interface;
mod missing;
pub mod moto;
mod submitting;

use crate::support::pipeline::{
    Pipeline, answered, ask, event, fake, settings, the_run, went_through,
};
