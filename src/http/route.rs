//! A path and what is served at it.

use uuid::Uuid;
use warp::http::Method;

use super::operation::Operation;
use crate::{auth::access::Access, sockets::Endpoint};

/// A path and what is served at it.
pub struct Route {
    /// The path as clients write it, where `<id>` stands for a row's id and any other name in angle
    /// brackets for one part of the path. Clients may leave out the last slash.
    pub path: &'static str,
    /// The section of the API document.
    pub(super) tag: &'static str,
    /// Whether all that holds for the API holds here: users, limits, answers in JSON.
    pub is_api: bool,
    pub(super) target: Target,
    /// What `Allow` names, in its order.
    methods: Vec<Method>,
}

/// What is served at a path.
pub(super) enum Target {
    /// Answers to HTTP requests, by method.
    Operations(Vec<Operation>),
    /// A WebSocket.
    Socket(&'static Endpoint),
}

impl Route {
    /// A route of the API.
    pub(super) fn new(
        tag: &'static str,
        path: &'static str,
        operations: impl Into<Vec<Operation>>,
    ) -> Self {
        let operations = operations.into();
        let served = operations.iter().flat_map(|it| it.methods).cloned();
        let mut methods: Vec<Method> = served.chain([Method::OPTIONS]).collect();
        methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        Self {
            path,
            tag,
            is_api: true,
            target: Target::Operations(operations),
            methods,
        }
    }

    /// A route beside the API, such as a page.
    pub(super) fn outside(
        tag: &'static str,
        path: &'static str,
        operations: impl Into<Vec<Operation>>,
    ) -> Self {
        Self {
            is_api: false,
            ..Self::new(tag, path, operations)
        }
    }

    pub(super) fn socket(endpoint: &'static Endpoint) -> Self {
        Self {
            path: endpoint.path,
            tag: "sockets",
            is_api: false,
            target: Target::Socket(endpoint),
            methods: Vec::new(),
        }
    }

    /// The parts of a request's path that stand for the names in this one; none where it is another
    /// path.
    pub(super) fn parts<'a>(&self, path: &'a str) -> Option<Vec<&'a str>> {
        let mut parts = without_last_slash(path).split('/');
        let mut named = Vec::new();
        for expected in without_last_slash(self.path).split('/') {
            let part = parts.next()?;
            if expected.starts_with('<') {
                if part.is_empty() {
                    return None;
                }
                named.push(part);
            } else if part != expected {
                return None;
            }
        }
        parts.next().is_none().then_some(named)
    }

    /// Whether each `<id>` is an id in the one spelling that paths have.
    pub(super) fn has_ids(&self, parts: &[&str]) -> bool {
        let names = self.path.split('/').filter(|name| name.starts_with('<'));
        names
            .zip(parts)
            .all(|(name, part)| name != "<id>" || id(part).is_some())
    }

    /// The methods of this path, in the order of `Allow`. Sockets have none.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// Who may use a method here; for a method that is not served, who may use any.
    pub fn access(&self, method: &Method) -> Access {
        match &self.target {
            Target::Socket(endpoint) => endpoint.access,
            Target::Operations(operations) => {
                let any = || operations.iter().map(|it| it.access).min();
                let served = self.operation(method).map(|it| it.access);
                served.or_else(any).unwrap_or(Access::Admin)
            }
        }
    }

    /// What a method does here.
    pub(super) fn operation(&self, method: &Method) -> Option<&Operation> {
        match &self.target {
            Target::Socket(_) => None,
            Target::Operations(operations) => {
                operations.iter().find(|it| it.methods.contains(method))
            }
        }
    }

    /// Whether it is a WebSocket.
    pub fn is_socket(&self) -> bool {
        matches!(self.target, Target::Socket(_))
    }
}

/// An id as paths have it.
pub(super) fn id(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (id.to_string() == text).then_some(id)
}

fn without_last_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}
