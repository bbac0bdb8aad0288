//! The rows of the table, a file each. A row makes what it needs and leaves nothing behind.

mod abuse;
mod bulk;
mod commits;
mod deflate;
mod delta;
mod emr;
mod fanout;
mod idle;
mod latency;
mod stalled;
mod storm;

use crate::{Options, Result, cluster::Throwaway, report::Line};

/// In the order in which they are measured.
pub(crate) const NAMES: [&str; 11] = [
    "latency", "fanout", "idle", "stalled", "delta", "storm", "bulk", "commits", "deflate", "emr",
    "abuse",
];

/// Measures the row of that name.
pub(crate) async fn measure(
    name: &str,
    options: Options,
    cluster: &Throwaway,
) -> Result<Vec<Line>> {
    match name {
        "latency" => latency::measure(options, cluster).await,
        "fanout" => fanout::measure(options).await,
        "idle" => idle::measure(options, cluster).await,
        "stalled" => stalled::measure(options).await,
        "delta" => delta::measure(options, cluster).await,
        "storm" => storm::measure(options, cluster).await,
        "bulk" => bulk::measure(options, cluster).await,
        "commits" => commits::measure(options, cluster).await,
        "deflate" => deflate::measure(options).await,
        "emr" => emr::measure(options, cluster).await,
        "abuse" => abuse::measure(options, cluster).await,
        _ => Err(format!("there is no row {name}").into()),
    }
}
