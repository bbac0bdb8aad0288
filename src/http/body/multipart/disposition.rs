//! What the head of a part, and the content type of a form, say: parameters (RFC 2045, 6266, 7578, 8187),
//! as programs really write them. A name of a file is given as it was sent; it may be any text.

use super::parts::Part;
use crate::{http::body::malformed, reply::Problem};

/// Lines of a head at most; programs send two or three.
const MAX_LINES: usize = 32;

/// The boundary in the content type of a form.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let found = parameters(content_type.as_bytes()).find(|(name, _)| name == "boundary");
    found.map(|(_, value)| text(value))
}

/// What a head says of its part.
///
/// # Errors
/// 400 when something else follows the boundary in its line, or when there are too many lines.
pub(super) fn part(head: &[u8]) -> Result<Part, Problem> {
    if memchr::memchr_iter(b'\n', head).count() > MAX_LINES {
        return Err(malformed(
            "Multipart form parse error - a part has too many headers".into(),
        ));
    }
    let mut lines = unfolded(head);
    let boundary = lines.next().unwrap_or_default();
    if !boundary.trim_ascii().is_empty() {
        return Err(malformed(
            "Multipart form parse error - text follows a boundary".into(),
        ));
    }
    let disposition = lines.find_map(|line| {
        let (name, value) = split(&line, b':')?;
        let name = name.trim_ascii();
        name.eq_ignore_ascii_case(b"content-disposition")
            .then(|| value.to_vec())
    });
    let (mut field, mut plain, mut extended) = (None, None, None);
    for (name, value) in parameters(disposition.as_deref().unwrap_or_default()) {
        match &*name {
            "name" if field.is_none() => field = Some(text(value)),
            "filename" if plain.is_none() => plain = Some(unescaped(&text(value))),
            "filename*" if extended.is_none() => extended = Some(decoded(&value)),
            _ => {}
        }
    }
    let file_name = match (extended, plain) {
        (Some(Some(name)), plain) if !name.is_empty() || plain.is_none() => Some(name),
        (_, Some(name)) => Some(name),
        // It is a file, whatever it is called.
        (Some(_), None) => Some("file".into()),
        (None, None) => None,
    };
    Ok(Part {
        name: field,
        file_name,
    })
}

/// The lines of a head; one that begins with a blank continues the one before.
fn unfolded(head: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for line in head.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match lines.last_mut() {
            Some(last) if line.starts_with(b" ") || line.starts_with(b"\t") => last.extend(line),
            _ => lines.push(line.to_vec()),
        }
    }
    lines.into_iter()
}

fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = bytes.iter().position(|byte| *byte == at)?;
    Some((&bytes[..position], &bytes[position + 1..]))
}

/// The parameters that follow the first word of a value, with their names in small letters.
fn parameters(value: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    let mut rest = split(value, b';').map_or(&b""[..], |(_, rest)| rest);
    std::iter::from_fn(move || {
        while let Some(start) = rest.iter().position(|byte| !b" \t;".contains(byte)) {
            rest = &rest[start..];
            let end = rest.iter().position(|byte| b"=;".contains(byte));
            let end = end.unwrap_or(rest.len());
            let name = String::from_utf8_lossy(rest[..end].trim_ascii()).to_ascii_lowercase();
            rest = &rest[end..];
            if let Some(after) = rest.strip_prefix(b"=") {
                let value;
                (value, rest) = parameter_value(after.trim_ascii_start());
                return Some((name, value));
            }
        }
        None
    })
}

/// A value, and what follows it.
fn parameter_value(bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some(quoted) = bytes.strip_prefix(b"\"") else {
        let end = bytes.iter().position(|byte| *byte == b';');
        let (value, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        return (value.trim_ascii().to_vec(), rest);
    };
    let mut value = Vec::new();
    let mut at = 0;
    // Where the value ends if the last backslash was no more than that: browsers send names that end in one.
    let mut otherwise = None;
    while let Some(byte) = quoted.get(at) {
        match (byte, quoted.get(at + 1)) {
            (b'"', _) => return (value, &quoted[at + 1..]),
            // Before other signs a backslash is one: old browsers send whole paths.
            (b'\\', Some(next @ (b'"' | b'\\'))) => {
                if *next == b'"' {
                    otherwise = Some((value.len(), at + 2));
                }
                value.push(*next);
                at += 2;
            }
            _ => {
                value.push(*byte);
                at += 1;
            }
        }
    }
    let Some((length, end)) = otherwise else {
        return (value, b"");
    };
    value.truncate(length);
    value.push(b'\\');
    (value, &quoted[end..])
}

/// UTF-8, or else what old programs send.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| windows_1252(error.as_bytes()))
}

