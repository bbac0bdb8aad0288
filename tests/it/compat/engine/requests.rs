//! The steps that speak HTTP: `http`, `burst` and `race`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::future::{join_all, try_join};
use serde_json::{Value, json};

use super::answer;
use super::{Engine, Headers, Jar, Scene, cookie, cookie_line, set_header, store_cookies};
use crate::{
    compat::{
        Fallible,
        judge::Observation,
        template::Vars,
        transcript::{Multipart, Step},
    },
    support::client::Request,
};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const BOUNDARY: &str = "----compatboundary7MA4YWxk";

impl Engine<'_> {
    pub(super) async fn http(&mut self, step: &Step, scene: &mut Scene) -> Fallible<Observation> {
        let mut headers = self
            .credentials(&step.who, step.csrf.as_ref(), scene)
            .await?;
        let (body, content_type) = body(step, &scene.vars)?;
        if let Some(content_type) = content_type {
            set_header(&mut headers, "Content-Type", Some(content_type));
        }
        let request = request(step, &scene.vars, headers, body)?;
        let response = self.send(&request).await?;
        let kept_by = step.jar.clone().or_else(|| match step.who.split_once(':') {
            Some(("session" | "jar", alias)) => Some(alias.to_owned()),
            _ => None,
        });
        if let Some(alias) = kept_by {
            store_cookies(jar(scene, &alias), &response);
        }
        answer::observe(&response, step, &mut scene.vars)
    }

    pub(super) async fn burst(&mut self, step: &Step, scene: &mut Scene) -> Fallible<Observation> {
        let headers = self
            .credentials(&step.who, step.csrf.as_ref(), scene)
            .await?;
        let request = with_json(step, &scene.vars, headers)?;
        let same = (0..step.count.unwrap_or_default()).map(|_| self.send(&request));
        let answers: Fallible<Vec<_>> = join_all(same).await.into_iter().collect();
        let mut statuses: Vec<_> = answers?.into_iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        Ok(json!({"statuses": statuses}).into())
    }

    /// Two requests at the same moment, many rounds; after each both effects must be there.
    pub(super) async fn race(&mut self, step: &Step, scene: &mut Scene) -> Fallible<Observation> {
        let [one, other] = &step.requests[..] else {
            return Err("a race has two requests".into());
        };
        let credentials = (
            self.credentials(&one.who, one.csrf.as_ref(), scene).await?,
            self.credentials(&other.who, other.csrf.as_ref(), scene)
                .await?,
        );
        let mut list = Request::new("GET", "/api/read-source/");
        let reader = self.credentials(&one.who, None, scene).await?;
        list.headers = reader.into_iter().filter_map(given).collect();
        let mut any_lost = false;
        for round in 0..step.rounds.unwrap_or_default() {
            scene.vars.set("round", round.to_string());
            let first = with_json(one, &scene.vars, credentials.0.clone())?;
            let second = with_json(other, &scene.vars, credentials.1.clone())?;
            try_join(self.send(&first), self.send(&second)).await?;
            let rows = self.send(&list).await?.json();
            let id = scene.vars.get("id:s1").unwrap_or_default();
            let row = rows
                .as_array()
                .into_iter()
                .flatten()
                .find(|row| row["id"] == id);
            let row = row.ok_or("the source of the race is gone")?;
            for (key, effect) in [one, other]
                .into_iter()
                .filter_map(|r| r.effect.as_ref())
                .flatten()
            {
                any_lost |= row[key] != fill(effect, &scene.vars)?;
            }
        }
        Ok(json!({"any_lost": any_lost}).into())
    }

    /// The headers that say who asks: `anon`, `basic:alice`, `session:alice` or `jar:x`.
    pub(super) async fn credentials(
        &mut self,
        who: &str,
        csrf: Option<&Value>,
        scene: &mut Scene,
    ) -> Fallible<Headers> {
        let mut headers = Headers::new();
        let (kind, alias) = who.split_once(':').unwrap_or((who, ""));
        match kind {
            "basic" => {
                let user = self.user(alias).await?;
                let pair = BASE64.encode(format!("{}:{}", user.name, user.password));
                headers.push(("Authorization".into(), Some(format!("Basic {pair}"))));
            }
            "session" | "jar" => {
                if !scene.jars.iter().any(|(known, _)| known == alias) {
                    let cookies = if kind == "session" {
                        self.session(alias).await?
                    } else {
                        Jar::new()
                    };
                    scene.jars.push((alias.to_owned(), cookies));
                }
                let jar = jar(scene, alias);
                if !jar.is_empty() {
                    headers.push(("Cookie".into(), Some(cookie_line(jar))));
                }
                let token = match csrf {
                    Some(Value::Bool(true)) => Some(cookie(jar, "csrftoken").unwrap_or_default()),
                    Some(Value::String(token)) if !token.is_empty() => Some(token.as_str()),
                    _ => None,
                };
                if let Some(token) = token {
                    headers.push(("X-CSRFToken".into(), Some(token.to_owned())));
                }
            }
            _ => {}
        }
        Ok(headers)
    }
}

