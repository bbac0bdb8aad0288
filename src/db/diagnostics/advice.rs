//! What to do about an error of the database, by its SQLSTATE
//! (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).

use tokio_postgres::error::SqlState;

use crate::error::Error;

/// What to do when the database does not let this program in. `variable` names the address that was
/// tried.
pub(super) fn on_connecting(code: Option<&SqlState>, variable: &str) -> String {
    let Some(code) = code else {
        return format!(
            "check host and port in {variable}, that PostgreSQL runs there, and that listen_addresses \
             and the firewall let this machine in"
        );
    };
    match code.code() {
        "28P01" => format!(
            "the password is wrong: correct it in {variable}, or set it with alter role ... password"
        ),
        "28000" => format!(
            "check that the role of {variable} exists and has LOGIN, and that pg_hba.conf on the server \
             lets it in from this machine, with or without TLS"
        ),
        "3D000" => format!(
            "correct the database's name in {variable}, or make it: create database ... owner ..."
        ),
        "55000" => "let it take connections: alter database ... allow_connections true".into(),
        "57P03" => "the server is starting up or shutting down: try again in a moment".into(),
        code => general(code),
    }
}

/// What to do when a statement has failed; none when that is not known.
pub(super) fn on_statement(error: &Error) -> String {
    let code = match error {
        Error::Database(error) => error.code(),
        _ => None,
    };
    match code {
        Some(code) => general(code.code()),
        None => "the server could not ask this either".into(),
    }
}

fn general(code: &str) -> String {
    let advice = match code {
        "42501" => {
            "the role lacks a right: let the server use the role that owns the database, or grant it what \
             the message names"
        }
        "53300" => {
            "all connections are taken: raise max_connections (or the role's or database's CONNECTION \
             LIMIT), or lower POOL_SIZE of the servers"
        }
        "25006" => {
            "the database only reads: name its primary, or see default_transaction_read_only"
        }
        "55P03" => "somebody holds a lock: look at pg_locks and pg_stat_activity",
        "57014" => "the statement was cancelled: see statement_timeout of role and database",
        _ => match code.get(..2) {
            Some("08") => {
                "the network between here and the server broke the connection: look there"
            }
            Some("53") => "the server lacks memory, disk space or connections: look at its log",
            Some("57") => "an administrator ended it, or the server stops: try again in a moment",
            Some("58" | "XX") => "the server has trouble of its own: look at its log",
            _ => "look at the server's log",
        },
    };
    advice.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_own_advice() {
        for (code, word) in [
            ("28P01", "password"),
            ("28000", "pg_hba.conf"),
            ("3D000", "create database"),
            ("42501", "right"),
            ("53300", "max_connections"),
            ("57P03", "starting up"),
            ("08006", "network"),
            ("53100", "disk space"),
        ] {
            let advice = on_connecting(Some(&SqlState::from_code(code)), "DATABASE_URL");
            assert!(advice.contains(word), "{code}: {advice}");
        }
        assert!(on_connecting(None, "DATABASE_URL").contains("host and port in DATABASE_URL"));
    }
}
