//! What the API document says of an operation. The table of routes and the types of the answers fill
//! it in.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::{
    ToSchema,
    openapi::{
        ArrayBuilder, ContentBuilder, ObjectBuilder, Ref, RefOr, Required, Response,
        ResponseBuilder, Schema, Type,
        link::{Link, LinkBuilder},
        path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema,
    },
};

use super::{problems, schemas::uuid};
use crate::auth::access::Access;

/// An id for paths, which a client that tries the document can replace.
const EXAMPLE: &str = "11111111-1111-4111-8111-111111111111";

/// What the API document says of an operation.
#[derive(Clone)]
pub(in crate::http) struct Description {
    id: &'static str,
    summary: &'static str,
    notes: Vec<&'static str>,
    query: Vec<Parameter>,
    body: Option<(Vec<&'static str>, RefOr<Schema>)>,
    answers: BTreeMap<u16, RefOr<Response>>,
    /// The operations that take the `id` in the answer.
    next: &'static [&'static str],
    schemas: Vec<(String, RefOr<Schema>)>,
}

impl Description {
    pub(in crate::http) fn new(id: &'static str, summary: &'static str) -> Self {
        Self {
            id,
            summary,
            notes: Vec::new(),
            query: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            next: &[],
            schemas: Vec::new(),
        }
    }

    /// Adds a sentence.
    pub(in crate::http) fn note(mut self, note: &'static str) -> Self {
        self.notes.push(note);
        self
    }

    /// Adds a parameter of the query.
    pub(in crate::http) fn asks(mut self, name: &str, why: &str, schema: ObjectBuilder) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Query)
            .description(Some(why))
            .schema(Some(schema));
        self.query.push(parameter.build());
        self
    }

    /// Takes a body, as JSON or as a form.
    pub(in crate::http) fn takes<T: ToSchema>(mut self) -> Self {
        let schema = self.schema::<T>();
        self.body = Some((vec!["application/json"], schema));
        self.takes_any()
    }

    /// Takes a form that may have a file; `name` is its schema.
    pub(in crate::http) fn takes_form(mut self, name: &str) -> Self {
        let kinds = vec!["application/json", "multipart/form-data"];
        self.body = Some((kinds, Ref::from_schema_name(name).into()));
        self.takes_any()
    }

    fn takes_any(self) -> Self {
        [400, 408, 413, 415].into_iter().fold(self, Self::or)
    }

    pub(in crate::http) fn answers_with<T: ToSchema>(&mut self, status: u16) {
        let schema = self.schema::<T>();
        self.answers
            .insert(status, answer("application/json", schema));
    }

    pub(in crate::http) fn answers_with_list<T: ToSchema>(&mut self) {
        let schema = ArrayBuilder::new().items(self.schema::<T>());
        self.answers.insert(200, answer("application/json", schema));
    }

    pub(in crate::http) fn answers_without_body(&mut self) {
        self.answers.insert(204, Response::new("Done").into());
    }

    /// Names the operations that take the `id` in the answer.
    pub(in crate::http) fn leads_to(mut self, next: &'static [&'static str]) -> Self {
        self.next = next;
        self
    }

    /// Also answers with this status and body.
    pub(in crate::http) fn gives<T: ToSchema>(mut self, status: u16) -> Self {
        self.answers_with::<T>(status);
        self
    }

    /// Answers with a list of these.
    pub(in crate::http) fn lists<T: ToSchema>(mut self) -> Self {
        self.answers_with_list::<T>();
        self
    }

    /// Answers with a body of a media type that says itself what it is.
    pub(in crate::http) fn sends(mut self, kind: &str) -> Self {
        let content = ContentBuilder::new().schema(Some(schema::empty())).build();
        let empty = || ResponseBuilder::new().description("Done").build();
        let answer = self.answers.entry(200).or_insert_with(|| empty().into());
        if let RefOr::T(answer) = answer {
            answer.content.insert(kind.to_owned(), content.into());
        }
        self
    }

    /// Calls EMR.
    pub(in crate::http) fn needs_cluster(self) -> Self {
        [400, 409, 502].into_iter().fold(self, Self::or)
    }

    /// May be refused with this status.
    pub(in crate::http) fn or(mut self, status: u16) -> Self {
        let name = problems::name(status);
        self.answers
            .entry(status)
            .or_insert_with(|| Ref::from_response_name(name).into());
        self
    }

    /// What holds for all operations of the API.
    pub(super) fn in_api(mut self, access: Access) -> Self {
        match access {
            Access::Editor => self.notes.push("For editors and admins."),
            Access::Admin => self.notes.push("For admins."),
            Access::Public | Access::Reader | Access::Viewer | Access::Operator => {}
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

    /// The operation as the document has it. Adds the schemas that it needs.
    pub(super) fn operation(
        self,
        tag: &str,
        suffix: &str,
        access: Access,
        path: &str,
        schemas: &mut BTreeMap<String, RefOr<Schema>>,
    ) -> Operation {
        schemas.extend(self.schemas);
        let mut operation = OperationBuilder::new()
            .tag(tag)
            .operation_id(Some(format!("{}{suffix}", self.id)))
            .summary(Some(self.summary));
        if !self.notes.is_empty() {
            operation = operation.description(Some(self.notes.join(" ")));
        }
        if access.is_without_user() {
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
