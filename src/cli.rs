//! Commands other than serving: each does its work on the database and ends. What they print is for
//! people, or with `--json` for programs; they start no server.

pub mod emr;
mod secret;
pub mod users;
