//! Runs are cancelled: before the cluster has them, after, again, when they are over, and when the
//! cluster knows more of them than the table does.

use serde_json::{Value, json};
use tokio_postgres::Client;

use super::{
    Pipeline, answered, ask, event,
    fake::{Fake, Fate},
    the_run,
};
use crate::support::{
    client::{Http, Response, Socket},
    server::{eventually, open},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_cancelled_before_it_was_sent() {
    let fake = Fake::start().await;
    let (pipeline, _database, dba) = Pipeline::of(&fake).await;
    let mut people = People::of(&pipeline).await;
    fake.all_further(|| Fate::Throttled);
    people.page.send_json(&json!({"step": "recoding"})).await;
    eventually("it waits", async || {
        let sql = "select from pipeline_submissions where sent_at is null and attempts > 0";
        !fake.calls("AddJobFlowSteps").is_empty() && dba.query(sql, &[]).await.unwrap().len() == 1
    })
    .await;
    let cancelled = people.cancel(&the_id(&dba).await).await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    assert_eq!(cancelled.json()["run"]["state"], "CANCELLED");
    assert_eq!(the_run(&dba).await.0, "CANCELLED");
    assert!(fake.calls("CancelSteps").is_empty());
    // Who has asked for it waits no longer.
    let told = answered(&mut people.page).await;
    assert_eq!(told["error"], "the run is CANCELLED");
    for unknown in [
        json!("x"),
        json!(null),
        json!("00000000-0000-4000-8000-000000000000"),
    ] {
        let message = json!({"action": "cancel", "run_id": unknown});
        let answer = ask(&mut people.page, &message).await;
        assert_eq!(answer["error"], "Run not found");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cluster_is_asked_once_however_often_a_run_is_cancelled() {
    let fake = Fake::start().await;
    let (pipeline, _database, dba) = Pipeline::of(&fake).await;
    let mut people = People::of(&pipeline).await;
    let step = people.start().await;
    let id = the_id(&dba).await;
    for _ in 0..2 {
        assert_eq!(
            people.cancel_on_page(&id).await,
            json!({"success": true, "run_id": id, "state": "CANCEL_PENDING"})
        );
        let cancelled = people.cancel(&id).await;
        assert_eq!(cancelled.status, 200, "{}", cancelled.text());
        assert_eq!(cancelled.json()["run"]["state"], "CANCEL_PENDING");
    }
    event(&mut people.page, "CANCEL_PENDING").await;
    fake.put(&step, "CANCELLED", Value::Null);
    event(&mut people.page, "CANCELLED").await;
    people.is_told_that_it_is_over(&id, "CANCELLED").await;
    assert_eq!(fake.calls("CancelSteps").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_cluster_knows_already_is_told() {
    let fake = Fake::start().await;
    let (pipeline, database, dba) = Pipeline::of(&fake).await;
    let mut people = People::of(&pipeline).await;
    let step = people.start().await;
    let id = the_id(&dba).await;
    // Nobody follows the run while this is locked.
    let mut other = database.connect().await;
    let lock = other.transaction().await.unwrap();
    let sql = "select from pipeline_followers for update";
    eventually("there is a turn to lock", async || {
        !lock.query(sql, &[]).await.unwrap().is_empty()
    })
    .await;
    eventually("the tracker stands still", async || {
        let sql = "select from pg_stat_activity where wait_event_type = 'Lock'
            and query like '%pipeline_followers%' and datname = current_database()";
        !dba.query(sql, &[]).await.unwrap().is_empty()
    })
    .await;

    // Somebody has cancelled it elsewhere.
    fake.put(&step, "CANCEL_PENDING", Value::Null);
    let answer = people.cancel_on_page(&id).await;
    assert_eq!(answer["state"], "CANCEL_PENDING", "{answer}");

    // It is in a state that is not known here, and cannot be cancelled in it.
    fake.put(&step, "HIBERNATING", Value::Null);
    put_back(&dba).await;
    let refused = people.cancel(&id).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    let error = "EMR cannot cancel it: The step is over.";
    assert_eq!(refused.json(), json!({"success": false, "error": error}));

    // It has ended a moment ago.
    fake.put(&step, "COMPLETED", Value::Null);
    for over_http in [true, false] {
        put_back(&dba).await;
        assert_eq!(the_run(&dba).await.0, "RUNNING");
        if over_http {
            let refused = people.cancel(&id).await;
            assert_eq!(refused.status, 409, "{}", refused.text());
            assert_eq!(refused.json(), over("COMPLETED"));
        } else {
            assert_eq!(people.cancel_on_page(&id).await, over("COMPLETED"));
        }
        assert_eq!(the_run(&dba).await.0, "COMPLETED", "the row has learnt it");
    }

    // What the cluster does not do at all is its failure.
    fake.forget(&step);
    put_back(&dba).await;
    let failed = people.cancel(&id).await;
    assert_eq!(failed.status, 502, "{}", failed.text());
    assert_eq!(failed.json()["run_id"], id);
    let asked = fake.calls("CancelSteps").len();
    for state in ["COMPLETED", "FAILED", "INTERRUPTED", "refused", "lost"] {
        let sql = "update pipeline_runs set state = $1";
        dba.execute(sql, &[&state]).await.unwrap();
        people.is_told_that_it_is_over(&id, state).await;
    }
    assert_eq!(fake.calls("CancelSteps").len(), asked, "EMR is not asked");
    lock.rollback().await.unwrap();
}

/// Somebody, with the step page open.
struct People {
    visitor: Http,
    page: Socket,
}

impl People {
    async fn of(pipeline: &Pipeline) -> Self {
        let visitor = pipeline.visitor("alice").await;
        let page = open(&visitor, "/ws/EMRConsumer/").await;
        Self { visitor, page }
    }

    /// Starts a run; gives the step that it is.
    async fn start(&mut self) -> String {
        let answer = ask(&mut self.page, &json!({"step": "qc"})).await;
        answer["step_id"].as_str().expect("it was taken").to_owned()
    }

    async fn cancel(&mut self, id: &str) -> Response {
        let path = format!("/api/pipeline-runs/{id}/cancel/");
        self.visitor.post(&path).send().await
    }

    async fn cancel_on_page(&mut self, id: &str) -> Value {
        let message = json!({"action": "cancel", "run_id": id});
        ask(&mut self.page, &message).await
    }

    async fn is_told_that_it_is_over(&mut self, id: &str, state: &str) {
        let refused = self.cancel(id).await;
        assert_eq!(refused.status, 409, "{}", refused.text());
        assert_eq!(refused.json(), over(state));
        assert_eq!(self.cancel_on_page(id).await, over(state));
    }
}

fn over(state: &str) -> Value {
    json!({"success": false, "error": format!("the run is {state} already")})
}

/// What the table says of the run before it hears of the cluster.
async fn put_back(dba: &Client) {
    let sql = "update pipeline_runs set state = 'RUNNING', reason = null";
    dba.batch_execute(sql).await.expect("a row can be changed");
}

/// The only run there is.
async fn the_id(dba: &Client) -> String {
    let sql = "select id::text from pipeline_runs";
    let row = dba.query_one(sql, &[]).await.expect("there is one run");
    row.get(0)
}
