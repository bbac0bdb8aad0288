//! The table of routes: each path with its methods, who may use them, their handlers and their
//! documentation. Nothing else is answered.

use std::sync::LazyLock;

use utoipa::openapi::{ObjectBuilder, Type};
use warp::http::Method;

use super::{
    accounts,
    documents::{
        self,
        bodies::{Credentials, Job, PasswordChange, Registration, RunRequest, UserChange},
        description::Description,
        schemas::uuid,
    },
    health::{self, Health},
    metrics,
    operation::{Call, Operation, Viewer, get, post},
    page,
    route::Route,
    runs, source_pages, sources, uploads, users,
};
use crate::{
    db::sources::Source,
    reply::{Problem, Response},
    sockets::ENDPOINTS,
};

/// Every path that is answered.
pub static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(|| {
    let mut routes = Vec::new();
    routes.extend(pages());
    routes.extend(probes());
    routes.extend(people());
    routes.extend(sources());
    routes.extend(statuses());
    routes.extend(files());
    routes.extend(pipeline());
    routes.extend(about());
    routes.extend(ENDPOINTS.iter().map(Route::socket));
    routes
});

/// The route at a path, and the parts of the path that vary.
pub(super) fn at(path: &str) -> Option<(&'static Route, Vec<&str>)> {
    let mut routes = ROUTES.iter();
    routes.find_map(|route| Some((route, route.parts(path)?)))
}

/// Where in the table the route at a path is.
pub(super) fn position(path: &str) -> Option<usize> {
    ROUTES.iter().position(|route| route.parts(path).is_some())
}

const LOGOUT: &[Method] = &[
    Method::DELETE,
    Method::GET,
    Method::PATCH,
    Method::POST,
    Method::PUT,
];
const REPLACE: &[Method] = &[Method::POST, Method::PUT];
const DELETE: &[Method] = &[Method::DELETE];
const DELETE_OR_POST: &[Method] = &[Method::DELETE, Method::POST];
const PATCH: &[Method] = &[Method::PATCH];

const COUNTS: &str = "\
The counts, in three sections: sources created in the past 30 days, deliveries of all sources, and \
pipeline runs of the past 30 days";

fn pages() -> Vec<Route> {
    let page = |path, operation: Operation| Route::outside("pages", path, [operation]);
    vec![
        page(
            "/",
            get("console", "The console, for browsers", page::console).described(|it| {
                it.note("Other clients get a JSON summary.")
                    .sends("text/html; charset=utf-8")
                    .sends("application/json")
                    .or(304)
                    .or(404)
            }),
        ),
        page(
            "/api/docs",
            get("docs", "Interactive API documentation", page::docs)
                .described(|it| it.sends("text/html; charset=utf-8").or(304)),
        ),
        page(
            "/console/<build>/<file>",
            get("file", "A file of a build of the console", page::file)
                .described(|it| it.sends("text/javascript; charset=utf-8")),
        ),
        page(
            "/console/<build>/vendor/<file>",
            get(
                "vendored_file",
                "A library of a build of the console",
                page::vendored_file,
            )
            .described(|it| it.sends("text/javascript; charset=utf-8")),
        ),
    ]
}

fn probes() -> Vec<Route> {
    let probe = |path, operation: Operation| Route::outside("operating", path, [operation]);
    vec![
        probe("/healthz", get("healthz", "Liveness probe", health::alive)),
        probe(
            "/readyz",
            get("readyz", "Readiness probe", health::ready)
                .described(|it| it.gives::<Health>(200).gives::<Health>(503)),
        ),
        probe(
            "/metrics",
            get("metrics", "Prometheus metrics", metrics::show).described(|it| {
                it.note("For the addresses in `METRICS_ALLOW`.")
                    .sends("text/plain; version=0.0.4; charset=utf-8")
                    .or(403)
            }),
        ),
        Route::new(
            "operating",
            "/api/health/",
            [get("health", "Server status", health::report)],
        ),
    ]
}

