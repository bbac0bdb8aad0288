//! A streaming standby of a cluster, made by `pg_basebackup -R` as a DBA would.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use marketplace::embedded::{Cluster, Options};

use super::{Home, PrivateCluster, options};

/// A new standby that follows `primary`.
pub async fn standby_of(primary: &PrivateCluster) -> PrivateCluster {
    follow(Home::with_cluster().await, primary, None).await
}

/// What was left of a stopped cluster, wiped and made to follow `primary` on the port it had.
pub async fn rejoin(home: Home, port: u16, primary: &PrivateCluster) -> PrivateCluster {
    follow(home, primary, Some(port)).await
}

/// Starts a stopped cluster again as what it was.
pub async fn start(home: Home, port: u16) -> PrivateCluster {
    let options = Options {
        port: Some(port),
        ..options(&home.dir, &[])
    };
    let cluster = Cluster::start(options).await.expect("PostgreSQL starts");
    PrivateCluster { cluster, home }
}

async fn follow(home: Home, primary: &PrivateCluster, port: Option<u16>) -> PrivateCluster {
    let directory = home.dir.join("cluster");
    fs::remove_dir_all(&directory).expect("the cluster can be removed");
    let mut backup = Command::new(programs_of(primary.data_dir()).join("pg_basebackup"));
    backup
        .args(["-R", "-X", "stream", "-c", "fast", "-d"])
        .arg(primary.url());
    backup.arg("-D").arg(&directory);
    run(backup);
    // It is the server's user's, as all that is beside it.
    let mut chown = Command::new("chown");
    let reference = format!("--reference={}", home.dir.display());
    chown.args(["-R", &reference]).arg(&directory);
    run(chown);
    let options = Options {
        port,
        ..options(&home.dir, &[])
    };
    let cluster = Cluster::start(options).await.expect("the standby starts");
    PrivateCluster { cluster, home }
}

/// Where the programs are that a running server belongs to.
fn programs_of(data_dir: &Path) -> PathBuf {
    let pid = fs::read_to_string(data_dir.join("cluster/postmaster.pid")).expect("it runs");
    let pid = pid.lines().next().expect("the first line is its number");
    let program = fs::read_link(format!("/proc/{pid}/exe")).expect("it runs");
    program
        .parent()
        .expect("a program is in a directory")
        .to_owned()
}

fn run(mut command: Command) {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {output:?}");
}
