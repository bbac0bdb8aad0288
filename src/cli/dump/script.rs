//! A dump in SQL, taken apart as psql would: statements, the rows behind a COPY, and the commands that
//! are psql's own. It runs nothing and does not know what a statement means, except whether rows follow
//! it.

use std::io::{self, BufRead, Read};

use bytes::Bytes;

use super::statement;

/// Longest statement, and longest row of a COPY.
const MAX_BYTES: usize = 256 << 20;
/// How many rows are handed on at a time, in bytes.
const CHUNK: usize = 64 << 10;

/// One part of a dump.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A statement without its semicolon, and the line that it begins in.
    Statement(usize, Vec<u8>),
    /// Some of the rows of the COPY before.
    Rows(Bytes),
    /// The end of those rows.
    EndOfRows,
    /// A command of psql, without its backslash, and its line.
    Command(usize, String),
}

/// Reads the parts of a script one after another.
pub(super) struct Script<R> {
    input: R,
    line: Vec<u8>,
    number: usize,
    /// Whether the rows of a COPY come next.
    in_rows: bool,
    statement: Statement,
    /// Where in the line reading goes on.
    at: usize,
    ending: Ending,
}

/// What a script says of its own end.
#[derive(Default)]
struct Ending {
    of_cluster: bool,
    is_complete: bool,
}

/// What of a statement was read so far.
#[derive(Default)]
struct Statement {
    text: Vec<u8>,
    line: usize,
    state: State,
    parentheses: usize,
    /// The words at its beginning, as far as they decide where it ends.
    words: Vec<String>,
    /// How deep in `begin atomic`.
    blocks: usize,
}

/// What surrounds the next character.
#[derive(Clone, Default, PartialEq, Eq)]
enum State {
    #[default]
    Plain,
    /// A text; whether a backslash escapes.
    Text(bool),
    Name,
    /// A text between two of these.
    Dollar(Vec<u8>),
    /// A comment, and how deep.
    Comment(usize),
}

