//! A connection string, taken apart as libpq does it: a URI, or `key=value` words
//! (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>). It does not know
//! what the options mean. Its errors repeat nothing of the string that could be part of a password.

use std::collections::BTreeMap;

/// The options of libpq up to PostgreSQL 18. An error may repeat one of these words.
const KEYWORDS: [&str; 58] = [
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "options",
    "passfile",
    "password",
    "port",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "scram_client_key",
    "scram_server_key",
    "service",
    "servicefile",
    "ssl",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslkeylogfile",
    "sslmode",
    "sslnegotiation",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
    "tty",
    "user",
    "authtype",
    "debug",
    "krb5_service",
];

/// What a connection string says, by option. Of an option that it names twice, the last value.
#[derive(Default)]
pub(super) struct Options(BTreeMap<&'static str, Vec<u8>>);

impl Options {
    /// # Errors
    /// Says what is wrong with the string.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        // A URI has no white space of its own; what a file or a shell leaves around it is not meant.
        let uri = text.trim_matches(is_blank);
        let rest = ["postgresql://", "postgres://"]
            .iter()
            .find_map(|prefix| uri.strip_prefix(prefix));
        match rest {
            Some(rest) => Self::of_uri(rest),
            None => Self::of_words(text),
        }
    }

    /// Takes an option out as bytes. An empty value is as good as none.
    pub(super) fn take_bytes(&mut self, key: &str) -> Option<Vec<u8>> {
        self.0.remove(key).filter(|value| !value.is_empty())
    }

    /// Takes an option out as text.
    ///
    /// # Errors
    /// When it is no UTF-8.
    pub(super) fn take(&mut self, key: &str) -> Result<Option<String>, String> {
        self.take_bytes(key)
            .map(String::from_utf8)
            .transpose()
            .map_err(|_| format!("{key} is not UTF-8"))
    }

    /// An option that was not taken out.
    pub(super) fn left(&self) -> Option<&'static str> {
        let mut left = self.0.iter().filter(|(_, value)| !value.is_empty());
        left.next().map(|(key, _)| *key)
    }

    fn of_uri(text: &str) -> Result<Self, String> {
        let mut options = Self::default();
        let mut rest = text;
        // An `@` behind the first slash belongs to the path.
        if let Some(end) = text
            .find(['@', '/'])
            .filter(|at| text[*at..].starts_with('@'))
        {
            let (user, password) = text[..end].split_once(':').unwrap_or((&text[..end], ""));
            if decoded(user)?.contains(&b':') {
                return Err("the user contains %3A; write user:password with a plain `:`".into());
            }
            options.store_decoded("user", user)?;
            options.store_decoded("password", password)?;
            rest = &text[end + 1..];
        }
        // What stands before another `@` may be a part of the password, and would be shown as a host,
        // a database or an option. From here on nothing is.
        if rest.contains('@') {
            return Err(if rest.len() < text.len() {
                "the URL contains more than one @; write an @ of the password as %40".into()
            } else {
                "the URL contains a / before the @; write a / of the password as %2F".into()
            });
        }
        let is_public = rest.len() < text.len() && !rest.contains("password=");
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (hosts, mut rest) = rest.split_at(end);
        let (hosts, ports) = hosts_and_ports(hosts)?;
        options.store_decoded("host", &hosts)?;
        options.store_decoded("port", &ports)?;
        if let Some(path) = rest.strip_prefix('/') {
            let end = path.find('?').unwrap_or(path.len());
            options.store_decoded("dbname", &path[..end])?;
            rest = &path[end..];
        }
        let query = rest.strip_prefix('?').unwrap_or_default();
        for (number, pair) in query.split_terminator('&').enumerate() {
            let number = number + 1;
            let Some((key, value)) = pair.split_once('=') else {
                return Err(format!("option {number} behind the `?` has no `=`"));
            };
            if value.contains('=') {
                return Err(format!(
                    "option {number} behind the `?` has a second `=`; write %3D for it"
                ));
            }
            let name = decoded(key)?;
            let (name, value) = if (name.as_slice(), value) == (b"ssl", "true") {
                (b"sslmode".to_vec(), b"require".to_vec())
            } else {
                (name, decoded(value)?)
            };
            options.store(&name, value).map_err(|why| match why {
                Refused::Unknown if is_public => {
                    format!("PostgreSQL knows no option {key:?}; correct it or leave it out")
                }
                why => why.describe(number),
            })?;
        }
        Ok(options)
    }

    fn of_words(text: &str) -> Result<Self, String> {
        let mut options = Self::default();
        let mut rest = text.trim_start_matches(is_blank);
        let mut number = 0;
        while !rest.is_empty() {
            number += 1;
            let end = rest.find(|c| c == '=' || is_blank(c)).unwrap_or(rest.len());
            let key = &rest[..end];
            let Some(value) = rest[end..].trim_start_matches(is_blank).strip_prefix('=') else {
                return Err(if number == 1 {
                    neither(text).into()
                } else {
                    format!(
                        "word {number} is followed by no `=`; put a value that contains spaces between \
                         single quotes"
                    )
                });
            };
            let (value, after) = value_of_word(value.trim_start_matches(is_blank))?;
            options
                .store(key.as_bytes(), value.into_bytes())
                .map_err(|why| {
                    if number == 1 && is_other_url(text) {
                        neither(text).into()
                    } else {
                        why.describe(number)
                    }
                })?;
            rest = after.trim_start_matches(is_blank);
        }
        Ok(options)
    }

    fn store_decoded(&mut self, key: &str, value: &str) -> Result<(), String> {
        if value.is_empty() {
            return Ok(());
        }
        let stored = self.store(key.as_bytes(), decoded(value)?);
        stored.map_err(|why| why.describe(1))
    }

    fn store(&mut self, key: &[u8], value: Vec<u8>) -> Result<(), Refused> {
        let known = KEYWORDS.iter().find(|known| known.as_bytes() == key);
        let Some(known) = known else {
            return Err(Refused::Unknown);
        };
        if value.contains(&0) {
            return Err(Refused::ZeroByte(known));
        }
        let (known, value) = match (*known, value.first()) {
            ("requiressl", Some(b'1')) => ("sslmode", b"require".to_vec()),
            ("requiressl", _) => ("sslmode", b"prefer".to_vec()),
            // The name that other clients have for it.
            ("keepalives_retries", _) => ("keepalives_count", value),
            (known, _) => (known, value),
        };
        self.0.insert(known, value);
        Ok(())
    }
}

