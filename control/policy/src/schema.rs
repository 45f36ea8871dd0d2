//! JSON Schemas of the two files, made of the tables that check them, so that an editor and `check` agree.

use serde_json::{Map, Value, json};

use crate::keys::appliance::APPLIANCE;
use crate::keys::policy::POLICY;
use crate::shape::{List, Named, Object, Presence, Shape, Text};

/// The schema of policy files.
pub fn policy() -> Value {
    document(&POLICY, "sekisho policy")
}

/// The schema of appliance files.
pub fn appliance() -> Value {
    document(&APPLIANCE, "sekisho appliance")
}

fn document(root: &'static Object, title: &str) -> Value {
    let mut schema = object(root);
    schema.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".into(), json!(title));
    Value::Object(schema)
}

fn shape(shape: &Shape) -> Value {
    match shape {
        Shape::Object(inner) => Value::Object(object(inner)),
        Shape::Named(inner) => named(inner),
        Shape::List(inner) => list(inner),
        Shape::Words(words) => json!({ "enum": words() }),
        Shape::Integer { min, max } if min == max => json!({ "const": min }),
        Shape::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Text(inner) => text(inner),
        Shape::Choice(shapes) => json!({ "anyOf": shapes.iter().map(self::shape).collect::<Vec<_>>() }),
    }
}

fn object(object: &'static Object) -> Map<String, Value> {
    let mut properties = Map::new();
    for field in object.fields {
        let mut property = shape(&field.shape);
        if let Value::Object(property) = &mut property {
            let description = match field.presence {
                Presence::Required => field.doc.to_owned(),
                Presence::Default(default) => format!("{} Left out: {default}.", field.doc),
            };
            property.insert("description".into(), json!(description));
        }
        properties.insert(field.key.into(), property);
    }
    let required: Vec<_> = object
        .fields
        .iter()
        .filter(|field| matches!(field.presence, Presence::Required))
        .map(|field| field.key)
        .collect();
    let mut schema = Map::new();
    schema.insert("type".into(), json!("object"));
    schema.insert("properties".into(), Value::Object(properties));
    schema.insert("additionalProperties".into(), json!(false));
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    if object.nonempty {
        schema.insert("minProperties".into(), json!(1));
    }
    schema
}

fn named(named: &Named) -> Value {
    json!({
        "type": "object",
        "propertyNames": { "pattern": named.pattern, "not": { "const": "any" } },
        "additionalProperties": shape(&named.value),
        "maxProperties": named.count_max,
    })
}

fn list(list: &List) -> Value {
    let item = shape(&list.item);
    let mut array = json!({ "type": "array", "items": item, "maxItems": list.count_max });
    if let Value::Object(array) = &mut array
        && !list.empty
    {
        array.insert("minItems".into(), json!(1));
    }
    if list.single { json!({ "anyOf": [item, array] }) } else { array }
}

fn text(text: &Text) -> Value {
    json!({ "type": "string", "pattern": text.pattern })
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
