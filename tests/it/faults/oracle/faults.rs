//! The faults: each strikes, proves that it did, ends, and says when it had ended.

use std::{collections::BTreeSet, fs, time::Duration};

use rand::{Rng, RngExt};
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use super::{stored::persistently, world::World};
use crate::support::{
    proxy::{Counts, Mode, Proxy},
    server::eventually,
};
use marketplace::embedded::StopMode;

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The backend that listens is terminated.
    ListenerTerminated,
    /// The backends of the pool are terminated.
    PoolTerminated,
    /// PostgreSQL crashes and recovers.
    PostgresCrashed,
    /// All of PostgreSQL stands still.
    PostgresStopped,
    /// The server's backends stand still.
    BackendsStopped,
    /// The server stands still.
    ServerStopped,
    /// The server is killed and started again.
    ServerKilled,
    /// Connections to the database are reset.
    DatabaseReset,
    /// Nothing passes to and from the database, and then everything does.
    DatabaseWithheld,
    /// Nothing passes to and from the database, and then the connections are reset.
    DatabaseForgotten,
    /// Connections to the database carry nothing any more, and neither end is told.
    DatabaseHalfOpen,
    /// Everything to and from the database is late.
    DatabaseDelayed,
    /// Everything to and from the database comes in tiny pieces.
    DatabaseSliced,
    /// Clients' connections are reset.
    ClientsReset,
    /// Nothing passes to and from clients, and then everything does.
    ClientsWithheld,
    /// Nothing passes to and from clients, and then the connections are reset.
    ClientsForgotten,
    /// Everything to and from clients is late.
    ClientsDelayed,
    /// Everything to and from clients comes in tiny pieces.
    ClientsSliced,
}

use Fault::{
    BackendsStopped, ClientsDelayed, ClientsForgotten, ClientsReset, ClientsSliced,
    ClientsWithheld, DatabaseDelayed, DatabaseForgotten, DatabaseHalfOpen, DatabaseReset,
    DatabaseSliced, DatabaseWithheld, ListenerTerminated, PoolTerminated, PostgresCrashed,
    PostgresStopped, ServerKilled, ServerStopped,
};

impl Fault {
    /// All of them.
    pub const ALL: [Self; 18] = [
        ListenerTerminated,
        PoolTerminated,
        PostgresCrashed,
        PostgresStopped,
        BackendsStopped,
        ServerStopped,
        ServerKilled,
        DatabaseReset,
        DatabaseWithheld,
        DatabaseForgotten,
        DatabaseHalfOpen,
        DatabaseDelayed,
        DatabaseSliced,
        ClientsReset,
        ClientsWithheld,
        ClientsForgotten,
        ClientsDelayed,
        ClientsSliced,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            ListenerTerminated => "the listener's backend terminated",
            PoolTerminated => "the pool's backends terminated",
            PostgresCrashed => "PostgreSQL restarted, `-m immediate`",
            PostgresStopped => "PostgreSQL stopped by SIGSTOP",
            BackendsStopped => "the server's backends stopped by SIGSTOP",
            ServerStopped => "the server stopped by SIGSTOP",
            ServerKilled => "the server killed and started again",
            DatabaseReset => "database connections reset",
            DatabaseWithheld => "database connections black-holed, then released",
            DatabaseForgotten => "database connections black-holed, then reset",
            DatabaseHalfOpen => "database connections half-open for ever",
            DatabaseDelayed => "database traffic delayed",
            DatabaseSliced => "database traffic in tiny pieces",
            ClientsReset => "client connections reset",
            ClientsWithheld => "client connections black-holed, then released",
            ClientsForgotten => "client connections black-holed, then reset",
            ClientsDelayed => "client traffic delayed",
            ClientsSliced => "client traffic in tiny pieces",
        }
    }

    /// How soon after its end everybody must be shown what is stored. A connection that is silent
    /// for ever has no end: there the time begins with the silence, and it has to be found first.
    pub fn limit(self) -> Duration {
        Duration::from_secs(if self == DatabaseHalfOpen { 10 } else { 5 })
    }
}

