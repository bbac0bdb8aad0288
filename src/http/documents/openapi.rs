//! The `OpenAPI` document, made from the table of routes.

use utoipa::openapi::{
    Components, HttpMethod, InfoBuilder, License, OpenApi, OpenApiBuilder, PathItem, PathsBuilder,
    SecurityRequirement, Server,
    security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use warp::http::Method;

use super::{problems, schemas};
use crate::{
    auth::cookies::SESSION,
    http::route::{Route, Target},
};

const ABOUT: &str = "\
Sources, their counts and the pipeline, over HTTP. WebSockets send live changes; \
[/api/asyncapi.yaml](/api/asyncapi.yaml) describes them.

Sign in at `/api/login/`, or send a name and a password with each request. With a session cookie, \
POST, PUT, PATCH and DELETE need an allowed Origin. Each path also works without its last slash. \
Bodies may be JSON or forms. HEAD works wherever GET does. OPTIONS lists the methods of a path; \
other methods get 405.";

/// The document in JSON.
pub(in crate::http) fn json(routes: &[Route]) -> String {
    let document = document(routes).to_pretty_json();
    document.expect("it has text keys and no fallible parts")
}

fn document(routes: &[Route]) -> OpenApi {
    let mut schemas = schemas::shared();
    let mut paths = PathsBuilder::new();
    for route in routes {
        let Target::Operations(operations) = &route.target else {
            continue;
        };
        let path = route.path.replace('<', "{").replace('>', "}");
        let served = operations
            .iter()
            .flat_map(|operation| {
                operation
                    .methods
                    .iter()
                    .map(move |method| (method, operation))
            })
            .filter_map(|(method, operation)| Some((http(method)?, method, operation)));
        let is_one = served.clone().count() == 1;
        for (http, method, operation) in served {
            let mut description = operation.description.clone();
            if route.is_api {
                description = description.in_api(operation.access);
            }
            if path.contains('{') {
                description = description.or(404);
            }
            let suffix = match (is_one, method.as_str().to_lowercase()) {
                (true, _) => String::new(),
                (false, method) => format!("_{method}"),
            };
            let (tag, access) = (route.tag, operation.access);
            let operation = description.operation(tag, &suffix, access, &path, &mut schemas);
            paths = paths.path(path.clone(), PathItem::new(http, operation));
        }
    }
    let mut components = Components::new();
    components.schemas = schemas;
    components.responses = problems::responses();
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
