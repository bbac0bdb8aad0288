//! What a statement of a dump is for, told by its first words. Only what makes tables and fills them is
//! run. What `pg_dump` writes besides is left out; what it never writes is refused. That is no defence:
//! the role that runs the statements has no rights beyond its own database.

/// What to do with a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Without it, tables or rows are lost.
    Needed,
    /// A table may need it; then the table cannot be made without it.
    Attempted,
    /// Rows of the dump follow.
    Rows,
    /// From here on, texts have this encoding.
    Encoding(String),
    /// Nothing that is brought here depends on it.
    Unneeded,
    /// The same, and somebody may wonder where it is: what it would have made.
    LeftOut(String),
    /// `pg_dump` does not write it.
    Refused,
}

use Meaning::{Attempted, LeftOut, Needed, Refused, Rows, Unneeded};

/// Functions that `pg_dump` calls for what is not brought: counters of sequences, large objects,
/// statistics.
const UNNEEDED_CALLS: [&str; 11] = [
    "SETVAL",
    "LO_CREATE",
    "LO_OPEN",
    "LO_CLOSE",
    "LO_UNLINK",
    "LOWRITE",
    "PG_RESTORE_RELATION_STATS",
    "PG_RESTORE_ATTRIBUTE_STATS",
    "PG_RESTORE_EXTENDED_STATS",
    "PG_CLEAR_RELATION_STATS",
    "PG_CLEAR_ATTRIBUTE_STATS",
];

/// Whether the rows of a COPY follow.
pub(super) fn takes_rows(text: &[u8]) -> bool {
    let mut words = Words(text);
    words.next().is_some_and(|word| word == "COPY") && meaning(text) == Rows
}

/// What to do with a statement.
pub(super) fn meaning(text: &[u8]) -> Meaning {
    let mut words = Words(text);
    let first = words.next().unwrap_or_default();
    match first.as_str() {
        "SET" => setting(words),
        "SELECT" => call(words, text),
        "INSERT" => Needed,
        "COPY" => copy(words),
        "CREATE" => creation(words),
        "ALTER" => alteration(words),
        "UPDATE" => {
            // pg_dumpall unmarks templates before it drops them.
            let table: String = words.take(3).collect();
            if table == "PG_CATALOG.PG_DATABASE" {
                Unneeded
            } else {
                Refused
            }
        }
        "RESET" | "BEGIN" | "START" | "COMMIT" | "COMMENT" | "GRANT" | "REVOKE" | "DROP"
        | "ANALYZE" | "VACUUM" | "REFRESH" | "REINDEX" | "CLUSTER" | "LOCK" => Unneeded,
        "SECURITY" => LeftOut("SECURITY LABEL".into()),
        _ => Refused,
    }
}

/// The first words of a statement, for a person.
pub(super) fn shown(text: &[u8]) -> String {
    const MOST: usize = 60;
    let text = String::from_utf8_lossy(text);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let plain: String = line.chars().filter(|c| !c.is_control()).collect();
    match plain.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &plain[..end]),
        None => plain,
    }
}

/// Whether a statement makes a table.
pub(super) fn makes_table(text: &[u8]) -> bool {
    let mut words = Words(text);
    words.next().is_some_and(|word| word == "CREATE") && words.take(2).any(|word| word == "TABLE")
}

/// Whether a statement brings a row.
pub(super) fn is_row(text: &[u8]) -> bool {
    Words(text).next().is_some_and(|word| word == "INSERT")
}

fn setting(mut words: Words<'_>) -> Meaning {
    let mut name = words.next().unwrap_or_default();
    if name == "SESSION" || name == "LOCAL" {
        name = words.next().unwrap_or_default();
    }
    let separator = words.next().unwrap_or_default();
    let value = words.next().unwrap_or_default();
    match (name.as_str(), separator.as_str()) {
        ("CLIENT_ENCODING", "=" | "TO") => Meaning::Encoding(unquoted(&value)),
        ("STANDARD_CONFORMING_STRINGS", _) if unquoted(&value).to_lowercase() != "on" => Refused,
        ("SEARCH_PATH" | "CHECK_FUNCTION_BODIES" | "XMLOPTION", _) => Needed,
        ("ROLE" | "AUTHORIZATION", _) => LeftOut(format!("SET {name}")),
        _ => Unneeded,
    }
}

fn call(words: Words<'_>, text: &[u8]) -> Meaning {
    let text = String::from_utf8_lossy(text);
    let path = "SELECT PG_CATALOG.SET_CONFIG('SEARCH_PATH', '";
    if text
        .get(..path.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(path))
    {
        return Needed;
    }
    let words = words.skip_while(|word| word == "*" || word == "FROM");
    let called: Vec<String> = words.take(4).collect();
    let called: Vec<&str> = called.iter().map(String::as_str).collect();
    match called.as_slice() {
        ["PG_CATALOG", ".", name, "("] if UNNEEDED_CALLS.contains(name) => Unneeded,
        _ => Refused,
    }
}

