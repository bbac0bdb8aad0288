//! Which names people may be told apart by: two that differ in case, in width, in the form of their
//! letters or in letters that look alike are one. Knows no table and no form.

use unicode_normalization::UnicodeNormalization;
use unicode_security::confusable_detection::skeleton;

use sha2::{Digest, Sha256};

/// What two names have in common that may not both be given. Either part is enough: `PAYPAI` is
/// `paypai` in other letters, and looks like `paypal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The name's letters without case, by their look.
    pub letters: String,
    /// The name's look as it is written, without case.
    pub look: String,
}

/// A longer key is kept as its digest: an index holds no more.
const MAX_KEY_BYTES: usize = 600;

impl Keys {
    /// The keys of `name` (NFKC, full case folding, and the skeleton of Unicode's report 39).
    pub fn of(name: &str) -> Self {
        let name: String = name.nfkc().collect();
        Self {
            letters: short(look(&fold(&name))),
            look: short(fold(&look(&name))),
        }
    }
}

/// Whether a character can be in a name without being seen. Some count as letters.
pub fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{17b4}' | '\u{17b5}'
    )
}

/// Without case: all letters to capitals and back, which makes one of `ß` and `ss`, and of both sigmas.
fn fold(text: &str) -> String {
    let upper = text.chars().flat_map(char::to_uppercase);
    let folded = upper.flat_map(char::to_lowercase);
    folded.nfkc().collect()
}

fn look(text: &str) -> String {
    skeleton(text).nfkc().collect()
}

fn short(key: String) -> String {
    if key.len() <= MAX_KEY_BYTES {
        return key;
    }
    let digest = Sha256::digest(key.as_bytes());
    digest.iter().fold("sha256:".to_owned(), |text, byte| {
        format!("{text}{byte:02x}")
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn are_one(a: &str, b: &str) -> bool {
        let (a, b) = (Keys::of(a), Keys::of(b));
        a.letters == b.letters || a.look == b.look
    }

    #[test]
    fn names_that_look_alike_are_one() {
        for (a, b) in [
            ("ann", "Ann"),
            ("ann", "ANN"),
            ("ann", "\u{ff41}\u{ff4e}\u{ff4e}"),
            ("ann", "\u{430}nn"),
            ("Ann", "\u{410}nn"),
            ("ann", "\u{251}nn"),
            ("ann", "\u{1d41a}\u{1d427}\u{1d427}"),
            ("ann", "\u{24d0}\u{24dd}\u{24dd}"),
            ("stra\u{df}e", "STRASSE"),
            ("stra\u{1e9e}e", "strasse"),
            ("\u{fb01}n", "fin"),
            ("\u{212a}im", "kim"),
            ("\u{17f}am", "sam"),
            ("d\u{131}ana", "diana"),
            (
                "\u{3a3}\u{3af}\u{3c3}\u{3c5}\u{3c6}\u{3bf}\u{3c2}",
                "\u{3a3}\u{38a}\u{3a3}\u{3a5}\u{3a6}\u{39f}\u{3a3}",
            ),
            ("jose\u{301}", "jos\u{e9}"),
            ("paypal", "paypaI"),
            ("admin1", "adminl"),
            ("ADMIN1", "adminl"),
            ("bob", "b\u{3bf}b"),
            ("user\u{660}", "user."),
            ("\u{4d5}on", "\u{e6}on"),
            ("scope", "\u{455}\u{441}\u{43e}\u{440}\u{435}"),
        ] {
            assert!(are_one(a, b) && are_one(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("ann", "anna"),
            ("ann", "ann2"),
            ("ali", "all"),
            ("jos\u{e9}", "jose"),
            ("a.b", "ab"),
            ("a_b", "a-b"),
            ("user10", "user11"),
            ("\u{430}\u{43d}\u{43d}\u{430}", "anna"),
        ] {
            assert!(!are_one(a, b), "{a} {b}");
        }
    }

    #[test]
    fn keys_fit_into_an_index() {
        let name = "\u{fdfa}".repeat(150);
        let keys = Keys::of(&name);
        assert!(keys.letters.len() <= MAX_KEY_BYTES && keys.look.len() <= MAX_KEY_BYTES);
        assert_ne!(keys, Keys::of(&name[3..]));
    }

    proptest! {
        #[test]
        fn case_and_form_never_make_another_name(name in "\\PC{1,20}") {
            let capitals: String = name.chars().flat_map(char::to_uppercase).collect();
            prop_assert!(are_one(&name, &capitals));
            let composed: String = name.nfc().collect();
            let decomposed: String = name.nfd().collect();
            let compatible: String = name.nfkd().collect();
            for other in [composed, decomposed, compatible] {
                prop_assert!(are_one(&name, &other), "{} {}", name, other);
            }
        }
    }
}