impl<R: BufRead> Script<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            line: Vec::new(),
            number: 0,
            in_rows: false,
            statement: Statement::default(),
            at: 0,
            ending: Ending::default(),
        }
    }

    /// Whether `pg_dump` has written its last line.
    pub(super) fn is_complete(&self) -> bool {
        self.ending.is_complete
    }

    /// The next part; `None` at the end.
    ///
    /// # Errors
    /// Says what is wrong with the script, and where.
    pub(super) fn next(&mut self) -> io::Result<Option<Part>> {
        if self.in_rows {
            return self.rows().map(Some);
        }
        loop {
            if self.at >= self.line.len() && !self.read_line()? {
                return self.rest();
            }
            if self.at == 0 && self.is_between_statements() {
                let line = self.line.trim_ascii();
                if let Some(command) = line.strip_prefix(b"\\") {
                    let command = String::from_utf8_lossy(command).into_owned();
                    self.at = self.line.len();
                    return Ok(Some(Part::Command(self.number, command)));
                }
                self.ending.notice(line);
            }
            while self.at < self.line.len() {
                if self.step()? {
                    let done = std::mem::take(&mut self.statement);
                    let text = done.text.trim_ascii().to_vec();
                    if text.is_empty() {
                        continue;
                    }
                    if statement::takes_rows(&text) {
                        self.in_rows = true;
                        if !self.line[self.at..].trim_ascii().is_empty() {
                            return Err(self.wrong("something follows a COPY on its line"));
                        }
                        self.at = self.line.len();
                    }
                    return Ok(Some(Part::Statement(done.line, text)));
                }
            }
        }
    }

    fn is_between_statements(&self) -> bool {
        self.statement.state == State::Plain && self.statement.text.trim_ascii().is_empty()
    }

    /// What is left at the end of the file.
    fn rest(&mut self) -> io::Result<Option<Part>> {
        let rest = std::mem::take(&mut self.statement);
        if rest.state != State::Plain {
            return Err(self.wrong("the file ends within a text or a comment; it is cut short"));
        }
        let text = rest.text.trim_ascii();
        Ok((!text.is_empty()).then(|| Part::Statement(rest.line, text.to_vec())))
    }

    /// Reads the next line with its end.
    fn read_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        self.at = 0;
        self.number += 1;
        let mut limited = self.input.by_ref().take(MAX_BYTES as u64 + 1);
        limited.read_until(b'\n', &mut self.line)?;
        if self.line.len() > MAX_BYTES || self.statement.text.len() > MAX_BYTES {
            return Err(self.wrong("is too long"));
        }
        if self.number == 1 && self.line.starts_with(b"\xef\xbb\xbf") {
            self.line.drain(..3);
        }
        if !self.in_rows && self.line.contains(&0) {
            return Err(self.wrong("holds a zero byte"));
        }
        Ok(!self.line.is_empty())
    }

    fn rows(&mut self) -> io::Result<Part> {
        let mut rows = Vec::new();
        while rows.len() < CHUNK {
            if self.at == 0 && !self.line.is_empty() {
                // The end of the rows that was read with the last of them.
                self.at = self.line.len();
                self.in_rows = false;
                return Ok(Part::EndOfRows);
            }
            if !self.read_line()? {
                return Err(self.wrong("the file ends within the rows of a table; it is cut short"));
            }
            if matches!(self.line.as_slice(), b"\\.\n" | b"\\.\r\n" | b"\\.") {
                if rows.is_empty() {
                    self.at = self.line.len();
                    self.in_rows = false;
                    return Ok(Part::EndOfRows);
                }
                break;
            }
            rows.extend_from_slice(&self.line);
            self.at = self.line.len();
        }
        Ok(Part::Rows(rows.into()))
    }

    /// Takes the next character, or what belongs together; says whether that ends the statement.
    fn step(&mut self) -> io::Result<bool> {
        let rest = &self.line[self.at..];
        let statement = &mut self.statement;
        let length = match statement.state.clone() {
            State::Plain => match statement.plain(rest, self.number) {
                Step::Kept(length) => length,
                Step::Passed(length) => {
                    self.at += length;
                    return Ok(false);
                }
                Step::End => {
                    self.at += 1;
                    return Ok(true);
                }
                Step::Backslash => {
                    let why =
                        "a backslash is a command for psql, which pg_dump does not write there";
                    return Err(self.wrong(why));
                }
            },
            State::Text(escapes) => match rest {
                [b'\\', _, ..] if escapes => 2,
                [b'\'', b'\'', ..] => 2,
                [b'\'', ..] => {
                    statement.state = State::Plain;
                    1
                }
                _ => 1,
            },
            State::Name => {
                if rest[0] == b'"' {
                    statement.state = State::Plain;
                }
                1
            }
            State::Dollar(tag) => {
                if rest.starts_with(&tag) {
                    statement.state = State::Plain;
                    tag.len()
                } else {
                    1
                }
            }
            State::Comment(depth) => {
                let (depth, length) = match rest {
                    [b'/', b'*', ..] => (depth + 1, 2),
                    [b'*', b'/', ..] => (depth - 1, 2),
                    _ => (depth, 1),
                };
                statement.state = match depth {
                    0 => {
                        statement.text.push(b' ');
                        State::Plain
                    }
                    depth => State::Comment(depth),
                };
                self.at += length;
                return Ok(false);
            }
        };
        statement.text.extend_from_slice(&rest[..length]);
        self.at += length;
        Ok(false)
    }

    fn wrong(&self, why: &str) -> io::Error {
        io::Error::other(format!("line {}: {why}", self.number))
    }
}

/// What comes next outside of texts, names and comments.
enum Step {
    /// So many characters of the statement.
    Kept(usize),
    /// So many that are none of it.
    Passed(usize),
    /// Its end.
    End,
    /// A command for psql.
    Backslash,
}

