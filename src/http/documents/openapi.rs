//! The `OpenAPI` document. Which paths there are, what may be done with each and by whom is read from
//! the code that serves them; only what each does is told here.

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::json;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ArrayBuilder, Components, ContentBuilder, HttpMethod, InfoBuilder, License, ObjectBuilder,
        OpenApi, OpenApiBuilder, PathItem, PathsBuilder, Ref, RefOr, Required, Response,
        ResponseBuilder, Schema, SecurityRequirement, Server, Type,
        header::HeaderBuilder,
        link::{Link, LinkBuilder},
        path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema::{self, AdditionalProperties, KnownFormat, SchemaFormat},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use warp::http::Method;

use super::bodies::{
    Added, Cancelled, Credentials, Health, Job, Me, Message, PasswordChange, Pipeline,
    Registration, Report, RunRequest, RunStarted, SourceChange, Started, Switched, UserChange,
};
use crate::{
    auth::{cookies::SESSION, role::Role},
    bodies::{RunBody, Section, SourceBody, UserBody},
    http::{Endpoint, paths::PATHS},
    sockets::consumer::Consumer,
};

/// The document as it is sent.
pub(super) static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    document()
        .to_pretty_json()
        .expect("it has text keys and no fallible parts")
});

const ABOUT: &str = "\
Sources, their counts and the pipeline, over HTTP. WebSockets send live changes; \
[/api/asyncapi.yaml](/api/asyncapi.yaml) describes them.

Sign in at `/api/login/`, or send a name and a password with each request. With a session cookie, \
POST, PUT, PATCH and DELETE need an allowed Origin. Each path also works without its last slash. \
Bodies may be JSON or forms. HEAD works wherever GET does. OPTIONS lists the methods of a path; \
other methods get 405.";

const COUNTS: &str = "\
The counts, in three sections: sources created in the past 30 days, deliveries of all sources, and \
pipeline runs of the past 30 days";

/// An id for paths, which a client that tries the document can replace.
const EXAMPLE: &str = "11111111-1111-4111-8111-111111111111";

fn document() -> OpenApi {
    let mut schemas = shared();
    let mut paths = PathsBuilder::new();
    for path in PATHS.iter().filter(|path| Consumer::at(path).is_none()) {
        let written = written(path);
        for (method, deed) in deeds(path) {
            let deed = if written.contains('{') {
                deed.or(404)
            } else {
                deed
            };
            let operation = deed.operation(&written, &mut schemas);
            paths = paths.path(written.clone(), PathItem::new(method, operation));
        }
    }
    let mut components = Components::new();
    components.schemas = schemas;
    components.responses = refusals();
    let session = ApiKeyValue::with_description(SESSION, "The cookie that `/api/login/` sets.");
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(session)));
    let basic = HttpBuilder::new().scheme(HttpAuthScheme::Basic).build();
    components.add_security_scheme("basic", SecurityScheme::Http(basic));
    let info = InfoBuilder::new()
        .title(env!("CARGO_PKG_NAME"))
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(License::new(env!("CARGO_PKG_LICENSE"))));
    OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([Server::new("/")]))
        .paths(paths)
        .components(Some(components))
        .security(Some(
            ["session", "basic"].map(|scheme| SecurityRequirement::new(scheme, [] as [&str; 0])),
        ))
        .build()
}

/// A path with names for what differs.
fn written(path: &str) -> String {
    path.replacen("/console/<id>", "/console/{build}", 1)
        .replace("/vendor/<id>", "/vendor/{file}")
        .replace("{build}/<id>", "{build}/{file}")
        .replace("/uploads/<id>/<id>", "/uploads/{id}/{file}")
        .replace("<id>", "{id}")
}

