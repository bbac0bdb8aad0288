//! JSON as clients write it. Half of a surrogate pair, which JavaScript can put into a text and
//! Rust cannot, is kept as a mark so that the field it stands in can be named.

use serde_json::Value;

/// Reads one JSON value. Nesting deeper than 127 is refused.
///
/// # Errors
/// Says where it stops being JSON.
pub fn parse(text: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(text)
        .or_else(|error| match mark_lone_surrogates(text) {
            Some(marked) => serde_json::from_slice(&marked),
            None => Err(error),
        })
        .map_err(|error| error.to_string())
}

/// Marks around the code of a lone surrogate: code points that are no characters, and so in no text
/// that means anything.
const OPEN: char = '\u{fdd0}';
const CLOSE: char = '\u{fdd1}';

/// The code of the first lone surrogate that [`parse`] marked in `text`, as four digits.
pub fn lone_surrogate(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(OPEN)?;
    let (code, _) = rest.split_once(CLOSE)?;
    (code.len() == 4).then_some(code)
}

/// The text with each lone surrogate escape replaced by a mark; `None` when there is none.
fn mark_lone_surrogates(text: &[u8]) -> Option<Vec<u8>> {
    let mut marked = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut found = false;
    while let Some(start) = memchr::memchr(b'\\', rest) {
        marked.extend(&rest[..start]);
        rest = &rest[start..];
        let taken = match (escape(rest), escape(rest.get(6..).unwrap_or_default())) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(code @ 0xd800..=0xdfff), _) => {
                found = true;
                marked.extend(format!("{OPEN}{code:04X}{CLOSE}").bytes());
                rest = &rest[6..];
                continue;
            }
            // Any other escape is two bytes, so that the second of two backslashes starts none.
            _ => 2.min(rest.len()),
        };
        marked.extend(&rest[..taken]);
        rest = &rest[taken..];
    }
    marked.extend(rest);
    found.then_some(marked)
}

/// The code unit of a `\uXXXX` at the start of `text`.
fn escape(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lone_surrogates_are_marked_and_pairs_kept() {
        for (text, code) in [
            (r#""a\ud800b""#, Some("D800")),
            (r#""\udfff""#, Some("DFFF")),
            (r#""\ud83d\ude00 \ud83d""#, Some("D83D")),
            (r#""\ud83d\ude00""#, None),
            (r#""\\ud800""#, None),
            (r#""\\\ud800""#, Some("D800")),
            (r#""\ud801 \\ud800""#, Some("D801")),
        ] {
            let value = parse(text.as_bytes()).unwrap();
            assert_eq!(lone_surrogate(value.as_str().unwrap()), code, "{text}");
        }
        assert_eq!(
            parse(br#"{"a":"\ud83d\ude00"}"#).unwrap(),
            json!({"a": "\u{1f600}"})
        );
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let deep = [b"[".repeat(2000), b"]".repeat(2000)].concat();
        for text in [
            &b""[..],
            b"{",
            b"{\"a\":NaN}",
            b"\xef\xbb\xbf{}",
            b"\"\xe9\"",
            b"{\0}\0",
            b"\"\\u\"",
            b"\"\\ud8",
            &deep,
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
