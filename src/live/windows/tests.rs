//! Subscriptions when all rows are forgotten, and when nobody watches any more.

use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use tokio::time::timeout;

use super::{Member, Shown, Windows};
use crate::{
    metrics::Metrics,
    table::{filter::Filter, order::Order, window::Anchor},
};

const SOON: Duration = Duration::from_secs(15);

fn windows(keep: Duration) -> Arc<Windows> {
    let traffic = Metrics::default().traffic("test");
    let zone = TimeZone::UTC;
    Windows::new(Arc::default(), Arc::default(), traffic, keep, zone)
}

/// Reads a table without rows, as the view does.
async fn load(windows: &Windows) {
    let mut state = windows.lock().await;
    state.table.begin_load(0);
    state.table.end_load();
    state.publish();
    drop(state);
    windows.set_loaded(true);
}

fn all() -> Shown {
    Shown::Rows {
        query: (Filter::default(), Order::default()),
        anchor: Anchor::Start,
        limit: 10,
        resume: None,
    }
}

async fn next(member: &mut Member) -> String {
    let frames = timeout(SOON, member.next())
        .await
        .expect("something is sent");
    let frames: Vec<_> = frames
        .iter()
        .map(|(frame, _)| frame.payload().to_vec())
        .collect();
    String::from_utf8(frames.concat()).expect("it is JSON")
}

#[tokio::test]
async fn who_watches_is_sent_a_new_window_after_all_was_forgotten() {
    let windows = windows(Duration::ZERO);
    load(&windows).await;
    let mut member = windows.join();
    assert!(member.subscribe("a", &all()).await.is_ok());
    let before = next(&mut member).await;
    assert!(before.starts_with(r#"{"rows":"a","version":""#), "{before}");

    windows.forget();
    assert!(
        timeout(Duration::from_millis(50), member.next())
            .await
            .is_err(),
        "nothing is there"
    );
    load(&windows).await;
    let after = next(&mut member).await;
    assert!(
        after.ends_with(r#""total":0,"first":0,"data":[]}"#),
        "{after}"
    );
    assert_ne!(before, after, "another epoch");
    assert!(member.go_to("a", Some(Anchor::Index(0)), Some(5)).await);
    assert!(
        next(&mut member).await.starts_with(r#"{"rows":"a""#),
        "it can be moved"
    );
}

#[tokio::test]
async fn the_view_is_woken_when_nobody_has_watched_for_a_while() {
    let windows = windows(Duration::from_millis(100));
    let idle = tokio::spawn(Arc::clone(&windows).watch_idle());
    load(&windows).await;
    let member = windows.join();
    let raised = timeout(Duration::from_secs(2), windows.signal.raised()).await;
    assert!(raised.is_err(), "somebody watches");
    drop(member);
    assert!(windows.is_watched(), "somebody may come back");
    timeout(SOON, windows.signal.raised())
        .await
        .expect("the view is woken");
    assert!(!windows.is_watched());
    idle.abort();
}
