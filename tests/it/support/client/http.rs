//! A browser-like HTTP client: it keeps cookies, sends an `Origin` when it has one, and speaks JSON.
//! It never follows a redirect and panics when the server can't be reached, for then a test has failed.

use serde_json::Value;

use super::wire::{Address, Request, Response};

/// One visitor: an address, a cookie jar and the page it came from.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    address: Address,
    cookies: Vec<(String, String)>,
    origin: Option<String>,
}

impl Http {
    pub(crate) fn new(base: &str) -> Self {
        Self {
            address: Address::parse(base),
            cookies: Vec::new(),
            origin: None,
        }
    }

    /// The same visitor, but on a page of that origin.
    pub(crate) fn on_page(mut self, origin: &str) -> Self {
        self.origin = Some(origin.to_owned());
        self
    }

    /// The same browser as `other`, as far as cookies tell.
    pub(crate) fn with_cookies_of(mut self, other: &Self) -> Self {
        self.cookies.clone_from(&other.cookies);
        self
    }

    /// The same visitor with one more cookie.
    pub(crate) fn with_cookie(mut self, name: &str, value: &str) -> Self {
        self.cookies.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn get(&mut self, path: &str) -> Call<'_> {
        self.call("GET", path)
    }

    pub(crate) fn post(&mut self, path: &str) -> Call<'_> {
        self.call("POST", path)
    }

    /// A request of any method, to be completed and sent.
    pub(crate) fn call(&mut self, method: &str, path: &str) -> Call<'_> {
        let mut request = Request::new(method, path);
        request.headers = self.headers();
        Call {
            visitor: self,
            request,
        }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// What a browser would send along by itself.
    pub(crate) fn headers(&self) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        if !self.cookies.is_empty() {
            let pairs: Vec<_> = self
                .cookies
                .iter()
                .map(|(n, v)| format!("{n}={v}"))
                .collect();
            headers.push(("Cookie".to_owned(), pairs.join("; ")));
        }
        if let Some(origin) = &self.origin {
            headers.push(("Origin".to_owned(), origin.clone()));
        }
        headers
    }

    fn keep_cookies(&mut self, response: &Response) {
        for (_, line) in response
            .headers
            .iter()
            .filter(|(name, _)| name == "set-cookie")
        {
            let pair = line.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.cookies.retain(|(kept, _)| kept != name);
            if !value.trim_matches('"').is_empty() && !line.contains("Max-Age=0") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
    }
}

/// A request under construction.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    visitor: &'a mut Http,
    request: Request,
}

impl Call<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request
            .headers
            .push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub(crate) fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.request.body = Some(body.into());
        self.header("Content-Type", content_type)
    }

    /// Sends `X-CSRFToken` as the cookie has it, as a page's script does.
    pub(crate) fn csrf(self) -> Self {
        let token = self
            .visitor
            .cookie("csrftoken")
            .unwrap_or_default()
            .to_owned();
        self.header("X-CSRFToken", &token)
    }

    pub(crate) async fn send(self) -> Response {
        let Self { visitor, request } = self;
        let response = request
            .send(&visitor.address)
            .await
            .unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.path));
        visitor.keep_cookies(&response);
        response
    }
}
