//! How the counts look, the same over HTTP and sockets. Row types say themselves how rows do.

use serde::Serialize;
use utoipa::ToSchema;

use crate::db::counts::Counts;

/// One of the three sections of the Data Library.
#[derive(Serialize, ToSchema)]
pub struct Section {
    #[serde(rename = "section")]
    name: &'static str,
    t1: &'static str,
    t2: &'static str,
    t3: &'static str,
    d1: i64,
    d2: i64,
    d3: i64,
    s1: i64,
    s2: i64,
    s3: i64,
}

/// The days that the sections name beside their counts.
const DAYS: i64 = 30;

/// The Data Library: sections with three titles (`t`), periods in days (`d`) and counts (`s`).
pub fn library(counts: &Counts) -> [Section; 3] {
    let section = |name, [t1, t2, t3]: [&'static str; 3], [s1, s2, s3]: [i64; 3]| Section {
        name,
        t1,
        t2,
        t3,
        d1: DAYS,
        d2: DAYS,
        d3: DAYS,
        s1,
        s2,
        s3,
    };
    [
        section(
            "Data Library",
            ["Created", "Activated", "Deactivated"],
            [counts.created, counts.active, counts.inactive],
        ),
        section(
            "Data Delivery",
            ["Received", "Awaiting", "Delayed"],
            [counts.received, counts.awaiting, counts.delayed],
        ),
        section(
            "Data Update",
            ["Pending", "In Progress", "Completed"],
            [counts.pending, counts.in_progress, counts.completed],
        ),
    ]
}
