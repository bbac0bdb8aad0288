//! What to do about a database that does not let this program in, or refuses a statement: by SQLSTATE
//! (<https://www.postgresql.org/docs/current/errcodes-appendix.html>), or by what the system says of the
//! connection. The same for every command.

use std::{error::Error as _, io, io::ErrorKind};

use tokio_postgres::error::SqlState;

use crate::error::Error;

/// What to do about a connection that could not be made. `setting` names the setting that has the
/// connection string; `is_socket` says that it has the directory of a Unix socket.
pub(super) fn on_connecting(
    error: &tokio_postgres::Error,
    setting: &str,
    is_socket: bool,
) -> String {
    if let Some(code) = error.code() {
        return on_refusal(code, setting);
    }
    let text = error.to_string();
    let cause = error.source();
    let cause_text = cause.map(ToString::to_string).unwrap_or_default();
    if cause_text == "password missing" {
        return format!(
            "write the password into {setting} (postgres://user:password@host/database)"
        );
    }
    if text.starts_with("error performing TLS handshake") {
        return if cause_text == "server does not support TLS" {
            format!(
                "turn on ssl in the server's postgresql.conf, or use another sslmode in {setting}"
            )
        } else {
            format!("compare sslmode and sslrootcert in {setting} with the server's certificate")
        };
    }
    if cause_text.starts_with("failed to lookup address") {
        return format!("check the spelling of the host in {setting}, and that DNS knows it");
    }
    let io = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    match io.map(io::Error::kind) {
        Some(ErrorKind::NotFound) if is_socket => format!(
            "there is no socket of PostgreSQL in this directory: check the host in {setting} and \
             unix_socket_directories of the server, and that the server runs"
        ),
        Some(ErrorKind::PermissionDenied) if is_socket => format!(
            "the user who runs this program may not use the socket: check the rights of the directory, or \
             name another host in {setting}"
        ),
        Some(ErrorKind::ConnectionRefused) if is_socket => {
            "no server listens on this socket: start PostgreSQL".into()
        }
        _ => unreachable(setting),
    }
}

/// What to do about a host that does not answer.
pub(super) fn unreachable(setting: &str) -> String {
    format!(
        "check host and port in {setting}, that PostgreSQL runs there, and that listen_addresses \
         and the firewall let this machine in"
    )
}

/// What to do about a host that takes no writes.
pub(super) fn on_standby(setting: &str) -> String {
    format!("name the primary in {setting}, or all hosts with commas")
}

fn on_refusal(code: &SqlState, setting: &str) -> String {
    match code.code() {
        "28P01" => format!(
            "the password is wrong: correct it in {setting}, or set it with alter role ... password"
        ),
        "28000" => format!(
            "check that the role of {setting} exists and has LOGIN, and that pg_hba.conf on the server \
             lets it in from this machine, with or without TLS"
        ),
        "3D000" => format!(
            "correct the database's name in {setting}, or make it: create database ... owner ..."
        ),
        "55000" => "let it take connections: alter database ... allow_connections true".into(),
        "57P03" => "the server is starting up or shutting down: try again in a moment".into(),
        code => general(code),
    }
}

/// What to do when a statement has failed.
pub(crate) fn on_statement(error: &Error) -> String {
    let code = match error {
        Error::Forbidden(_) => return MISSING_RIGHT.into(),
        Error::Database(error) => error.code(),
        _ => None,
    };
    match code {
        Some(code) => general(code.code()),
        None => "this check failed; the server would fail, too".into(),
    }
}

/// What to do about a right that the role lacks.
pub(crate) const MISSING_RIGHT: &str = "the role lacks a right: let the server use the role that owns the \
    database, or grant it what the message names";

fn general(code: &str) -> String {
    let advice = match code {
        "42501" => MISSING_RIGHT,
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
                "the network between this machine and the server broke the connection: check it"
            }
            Some("53") => "the server lacks memory, disk space or connections: look at its log",
            Some("57") => "an administrator ended it, or the server stops: try again in a moment",
            Some("58" | "XX") => "internal error of the server: look at its log",
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
            let advice = on_refusal(&SqlState::from_code(code), "DATABASE_URL");
            assert!(advice.contains(word), "{code}: {advice}");
        }
    }
}