impl Statement {
    fn plain(&mut self, rest: &[u8], line: usize) -> Step {
        if self.text.trim_ascii().is_empty() {
            self.line = line;
        }
        Step::Kept(match rest {
            [b'-', b'-', ..] => {
                self.text.push(b'\n');
                return Step::Passed(rest.len());
            }
            [b'/', b'*', ..] => {
                self.state = State::Comment(1);
                return Step::Passed(2);
            }
            [b'\\', ..] => return Step::Backslash,
            [b';', ..] if self.parentheses == 0 && self.blocks == 0 => return Step::End,
            [b'\'', ..] => {
                self.state = State::Text(self.text_escapes());
                1
            }
            [b'"', ..] => {
                self.state = State::Name;
                1
            }
            [b'$', ..] if !self.is_in_word() => match dollar(rest) {
                Some(tag) => {
                    self.state = State::Dollar(tag.to_vec());
                    tag.len()
                }
                None => 1,
            },
            [b'(', ..] => {
                self.parentheses += 1;
                1
            }
            [b')', ..] => {
                self.parentheses = self.parentheses.saturating_sub(1);
                1
            }
            [first, ..] if is_word(*first) && !self.is_in_word() => {
                let end = rest.iter().position(|c| !is_word(*c)).unwrap_or(rest.len());
                let word = String::from_utf8_lossy(&rest[..end]).to_ascii_uppercase();
                self.word(&word);
                end
            }
            _ => 1,
        })
    }

    fn is_in_word(&self) -> bool {
        self.text.last().is_some_and(|c| is_word(*c))
    }

    /// Whether a text that begins here is one of `E'...'`.
    fn text_escapes(&self) -> bool {
        match self.text.as_slice() {
            [.., before, b'e' | b'E'] => !is_word(*before),
            [b'e' | b'E'] => true,
            _ => false,
        }
    }

    /// Counts the blocks of a function whose body is no text.
    fn word(&mut self, word: &str) {
        let is_routine = match self.words.as_slice() {
            [create, or, replace, kind] => {
                create == "CREATE"
                    && (is_kind(or) || (or == "OR" && replace == "REPLACE" && is_kind(kind)))
            }
            words => {
                let is_routine = words.len() > 1 && words[0] == "CREATE" && is_kind(&words[1]);
                if words.len() < 4 {
                    self.words.push(word.to_owned());
                }
                is_routine
            }
        };
        if !is_routine || self.parentheses > 0 {
            return;
        }
        match word {
            "BEGIN" => self.blocks += 1,
            "CASE" if self.blocks > 0 => self.blocks += 1,
            "END" => self.blocks = self.blocks.saturating_sub(1),
            _ => {}
        }
    }
}

fn is_kind(word: &str) -> bool {
    word == "FUNCTION" || word == "PROCEDURE"
}

fn is_word(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'_' || c == b'$' || c >= 0x80
}

/// The `$tag$` at the beginning.
fn dollar(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().skip(1).position(|c| *c == b'$')? + 1;
    let tag = &text[1..end];
    let is_tag = tag.iter().all(|c| is_word(*c) && *c != b'$')
        && !tag.first().is_some_and(u8::is_ascii_digit);
    is_tag.then_some(&text[..=end])
}

