//! Who signs in, and how: accounts and headers.

use serde_json::json;

use super::{
    client::{Http, Response},
    server::ORIGIN,
};

pub fn basic(name: &str, password: &str) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("{name}:{password}"))
    )
}

pub async fn register(base: &str, name: &str, password: &str) -> Response {
    let mut visitor = Http::new(base).on_page(ORIGIN);
    let body = json!({
        "username": name, "email": "jane@example.com", "password": password, "confirm_password": password,
    });
    visitor.post("/api/register/").json(&body).send().await
}

/// What the visitor's browser would send along, as it goes on the wire.
pub fn lines(visitor: &Http) -> String {
    let headers = visitor.headers().into_iter();
    let lines: Vec<_> = headers
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    lines.concat()
}