/// What can be done at a path.
fn deeds(path: &str) -> Vec<(HttpMethod, Deed)> {
    let Some(endpoint) = Endpoint::at(&path.replace("<id>", EXAMPLE)) else {
        return outside(path)
            .into_iter()
            .map(|deed| (HttpMethod::Get, deed.open()))
            .collect();
    };
    let methods: Vec<_> = endpoint
        .methods()
        .iter()
        .filter_map(|method| Some((method, http(method)?)))
        .collect();
    let several = methods.len() > 1;
    let deeds = methods.into_iter().map(|(method, http)| {
        let mut deed = deed(endpoint, method).by(endpoint, method);
        if path.ends_with("/<id>/<id>/") {
            deed.id += "_by_name";
        } else if several {
            deed.id = format!("{}_{}", deed.id, method.as_str().to_lowercase());
        }
        (http, deed)
    });
    deeds.collect()
}

/// The methods that the document has; the others go without saying.
fn http(method: &Method) -> Option<HttpMethod> {
    Some(match *method {
        Method::GET => HttpMethod::Get,
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::PATCH => HttpMethod::Patch,
        Method::DELETE => HttpMethod::Delete,
        _ => return None,
    })
}

/// What a method does with an endpoint.
#[expect(
    clippy::too_many_lines,
    reason = "a table, in which each endpoint has its entry"
)]
fn deed(endpoint: Endpoint, method: &Method) -> Deed {
    let does = Deed::new;
    match endpoint {
        Endpoint::Register => does("people", "register", "Creates a user")
            .takes::<Registration>()
            .gives::<Message>(201),
        Endpoint::Login => does("people", "login", "Signs in; sets two cookies")
            .takes::<Credentials>()
            .gives::<Message>(200),
        Endpoint::Logout => does("people", "logout", "Signs out")
            .note("All but GET must repeat the cookie `csrftoken` in the header `X-CSRFToken`.")
            .gives::<Message>(200),
        Endpoint::LogoutEverywhere => does(
            "people",
            "logout_everywhere",
            "Ends all sessions of the user",
        )
        .gives::<Message>(200),
        Endpoint::Password => does("people", "change_password", "Changes the user's password")
            .note("All other sessions of the user end.")
            .takes::<PasswordChange>()
            .gives::<Message>(200),
        Endpoint::Me => does("people", "me", "The current user and role")
            .gives::<Me>(200)
            .or(404),
        Endpoint::Users => {
            does("people", "list_users", "Lists all users by name").lists::<UserBody>()
        }
        Endpoint::User(_) if method == Method::DELETE => does("people", "user", "Deletes a user")
            .gives_nothing()
            .or(409),
        Endpoint::User(_) => does("people", "user", "Changes a user")
            .takes::<UserChange>()
            .gives::<UserBody>(200)
            .or(409),
        Endpoint::Add => does("sources", "add_source", "Adds a source")
            .takes_form("SourceForm")
            .gives::<SourceBody>(201)
            .leads_to(&[
                "update_source_patch",
                "delete_source_delete",
                "activate_source_post",
                "deactivate_source_post",
                "reactivate_source",
            ])
            .or(409),
        Endpoint::AddDemo => does(
            "sources",
            "add_demo",
            "Adds the sample sources that are missing",
        )
        .gives::<Added>(200),
        Endpoint::Read => {
            does("sources", "read_sources", "Every source, newest first").lists::<SourceBody>()
        }
        Endpoint::Library => does("sources", "data_library", COUNTS).lists::<Section>(),
        Endpoint::Update(_) if method == Method::PATCH => does(
            "sources",
            "update_source",
            "Changes some fields of a source",
        )
        .takes_form("SourceChange")
        .gives::<SourceBody>(200)
        .or(409),
        Endpoint::Update(_) => does("sources", "update_source", "Changes a source")
            .note("Omitted fields keep their values, but `created_by` is required.")
            .takes_form("SourceForm")
            .gives::<SourceBody>(200)
            .or(409),
        Endpoint::Delete(_) => does("sources", "delete_source", "Deletes a source").gives_nothing(),
        Endpoint::Activate(_) => {
            does("sources", "activate_source", "Activates a source").gives::<Switched>(200)
        }
        Endpoint::Deactivate(_) => {
            does("sources", "deactivate_source", "Deactivates a source").gives::<Switched>(200)
        }
        Endpoint::Reactivate(_) => {
            does("sources", "reactivate_source", "Reactivates a source").gives::<Switched>(200)
        }
        Endpoint::Upload(_) => does("sources", "upload", "The file of a source")
            .note("The name after the key may be omitted.")
            .sends("application/octet-stream"),
        Endpoint::Pipeline => does(
            "pipeline",
            "pipeline",
            "Which steps and jobs may be started, and whether the server can start them",
        )
        .gives::<Pipeline>(200),
        Endpoint::Steps => {
            does("pipeline", "list_steps", "The pipeline's steps, in order").lists::<String>()
        }
        Endpoint::Runs if method == Method::POST => {
            does("pipeline", "start_run", "Starts a step or a packaged job")
                .note("Waits up to 20 s until EMR has accepted the run.")
                .takes::<RunRequest>()
                .gives::<RunStarted>(201)
                .needs_cluster()
                .or(404)
        }
        Endpoint::Runs => does("pipeline", "list_runs", "The newest runs, newest first")
            .asks("source", "Only runs of this source", uuid())
            .asks(
                "state",
                "Only runs in this state",
                ObjectBuilder::new().schema_type(Type::String),
            )
            .lists::<RunBody>()
            .or(400),
        Endpoint::Run(_) => does("pipeline", "run", "A run and its history").gives::<RunBody>(200),
        Endpoint::CancelRun(_) => does("pipeline", "cancel_run", "Cancels a run")
            .note("409 if the run has ended.")
            .gives::<Cancelled>(200)
            .needs_cluster(),
        Endpoint::StartJob => does("pipeline", "start_job", "Starts a packaged job")
            .takes::<Job>()
            .gives::<Started>(200)
            .needs_cluster(),
        Endpoint::Health => does("operating", "health", "Server status").gives::<Report>(200),
        Endpoint::OpenApi => {
            does("documents", "openapi", "This document").sends("application/json")
        }
        Endpoint::AsyncApi => does(
            "documents",
            "asyncapi",
            "The AsyncAPI document of the sockets",
        )
        .sends("application/yaml"),
    }
}

