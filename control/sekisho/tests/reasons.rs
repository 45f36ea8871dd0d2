//! docs/reasons.md is made from the vocabulary in the code.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::path::Path;

use sekisho_engine::reason::{Kind, Reason};

/// Titles of the tables, and what is in them.
const TABLES: [(Kind, &str); 4] = [
    (Kind::Forward, "Forwarded"),
    (Kind::Drop, "Dropped"),
    (Kind::End, "Ends of sessions"),
    (Kind::Send, "Frames of the appliance's own"),
];

fn tables() -> String {
    let mut text = String::new();
    for (kind, title) in TABLES {
        text += &format!("\n## {title}\n\n| reason | meaning |\n| --- | --- |\n");
        for reason in Reason::ALL.iter().filter(|reason| reason.kind() == kind) {
            text += &format!("| `{}` | {} |\n", reason.name(), reason.text());
        }
    }
    text
}

#[test]
fn the_documentation_is_that_of_the_code() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reasons.md");
    let begin = "<!-- from here to the end: made from the code -->\n";
    let document = std::fs::read_to_string(&file).unwrap();
    let (before, found) = document.split_once(begin).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, format!("{before}{begin}{}", tables())).unwrap();
    } else {
        assert!(
            found == tables(),
            "docs/reasons.md differs from the code: UPDATE_DOCS=1 cargo nextest run -p sekisho reasons"
        );
    }
}