/// `COPY name (columns) FROM stdin`; anything else reads or writes a file or runs a program.
fn copy(words: Words<'_>) -> Meaning {
    let words: Vec<String> = words.collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["(", ..] => Refused,
        [names @ .., "FROM", "STDIN"]
            if !names
                .iter()
                .any(|word| ["FROM", "TO", "PROGRAM"].contains(word)) =>
        {
            Rows
        }
        _ => Refused,
    }
}

fn creation(words: Words<'_>) -> Meaning {
    const ADJECTIVES: [&str; 13] = [
        "OR",
        "REPLACE",
        "UNLOGGED",
        "TRUSTED",
        "PROCEDURAL",
        "DEFAULT",
        "UNIQUE",
        "CONSTRAINT",
        "MATERIALIZED",
        "RECURSIVE",
        "EVENT",
        "FOREIGN",
        "TEXT",
    ];
    let mut adjectives = Vec::new();
    let mut kind = String::new();
    for word in words {
        kind = word;
        if !ADJECTIVES.contains(&kind.as_str()) {
            break;
        }
        adjectives.push(kind.clone());
    }
    let is = |adjective: &str| adjectives.iter().any(|word| word == adjective);
    match kind.as_str() {
        "TABLE" if is("FOREIGN") => LeftOut("CREATE FOREIGN TABLE".into()),
        "TABLE" | "SEQUENCE" => Needed,
        "SCHEMA" | "TYPE" | "DOMAIN" | "FUNCTION" | "PROCEDURE" | "AGGREGATE" | "COLLATION"
        | "CAST" | "OPERATOR" | "EXTENSION" | "CONVERSION" | "TRANSFORM" | "LANGUAGE" => Attempted,
        "INDEX" | "STATISTICS" | "SEARCH" | "DATABASE" | "TABLESPACE" => Unneeded,
        "TRIGGER" if is("EVENT") => LeftOut("CREATE EVENT TRIGGER".into()),
        "VIEW" | "TRIGGER" | "RULE" | "POLICY" | "PUBLICATION" | "SUBSCRIPTION" | "SERVER"
        | "USER" | "ROLE" | "GROUP" | "ACCESS" | "DATA" => LeftOut(format!("CREATE {kind}")),
        _ => Refused,
    }
}

fn alteration(mut words: Words<'_>) -> Meaning {
    let kind = words.next().unwrap_or_default();
    if ["SYSTEM", "ROLE", "USER"].contains(&kind.as_str()) {
        return LeftOut(format!("ALTER {kind}"));
    }
    if kind != "TABLE" {
        return Unneeded;
    }
    let words: Vec<String> = words.collect();
    let has = |sequence: &[&str]| words.windows(sequence.len()).any(|found| found == sequence);
    let unneeded: [&[&str]; 17] = [
        &["OWNER", "TO"],
        &["ADD", "CONSTRAINT"],
        &["DROP", "CONSTRAINT"],
        &["VALIDATE", "CONSTRAINT"],
        &["CLUSTER", "ON"],
        &["SET", "WITHOUT"],
        &["SET", "DEFAULT"],
        &["DROP", "DEFAULT"],
        &["SET", "STATISTICS"],
        &["SET", "STORAGE"],
        &["SET", "COMPRESSION"],
        &["SET", "("],
        &["SET", "TABLESPACE"],
        &["REPLICA", "IDENTITY"],
        &["ROW", "LEVEL", "SECURITY"],
        &["ENABLE"],
        &["DISABLE"],
    ];
    if unneeded.iter().any(|sequence| has(sequence)) {
        Unneeded
    } else {
        Needed
    }
}

fn unquoted(word: &str) -> String {
    word.trim_matches('\'').to_owned()
}

/// The words of a statement, in upper case: names, numbers, texts and names in quotes as they stand,
/// and every other character alone. Without comments.
struct Words<'a>(&'a [u8]);