/// Why an option is refused.
enum Refused {
    /// PostgreSQL has no option of this name.
    Unknown,
    /// The value of this option contains a zero byte.
    ZeroByte(&'static str),
}

impl Refused {
    /// A sentence that does not repeat the name: it may be the end of a password in which somebody
    /// forgot to encode a character.
    fn describe(self, number: usize) -> String {
        match self {
            Self::Unknown => {
                format!("PostgreSQL does not know option {number}; correct it or leave it out")
            }
            Self::ZeroByte(known) => format!("{known} contains a zero byte"),
        }
    }
}

/// Whether the text begins as a URL of something else, or as one between quotation marks.
fn is_other_url(text: &str) -> bool {
    let begins = text.find([' ', '=']).map_or(text, |end| &text[..end]);
    begins.contains("://")
}

/// A text that is a connection string of neither form.
fn neither(text: &str) -> &'static str {
    if text.trim_matches(is_blank).starts_with(['"', '\'']) {
        "it begins with a quotation mark; leave out the quotation marks around the connection string"
    } else {
        "it is neither a PostgreSQL URL (postgres://user:password@host/database) nor key=value pairs \
         (host=... user=...)"
    }
}

/// What C calls a space, in ASCII.
pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// The hosts of a URI and their ports, each as a list with commas.
fn hosts_and_ports(text: &str) -> Result<(String, String), String> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    let mut rest = text;
    loop {
        let (host, after) = if let Some(inside) = rest.strip_prefix('[') {
            let (host, after) = inside
                .split_once(']')
                .ok_or("an IPv6 address has no closing bracket")?;
            if host.is_empty() {
                return Err("an IPv6 address is empty".into());
            }
            if !after.is_empty() && !after.starts_with([':', ',']) {
                return Err("an unexpected character follows an IPv6 address".into());
            }
            (host, after)
        } else {
            rest.split_at(rest.find([':', ',']).unwrap_or(rest.len()))
        };
        let end = after.find(',').unwrap_or(after.len());
        hosts.push(host);
        ports.push(after[..end].strip_prefix(':').unwrap_or_default());
        match after[end..].strip_prefix(',') {
            Some(next) => rest = next,
            None => break,
        }
    }
    let ports = if ports.iter().all(|port| port.is_empty()) {
        String::new()
    } else {
        ports.join(",")
    };
    Ok((hosts.join(","), ports))
}