/// What a path outside the API shows to anybody.
fn outside(path: &str) -> Option<Deed> {
    let does = Deed::new;
    Some(match path {
        "/" => does("pages", "console", "The console, for browsers")
            .note("Other clients get a JSON summary.")
            .sends("text/html; charset=utf-8")
            .or_sends("application/json")
            .or(304)
            .or(404),
        "/api/docs" => does("pages", "docs", "Interactive API documentation")
            .sends("text/html; charset=utf-8")
            .or(304),
        "/console/<id>/<id>" => does("pages", "file", "A file of a build of the console")
            .sends("text/javascript; charset=utf-8"),
        "/console/<id>/vendor/<id>" => does(
            "pages",
            "vendored_file",
            "A library of a build of the console",
        )
        .sends("text/javascript; charset=utf-8"),
        "/healthz" => does("operating", "healthz", "Liveness probe").gives::<Health>(200),
        "/readyz" => does("operating", "readyz", "Readiness probe")
            .gives::<Health>(200)
            .gives::<Health>(503),
        "/metrics" => does("operating", "metrics", "Prometheus metrics")
            .note("For the addresses in `METRICS_ALLOW`.")
            .sends("text/plain; version=0.0.4; charset=utf-8")
            .or(403),
        _ => return None,
    })
}

/// What is done, as it is told.
struct Deed {
    tag: &'static str,
    id: String,
    summary: &'static str,
    notes: Vec<&'static str>,
    is_open: bool,
    query: Vec<Parameter>,
    body: Option<(Vec<&'static str>, RefOr<Schema>)>,
    answers: BTreeMap<u16, RefOr<Response>>,
    /// What may be done next with that whose `id` is in the answer.
    next: &'static [&'static str],
    schemas: Vec<(String, RefOr<Schema>)>,
}

impl Deed {
    fn new(tag: &'static str, id: &str, summary: &'static str) -> Self {
        Self {
            tag,
            id: id.into(),
            summary,
            notes: Vec::new(),
            is_open: false,
            query: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            next: &[],
            schemas: Vec::new(),
        }
    }

    fn note(mut self, note: &'static str) -> Self {
        self.notes.push(note);
        self
    }

