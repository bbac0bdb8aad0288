//! The program with pipeline runs: a fake cluster, and what tests ask and await.

pub mod fake;

use serde_json::{Value, json};
use tokio_postgres::Client;

use self::fake::Fake;
use crate::support::{
    client::{Frame, Http, Socket},
    postgres::TestDatabase,
    program::{Running, program},
    server::{ORIGIN, SOON, database, eventually, open},
};

/// The program serving a database of its own, with a cluster somewhere.
pub struct Pipeline {
    pub server: Running,
    /// Where it listens.
    pub base: String,
}

/// What the program is told about AWS.
pub fn settings(endpoint: &str, cluster: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_REGION", "eu-west-3".to_owned()),
        ("AWS_ACCESS_KEY_ID", "AKIATEST".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        // Nothing here is to be asked of this machine's surroundings.
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("EMR_CLUSTER_ID", cluster.to_owned()),
        ("S3_PATH", "s3://demo-bucket/scripts".to_owned()),
        ("PIPELINE_JOBS", "report-*,load".to_owned()),
        ("EMR_POLL", "200ms".to_owned()),
    ]
}

impl Pipeline {
    /// A program with these variables beside the database's.
    pub async fn with(database: &TestDatabase, variables: &[(&'static str, String)]) -> Self {
        let mut command = program(&["serve", "--bind", "127.0.0.1:0"]);
        command.env("DATABASE_URL", &database.url);
        command.env("RATE_LIMITS", "off");
        command.env("RUST_LOG", "warn,deadpool=off,marketplace::emr=info");
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let mut server = Running::start(command);
        let base = server.line("listening on ").await;
        let mut operator = Http::new(&base);
        eventually("the server is ready", async || {
            operator.get("/readyz").send().await.status == 200
        })
        .await;
        Self { server, base }
    }

    /// A program whose cluster is `fake`, on a fresh database, and a DBA.
    pub async fn of(fake: &Fake) -> (Self, TestDatabase, Client) {
        let database = database().await;
        let dba = database.connect().await;
        let pipeline = Self::with(&database, &settings(&fake.base, fake::CLUSTER)).await;
        (pipeline, database, dba)
    }

    /// Somebody who has an account and is signed in.
    pub async fn visitor(&self, name: &str) -> Http {
        let mut visitor = Http::new(&self.base).on_page(ORIGIN);
        let password = "Correct-horse-7";
        let account = json!({
            "username": name, "email": "", "password": password, "confirm_password": password,
        });
        visitor.post("/api/register/").json(&account).send().await;
        let login = json!({ "username": name, "password": password });
        let answer = visitor.post("/api/login/").json(&login).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        visitor
    }

    /// The step page's socket of somebody signed in.
    pub async fn page(&self, name: &str) -> Socket {
        open(&self.visitor(name).await, "/ws/EMRConsumer/").await
    }
}

/// Sends a message and gives the answer to it; events that come before are skipped.
pub async fn ask(page: &mut Socket, message: &Value) -> Value {
    page.send_json(message).await;
    answered(page).await
}

/// The next answer, whatever it is to.
pub async fn answered(page: &mut Socket) -> Value {
    loop {
        let frame = page.next_json(2 * SOON).await;
        if frame.get("success").is_some() {
            return frame;
        }
    }
}

/// The newest event of a run in that state, which comes or has come.
pub async fn event(page: &mut Socket, state: &str) -> Value {
    let mut found = Value::Null;
    eventually(&format!("the page hears {state}"), async || {
        let frames = page.frames_from(0);
        let events = frames.into_iter().filter_map(|frame| match frame {
            Frame::Text(text) => serde_json::from_str::<Value>(&text).ok(),
            Frame::Binary(_) => None,
        });
        let mut events = events.filter(|event| event["event"] == "step" && event["state"] == state);
        found = events.next_back().unwrap_or_default();
        found.is_object()
    })
    .await;
    found
}

/// `(state, step_id, reason)` of the only run there is.
pub async fn the_run(dba: &Client) -> (String, Option<String>, Option<String>) {
    let sql = "select state, step_id, reason from pipeline_runs";
    let row = dba.query_one(sql, &[]).await.expect("there is one run");
    (row.get(0), row.get(1), row.get(2))
}

/// The states that the only run went through.
pub async fn went_through(dba: &Client) -> Vec<String> {
    let sql = "select state from pipeline_run_states order by at";
    let rows = dba.query(sql, &[]).await.expect("the history can be read");
    rows.iter().map(|row| row.get(0)).collect()
}
