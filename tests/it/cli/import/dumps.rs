//! Dumps as people have them: of other versions and other options of `pg_dump`, of other formats, cut
//! short, packed, or of something else.

use std::{fs, path::PathBuf, time::Duration};

use serde_json::json;
use tokio::{process::Command, time::timeout};

use super::{DUMP, backend, counts, notes, report};
use crate::support::{
    postgres::{self, Home, TestDatabase, version::NEWER},
    program::program,
    server::{SOON, database},
};

/// Where dumps are written, and where they are brought.
pub(super) struct Place {
    pub(super) home: Home,
    pub(super) to: TestDatabase,
}

impl Place {
    pub(super) async fn new() -> Self {
        let (home, to) = (Home::new(), database().await);
        fs::create_dir(&home.dir).unwrap();
        Self { home, to }
    }

    pub(super) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let file = self.home.dir.join(name);
        fs::write(&file, bytes).unwrap();
        file
    }

    /// Runs the program on a dump in a foreign language; its exit code and what it said.
    pub(super) async fn import(&self, dump: &std::path::Path) -> (i32, String) {
        let mut command = program(&["import-django", "--dry-run", "--json", "--dump"]);
        command.arg(dump).env("DATABASE_URL", &self.to.url);
        command.env("TMPDIR", postgres::scratch());
        command
            .env("LANGUAGE", "fr")
            .env("LC_MESSAGES", "fr_FR.UTF-8");
        command
            .env("PGOPTIONS", "-c lc_messages=fr")
            .env("PGDATABASE", "nowhere");
        let output = timeout(SOON * 8, command.output())
            .await
            .expect("it ends")
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        (output.status.code().expect("it was not killed"), said)
    }

    /// Every source of the dump is found.
    async fn assert_imported(&self, what: &str, dump: &std::path::Path) -> String {
        let (code, said) = self.import(dump).await;
        assert!(
            code == 0 && said.contains("\"found\": 21"),
            "{what}: {said}"
        );
        said
    }

    async fn assert_refused(&self, what: &str, dump: &std::path::Path, why: &str) {
        let (code, said) = self.import(dump).await;
        assert!(code == 1 && said.contains(why), "{what}, {why}: {said}");
        assert_eq!(said.lines().count(), 1, "{what}: {said}");
    }
}

