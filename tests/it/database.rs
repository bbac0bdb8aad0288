//! SQL, migrations, roles and versions of PostgreSQL.

pub mod follow;
pub mod migrations;
pub mod plans;
pub mod planted;
pub mod rights;
pub mod rows;
pub mod schema;
pub mod settings;
pub mod statements;
pub mod tls;
pub mod versions;