fn people() -> Vec<Route> {
    let route = |path, operations: Vec<Operation>| Route::new("people", path, operations);
    vec![
        route(
            "/api/register/",
            vec![
                post("register", "Creates a user", accounts::register)
                    .described(Description::takes::<Registration>),
            ],
        ),
        route(
            "/api/login/",
            vec![
                post("login", "Signs in; sets two cookies", accounts::login)
                    .described(Description::takes::<Credentials>),
            ],
        ),
        route(
            "/api/logout/",
            vec![
                Operation::new(LOGOUT, "logout", "Signs out", accounts::logout).described(|it| {
                    it.note(
                        "All but GET must repeat the cookie `csrftoken` in the header \
                         `X-CSRFToken`.",
                    )
                }),
            ],
        ),
        route(
            "/api/logout-everywhere/",
            vec![post(
                "logout_everywhere",
                "Ends all sessions of the user",
                accounts::logout_everywhere,
            )],
        ),
        route(
            "/api/password/",
            vec![
                post(
                    "change_password",
                    "Changes the user's password",
                    accounts::change_password,
                )
                .described(|it| {
                    it.note("All other sessions of the user end.")
                        .takes::<PasswordChange>()
                }),
            ],
        ),
        route(
            "/api/me/",
            vec![get("me", "The current user and role", users::me).described(|it| it.or(404))],
        ),
        route(
            "/api/users/",
            vec![get("list_users", "Lists all users by name", users::list)],
        ),
        route(
            "/api/users/<id>/",
            vec![
                Operation::new(DELETE, "user", "Deletes a user", users::delete)
                    .described(|it| it.or(409)),
                Operation::new(PATCH, "user", "Changes a user", users::change)
                    .described(|it| it.takes::<UserChange>().or(409)),
            ],
        ),
    ]
}

fn sources() -> Vec<Route> {
    let route = |path, operations: Vec<Operation>| Route::new("sources", path, operations);
    vec![
        route(
            "/api/add-source/",
            vec![
                post("add_source", "Adds a source", sources::add).described(|it| {
                    it.takes_form("SourceForm").or(409).leads_to(&[
                        "update_source_patch",
                        "delete_source_delete",
                        "activate_source_post",
                        "deactivate_source_post",
                        "reactivate_source",
                    ])
                }),
            ],
        ),
        route(
            "/api/add-demo/",
            vec![
                post(
                    "add_demo",
                    "Adds the sample sources that are missing",
                    sources::add_demo,
                )
                .described(|it| it.or(409)),
            ],
        ),
        route(
            "/api/read-source/",
            vec![
                get("read_sources", "Every source, newest first", sources::read)
                    .limits_itself()
                    .described(Description::lists::<Source>),
            ],
        ),
        route(
            "/api/sources/",
            vec![
                get(
                    "find_sources",
                    "A page of sources, filtered and ordered",
                    source_pages::read,
                )
                .described(source_pages::describe),
            ],
        ),
        route(
            "/api/data-library/",
            vec![get("data_library", COUNTS, sources::library)],
        ),
        route(
            "/api/update-source/<id>/",
            vec![
                Operation::new(
                    PATCH,
                    "update_source",
                    "Changes some fields of a source",
                    sources::update,
                )
                .described(|it| it.takes_form("SourceChange").or(409)),
                Operation::new(
                    REPLACE,
                    "update_source",
                    "Changes a source",
                    sources::replace,
                )
                .described(|it| {
                    it.note("Omitted fields keep their values, but `created_by` is required.")
                        .takes_form("SourceForm")
                        .or(409)
                }),
            ],
        ),
        route(
            "/api/delete-source/<id>/",
            vec![
                Operation::new(
                    DELETE_OR_POST,
                    "delete_source",
                    "Deletes a source",
                    sources::delete,
                )
                .described(|it| it.or(409)),
            ],
        ),
    ]
}

fn statuses() -> Vec<Route> {
    let route = |path, operations: Vec<Operation>| Route::new("sources", path, operations);
    vec![
        route(
            "/api/activate-source/<id>/",
            vec![
                Operation::new(
                    REPLACE,
                    "activate_source",
                    "Activates a source",
                    sources::activate,
                )
                .described(|it| it.or(409)),
            ],
        ),
        route(
            "/api/deactivate-source/<id>/",
            vec![
                Operation::new(
                    REPLACE,
                    "deactivate_source",
                    "Deactivates a source",
                    sources::deactivate,
                )
                .described(|it| it.or(409)),
            ],
        ),
        route(
            "/api/reactivate-source/<id>/",
            vec![
                post(
                    "reactivate_source",
                    "Reactivates a source",
                    sources::reactivate,
                )
                .described(|it| it.or(409)),
            ],
        ),
    ]
}

fn files() -> Vec<Route> {
    let route = |path, operations: Vec<Operation>| Route::new("sources", path, operations);
    let file = |id| get(id, "The file of a source", uploads::fetch);
    vec![
        route(
            "/api/uploads/<id>/",
            vec![file("upload").described(|it| it.sends("application/octet-stream"))],
        ),
        route(
            "/api/uploads/<id>/<file>/",
            vec![file("upload_by_name").described(|it| {
                it.note("The name is for clients that save the file by it.")
                    .sends("application/octet-stream")
            })],
        ),
    ]
}

