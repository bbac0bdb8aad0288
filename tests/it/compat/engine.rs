//! Runs cases against a server: users, cookie jars and sources of a run, and the steps one after the other.
//! It observes and never judges. Everything it needs of the server it gets through the API, as any client would.

mod answer;
mod requests;
mod sockets;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::Fallible;
use super::aws::AwsStub;
use super::judge::Observation;
use super::norm;
use super::template::{Vars, letters};
use super::transcript::{Action, Case, Precondition, Step};
use crate::support::client::{Address, Request, Response};
use sockets::Sockets;

/// The page from which the machinery pretends to come.
const ORIGIN: &str = "http://localhost:3000";

/// A run: what lasts from case to case.
#[derive(Debug)]
pub(crate) struct Engine<'a> {
    address: Address,
    database_url: &'a str,
    aws: Option<&'a AwsStub>,
    /// Makes the names of this run's users its own.
    run: String,
    users: Vec<User>,
    /// Cookies of users who were logged in once.
    sessions: Vec<(String, Jar)>,
}

#[derive(Debug, Clone)]
struct User {
    alias: String,
    name: String,
    password: String,
}

/// Cookies by name, in the order in which they came.
type Jar = Vec<(String, String)>;
/// Headers as they will be sent; a later one of the same name replaces an earlier one, `None` keeps it away.
type Headers = Vec<(String, Option<String>)>;

/// A case: what its steps leave for the later ones.
#[derive(Debug)]
struct Scene {
    vars: Vars,
    sockets: Sockets,
    jars: Vec<(String, Jar)>,
}

impl<'a> Engine<'a> {
    pub(crate) fn new(base: &str, database_url: &'a str, aws: Option<&'a AwsStub>) -> Self {
        Self {
            address: Address::parse(base),
            database_url,
            aws,
            run: letters(6),
            users: vec![],
            sessions: vec![],
        }
    }

