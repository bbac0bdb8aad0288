//! How many files this process may have open: every client is one, and so is its server's end.

use std::{fs, os::unix::process::CommandExt, process::Command};

use crate::Result;

/// Sees to it that `needed` files can be open at once, here and in the children. When only the soft
/// limit is lower, this program is replaced by itself with a higher one.
///
/// # Errors
/// When the hard limit is lower too; says what to do.
pub(crate) fn raise(needed: u64) -> Result<()> {
    let (soft, hard) = open_files()?;
    if soft >= needed {
        return Ok(());
    }
    if hard < needed {
        let advice = "raise nofile in /etc/security/limits.conf and log in again, or use --quick";
        return Err(format!(
            "{needed} open files are needed, but ulimit -n is {soft} and may not exceed {hard}: {advice}"
        )
        .into());
    }
    // A process cannot raise its own limit without unsafe code; a shell can, for what replaces it.
    let error = Command::new("sh")
        .args(["-c", &format!("ulimit -n {needed} && exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .exec();
    Err(format!("sh: {error}").into())
}

/// The soft and the hard limit.
fn open_files() -> Result<(u64, u64)> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let mut numbers = line
        .ok_or("/proc/self/limits: no open files")?
        .split_whitespace();
    let mut next = || -> Result<u64> {
        Ok(match numbers.next() {
            Some("unlimited") => u64::MAX,
            Some(number) => number.parse()?,
            None => return Err("/proc/self/limits: a number is missing".into()),
        })
    };
    Ok((next()?, next()?))
}