/// A dump with something in front of its first table.
pub(super) fn with(statements: &str) -> String {
    let at = DUMP.find("CREATE TABLE").expect("it makes tables");
    let at = DUMP[..at].rfind("\n--\n-- Name").expect("with a comment") + 1;
    format!("{}\n{statements}\n{}", &DUMP[..at], &DUMP[at..])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_of_any_version_is_imported_or_refused_in_any_language() {
    let place = Place::new().await;
    let imported = [
        // As 17 and 18 begin and end.
        (
            "eighteen",
            format!(
                "--\n-- PostgreSQL database dump\n--\n\n\\restrict k9X\n\n-- Dumped by pg_dump version 18.0\n\n\
                 SET transaction_timeout = 0;\n{DUMP}\n\\unrestrict k9X\n\n"
            ),
        ),
        ("windows", DUMP.replace('\n', "\r\n")),
        ("bom", format!("\u{feff}{DUMP}")),
        // Roles, tablespaces, access methods and extensions that are not here.
        (
            "foreign",
            with(
                "ALTER SCHEMA public OWNER TO nobody_here;\nSET default_tablespace = ssd;\n\
                 SET default_table_access_method = columnar;\nGRANT ALL ON SCHEMA public TO nobody_here;\n\
                 CREATE EXTENSION IF NOT EXISTS postgis WITH SCHEMA public;\n\
                 COMMENT ON EXTENSION postgis IS 'maps';\nSET SESSION AUTHORIZATION 'nobody_here';\n\
                 CREATE SCHEMA public;\nDROP TABLE public.auth_user;",
            ),
        ),
        (
            "schema",
            DUMP.replace("public.", "app.").replacen(
                "CREATE TABLE",
                "CREATE SCHEMA app;\nCREATE TABLE",
                1,
            ),
        ),
    ];
    for (name, text) in &imported {
        let said = place.assert_imported(name, &place.file(name, text)).await;
        if *name == "foreign" {
            assert!(
                said.contains("CREATE EXTENSION IF NOT EXISTS postgis"),
                "{said}"
            );
        }
    }
    let cut = DUMP.find("-- PostgreSQL database dump complete").unwrap();
    let in_rows = DUMP.find("COPY public.myapp_sourcemodel").unwrap() + 2000;
    let in_rows = in_rows + DUMP[in_rows..].find('\n').unwrap() + 1;
    let utf16: Vec<u8> = std::iter::once(0xfeff)
        .chain(DUMP.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let latin: Vec<u8> = with("SET client_encoding = 'LATIN1';")
        .chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
        .collect();
    // The hash of a user's password whose name has other letters is no matter.
    place
        .assert_imported("latin", &place.file("latin", &latin))
        .await;
    for (name, bytes, why) in [
        ("empty", &b""[..], "is empty"),
        ("utf16", &utf16[..], "UTF-16"),
        ("json", b"[{\"model\": \"auth.user\"}]", "dumpdata"),
        ("elf", b"\x7fELF\0\0", "no dump"),
        ("text", b"hello", "cannot be restored"),
        ("zip", b"PK\x03\x04", "unpack it first"),
        ("cut", &DUMP.as_bytes()[..cut], "cut short"),
        ("rows", &DUMP.as_bytes()[..in_rows], "cut short"),
        // Every table counts, not only those that are brought.
        ("lost", with("CREATE TABLE public.lost (x no_such_type);").leak().as_bytes(), "42704"),
        ("lost-rows", with("CREATE TABLE public.lost (x int);\nINSERT INTO public.lost VALUES ('a');").leak().as_bytes(), "22P02"),
        ("geometry", with("CREATE EXTENSION postgis;\nCREATE TABLE public.lost (x public.geometry);").leak().as_bytes(), "install what is missing"),
        ("rows-only", b"INSERT INTO public.auth_user VALUES (1);\n-- PostgreSQL database dump complete\n", "without --data-only"),
        ("schema-only", b"CREATE TABLE public.auth_user (id int);\n-- PostgreSQL database dump complete\n", "without --schema-only"),
        ("other", b"CREATE TABLE public.t (id int);\nINSERT INTO public.t VALUES (1);\n-- PostgreSQL database dump complete\n", "auth_user"),
        ("mysql", b"-- MySQL dump 10.13\n", "not a dump of PostgreSQL"),
        ("newer", b"PGDMP\x01\x63\x00\x04\x08\x01", "pg_dump"),
    ] {
        place.assert_refused(name, &place.file(name, bytes), why).await;
    }
    let nothing = place.home.dir.join("nothing");
    fs::create_dir(&nothing).unwrap();
    place.assert_refused("directory", &nothing, "toc.dat").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_format_and_option_of_pg_dump_is_imported() {
    let place = Place::new().await;
    let backend = backend().await;
    let wait = Duration::from_mins(2);
    for (name, program, options) in [
        ("plain", "pg_dump", &[][..]),
        ("clean", "pg_dump", &["-c"]),
        ("if-exists", "pg_dump", &["-c", "--if-exists"]),
        ("create", "pg_dump", &["-C"]),
        ("create-clean", "pg_dump", &["-C", "-c"]),
        ("inserts", "pg_dump", &["--inserts"]),
        (
            "column-inserts",
            "pg_dump",
            &["--column-inserts", "--rows-per-insert=3"],
        ),
        (
            "triggers-off",
            "pg_dump",
            &["--disable-triggers", "--quote-all-identifiers"],
        ),
        (
            "authorization",
            "pg_dump",
            &["--use-set-session-authorization", "-O"],
        ),
        ("custom", "pg_dump", &["-Fc"]),
        ("tar", "pg_dump", &["-Ft"]),
        ("directory", "pg_dump", &["-Fd"]),
        ("uncompressed", "pg_dump", &["-Fd", "-Z0"]),
    ] {
        let file = place.home.dir.join(name);
        let mut dump = Command::new(program);
        dump.args(options).arg("-f").arg(&file).arg(&backend.url);
        let output = timeout(wait, dump.output())
            .await
            .expect("it ends")
            .unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
        place.assert_imported(name, &file).await;
        // Each is found out when it is cut short.
        if file.is_file() {
            let bytes = fs::read(&file).unwrap();
            let half = place.file("half", &bytes[..bytes.len() / 2]);
            let (code, said) = place.import(&half).await;
            assert_eq!(code, 1, "half of {name}: {said}");
        }
    }
    let directory = place.home.dir.join("directory");
    let rows = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let rows = rows
        .filter(|file| !file.ends_with("toc.dat"))
        .last()
        .unwrap();
    fs::remove_file(rows).unwrap();
    let (code, said) = place.import(&directory).await;
    assert_eq!(code, 1, "a file is missing: {said}");
}

/// The server's programs on this machine read the text that a newer `pg_dump` writes. Of its archives they
/// say what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dumps_of_newer_versions_are_imported_or_refused() {
    let place = Place::new().await;
    for version in &NEWER {
        let newer = version.start(&[]).await;
        let backend = newer.cluster.database("backend").await;
        let dump = async |name: &str, program: &str, options: &[&str]| {
            let file = place.home.dir.join(format!("{name}-{}", version.major));
            let mut dump = Command::new(newer.programs.join(program));
            let dump = dump.args(options).arg("-f").arg(&file);
            let dump = match program {
                "pg_dumpall" => dump.args(["-l", "backend", "-d", &backend.url]),
                _ => dump.arg(&backend.url),
            };
            let output = timeout(SOON * 4, dump.output()).await.expect("it ends");
            let output = output.unwrap();
            assert!(output.status.success(), "{name}: {output:?}");
            file
        };
        let dba = backend.connect().await;
        dba.batch_execute("drop schema public cascade; create schema public")
            .await
            .unwrap();
        let restored = backend.psql(DUMP).await;
        assert!(restored.status.success(), "{restored:?}");
        for (name, options) in [
            ("plain", &[][..]),
            ("clean", &["-c", "--if-exists"]),
            ("create", &["-C", "-c", "--if-exists"]),
        ] {
            let file = dump(name, "pg_dump", options).await;
            let text = fs::read_to_string(&file).unwrap();
            assert!(
                text.contains("SET transaction_timeout"),
                "{name} is as {} writes",
                version.major
            );
            place.assert_imported(name, &file).await;
        }
        for (name, format) in [("custom", "-Fc"), ("tar", "-Ft"), ("directory", "-Fd")] {
            let file = dump(name, "pg_dump", &[format]).await;
            place.assert_refused(name, &file, "17 or newer").await;
            place.assert_refused(name, &file, "pg_dump -Fp").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_of_a_whole_cluster_is_imported() {
    let place = Place::new().await;
    let cluster = postgres::private_cluster(&[]).await;
    let dba = postgres::connect(&cluster.url()).await;
    dba.batch_execute("create role django login superuser password 'x'")
        .await
        .unwrap();
    dba.batch_execute("create database backend owner django")
        .await
        .unwrap();
    let restored = postgres::psql(&cluster.psql(), "backend", DUMP).await;
    assert!(restored.status.success(), "{restored:?}");
    let file = place.home.dir.join("all");
    let dump_all = async |options: &str| {
        let by_socket = cluster
            .psql()
            .replacen("psql ", "", 1)
            .replace("-d ", "-l ");
        let command = format!("pg_dumpall {by_socket} {options} -f {}", file.display());
        let mut dump = Command::new("sh");
        let dump = timeout(SOON * 4, dump.args(["-c", &command]).output());
        let output = dump.await.expect("it ends").unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    dump_all("-c --if-exists").await;
    let said = place.assert_imported("all", &file).await;
    assert!(said.contains("CREATE ROLE"), "{said}");

    let text = fs::read_to_string(&file).unwrap();
    let end = text
        .rfind("-- PostgreSQL database cluster dump complete")
        .unwrap();
    place
        .assert_refused("cut", &place.file("cut", &text[..end]), "cut short")
        .await;
    dba.batch_execute("create database copy template backend")
        .await
        .unwrap();
    dump_all("").await;
    place
        .assert_refused("two", &file, "several databases")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_of_another_encoding_arrive_as_they_were() {
    let place = Place::new().await;
    let row = "INSERT INTO public.auth_user VALUES (77, '!x', NULL, false, 'zo\u{eb}', '', '', 'z@x.org', false, true, '2024-01-01 00:00:00+00');\n";
    let text = DUMP.replace(
        "SET client_encoding = 'UTF8';",
        "SET client_encoding = 'UTF8';\nSET escape_string_warning = off;",
    );
    let end = text
        .find("\n--\n-- PostgreSQL database dump complete")
        .unwrap();
    let mut bytes = text.as_bytes()[..end].to_vec();
    bytes.extend(b"\nSET client_encoding = 'LATIN1';\n");
    bytes.extend(row.chars().map(|c| u8::try_from(u32::from(c)).unwrap()));
    bytes.extend(&text.as_bytes()[end..]);
    let file = place.file("latin", &bytes);
    let found = report(&place.to.url, &["--dump", file.to_str().unwrap()]).await;
    assert_eq!(counts(&found, "users"), json!([4, 0, 0]), "{found}");
    let sql = "select username from users where email = 'z@x.org'";
    let name: String = place
        .to
        .connect()
        .await
        .query_one(sql, &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(name, "zo\u{eb}");
    assert!(
        notes(&found, "left_out")
            .iter()
            .any(|note| note.contains("zo\u{eb}"))
    );
}