/// A fault that is going to happen.
#[derive(Clone, Copy, Debug)]
pub struct Strike {
    pub fault: Fault,
    after: Duration,
    lasts: Duration,
    target: Target,
}

/// Which connections to the database are meant.
#[derive(Clone, Copy, Debug)]
enum Target {
    Listener,
    Pool,
    Both,
}

impl Strike {
    /// When, for how long and on what is decided by `rng`.
    pub fn random(fault: Fault, rng: &mut impl Rng) -> Self {
        let lasts = match rng.random_range(0..12) {
            0 => rng.random_range(1500..4000),
            _ => rng.random_range(100..700),
        };
        Self {
            fault,
            after: Duration::from_millis(rng.random_range(20..250)),
            lasts: Duration::from_millis(lasts),
            target: [Target::Listener, Target::Pool, Target::Both][rng.random_range(0..3)],
        }
    }

    /// Strikes and ends; gives the moment of its end. Panics when it did not happen.
    pub async fn happen(self, world: &World) -> Instant {
        sleep(self.after).await;
        match self.fault {
            ListenerTerminated => terminate(world, "marketplace listener").await,
            PoolTerminated => terminate(world, "marketplace").await,
            PostgresCrashed => crash(world).await,
            PostgresStopped => self.stop_postgres(world, "true").await,
            BackendsStopped => {
                let ours = match self.target {
                    Target::Listener => "application_name = 'marketplace listener'",
                    Target::Pool => "application_name = 'marketplace'",
                    Target::Both => "application_name like 'marketplace%'",
                };
                self.stop_postgres(world, ours).await;
            }
            ServerStopped => {
                let server = world.server.lock().await;
                let server = server.child.id().expect("the server runs");
                self.stop(&[server]).await;
            }
            ServerKilled => world.replace_server().await,
            DatabaseReset | DatabaseWithheld | DatabaseForgotten | DatabaseHalfOpen
            | DatabaseDelayed | DatabaseSliced => return self.harm_database(world).await,
            ClientsReset | ClientsWithheld | ClientsForgotten | ClientsDelayed | ClientsSliced => {
                return self.harm(&[&*world.client_side.lock().await]).await;
            }
        }
        Instant::now()
    }

    async fn harm_database(self, world: &World) -> Instant {
        let side = world.database_side.lock().await;
        match self.target {
            Target::Listener => self.harm(&[&side.listener]).await,
            Target::Pool => self.harm(&[&side.pool]).await,
            Target::Both => self.harm(&[&side.listener, &side.pool]).await,
        }
    }

    /// Lets proxies misbehave until that was felt.
    async fn harm(self, proxies: &[&Proxy]) -> Instant {
        let before: Vec<Counts> = proxies.iter().map(|proxy| proxy.counts()).collect();
        let (mode, count): (_, fn(Counts) -> u64) = match self.fault {
            DatabaseReset | ClientsReset => (None, |counts| counts.reset),
            DatabaseHalfOpen => (None, |counts| counts.withheld),
            DatabaseDelayed | ClientsDelayed => {
                (Some(Mode::Delay(self.lasts / 8)), |counts| counts.delayed)
            }
            DatabaseSliced | ClientsSliced => (Some(Mode::Slice), |counts| counts.sliced),
            _ => (Some(Mode::Withhold), |counts| counts.withheld),
        };
        let mut begun = Instant::now();
        for (proxy, before) in proxies.iter().zip(&before) {
            if let Some(mode) = mode {
                proxy.set(mode);
                continue;
            }
            // Again, until there was somebody to be harmed.
            eventually("there is a connection, and it was harmed", async || {
                if self.fault == DatabaseHalfOpen {
                    proxy.silence();
                } else {
                    proxy.reset();
                }
                begun = Instant::now();
                sleep(Duration::from_millis(20)).await;
                count(proxy.counts()) > count(*before)
            })
            .await;
        }
        if mode.is_some() {
            sleep(self.lasts).await;
        }
        // While one is in the way of the server's start, nothing may come to the other.
        eventually("a proxy has misbehaved", async || {
            let mut pairs = proxies.iter().zip(&before);
            pairs.any(|(proxy, before)| count(proxy.counts()) > count(*before))
        })
        .await;
        for proxy in proxies {
            proxy.set(Mode::Pass);
            if matches!(self.fault, DatabaseForgotten | ClientsForgotten) {
                proxy.reset();
            }
        }
        if self.fault == DatabaseHalfOpen {
            begun
        } else {
            Instant::now()
        }
    }

