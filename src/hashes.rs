//! Stored hashes of passwords: of which kind one is, and whether checking it may cost what it says. Computes
//! none.

/// The beginning of every hash that this program makes: the defaults of the `argon2` crate, which are
/// OWASP's: 19 MiB, 2 passes, 1 lane
/// (<https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>).
pub const OWN: &str = "$argon2id$v=19$m=19456,t=2,p=1$";
/// The beginning of a hash that was imported from Django
/// (<https://docs.djangoproject.com/en/stable/topics/auth/passwords/>).
pub const PBKDF2: &str = "pbkdf2_sha256$";
/// The beginning of every hash by Argon2, whatever its kind and cost.
pub const ARGON2: &str = "$argon2";

/// Rounds of PBKDF2. Django 6.0 makes 1,200,000.
const MAX_ROUNDS: u64 = 2_000_000;
/// The memory of Argon2, in KiB. Django takes 100 MiB.
const MAX_MEMORY: u64 = 128 * 1024;
/// That memory times the passes over it. Django makes 2.
const MAX_WORK: u64 = 2 * MAX_MEMORY;
/// Lanes of Argon2. Django takes 8.
const MAX_LANES: u64 = 16;

/// What a stored hash is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One that this program makes.
    Own,
    /// Argon2 of another kind or cost.
    Argon2,
    /// PBKDF2 with SHA-256, as Django writes it.
    Pbkdf2,
    /// One that would cost more than any may. Its user needs another password.
    TooCostly,
    /// Nothing that a password can be compared with.
    Unusable,
}

impl Kind {
    /// The kind of `stored`.
    pub fn of(stored: &str) -> Self {
        if stored.starts_with(OWN) {
            return Self::Own;
        }
        let kind = match stored.strip_prefix(PBKDF2) {
            Some(rest) => rounds(rest).map(|rounds| (Self::Pbkdf2, rounds <= MAX_ROUNDS)),
            None => costs(stored).map(|(memory, passes, lanes)| {
                let is_cheap = memory <= MAX_MEMORY
                    && memory.saturating_mul(passes) <= MAX_WORK
                    && lanes <= MAX_LANES;
                (Self::Argon2, is_cheap)
            }),
        };
        match kind {
            None => Self::Unusable,
            Some((_, false)) => Self::TooCostly,
            Some((kind, true)) => kind,
        }
    }

    /// Whether this program would make another hash of the password, once it is known.
    pub fn is_foreign(self) -> bool {
        matches!(self, Self::Argon2 | Self::Pbkdf2)
    }
}

fn rounds(rest: &str) -> Option<u64> {
    number(rest.split_once('$')?.0)
}

/// Memory, passes and lanes of `$argon2id$v=19$m=...,t=...,p=...$...`.
fn costs(stored: &str) -> Option<(u64, u64, u64)> {
    let (kind, rest) = stored.strip_prefix(ARGON2)?.split_once('$')?;
    if !["id", "i", "d"].contains(&kind) {
        return None;
    }
    let rest = ["v=19$", "v=16$"]
        .iter()
        .find_map(|version| rest.strip_prefix(version))
        .unwrap_or(rest);
    let mut costs = rest.split_once('$')?.0.split(',');
    let mut next = |name| number(costs.next()?.strip_prefix(name)?);
    Some((next("m=")?, next("t=")?, next("p=")?))
}

/// However long; what does not fit is too much.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_costs_too_much_is_not_computed() {
        for (stored, kind) in [
            ("$argon2id$v=19$m=19456,t=2,p=1$salt$hash", Kind::Own),
            ("$argon2id$v=19$m=102400,t=2,p=8$salt$hash", Kind::Argon2),
            ("$argon2id$v=19$m=65536,t=3,p=4$salt$hash", Kind::Argon2),
            ("$argon2id$v=19$m=131072,t=2,p=16$salt$hash", Kind::Argon2),
            ("$argon2id$m=512,t=2,p=2$salt$hash", Kind::Argon2),
            ("$argon2id$v=19$m=131073,t=1,p=1$salt$hash", Kind::TooCostly),
            ("$argon2id$v=19$m=131072,t=3,p=1$salt$hash", Kind::TooCostly),
            (
                "$argon2id$v=19$m=8,t=4294967295,p=1$salt$hash",
                Kind::TooCostly,
            ),
            ("$argon2id$v=19$m=1024,t=1,p=17$salt$hash", Kind::TooCostly),
            (
                "$argon2id$v=19$m=99999999999999999999,t=1,p=1$s$h",
                Kind::TooCostly,
            ),
            ("$argon2id$v=19$t=1,m=8,p=1$salt$hash", Kind::Unusable),
            ("$argon2id$v=19$m=-8,t=1,p=1$salt$hash", Kind::Unusable),
            ("$argon2i$v=19$m=512,t=2,p=2$salt$hash", Kind::Argon2),
            ("$argon2x$v=19$m=512,t=2,p=2$salt$hash", Kind::Unusable),
            ("pbkdf2_sha256$600000$salt$hash", Kind::Pbkdf2),
            ("pbkdf2_sha256$2000000$salt$hash", Kind::Pbkdf2),
            ("pbkdf2_sha256$2000001$salt$hash", Kind::TooCostly),
            (
                "pbkdf2_sha256$99999999999999999999$salt$hash",
                Kind::TooCostly,
            ),
            ("pbkdf2_sha256$many$salt$hash", Kind::Unusable),
            ("pbkdf2_sha256$+1$salt$hash", Kind::Unusable),
            ("pbkdf2_sha256$", Kind::Unusable),
            ("!unusable", Kind::Unusable),
            ("", Kind::Unusable),
        ] {
            assert_eq!(Kind::of(stored), kind, "{stored}");
        }
    }
}