fn pipeline() -> Vec<Route> {
    let route = |path, operations: Vec<Operation>| Route::new("pipeline", path, operations);
    let text = || ObjectBuilder::new().schema_type(Type::String);
    vec![
        route(
            "/api/pipeline/",
            vec![get(
                "pipeline",
                "Which steps and jobs may be started, and whether the server can start them",
                runs::pipeline,
            )],
        ),
        route(
            "/api/pipeline-steps/",
            vec![get(
                "list_steps",
                "The pipeline's steps, in order",
                runs::steps,
            )],
        ),
        route(
            "/api/pipeline-runs/",
            vec![
                get("list_runs", "The newest runs, newest first", runs::list).described(|it| {
                    it.asks("source", "Only runs of this source", uuid())
                        .asks("state", "Only runs in this state", text())
                        .or(400)
                }),
                post("start_run", "Starts a step or a packaged job", runs::start).described(|it| {
                    it.note("Waits up to 20 s until EMR has accepted the run.")
                        .takes::<RunRequest>()
                        .needs_cluster()
                        .or(404)
                }),
            ],
        ),
        route(
            "/api/pipeline-runs/<id>/",
            vec![get("run", "A run and its history", runs::one)],
        ),
        route(
            "/api/pipeline-runs/<id>/cancel/",
            vec![
                post("cancel_run", "Cancels a run", runs::cancel)
                    .described(|it| it.note("409 if the run has ended.").needs_cluster()),
            ],
        ),
        route(
            "/emrrunner/start",
            vec![
                post("start_job", "Starts a packaged job", runs::start_job)
                    .described(|it| it.takes::<Job>().needs_cluster()),
            ],
        ),
    ]
}

fn about() -> Vec<Route> {
    let route = |path, operation| Route::new("documents", path, [operation]);
    vec![
        route(
            "/api/openapi.json",
            get("openapi", "This document", openapi).described(|it| it.sends("application/json")),
        ),
        route(
            "/api/asyncapi.yaml",
            get(
                "asyncapi",
                "The AsyncAPI document of the sockets",
                documents::asyncapi,
            )
            .described(|it| it.sends("application/yaml")),
        ),
    ]
}

/// The document of this table.
async fn openapi(_: Call<Viewer>) -> Result<Response, Problem> {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| documents::openapi::json(&ROUTES));
    Ok(documents::text("application/json", &DOCUMENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00000000-0000-4000-8000-00000000000a";

    #[test]
    fn paths_are_exact_except_for_the_last_slash() {
        for (path, route) in [
            ("/", Some("/")),
            ("", Some("/")),
            ("//", None),
            ("/healthz", Some("/healthz")),
            ("/healthz/", Some("/healthz")),
            ("/api/login/", Some("/api/login/")),
            ("/api/login", Some("/api/login/")),
            ("/api/login//", None),
            ("/api/login/7", None),
            ("/API/login/", None),
            ("/api/", None),
            ("/api", None),
            ("/login/", None),
            ("/api/read-source/x/", None),
            ("/api/update-source/{id}/", Some("/api/update-source/<id>/")),
            ("/api/update-source/{id}", Some("/api/update-source/<id>/")),
            ("/api/update-source/", None),
            ("/api/update-source//", None),
            ("/api/update-source/{id}/x/", None),
            ("/api/pipeline-runs/", Some("/api/pipeline-runs/")),
            ("/api/pipeline-runs/{id}/", Some("/api/pipeline-runs/<id>/")),
            (
                "/api/pipeline-runs/{id}/cancel/",
                Some("/api/pipeline-runs/<id>/cancel/"),
            ),
            ("/api/pipeline-runs//cancel/", None),
            ("/api/uploads/{id}/a.csv", Some("/api/uploads/<id>/<file>/")),
            ("/api/uploads/{id}//", None),
            ("/api/uploads/{id}/a/b", None),
            ("/emrrunner/start", Some("/emrrunner/start")),
            ("/ws/EMRConsumer", Some("/ws/EMRConsumer/")),
            ("/ws/emrconsumer/", None),
        ] {
            let path = path.replace("{id}", ID);
            let found = at(&path).map(|(route, _)| route.path);
            assert_eq!(found, route, "{path}");
        }
    }

    #[test]
    fn an_id_has_one_spelling() {
        for (id, is_one) in [
            (ID.to_owned(), true),
            (ID.to_uppercase(), false),
            (ID.replace('-', ""), false),
            ("1".to_owned(), false),
            ("cancel".to_owned(), false),
        ] {
            let path = format!("/api/pipeline-runs/{id}/");
            let (route, parts) = at(&path).unwrap();
            assert_eq!(route.has_ids(&parts), is_one, "{id}");
        }
    }

    #[test]
    fn each_method_of_a_path_is_served_once() {
        for route in ROUTES.iter() {
            let mut methods: Vec<_> = route.methods().iter().map(Method::as_str).collect();
            let all = methods.len();
            methods.dedup();
            assert_eq!(methods.len(), all, "{}", route.path);
        }
    }
}