    /// Stops the processes of PostgreSQL that `which` selects.
    async fn stop_postgres(self, world: &World, which: &str) {
        let cluster = world.postgres.lock().await;
        let sql =
            format!("select pid from pg_stat_activity where pid <> pg_backend_pid() and {which}");
        let mut processes = BTreeSet::new();
        eventually("there are processes to be stopped", async || {
            let rows =
                persistently(&world.way.database, async |dba| dba.query(&sql, &[]).await).await;
            processes = rows
                .iter()
                .filter_map(|row| u32::try_from(row.get::<_, i32>(0)).ok())
                .collect();
            !processes.is_empty()
        })
        .await;
        if self.fault == PostgresStopped {
            processes.insert(postmaster(cluster.data_dir()));
        }
        let processes: Vec<u32> = processes.into_iter().collect();
        self.stop(&processes).await;
    }

    /// Lets processes stand still for a time.
    async fn stop(self, processes: &[u32]) {
        signal("-STOP", processes).await;
        eventually("they stand still", async || {
            // Some may have ended of themselves in between.
            let states: Vec<char> = processes.iter().filter_map(|pid| state(*pid)).collect();
            !states.is_empty() && states.iter().all(|state| "TZ".contains(*state))
        })
        .await;
        sleep(self.lasts).await;
        signal("-CONT", processes).await;
    }
}

async fn terminate(world: &World, name: &str) {
    let _postgres = world.postgres.lock().await;
    // Selected first: where a statement has two conditions, it is PostgreSQL that orders them.
    let terminate = "with chosen as materialized (
            select pid from pg_stat_activity where application_name = $1)
        select pid from chosen where pg_terminate_backend(pid)";
    let mut ended: Vec<i32> = Vec::new();
    eventually("there is a backend to be terminated", async || {
        let rows = persistently(&world.way.database, async |dba| {
            dba.query(terminate, &[&name]).await
        });
        ended = rows.await.iter().map(|row| row.get(0)).collect();
        !ended.is_empty()
    })
    .await;
    eventually("the backends are gone", async || {
        let sql = "select 1 from pg_stat_activity where pid = any($1)";
        let left = persistently(&world.way.database, async |dba| {
            dba.query(sql, &[&ended]).await
        });
        left.await.is_empty()
    })
    .await;
}

async fn crash(world: &World) {
    let mut cluster = world.postgres.lock().await;
    let before = postmaster(cluster.data_dir());
    cluster
        .restart(StopMode::Immediate)
        .await
        .expect("PostgreSQL starts again");
    assert_ne!(
        postmaster(cluster.data_dir()),
        before,
        "it is another process"
    );
}

/// The process that accepts connections for PostgreSQL.
fn postmaster(data_dir: &std::path::Path) -> u32 {
    let text = fs::read_to_string(data_dir.join("cluster/postmaster.pid")).expect("it runs");
    let pid = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok());
    pid.expect("the first line is the process")
}

/// The kernel's letter for what a process does: `T` when it is stopped. `None` when it is gone.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

async fn signal(name: &str, processes: &[u32]) {
    let processes = processes.iter().map(ToString::to_string);
    // It complains of those that have ended, which is no matter.
    let kill = Command::new("kill")
        .arg(name)
        .args(processes)
        .stderr(std::process::Stdio::null())
        .status();
    kill.await.expect("kill can be started");
}
