//! The schemas of bodies that no type of the server's has.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ArrayBuilder, Object, ObjectBuilder, RefOr, Schema, Type,
        schema::{AdditionalProperties, KnownFormat, SchemaFormat, SchemaType},
    },
};

use crate::{
    bodies::Section,
    db::{
        changes::Change,
        sources::{AUTHOR, Card, FIELDS, Kind},
    },
    sockets::ENDPOINTS,
};

/// The schemas, by name.
pub(super) fn shared() -> BTreeMap<String, RefOr<Schema>> {
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
    let change = source(date);
    let mut form = change.clone();
    form.required.push(AUTHOR.into());
    BTreeMap::from([
        ("Problem".into(), problem.into()),
        ("SourceChange".into(), change.into()),
        ("SourceForm".into(), form.into()),
    ])
}

/// A UUID.
pub(in crate::http) fn uuid() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
}

/// The fields of a source that clients set; `date` is the schema of a date.
fn source(date: fn() -> ObjectBuilder) -> Object {
    let nullable = || SchemaType::from_iter([Type::String, Type::Null]);
    let mut form = ObjectBuilder::new().description(Some(
        "Fields of a source; omitted fields keep their values, or get their defaults.",
    ));
    for field in FIELDS {
        let mut property = match field.kind {
            Kind::Text { max, blank } => ObjectBuilder::new()
                .schema_type(Type::String)
                .min_length((!blank).then_some(1))
                .max_length(Some(max)),
            Kind::Date => date(),
            Kind::File => ObjectBuilder::new()
                .schema_type(nullable())
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary))),
        };
        if !field.about.is_empty() {
            property = property.description(Some(field.about));
        }
        if let Some(example) = field.example {
            property = property.examples([json!(example)]);
        }
        form = form.property(field.name, property);
    }
    form.build()
}

fn date() -> ObjectBuilder {
    date_or_word().format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)))
}

/// Over sockets, words stand for no date.
fn date_or_word() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::String, Type::Null]))
}

/// The schemas of what sockets send and take: lines of YAML, indented by four.
pub(super) fn of_sockets() -> String {
    let mut schemas = Vec::new();
    for endpoint in ENDPOINTS {
        endpoint.add_schemas(&mut schemas);
    }
    Change::schemas(&mut schemas);
    schemas.extend([
        ("card".into(), Card::schema()),
        ("section".into(), Section::schema()),
        ("change".into(), Change::schema()),
        ("form".into(), source(date_or_word).into()),
    ]);
    let lines = schemas.iter().map(|(name, schema)| {
        // JSON is YAML.
        let schema = serde_json::to_string(schema).expect("it has text keys");
        format!("    {name}: {schema}\n")
    });
    lines.collect()
}