/// The value at the beginning of the text, and what follows it.
fn value_of_word(text: &str) -> Result<(String, &str), String> {
    let quoted = text.strip_prefix('\'');
    let text = quoted.unwrap_or(text);
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => value.extend(characters.next().map(|(_, c)| c)),
            '\'' if quoted.is_some() => return Ok((value, &text[at + 1..])),
            c if quoted.is_none() && is_blank(c) => return Ok((value, &text[at..])),
            c => value.push(c),
        }
    }
    if quoted.is_some() {
        return Err("a quoted value has no closing quote".into());
    }
    Ok((value, ""))
}

/// Replaces `%XX` by the byte; a `+` stays what it is.
fn decoded(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err("a `%` is not followed by two hexadecimal digits; write %25 for it".into());
        };
        bytes.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits are a byte"));
        rest = &after[2..];
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<(&'static str, String)>, String> {
        let options = Options::parse(text)?;
        let text = |(key, value): (&'static str, Vec<u8>)| (key, String::from_utf8(value).unwrap());
        Ok(options.0.into_iter().map(text).collect())
    }

    #[test]
    fn words_are_parted_as_libpq_parts_them() {
        for (text, expected) in [
            ("", vec![]),
            (" host = a\tport=1\n", vec![("host", "a"), ("port", "1")]),
            (
                "password='a  b' host=h",
                vec![("host", "h"), ("password", "a  b")],
            ),
            (r"password=a\ b\\\'c", vec![("password", r"a b\'c")]),
            (
                r"password='it\'s \\ ' user=u",
                vec![("password", r"it's \ "), ("user", "u")],
            ),
            (
                "password='sslmode=disable x=y'",
                vec![("password", "sslmode=disable x=y")],
            ),
            ("password='a'host=b", vec![("host", "b"), ("password", "a")]),
            ("host=a host=b", vec![("host", "b")]),
            ("host= password=x", vec![("host", "password=x")]),
            ("user='' host=", vec![("host", ""), ("user", "")]),
            (
                "password=postgres://x host=b",
                vec![("host", "b"), ("password", "postgres://x")],
            ),
            ("requiressl=1", vec![("sslmode", "require")]),
        ] {
            let found = parsed(text).unwrap();
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(k, v)| (k, v.to_owned()))
                .collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn uris_are_parted_as_libpq_parts_them() {
        for (text, expected) in [
            ("postgres://", vec![]),
            ("postgresql:///d", vec![("dbname", "d")]),
            (
                "\n postgres://h/d\r\n",
                vec![("dbname", "d"), ("host", "h")],
            ),
            (
                "postgres://u:a%20%20b%40%00c@h"
                    .replace("%00", "%01")
                    .leak(),
                vec![("host", "h"), ("password", "a  b@\u{1}c"), ("user", "u")],
            ),
            (
                "postgres://u:sslmode=x?y&z@h:1/d",
                vec![
                    ("dbname", "d"),
                    ("host", "h"),
                    ("password", "sslmode=x?y&z"),
                    ("port", "1"),
                    ("user", "u"),
                ],
            ),
            (
                "postgres://[::1]:5,b,c:7/d?sslmode=allow&",
                vec![
                    ("dbname", "d"),
                    ("host", "::1,b,c"),
                    ("port", "5,,7"),
                    ("sslmode", "allow"),
                ],
            ),
            (
                "postgres://%2Frun%2Fpg/d?host=%2Ftmp&password=a+b",
                vec![("dbname", "d"), ("host", "/tmp"), ("password", "a+b")],
            ),
            (
                "postgres://h?ssl=true",
                vec![("host", "h"), ("sslmode", "require")],
            ),
            ("postgres://h/a%40b", vec![("dbname", "a@b"), ("host", "h")]),
        ] {
            let found = parsed(text).unwrap();
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(k, v)| (k, v.to_owned()))
                .collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_libpq_refuses_is_refused_and_not_repeated() {
        for text in [
            "host",
            "password=a geheim host=b",
            "password='geheim",
            "password=a geheim=b",
            "postgres://u:p/w?geheim=x@h/d",
            "postgres://u:p/w?geheim@h/d",
            "postgres://u:%geheim@h/d",
            "postgres://u:geheim%00@h/d",
            "postgres://u:geheim@[::1/d",
            "postgres://u:geheim@[]/d",
            "postgres://u:geheim@[::1]x/d",
            "postgres://u:geheim@h/d?sslmode=a=b",
            "postgres://u:geheim@h/d?&sslmode=a",
        ] {
            let error = parsed(text).unwrap_err();
            assert!(!error.contains("geheim"), "{text}: {error}");
        }
    }
}