/// The headers of a step put over those that it has already.
pub(super) fn add_headers(headers: &mut Headers, step: &Step, vars: &Vars) -> Fallible<()> {
    for (name, value) in &step.headers {
        let value = value.as_str().map(|value| vars.fill(value)).transpose()?;
        set_header(headers, name, value);
    }
    Ok(())
}

pub(super) fn given((name, value): (String, Option<String>)) -> Option<(String, String)> {
    value.map(|value| (name, value))
}

fn jar<'a>(scene: &'a mut Scene, alias: &str) -> &'a mut Jar {
    let index = scene
        .jars
        .iter()
        .position(|(known, _)| known == alias)
        .unwrap_or_else(|| {
            scene.jars.push((alias.to_owned(), Jar::new()));
            scene.jars.len() - 1
        });
    &mut scene.jars[index].1
}

fn request(
    step: &Step,
    vars: &Vars,
    mut headers: Headers,
    body: Option<Vec<u8>>,
) -> Fallible<Request> {
    add_headers(&mut headers, step, vars)?;
    let mut request = Request::new(&vars.fill(step.method())?, &vars.fill(step.path())?);
    request.headers = headers.into_iter().filter_map(given).collect();
    request.body = body;
    Ok(request)
}

/// A request of a burst or a race: its body can only be JSON, whose type no header of the step changes.
fn with_json(step: &Step, vars: &Vars, mut headers: Headers) -> Fallible<Request> {
    add_headers(&mut headers, step, vars)?;
    let body = step
        .json
        .as_ref()
        .map(|json| vars.fill_json(json))
        .transpose()?;
    if body.is_some() {
        set_header(&mut headers, "Content-Type", Some(JSON.into()));
    }
    let mut request = Request::new(&vars.fill(step.method())?, &vars.fill(step.path())?);
    request.headers = headers.into_iter().filter_map(given).collect();
    request.body = body.map(String::into_bytes);
    Ok(request)
}

/// The body of a step and its type.
fn body(step: &Step, vars: &Vars) -> Fallible<(Option<Vec<u8>>, Option<String>)> {
    Ok(if let Some(json) = &step.json {
        (Some(vars.fill_json(json)?.into_bytes()), Some(JSON.into()))
    } else if let Some(text) = &step.text {
        (Some(vars.fill(text)?.into_bytes()), None)
    } else if let Some(bytes) = &step.bytes_b64 {
        (
            Some(BASE64.decode(bytes).map_err(|error| error.to_string())?),
            None,
        )
    } else if let Some(form) = &step.form {
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        for (name, value) in form {
            pairs.append_pair(name, &plain(&fill(value, vars)?));
        }
        (Some(pairs.finish().into_bytes()), Some(FORM.into()))
    } else if let Some(parts) = &step.multipart {
        (
            Some(multipart(parts, vars)?.into_bytes()),
            Some(format!("multipart/form-data; boundary={BOUNDARY}")),
        )
    } else {
        (None, None)
    })
}

fn multipart(parts: &Multipart, vars: &Vars) -> Fallible<String> {
    const DISPOSITION: &str = "Content-Disposition: form-data; name=";
    let mut body = vec![];
    for (name, value) in &parts.fields {
        let value = plain(&fill(value, vars)?);
        body.push(format!(
            "--{BOUNDARY}\r\n{DISPOSITION}\"{name}\"\r\n\r\n{value}\r\n"
        ));
    }
    for (name, file) in &parts.files {
        let part = |key: &str| vars.fill(file[key].as_str().unwrap_or_default());
        let content_type = match file.get("content_type") {
            Some(_) => part("content_type")?,
            None => "application/octet-stream".into(),
        };
        let (filename, text) = (part("filename")?, part("text")?);
        body.push(format!(
            "--{BOUNDARY}\r\n{DISPOSITION}\"{name}\"; filename=\"{filename}\"\r\n\
             Content-Type: {content_type}\r\n\r\n{text}\r\n"
        ));
    }
    body.push(format!("--{BOUNDARY}--\r\n"));
    Ok(body.concat())
}

fn fill(value: &Value, vars: &Vars) -> Fallible<Value> {
    Ok(match value {
        Value::String(text) => vars.fill(text)?.into(),
        other => other.clone(),
    })
}

/// A value as a form writes it.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
