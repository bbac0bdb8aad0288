//! Which passwords a new one may not be: too short, the user's own name, or one that many people have. It
//! judges text; passwords that are stored already are not its business.

use std::{collections::HashSet, sync::LazyLock};

use unicode_normalization::UnicodeNormalization;

/// In characters.
const MIN: usize = 8;

/// The most common passwords of at least that length, in small letters; `LICENSE` beside it says where they
/// come from.
static COMMON: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("common_passwords/list.txt").lines().collect());

/// What is wrong with `password` as a new one of somebody with these names.
pub(super) fn refusals(password: &str, names: &[&str]) -> Vec<String> {
    let mut messages = Vec::new();
    if password.chars().count() < MIN {
        messages.push(format!("Use at least {MIN} characters."));
    }
    let plain = fold(password);
    if names
        .iter()
        .any(|name| !name.is_empty() && plain == fold(name))
    {
        messages.push("Do not use your name as your password.".into());
    }
    if COMMON.contains(plain.trim()) {
        messages.push("Many people use this password. Choose another one.".into());
    }
    messages
}

/// The names of a user: the one to sign in with, the e-mail address, and the part of it before the `@`.
pub(super) fn names_of<'a>(username: &'a str, email: &'a str) -> [&'a str; 3] {
    [username, email, email.split('@').next().unwrap_or_default()]
}

fn fold(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_common_and_own_names_are_refused() {
        let names = names_of("Z\u{f6}e-Miller", "jane.doe7@example.com");
        for (password, said) in [
            ("", "at least 8"),
            ("1", "at least 8"),
            ("Ab1!xyz", "at least 8"),
            ("\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}", "at least 8"),
            ("password", "Many people"),
            ("PASSWORD", "Many people"),
            ("Passw0rd", "Many people"),
            ("12345678", "Many people"),
            ("aaaaaaaa", "Many people"),
            ("qwertyuiop", "Many people"),
            (" password ", "Many people"),
            ("\u{ff50}assword", "Many people"),
            ("z\u{f6}e-miller", "your name"),
            ("ZO\u{308}E-MILLER", "your name"),
            ("Jane.Doe7", "your name"),
            ("jane.doe7@EXAMPLE.com", "your name"),
        ] {
            let messages = refusals(password, &names);
            assert!(
                messages.len() == 1 && messages[0].contains(said),
                "{password}: {messages:?}"
            );
        }
        for good in [
            "Correct-horse-7",
            "S3cret-pass!",
            "correct horse battery staple",
            "\u{e9}\u{e8}\u{e0}\u{f9}\u{f4}\u{ee}\u{ef}\u{fc}",
            "zoe-miller",
        ] {
            assert!(refusals(good, &names).is_empty(), "{good}");
        }
        assert!(refusals("Correct-horse-7", &["", ""]).is_empty());
    }

    #[test]
    fn every_line_of_the_list_can_be_found() {
        assert!(COMMON.len() > 10_000, "{}", COMMON.len());
        for common in COMMON.iter() {
            assert_eq!(fold(common), *common);
            assert!(
                common.chars().count() >= MIN && common.trim() == *common,
                "{common}"
            );
        }
    }
}