impl Iterator for Words<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.0 = self.0.trim_ascii_start();
        let first = *self.0.first()?;
        let is_word = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'$' || c >= 0x80;
        let length = match first {
            b'\'' | b'"' => {
                let end = self.0.iter().skip(1).position(|c| *c == first);
                end.map_or(self.0.len(), |end| end + 2)
            }
            first if is_word(first) => {
                let end = self.0.iter().position(|c| !is_word(*c));
                end.unwrap_or(self.0.len())
            }
            _ => 1,
        };
        let (word, rest) = self.0.split_at(length);
        self.0 = rest;
        let word = String::from_utf8_lossy(word);
        Some(if matches!(first, b'\'' | b'"') {
            word.into_owned()
        } else {
            word.to_ascii_uppercase()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fills_tables_is_run() {
        for (text, expected) in [
            ("CREATE TABLE public.t (id int)", Needed),
            ("create unlogged table t ()", Needed),
            ("CREATE SEQUENCE public.s", Needed),
            ("INSERT INTO public.t VALUES (1)", Needed),
            (
                "ALTER TABLE ONLY public.p ATTACH PARTITION public.q DEFAULT",
                Needed,
            ),
            (
                "ALTER TABLE public.t ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME public.s)",
                Needed,
            ),
            (
                "SELECT pg_catalog.set_config('search_path', '', false)",
                Needed,
            ),
            ("SET search_path = public, pg_catalog", Needed),
            (
                "SET client_encoding = 'LATIN1'",
                Meaning::Encoding("LATIN1".into()),
            ),
            ("COPY public.t (a, \"from\", b) FROM stdin", Rows),
            ("COPY \"odd name\".t FROM STDIN", Rows),
            (
                "CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public",
                Attempted,
            ),
            ("CREATE OR REPLACE FUNCTION f() RETURNS int", Attempted),
            ("CREATE TRUSTED PROCEDURAL LANGUAGE plpgsql", Attempted),
        ] {
            assert_eq!(meaning(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_tables_do_without_is_left_out() {
        for text in [
            "SET statement_timeout = 0",
            "SET transaction_timeout = 0",
            "SET default_tablespace = ssd",
            "SET default_table_access_method = columnar",
            "SET standard_conforming_strings = on",
            "SELECT pg_catalog.setval('public.s', 7, true)",
            "SELECT * FROM pg_catalog.pg_restore_relation_stats('version', '180000'::integer)",
            "SELECT pg_catalog.lo_create('1')",
            "DROP TABLE IF EXISTS public.t",
            "ALTER TABLE public.t OWNER TO django",
            "ALTER TABLE ONLY public.t ADD CONSTRAINT k PRIMARY KEY (id)",
            "ALTER TABLE IF EXISTS ONLY public.t DROP CONSTRAINT IF EXISTS k",
            "ALTER TABLE public.t DISABLE TRIGGER ALL",
            "ALTER TABLE public.t ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE ONLY public.t ALTER COLUMN id SET DEFAULT nextval('s'::regclass)",
            "CREATE UNIQUE INDEX i ON public.t USING btree (id)",
            "CREATE DATABASE d WITH TEMPLATE = template0",
            "UPDATE pg_catalog.pg_database SET datistemplate = false WHERE datname = 'template1'",
            "COMMENT ON TABLE public.t IS 'DO'",
            "GRANT ALL ON TABLE public.t TO django",
        ] {
            assert_eq!(meaning(text.as_bytes()), Unneeded, "{text}");
        }
        for text in [
            "CREATE TRIGGER t BEFORE INSERT ON t EXECUTE FUNCTION f()",
            "CREATE CONSTRAINT TRIGGER t AFTER INSERT ON t EXECUTE FUNCTION f()",
            "CREATE EVENT TRIGGER t ON ddl_command_end EXECUTE FUNCTION f()",
            "CREATE RULE r AS ON SELECT TO t DO INSTEAD SELECT 1",
            "CREATE MATERIALIZED VIEW v AS SELECT 1",
            "CREATE FOREIGN TABLE t () SERVER s",
            "CREATE ROLE django",
            "ALTER ROLE importer SUPERUSER",
            "ALTER SYSTEM SET archive_command = 'x'",
            "SET SESSION AUTHORIZATION 'postgres'",
            "SET ROLE postgres",
        ] {
            assert!(matches!(meaning(text.as_bytes()), LeftOut(_)), "{text}");
        }
    }

    #[test]
    fn what_pg_dump_never_writes_is_refused() {
        for text in [
            "hello",
            "DO $$ begin end $$",
            "SELECT pg_catalog.lo_import('/etc/passwd')",
            "SELECT pg_read_file('/etc/passwd')",
            "SELECT setval('s', 1)",
            "COPY t FROM PROGRAM 'touch x'",
            "COPY t FROM '/etc/passwd'",
            "COPY t TO PROGRAM 'sh'",
            "COPY t TO STDOUT",
            "COPY (SELECT 1) TO '/tmp/x'",
            "COPY t FROM STDIN WITH (FORMAT csv)",
            "CREATE TEMP TABLE t ()",
            "UPDATE t SET a = 1",
            "DELETE FROM t",
            "TRUNCATE t",
            "CALL f()",
            "LOAD 'x'",
            "WITH x AS (SELECT 1) INSERT INTO t SELECT 1",
            "SET standard_conforming_strings = off",
            "",
        ] {
            assert_eq!(meaning(text.as_bytes()), Refused, "{text}");
        }
    }
}