/// The signs that browsers write in another way (WHATWG HTML, "multipart/form-data encoding algorithm").
fn unescaped(name: &str) -> String {
    const SIGNS: [(&str, &str); 5] = [
        ("%22", "\""),
        ("%0D", "\r"),
        ("%0d", "\r"),
        ("%0A", "\n"),
        ("%0a", "\n"),
    ];
    SIGNS.iter().fold(name.to_owned(), |name, (written, sign)| {
        name.replace(written, sign)
    })
}

/// An extended value (RFC 8187): a charset, a language, and a text with percent signs.
fn decoded(value: &[u8]) -> Option<String> {
    let (charset, value) = match split(value, b'\'') {
        Some((charset, rest)) => (charset, split(rest, b'\'')?.1),
        // Some programs leave out both.
        None => (&b"utf-8"[..], value),
    };
    let mut bytes = Vec::new();
    let mut rest = value;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let digits = str::from_utf8(rest.get(..2)?).ok()?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(*first);
        }
    }
    match &*charset.to_ascii_lowercase() {
        b"utf-8" | b"utf8" => String::from_utf8(bytes).ok(),
        b"iso-8859-1" | b"latin1" | b"windows-1252" | b"us-ascii" => Some(windows_1252(&bytes)),
        _ => None,
    }
}

