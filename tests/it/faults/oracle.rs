//! The promise under faults: whatever is written by whom and whatever breaks meanwhile, soon after
//! the last fault has ended every client shows what a fresh SELECT says, and versions never went
//! backwards.
//!
//! A seed decides what is written, which faults strike, when and for how long. How these meet is up
//! to the machine, so a seed that failed once may have to be run some times. `make soak SEEDS=1000`
//! runs more of them, `make soak SEED=7` one.

mod faults;
mod followers;
mod report;
mod stored;
mod world;
mod writers;

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use rand::{Rng, RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::{
    faults::{Fault, Strike},
    followers::{Follower, Kind},
    report::{Recovery, Report},
    stored::Stored,
    world::World,
};
use crate::support::server::eventually;

/// How many seeds `make test` runs: enough for every fault.
const SEEDS: u64 = 9;
/// Faults strike so often in each.
const ROUNDS: u64 = 2;
/// Seeds at once, each on a PostgreSQL and a server of its own.
const WORKERS: u64 = 3;
/// Who writes at once.
const WRITERS: usize = 3;
/// A seed that takes longer hangs.
const SEED_LIMIT: Duration = Duration::from_mins(2);

#[test]
fn whatever_breaks_every_client_ends_with_what_the_table_says() {
    let seeds: Vec<u64> = match (number("SEED"), number("SEEDS")) {
        (Some(seed), times) => (0..times.unwrap_or(1)).map(|_| seed).collect(),
        (None, seeds) => (1..=seeds.unwrap_or(SEEDS)).rev().collect(),
    };
    let workers = number("WORKERS").unwrap_or(WORKERS).min(seeds.len() as u64);
    let seeds = Mutex::new(seeds);
    let report = Mutex::new(Report::new());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = runtime.enable_all().build().expect("a runtime starts");
                runtime.block_on(work(&seeds, &report));
            });
        }
    });
    let report = report.into_inner().unwrap();
    println!("{report}");
    assert!(
        report.failed.is_empty(),
        "seeds failed: {:?}",
        report.failed
    );
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is a number")),
    )
}

/// Takes seeds until there are none; after one that failed the world is a new one.
async fn work(seeds: &Mutex<Vec<u64>>, report: &Mutex<Report>) {
    let mut world = None;
    loop {
        let Some(seed) = seeds.lock().unwrap().pop() else {
            return;
        };
        let here = match world.take() {
            Some(world) => world,
            None => World::new().await,
        };
        let running = AssertUnwindSafe(timeout(SEED_LIMIT, run(&here, seed))).catch_unwind();
        let outcome = match running.await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err("it hangs".to_owned()),
            Err(_) => Err("it panicked, see above".to_owned()),
        };
        let mut report = report.lock().unwrap();
        match outcome {
            Ok(recoveries) => {
                report.passed(recoveries);
                world = Some(here);
            }
            Err(why) => {
                let log = here.log();
                eprintln!("seed {seed} failed: {why}\nthe server's log ends with\n{log}");
                report.failed.push(seed);
            }
        }
    }
}

/// One seed: the same beginning for all, then rounds of writes and faults, each with a verdict.
async fn run(world: &World, seed: u64) -> Result<Vec<Recovery>, String> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let beginning = writers::beginning(&mut rng);
    let begin = async |dba: &tokio_postgres::Client| dba.batch_execute(&beginning).await;
    stored::persistently(&world.way.database, begin).await;
    let kinds = [
        Kind::List,
        Kind::List,
        Kind::Deltas,
        Kind::Deltas,
        Kind::Library,
        Kind::Filter(Uuid::from_u128(1)),
        Kind::Filter(Uuid::from_u128(2)),
        Kind::Changes,
        Kind::Toggles,
    ];
    let followers = kinds.map(|kind| Follower::start(kind, world.way.clone()));
    let mut recoveries = Vec::new();
    for round in 0..ROUNDS {
        let strikes = strikes(seed * ROUNDS + round, &mut rng);
        let ended = disturb(world, &strikes, &mut rng).await;
        let limit = strikes.iter().map(|strike| strike.fault.limit()).max();
        let limit = limit.expect("a round has a fault");
        let fresh = agreement(world, &followers, ended, limit).await;
        let fresh = fresh.map_err(|why| format!("{strikes:?}: {why}"))?;
        recoveries.push(Recovery {
            faults: strikes.iter().map(|strike| strike.fault).collect(),
            fresh,
        });
        world.tidy().await;
    }
    Ok(recoveries)
}

/// Each fault has its turn; another may strike at the same time.
fn strikes(turn: u64, rng: &mut impl Rng) -> Vec<Strike> {
    let all = Fault::ALL;
    let index = usize::try_from(turn % all.len() as u64).expect("it is small");
    let mut strikes = vec![Strike::random(all[index], rng)];
    if rng.random_ratio(1, 3) {
        strikes.push(Strike::random(all[rng.random_range(0..all.len())], rng));
    }
    strikes
}

/// Writes while the faults strike, and on until something was written; gives the moment when both
/// had ended. A silence for ever counts as ended when it begins, see [`Fault::limit`].
async fn disturb(world: &World, strikes: &[Strike], rng: &mut Xoshiro256PlusPlus) -> Instant {
    let stop = CancellationToken::new();
    let written = Arc::new(AtomicU64::new(0));
    let mut writing = JoinSet::new();
    for _ in 0..WRITERS {
        let rng = Xoshiro256PlusPlus::from_rng(rng);
        let (way, written, stop) = (world.way.clone(), written.clone(), stop.clone());
        writing.spawn(writers::write(way, rng, written, stop));
    }
    let striking = strikes.iter().map(|strike| strike.happen(world));
    let ends = join_all(striking).await;
    let mut ended = ends.into_iter().max().expect("a round has a fault");
    // Short faults may be over before anybody has got to write: that would prove nothing.
    if written.load(Ordering::Relaxed) == 0 {
        eventually("something is written", async || {
            written.load(Ordering::Relaxed) > 0
        })
        .await;
        ended = Instant::now();
    }
    stop.cancel();
    writing.join_all().await;
    ended
}

/// Waits until every client shows what is stored; gives how long after `ended` that was.
async fn agreement(
    world: &World,
    followers: &[Follower],
    ended: Instant,
    limit: Duration,
) -> Result<Duration, String> {
    loop {
        // A statement that the server has given up may be done late, so this is read every time.
        let stored = Stored::read(&world.way.database).await;
        let late = ended.elapsed() > limit;
        if let Some(wrong) = followers.iter().find_map(Follower::wrong) {
            return Err(wrong);
        }
        let differing: Vec<String> = followers
            .iter()
            .filter_map(|follower| follower.agrees_with(&stored).err())
            .collect();
        if differing.is_empty() {
            return Ok(ended.elapsed());
        }
        if late {
            return Err(format!("not within {limit:?}: {}", differing.join("\n")));
        }
        sleep(Duration::from_millis(15)).await;
    }
}
