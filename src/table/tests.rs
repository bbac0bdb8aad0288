//! The table against a naive model that filters, sorts and cuts out the same rows.

mod answers;
mod events;
mod model;
mod parse;
mod random;
mod words;