    fn asks(mut self, name: &str, why: &str, schema: ObjectBuilder) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Query)
            .description(Some(why))
            .schema(Some(schema));
        self.query.push(parameter.build());
        self
    }

    fn takes<T: ToSchema>(mut self) -> Self {
        let schema = self.schema::<T>();
        self.body = Some((vec!["application/json"], schema));
        self.takes_any()
    }

    /// The same of a form that may have a file.
    fn takes_form(mut self, name: &str) -> Self {
        let kinds = vec!["application/json", "multipart/form-data"];
        self.body = Some((kinds, Ref::from_schema_name(name).into()));
        self.takes_any()
    }

    fn takes_any(self) -> Self {
        [400, 408, 413, 415].into_iter().fold(self, Self::or)
    }

    fn gives<T: ToSchema>(mut self, status: u16) -> Self {
        let schema = self.schema::<T>();
        self.answers
            .insert(status, answer("application/json", schema));
        self
    }

    fn lists<T: ToSchema>(mut self) -> Self {
        let schema = ArrayBuilder::new().items(self.schema::<T>());
        self.answers.insert(200, answer("application/json", schema));
        self
    }

    fn gives_nothing(mut self) -> Self {
        self.answers.insert(204, Response::new("Done").into());
        self
    }

    fn leads_to(mut self, next: &'static [&'static str]) -> Self {
        self.next = next;
        self
    }

    /// Something else than JSON, or JSON that says itself what it is.
    fn sends(mut self, kind: &str) -> Self {
        self.answers.insert(200, answer(kind, schema::empty()));
        self
    }

    /// Another type in which that is sent.
    fn or_sends(mut self, kind: &str) -> Self {
        if let Some(RefOr::T(answer)) = self.answers.get_mut(&200) {
            let content = ContentBuilder::new().schema(Some(schema::empty()));
            answer
                .content
                .insert(kind.to_owned(), content.build().into());
        }
        self
    }

    fn needs_cluster(self) -> Self {
        [400, 409, 502].into_iter().fold(self, Self::or)
    }

    /// A refusal that is the same everywhere.
    fn or(mut self, status: u16) -> Self {
        let (_, name, _) = REFUSALS
            .into_iter()
            .find(|(refusal, ..)| *refusal == status)
            .expect("only listed statuses are named above");
        self.answers
            .entry(status)
            .or_insert_with(|| Ref::from_response_name(name).into());
        self
    }

    fn open(mut self) -> Self {
        self.is_open = true;
        self
    }

    /// What holds of everything that is done with this endpoint.
    fn by(mut self, endpoint: Endpoint, method: &Method) -> Self {
        self.is_open = endpoint.is_open();
        if !endpoint.admits(method, Role::Editor) {
            self.notes.push("For admins.");
        } else if !endpoint.admits(method, Role::Viewer) {
            self.notes.push("For editors and admins.");
        }
        [403, 421, 429, 500, 503, 507]
            .into_iter()
            .fold(self, Self::or)
    }

    fn schema<T: ToSchema>(&mut self) -> RefOr<Schema> {
        T::schemas(&mut self.schemas);
        self.schemas.push((T::name().into(), T::schema()));
        Ref::from_schema_name(T::name()).into()
    }

    fn operation(self, path: &str, schemas: &mut BTreeMap<String, RefOr<Schema>>) -> Operation {
        schemas.extend(self.schemas);
        let mut operation = OperationBuilder::new()
            .tag(self.tag)
            .operation_id(Some(self.id))
            .summary(Some(self.summary));
        if !self.notes.is_empty() {
            operation = operation.description(Some(self.notes.join(" ")));
        }
        if self.is_open {
            operation = operation.securities(Some([]));
        }
        for parameter in in_path(path).chain(self.query) {
            operation = operation.parameter(parameter);
        }
        if let Some((kinds, schema)) = self.body {
            let mut body = RequestBodyBuilder::new().required(Some(Required::True));
            for kind in kinds {
                body = body.content(
                    kind,
                    ContentBuilder::new().schema(Some(schema.clone())).build(),
                );
            }
            operation = operation.request_body(Some(body.build()));
        }
        for (status, mut answer) in self.answers {
            if let (200..300, RefOr::T(answer)) = (status, &mut answer) {
                let links = self
                    .next
                    .iter()
                    .map(|next| (String::from(*next), link(next)));
                answer.links.extend(links);
            }
            operation = operation.response(status.to_string(), answer);
        }
        operation.build()
    }
}

