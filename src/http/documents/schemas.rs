//! The schemas of bodies that no type of the server's has.

use std::collections::BTreeMap;

use utoipa::{
    PartialSchema,
    openapi::{
        ArrayBuilder, ObjectBuilder, RefOr, Schema, Type,
        schema::{AdditionalProperties, KnownFormat, SchemaFormat},
    },
};

use super::bodies::SourceChange;

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

/// A UUID.
pub(in crate::http) fn uuid() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
}
