//! The keys of the two files.

pub(crate) mod appliance;
pub(crate) mod policy;

use sekisho_engine::policy::Timeouts;

use crate::diagnostic::Fault;
use crate::shape::{Field, Presence, Shape, Text};
use crate::text::duration;

/// A key that must be there.
pub(crate) const fn required(key: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field { key, doc, presence: Presence::Required, shape }
}

/// A key that may be left out, and what is meant then.
pub(crate) const fn optional(
    key: &'static str,
    shape: Shape,
    default: &'static str,
    doc: &'static str,
) -> Field {
    Field { key, doc, presence: Presence::Default(default), shape }
}

/// The version of both files' language.
pub(crate) const VERSION: i64 = 1;

/// A span of time within what the engine can wait for.
pub(crate) const DURATION: Shape = Shape::Text(&Text {
    what: "a duration from 1ms to 20d, such as 30s or 2h4m",
    check: |text| duration::parse(text, Timeouts::MAX_MS).map(|_| ()),
    pattern: duration::PATTERN,
});

/// Any text that is not empty.
pub(crate) fn nonempty(text: &str) -> Result<(), Fault> {
    if text.trim().is_empty() {
        return Err(Fault::new("the text is empty", "write what is meant, or leave out the key"));
    }
    if text.contains('\0') {
        return Err(Fault::new("the text has a NUL character in it", "remove it"));
    }
    Ok(())
}

/// The path of a file.
pub(crate) const PATH: Shape =
    Shape::Text(&Text { what: "the path of a file", check: nonempty, pattern: r"\S" });