impl Ending {
    fn notice(&mut self, line: &[u8]) {
        match line {
            b"-- PostgreSQL database cluster dump" => self.of_cluster = true,
            b"-- PostgreSQL database cluster dump complete" => self.is_complete = true,
            b"-- PostgreSQL database dump complete" if !self.of_cluster => self.is_complete = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &[u8]) -> Result<Vec<Part>, String> {
        let mut script = Script::new(text);
        let mut parts = Vec::new();
        while let Some(part) = script.next().map_err(|error| error.to_string())? {
            parts.push(part);
        }
        Ok(parts)
    }

    fn statements(script: &str) -> Vec<String> {
        let text = |part: Part| match part {
            Part::Statement(_, text) => String::from_utf8(text).unwrap(),
            other => panic!("{other:?}"),
        };
        parts(script.as_bytes())
            .unwrap()
            .into_iter()
            .map(text)
            .collect()
    }

    #[test]
    fn statements_end_where_psql_lets_them_end() {
        for (script, expected) in [
            ("", vec![]),
            ("a;b", vec!["a", "b"]),
            ("-- x;\na /* ; /* ; */ */ b;\n", vec!["a   b"]),
            ("a 'x;''y;' b; c", vec!["a 'x;''y;' b", "c"]),
            ("a 'x\\'; b", vec!["a 'x\\'", "b"]),
            ("a E'x\\';' b; c", vec!["a E'x\\';' b", "c"]),
            ("a \"x;\"\"y;\"; c", vec!["a \"x;\"\"y;\"", "c"]),
            ("a $$x;$x$;$$; c", vec!["a $$x;$x$;$$", "c"]),
            ("a $x$;$$;$x$; c", vec!["a $x$;$$;$x$", "c"]),
            ("a$b$;c$b$;", vec!["a$b$", "c$b$"]),
            ("select $1; b", vec!["select $1", "b"]),
            ("a (b; c); d", vec!["a (b; c)", "d"]),
            ("a\n'x\n;\n';\nb;", vec!["a\n'x\n;\n'", "b"]),
            (
                "create function f() begin atomic select 1; select case when a then b end; end; c;",
                vec![
                    "create function f() begin atomic select 1; select case when a then b end; end",
                    "c",
                ],
            ),
            (
                "create or replace procedure f() begin atomic a; end; c;",
                vec!["create or replace procedure f() begin atomic a; end", "c"],
            ),
            (
                "create table begin (a int); c;",
                vec!["create table begin (a int)", "c"],
            ),
            ("\u{feff}a;", vec!["a"]),
        ] {
            assert_eq!(statements(script), expected, "{script}");
        }
    }

    #[test]
    fn rows_follow_a_copy_and_commands_stand_alone() {
        let script = b"\\restrict aB1\nCOPY t (a) FROM stdin;\n;'\n\\N\n\\.\nCOPY t (a) FROM stdin;\r\n\\.\r\nx;\n\\unrestrict aB1\n";
        let expected = vec![
            Part::Command(1, "restrict aB1".into()),
            Part::Statement(2, b"COPY t (a) FROM stdin".to_vec()),
            Part::Rows(Bytes::from_static(b";'\n\\N\n")),
            Part::EndOfRows,
            Part::Statement(6, b"COPY t (a) FROM stdin".to_vec()),
            Part::EndOfRows,
            Part::Statement(8, b"x".to_vec()),
            Part::Command(9, "unrestrict aB1".into()),
        ];
        assert_eq!(parts(script).unwrap(), expected);
    }

    #[test]
    fn what_psql_alone_would_do_is_refused() {
        for (script, expected) in [
            ("a \\! touch x\n;", "line 1"),
            ("a;\nselect 1 \\g |sh\n", "line 2"),
            ("a; \\! x", "line 1"),
            ("COPY t FROM stdin; \\! x\n\\.\n", "follows a COPY"),
            ("COPY t FROM stdin;\n1\n", "cut short"),
            ("a 'x", "cut short"),
            ("a /* x", "cut short"),
            ("a \0 x;", "zero byte"),
        ] {
            let error = parts(script.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{script}: {error}");
        }
    }

    #[test]
    fn the_last_line_of_a_dump_is_looked_for() {
        const END: &str = "-- PostgreSQL database dump complete";
        const CLUSTER: &str = "-- PostgreSQL database cluster dump";
        for (script, expected) in [
            (format!("--\n{END}\n--\n"), true),
            (format!("a;\r\n{END}\r\n\\unrestrict x\r\n"), true),
            (format!("a '\n{END}\n';"), false),
            (format!("COPY t FROM stdin;\n{END}\n\\.\n"), false),
            (format!("{CLUSTER}\n{END}\n"), false),
            (format!("{CLUSTER}\n{END}\n{CLUSTER} complete\n"), true),
            ("a;".into(), false),
        ] {
            let mut script_reader = Script::new(script.as_bytes());
            while script_reader.next().unwrap().is_some() {}
            assert_eq!(script_reader.is_complete(), expected, "{script}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parts(&bytes);
        }
    }
}
