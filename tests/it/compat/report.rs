//! The result of replaying one file, printed for a person: what failed and why, what was not run and why.

use std::fmt;

/// Problems of one case that are worth reading; the rest follows from them.
const PROBLEMS: usize = 12;

/// What became of each case of a file.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) area: String,
    pub(crate) passed: usize,
    /// Names and reasons.
    pub(crate) skipped: Vec<(String, String)>,
    /// Names and problems.
    pub(crate) failed: Vec<(String, Vec<String>)>,
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, why) in &self.skipped {
            writeln!(out, "SKIP {name} ({why})")?;
        }
        for (name, problems) in &self.failed {
            writeln!(out, "FAIL {name}")?;
            for problem in problems.iter().take(PROBLEMS) {
                writeln!(out, "     {problem}")?;
            }
        }
        let (passed, failed, skipped) = (self.passed, self.failed.len(), self.skipped.len());
        write!(
            out,
            "{}: {passed} passed, {failed} failed, {skipped} skipped",
            self.area
        )
    }
}
