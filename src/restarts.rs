//! Parts of the server that run for ever, such as a view. One that panics is started again with
//! back-off; until it runs again, `/readyz` names it. It knows no part but by its name.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time;

use crate::{
    backoff::Backoff,
    metrics::Metrics,
    panics::{self, Panic},
};

/// Before a part is started again.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
/// A part that has run for so long after a panic is well again.
const WELL_AFTER: Duration = Duration::from_secs(2);
/// The next panic of a part that has run for so long is a first one.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(1);

/// A part, as the log and `/readyz` call it: `view list`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part {
    kind: &'static str,
    name: &'static str,
}

impl Part {
    /// A view.
    pub(crate) const fn view(name: &'static str) -> Self {
        Self { kind: "view", name }
    }

    /// Another task that runs for ever.
    pub(crate) const fn task(name: &'static str) -> Self {
        Self { kind: "task", name }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// Starts parts again, and knows which have panicked and do not run yet. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Restarts {
    broken: Arc<Mutex<BTreeSet<Part>>>,
    metrics: Metrics,
}

impl Restarts {
    /// No part has panicked.
    pub fn new(metrics: Metrics) -> Self {
        Self {
            broken: Arc::default(),
            metrics,
        }
    }

    /// A sentence for each part that has panicked and does not run yet.
    pub fn troubles(&self) -> Vec<String> {
        let sentence = |part: &Part| {
            format!("the {part} panicked and is being started again; the log says why")
        };
        self.lock().iter().map(sentence).collect()
    }

    /// Runs `part` for ever. `start` makes its work, anew after each panic.
    pub(crate) async fn keep<F>(&self, part: Part, mut start: impl FnMut() -> F)
    where
        F: Future<Output = ()>,
    {
        let panics = self.metrics.panics(part.name);
        let mut retry = RETRY;
        loop {
            let started = time::Instant::now();
            let panic = match self.run(part, start()).await {
                Ok(()) => return,
                Err(panic) => panic,
            };
            panics.increment(1);
            tracing::error!(%part, %panic, "a part of the server panicked; it is started again");
            self.lock().insert(part);
            if started.elapsed() >= FORGOTTEN_AFTER {
                retry.reset();
            }
            retry.pause().await;
        }
    }

    /// Runs `work` until it ends. Once it has run for a while, the part is no longer broken.
    async fn run(&self, part: Part, work: impl Future<Output = ()>) -> Result<(), Panic> {
        // Those who wait for several parts at once hold no more of each than this.
        let mut work = Box::pin(panics::caught(work));
        if self.lock().contains(&part) {
            match time::timeout(WELL_AFTER, &mut work).await {
                Ok(Err(panic)) => return Err(panic),
                ended => {
                    self.lock().remove(&part);
                    tracing::info!(%part, "a part of the server runs again after a panic");
                    if let Ok(ended) = ended {
                        return ended;
                    }
                }
            }
        }
        work.await
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<Part>> {
        // Entries are added and removed whole.
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::task::JoinSet;

    use super::*;

    const PART: Part = Part::view("list");

    fn restarts() -> Restarts {
        Restarts::new(Metrics::default())
    }

    /// Waits until `is_so`.
    async fn until(is_so: impl Fn() -> bool) {
        let waiting = async {
            while !is_so() {
                time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = time::timeout(Duration::from_secs(15), waiting).await;
        waited.expect("it becomes so in time");
    }

    #[tokio::test]
    async fn a_part_that_panics_is_started_again_and_named_until_it_runs() {
        let restarts = restarts();
        // What was said when it was started.
        let said = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let (restarts, said) = (restarts.clone(), said.clone());
            async move {
                let start = || {
                    let starts = {
                        let mut said = said.lock().unwrap();
                        said.push(restarts.troubles());
                        said.len()
                    };
                    async move {
                        assert!(starts > 2, "too early");
                        pending::<()>().await;
                    }
                };
                restarts.keep(PART, start).await;
            }
        });
        let starts = || said.lock().unwrap().len();
        until(|| starts() == 3 && restarts.troubles().is_empty()).await;
        let said = said.lock().unwrap().clone();
        assert!(said[0].is_empty(), "{said:?}");
        for troubles in &said[1..] {
            assert_eq!(troubles.len(), 1, "{troubles:?}");
            assert!(
                troubles[0].starts_with("the view list panicked"),
                "{troubles:?}"
            );
        }
        assert_eq!(said.len(), 3);
        let shown = restarts.metrics.render();
        assert!(
            shown.contains("marketplace_panics_total{part=\"list\"} 2"),
            "{shown}"
        );
    }

    #[tokio::test]
    async fn a_part_that_ends_is_over() {
        let restarts = restarts();
        restarts.keep(PART, || async {}).await;
        assert_eq!(restarts.troubles(), Vec::<String>::new());
    }
}
