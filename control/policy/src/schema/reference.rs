//! The reference of all keys in the documentation, made of the tables that check the files.

use std::fmt::Write;

use crate::shape::{Object, Presence, Shape};

/// A table for the object and for each object in it.
pub(super) fn markdown(root: &'static Object) -> String {
    let mut text = String::new();
    section(root, "", &mut text);
    text
}

fn section(object: &'static Object, path: &str, text: &mut String) {
    let title = if path.is_empty() { "top of the file" } else { path };
    let code = if path.is_empty() { title.to_owned() } else { format!("`{title}`") };
    writeln!(text, "### {code}\n").unwrap();
    writeln!(text, "| key | value | left out | meaning |\n| --- | --- | --- | --- |").unwrap();
    for field in object.fields {
        let left_out = match field.presence {
            Presence::Required => "**refused**".to_owned(),
            Presence::Default(default) => default.to_owned(),
        };
        let row = [format!("`{}`", field.key), value(&field.shape), left_out, field.doc.to_owned()];
        writeln!(text, "| {} |", row.map(|cell| cell.replace('|', "\\|")).join(" | ")).unwrap();
    }
    text.push('\n');
    for field in object.fields {
        let path = if path.is_empty() { field.key.to_owned() } else { format!("{path}.{}", field.key) };
        inner(&field.shape, &path, text);
    }
}

/// The sections of objects inside a shape.
fn inner(shape: &'static Shape, path: &str, text: &mut String) {
    match shape {
        Shape::Object(object) if object.fields.len() > 1 || !path.ends_with(']') => {
            section(object, path, text)
        }
        Shape::Named(named) => inner(&named.value, &format!("{path}.NAME"), text),
        Shape::List(list) => inner(&list.item, &format!("{path}[]"), text),
        Shape::Choice(shapes) => shapes.iter().for_each(|shape| inner(shape, path, text)),
        _ => {}
    }
}

fn value(shape: &Shape) -> String {
    match shape {
        Shape::Words(words) => words().iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Shape::Object(object) if object.fields.len() == 1 => {
            let field = &object.fields[0];
            format!("`{{{}: …}}` with {}", field.key, value(&field.shape))
        }
        Shape::Object(_) => "a mapping, below".to_owned(),
        Shape::Named(named) => format!("a mapping of names, at most {}", named.count_max),
        Shape::List(list) if list.single => format!("{}; or a list of such", value(&list.item)),
        Shape::List(list) => format!("a list, each {}", value(&list.item)),
        Shape::Choice(shapes) => shapes.iter().map(value).collect::<Vec<_>>().join("; or "),
        Shape::Flag => "`true`, `false`".to_owned(),
        _ => shape.expected(),
    }
}