/// Latin-1 as everybody means it: with the signs that Windows has where Latin-1 has none
/// (<https://encoding.spec.whatwg.org/#windows-1252>).
fn windows_1252(bytes: &[u8]) -> String {
    const SIGNS: &str = "\u{20ac}\u{81}\u{201a}\u{192}\u{201e}\u{2026}\u{2020}\u{2021}\
        \u{2c6}\u{2030}\u{160}\u{2039}\u{152}\u{8d}\u{17d}\u{8f}\
        \u{90}\u{2018}\u{2019}\u{201c}\u{201d}\u{2022}\u{2013}\u{2014}\
        \u{2dc}\u{2122}\u{161}\u{203a}\u{153}\u{9d}\u{17e}\u{178}";
    let sign = |byte: &u8| match byte {
        0x80..0xa0 => SIGNS.chars().nth(usize::from(byte - 0x80)),
        byte => Some(char::from(*byte)),
    };
    bytes.iter().filter_map(sign).collect()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;

    fn named(disposition: &[u8]) -> (Option<String>, Option<String>) {
        let before = b"\r\nContent-Type: text/csv\r\nCONTENT-disposition: ";
        let part = part(&[before, disposition].concat()).expect("it is a head");
        (part.name, part.file_name)
    }

    #[test]
    fn names_are_read_as_programs_write_them() {
        for (sent, file_name) in [
            // Browsers: UTF-8, and percent signs for some signs.
            (
                "name=a; filename=\"donn\u{e9}es 2024.csv\"".as_bytes(),
                "donn\u{e9}es 2024.csv",
            ),
            (b"name=a; filename=\"say %22yes%22.csv\"", "say \"yes\".csv"),
            (b"name=a; filename=\"two%0D%0Alines\"", "two\r\nlines"),
            (b"name=a; filename=\"100%.csv\"", "100%.csv"),
            (b"name=a; filename=\"%41.csv\"", "%41.csv"),
            // Other programs: quoted pairs, no quotes, capitals, blanks, lines that go on.
            (
                b"name=a; filename=\"say \\\"yes\\\".csv\"",
                "say \"yes\".csv",
            ),
            (b"name=a; filename=plain.csv ", "plain.csv"),
            (b"name=a; filename=pla in.csv", "pla in.csv"),
            (b"name = \"a\" ; FileName = plain.csv", "plain.csv"),
            (b"filename=\"a; name=x.csv\";name=\"a\"", "a; name=x.csv"),
            (b"name=a;\r\n\tfilename=\"folded.csv\"", "folded.csv"),
            // Whole paths, and a backslash at the end.
            (b"name=a; filename=\"C:\\data\\up.csv\"", "C:\\data\\up.csv"),
            (b"name=a; filename=\"up\\\"", "up\\"),
            // Latin-1, and what Windows makes of it.
            (b"name=a; filename=\"\xe9t\xe9.csv\"", "\u{e9}t\u{e9}.csv"),
            (b"name=a; filename=\"5 \x80.csv\"", "5 \u{20ac}.csv"),
            // Extended values go first, if they can be read.
            (
                b"name=a; filename*=UTF-8''%e2%82%ac%20rates.csv",
                "\u{20ac} rates.csv",
            ),
            (
                b"name=a; filename=\"EUR\"; filename*=utf-8'en'%e2%82%ac",
                "\u{20ac}",
            ),
            (
                b"name=a; filename*=utf-8''%e2%82%ac; filename=\"EUR\"",
                "\u{20ac}",
            ),
            (b"name=a; filename*=ISO-8859-1''%e9t%E9", "\u{e9}t\u{e9}"),
            (b"name=a; filename*=\"UTF-8''%c3%a9.csv\"", "\u{e9}.csv"),
            (b"name=a; filename*=%c3%a9.csv", "\u{e9}.csv"),
            (b"name=a; filename=EUR; filename*=UTF-8''%e2%82", "EUR"),
            (b"name=a; filename=EUR; filename*=UTF-8''%zz", "EUR"),
            (b"name=a; filename=EUR; filename*=UTF-8''%+f", "EUR"),
            (b"name=a; filename=EUR; filename*=EBCDIC''a", "EUR"),
            (b"name=a; filename=EUR; filename*=UTF-8''", "EUR"),
            (b"name=a; filename*=UTF-8''%zz", "file"),
            // No file was chosen.
            (b"name=a; filename=\"\"", ""),
            (b"name=a; filename=", ""),
            (
                b"name=a; filename=\"ctrl\x01\x7f\t.csv\"",
                "ctrl\u{1}\u{7f}\t.csv",
            ),
        ] {
            let expected = (Some("a".into()), Some(file_name.into()));
            let sent = [b"form-data; ", sent].concat();
            assert_eq!(named(&sent), expected, "{}", String::from_utf8_lossy(&sent));
        }
    }

    #[test]
    fn a_part_without_the_name_of_a_file_is_a_text() {
        for (sent, name) in [
            (&b"form-data; name=\"a\""[..], Some("a")),
            (b"form-data; name=\"a; filename=b\"", Some("a; filename=b")),
            (b"form-data; name=\"b\xe9\"", Some("b\u{e9}")),
            (b"form-data; xfilename=b", None),
            (b"form-data; filename", None),
            (b"form-data", None),
            (b"", None),
        ] {
            assert_eq!(named(sent), (name.map(Into::into), None));
        }
        assert!(part(b"garbage\r\nA: b").is_err());
        assert!(part(b"  \t\r\nA: b").is_ok());
        assert!(part(&b"\r\nA: b".repeat(MAX_LINES)).is_ok());
        assert!(part(&b"\r\nA: b".repeat(MAX_LINES + 1)).is_err());
    }

    proptest! {
        #[test]
        fn any_head_is_survived_and_a_name_comes_through(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            name in "\\PC{1,20}",
        ) {
            let _ = part(&[b"\r\nContent-Disposition: form-data; filename", &bytes[..]].concat());
            let mut encoded = String::new();
            for byte in name.bytes() {
                write!(encoded, "%{byte:02X}").unwrap();
            }
            let extended = format!("form-data; filename*=UTF-8''{encoded}");
            prop_assert_eq!(named(extended.as_bytes()).1, Some(name));
        }
    }
}