/// Why a request was not answered as asked, by status: names the answer and says why.
const REFUSALS: [(u16, &str, &str); 14] = [
    (304, "NotModified", "Not modified"),
    (400, "Invalid", "The body or a parameter is invalid"),
    (
        403,
        "Forbidden",
        "Not signed in, or the role or the origin is not allowed",
    ),
    (404, "NotFound", "Not found"),
    (408, "TooSlow", "The body did not arrive in time"),
    (409, "Conflict", "The current state does not allow this"),
    (413, "TooLarge", "The body is too large"),
    (415, "UnknownType", "The content type is not supported"),
    (
        421,
        "Misdirected",
        "The request was sent to a host that is not in `ALLOWED_HOSTS`",
    ),
    (429, "TooMany", "Rate limit exceeded; see Retry-After"),
    (500, "Failed", "Internal error of the server"),
    (
        502,
        "ClusterFailed",
        "EMR refuses the call or does not answer",
    ),
    (
        503,
        "Unavailable",
        "The database cannot be reached, or a required setting is missing",
    ),
    (507, "Full", "The database has no space left"),
];

fn refusals() -> BTreeMap<String, RefOr<Response>> {
    let mut refusals = BTreeMap::new();
    for (status, name, why) in REFUSALS {
        let mut response = ResponseBuilder::new().description(why);
        if status != 304 {
            let problem = Ref::from_schema_name("Problem");
            let content = ContentBuilder::new().schema(Some(problem)).build();
            response = response.content("application/json", content);
        }
        if status == 429 {
            let seconds = ObjectBuilder::new().schema_type(Type::Integer);
            let header = HeaderBuilder::new()
                .schema(Some(seconds))
                .description(Some("In seconds"));
            response = response.header("Retry-After", header.build());
        }
        refusals.insert(name.to_owned(), response.build().into());
    }
    refusals
}

/// The schemas that no type has.
fn shared() -> BTreeMap<String, RefOr<Schema>> {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let messages = AdditionalProperties::RefOr(ArrayBuilder::new().items(text()).into());
    let problem = ObjectBuilder::new()
        .description(Some(
            "`detail` and `error` are messages for people; `request_id` identifies the request in \
             the server's log. `run_id` is a run that was created although EMR did not accept it. \
             Any other key is a field's name with its validation errors.",
        ))
        .property("detail", text())
        .property("error", text())
        .property("success", ObjectBuilder::new().schema_type(Type::Boolean))
        .property("run_id", uuid())
        .property("request_id", text())
        .additional_properties(Some(messages));
    let mut form = SourceChange::schema();
    if let RefOr::T(Schema::Object(form)) = &mut form {
        form.required.push("created_by".into());
    }
    BTreeMap::from([
        ("Problem".into(), problem.into()),
        ("SourceChange".into(), SourceChange::schema()),
        ("SourceForm".into(), form),
    ])
}

fn answer(kind: &str, schema: impl Into<RefOr<Schema>>) -> RefOr<Response> {
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new()
        .description("Done")
        .content(kind, content)
        .build()
        .into()
}

/// The way to an operation with the id that is in the answer.
fn link(operation: &str) -> RefOr<Link> {
    LinkBuilder::new()
        .operation_id(operation)
        .parameter("id", "$response.body#/id")
        .build()
        .into()
}

/// The parameters that a path names.
fn in_path(path: &str) -> impl Iterator<Item = Parameter> {
    let names = path
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split('}').next());
    names.map(|name| {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True);
        let parameter = match name {
            "id" => parameter.schema(Some(uuid())).example(Some(json!(EXAMPLE))),
            _ => parameter.schema(Some(ObjectBuilder::new().schema_type(Type::String))),
        };
        parameter.build()
    })
}

fn uuid() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
}