    /// Runs one case; an observation for each step, `None` where there is nothing to see.
    pub(crate) async fn run(&mut self, case: &Case) -> Fallible<Vec<Option<Observation>>> {
        let mut scene = Scene {
            vars: Vars::new(),
            sockets: Sockets::default(),
            jars: vec![],
        };
        self.prepare(&case.precondition, &mut scene).await?;
        if let Some(aws) = self.aws {
            aws.take();
        }
        let mut observations = vec![];
        let mut outcome = Ok(());
        for step in &case.steps {
            match self.step(step, &mut scene).await {
                Ok(observation) => observations.push(observation),
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        scene.sockets.close_all().await;
        outcome.map(|()| observations)
    }

    async fn step(&mut self, step: &Step, scene: &mut Scene) -> Fallible<Option<Observation>> {
        match step.action {
            Action::Http => self.http(step, scene).await.map(Some),
            Action::Burst => self.burst(step, scene).await.map(Some),
            Action::Race => self.race(step, scene).await.map(Some),
            Action::WsOpen => self.ws_open(step, scene).await.map(Some),
            Action::WsExpect => scene.sockets.expect(step, &mut scene.vars).await.map(Some),
            Action::WsSend => scene.sockets.send(step, &scene.vars).await.map(|()| None),
            Action::WsClose => {
                scene
                    .sockets
                    .close(step.sock(), step.code.unwrap_or(1000))
                    .await;
                Ok(None)
            }
            Action::Sql => self.sql(step, scene).await.map(|()| None),
            Action::Wait => {
                sleep(Duration::from_millis(step.ms.unwrap_or_default())).await;
                Ok(None)
            }
            Action::AwsExpect => {
                sleep(Duration::from_millis(200)).await;
                let aws = self.aws.ok_or("there is no AWS stub in this run")?;
                let requests = norm::value(&scene.vars, &aws.take().into());
                Ok(Some(json!({"requests": requests}).into()))
            }
        }
    }

    /// Registers the users, deletes all sources, and adds those of the case.
    async fn prepare(&mut self, wanted: &Precondition, scene: &mut Scene) -> Fallible<()> {
        for alias in &wanted.users {
            let user = self.user(alias).await?;
            scene.vars.set(alias, user.name);
            scene.vars.set(&format!("pw:{alias}"), user.password);
        }
        if wanted.reset {
            let list = self.as_setup("GET", "/api/read-source/", None).await?;
            if list.status != 200 {
                return Err(format!("reset: read-source answered {}", list.status));
            }
            for source in list.json().as_array().into_iter().flatten() {
                let path = format!("/api/delete-source/{}/", text_of(source, "id")?);
                self.as_setup("DELETE", &path, None).await?;
            }
        }
        for source in &wanted.sources {
            let fields = scene.vars.fill_json(&source.fields)?;
            let added = self
                .as_setup("POST", "/api/add-source/", Some(fields))
                .await?;
            if added.status != 201 {
                return Err(format!(
                    "precondition source: {} {}",
                    added.status,
                    added.text()
                ));
            }
            let added = added.json();
            let id = text_of(&added, "id")?;
            scene.vars.set(&format!("id:{}", source.name), id.clone());
            scene.vars.set(
                &format!("created:{}", source.name),
                text_of(&added, "created_at")?,
            );
            if source.inactive {
                self.as_setup("POST", &format!("/api/deactivate-source/{id}/"), None)
                    .await?;
            }
        }
        Ok(())
    }

    /// A request of the machinery itself, by a user of its own with session and CSRF token.
    async fn as_setup(
        &mut self,
        method: &str,
        path: &str,
        body: Option<String>,
    ) -> Fallible<Response> {
        let jar = self.session("setup").await?;
        let mut request = Request::new(method, path);
        let token = cookie(&jar, "csrftoken").unwrap_or_default().to_owned();
        request.headers = vec![
            ("Cookie".into(), cookie_line(&jar)),
            ("X-CSRFToken".into(), token),
            ("Origin".into(), ORIGIN.into()),
        ];
        if let Some(body) = body {
            request
                .headers
                .push(("Content-Type".into(), "application/json".into()));
            request.body = Some(body.into_bytes());
        }
        self.send(&request).await
    }

    /// The user of that alias, registered when it is first asked for.
    async fn user(&mut self, alias: &str) -> Fallible<User> {
        if let Some(user) = self.users.iter().find(|user| user.alias == alias) {
            return Ok(user.clone());
        }
        let name = format!("{alias}_{}", self.run);
        let password = format!("Pw-{alias}-9f3Kx!");
        let answer = self
            .post_json(
                "/api/register/",
                &json!({"username": name, "email": format!("{name}@example.com"),
                "password": password, "confirm_password": password}),
            )
            .await?;
        if answer.status != 201 {
            return Err(format!(
                "cannot register {name}: {} {}",
                answer.status,
                answer.text()
            ));
        }
        let user = User {
            alias: alias.to_owned(),
            name,
            password,
        };
        self.users.push(user.clone());
        Ok(user)
    }

    /// The cookies of a user after a login, which happens once a run.
    async fn session(&mut self, alias: &str) -> Fallible<Jar> {
        if let Some((_, jar)) = self.sessions.iter().find(|(known, _)| known == alias) {
            return Ok(jar.clone());
        }
        let user = self.user(alias).await?;
        let credentials = json!({"username": user.name, "password": user.password});
        let answer = self.post_json("/api/login/", &credentials).await?;
        if answer.status != 200 {
            return Err(format!(
                "cannot log in {}: {} {}",
                user.name,
                answer.status,
                answer.text()
            ));
        }
        let mut jar = Jar::new();
        store_cookies(&mut jar, &answer);
        self.sessions.push((alias.to_owned(), jar.clone()));
        Ok(jar)
    }

    async fn post_json(&self, path: &str, body: &Value) -> Fallible<Response> {
        let mut request = Request::new("POST", path);
        request
            .headers
            .push(("Content-Type".into(), "application/json".into()));
        request.body = Some(body.to_string().into_bytes());
        self.send(&request).await
    }

    async fn send(&self, request: &Request) -> Fallible<Response> {
        let sent = request.send(&self.address).await;
        sent.map_err(|error| format!("{} {}: {error}", request.method, request.path))
    }

    async fn sql(&self, step: &Step, scene: &Scene) -> Fallible<()> {
        let statement = scene.vars.fill(step.sql.as_deref().unwrap_or_default())?;
        let failed = |error: tokio_postgres::Error| format!("sql: {error}");
        let (client, connection) =
            tokio_postgres::connect(self.database_url, tokio_postgres::NoTls)
                .await
                .map_err(failed)?;
        let driver = tokio::spawn(connection);
        let done = client.batch_execute(&statement).await.map_err(failed);
        driver.abort();
        done
    }
}

fn text_of(value: &Value, key: &str) -> Fallible<String> {
    value[key]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("no {key} in {value}"))
}

fn cookie<'a>(jar: &'a Jar, name: &str) -> Option<&'a str> {
    jar.iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
}

fn cookie_line(jar: &Jar) -> String {
    let pairs: Vec<_> = jar
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("; ")
}

fn store_cookies(jar: &mut Jar, answer: &Response) {
    for (_, line) in answer
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie")
    {
        let pair = line.split(';').next().unwrap_or_default();
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if line.contains("1970") || value.trim_matches('"').is_empty() {
            jar.retain(|(known, _)| known != name);
        } else {
            match jar.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => value.clone_into(known),
                None => jar.push((name.to_owned(), value.to_owned())),
            }
        }
    }
}

fn set_header(headers: &mut Headers, name: &str, value: Option<String>) {
    match headers.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => *known = value,
        None => headers.push((name.to_owned(), value)),
    }
}
