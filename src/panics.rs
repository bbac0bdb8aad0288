//! Catches panics where one part of the server can be given up alone. Whoever catches one logs it, in
//! one line; all others are logged by the hook of [`crate::log`]. It knows no part.

use std::{
    any::Any,
    cell::Cell,
    fmt,
    panic::{AssertUnwindSafe, PanicHookInfo},
};

use futures_util::FutureExt;

thread_local! {
    /// What the hook was told of a panic on this thread that is being caught.
    static SAID: Cell<Option<String>> = const { Cell::new(None) };
}

tokio::task_local! {
    /// Set while whoever polls catches panics, and logs them.
    static CAUGHT: ();
}

/// Where something panicked, and what it said.
#[derive(Debug)]
pub(crate) struct Panic(String);

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// For the hook: whether somebody catches this panic, and so logs it, with where it was.
pub(crate) fn is_caught(panic: &PanicHookInfo<'_>) -> bool {
    let is_caught = CAUGHT.try_with(|()| ()).is_ok();
    if is_caught {
        SAID.set(Some(panic.to_string().replace('\n', " ")));
    }
    is_caught
}

/// What `work` gives, or its panic. `work` is dropped either way.
///
/// What `work` shares with others stays in use after a panic; that it is whole then is for those to
/// see to who share it.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Panic> {
    let work = AssertUnwindSafe(work).catch_unwind();
    let result = CAUGHT.scope((), work).await;
    result.map_err(|payload| {
        let said = SAID.take();
        Panic(said.unwrap_or_else(|| message(&*payload).to_owned()))
    })
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_value() {
        assert_eq!(caught(async { 7 }).await.unwrap(), 7);
        let broken: Result<(), _> = caught(async { panic!("row {}", 7) }).await;
        let broken: Panic = broken.unwrap_err();
        assert!(broken.to_string().contains("row 7"), "{broken}");
    }
}
