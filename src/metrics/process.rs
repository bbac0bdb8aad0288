//! What the operating system says of this process, under the names that every Prometheus client
//! uses. Read from `/proc` when somebody asks; where there is none, nothing is shown.

use std::{fs, sync::LazyLock};

use super::histogram::line;

/// A second has so many of the ticks in `/proc`: Linux fixes it for programs, whatever the kernel
/// uses itself (`USER_HZ` in the manual's `proc_pid_stat(5)`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Appends the lines.
pub(super) fn write(text: &mut String) {
    let stat = read("/proc/self/stat").and_then(|stat| Stat::parse(&stat));
    let status = read("/proc/self/status");
    let limits = read("/proc/self/limits");
    let kib = |field| first_number(status.as_deref()?, field).map(|kib| kib * 1024.0);
    for (name, kind, says, value) in [
        (
            "process_cpu_seconds_total",
            "counter",
            "User and system CPU time in seconds.",
            stat.as_ref().map(|stat| stat.cpu_seconds),
        ),
        (
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory size in bytes.",
            kib("VmRSS:"),
        ),
        (
            "process_virtual_memory_bytes",
            "gauge",
            "Virtual memory size in bytes.",
            kib("VmSize:"),
        ),
        (
            "process_open_fds",
            "gauge",
            "Open file descriptors: one per connection, and a few more.",
            open_descriptors(),
        ),
        (
            "process_max_fds",
            "gauge",
            "Maximum number of open file descriptors (ulimit -n).",
            limits
                .as_deref()
                .and_then(|limits| first_number(limits, "Max open files")),
        ),
        (
            "process_start_time_seconds",
            "gauge",
            "Start time of the process in seconds since 1970.",
            stat.as_ref()
                .and_then(|stat| Some(stat.started_seconds + (*BOOTED)?)),
        ),
    ] {
        if let Some(value) = value {
            line(text, format_args!("# HELP {name} {says}"));
            line(text, format_args!("# TYPE {name} {kind}"));
            line(text, format_args!("{name} {value}"));
        }
    }
}

/// When the machine was started, in seconds since 1970.
static BOOTED: LazyLock<Option<f64>> =
    LazyLock::new(|| first_number(&read("/proc/stat")?, "btime"));

/// Of `/proc/self/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    /// After the machine.
    started_seconds: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, which may hold any others.
        let (_, fields) = text.rsplit_once(") ")?;
        let field = |number: usize| -> Option<f64> {
            fields.split(' ').nth(number - 3)?.trim().parse().ok()
        };
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND,
            started_seconds: field(22)? / TICKS_PER_SECOND,
        })
    }
}

/// The first number in the line that begins with `field`.
fn first_number(text: &str, field: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(field))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn open_descriptors() -> Option<f64> {
    // One of them is this very look.
    let count = fs::read_dir("/proc/self/fd")
        .ok()?
        .count()
        .saturating_sub(1);
    u32::try_from(count).ok().map(f64::from)
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_is_read_over() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 9 0 12345 1 2";
        assert_eq!(
            Stat::parse(stat),
            Some(Stat {
                cpu_seconds: 3.0,
                started_seconds: 123.45
            })
        );
        assert_eq!(Stat::parse(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_seen() {
        let mut text = String::new();
        write(&mut text);
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("{name} in\n{text}"))
                .trim()
                .parse()
                .unwrap()
        };
        assert!(value("process_resident_memory_bytes ") > 1e6);
        assert!(value("process_open_fds ") >= 3.0);
        assert!(value("process_max_fds ") > value("process_open_fds "));
        let age = jiff::Timestamp::now().as_second() - 86_400;
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact")]
        let yesterday = age as f64;
        assert!(value("process_start_time_seconds ") > yesterday);
        value("process_cpu_seconds_total ");
    }
}
