//! The shape of a file as a table: which keys there are, what stands behind them, what is meant when they are left
//! out. The check of a file, its JSON Schema and the reference in the documentation all come from these tables.

use crate::diagnostic::{Fault, Report, either, nearest, quoted};
use crate::yaml::{Node, Scalar, ScalarKind, Value};

/// What may stand in a place.
#[derive(Debug)]
pub(crate) enum Shape {
    /// A mapping with keys of ours.
    Object(&'static Object),
    /// A mapping whose keys are names that the user picks.
    Named(&'static Named),
    /// A list.
    List(&'static List),
    /// One of a few words.
    Words(fn() -> Vec<&'static str>),
    /// A whole number in a range.
    Integer {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// `true` or `false`.
    Flag,
    /// A text in a language of its own.
    Text(&'static Text),
    /// One of several, told apart by what kind of value stands there.
    Choice(&'static [Shape]),
}

/// A mapping with keys of ours.
#[derive(Debug)]
pub(crate) struct Object {
    /// What it is, for messages: `a rule`.
    pub(crate) what: &'static str,
    /// Its keys.
    pub(crate) fields: &'static [Field],
    /// Whether one of the keys at least must be there.
    pub(crate) nonempty: bool,
}

/// A key of an [`Object`].
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) key: &'static str,
    /// What it is for, one sentence for editors and the documentation.
    pub(crate) doc: &'static str,
    pub(crate) presence: Presence,
    pub(crate) shape: Shape,
}

/// Whether a key may be left out.
#[derive(Debug)]
pub(crate) enum Presence {
    /// It may not.
    Required,
    /// It may; this says what is meant then.
    Default(&'static str),
}

/// A mapping whose keys are names.
#[derive(Debug)]
pub(crate) struct Named {
    /// What it is, for messages: `zones`.
    pub(crate) what: &'static str,
    /// Checks a name.
    pub(crate) name: fn(&str) -> Result<(), Fault>,
    /// The same for the schema.
    pub(crate) pattern: &'static str,
    pub(crate) value: Shape,
    pub(crate) count_max: usize,
}

/// A list.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) item: Shape,
    /// Whether a single value may stand without the brackets.
    pub(crate) single: bool,
    /// Whether it may be empty.
    pub(crate) empty: bool,
    pub(crate) count_max: usize,
}

/// A text in a language of its own.
#[derive(Debug)]
pub(crate) struct Text {
    /// What it is: `a duration such as 30s`.
    pub(crate) what: &'static str,
    pub(crate) check: fn(&str) -> Result<(), Fault>,
    /// The same for the schema, as far as a pattern can say it.
    pub(crate) pattern: &'static str,
}

impl Shape {
    /// Reports everything about `node` that is not of this shape. `label` is the key it stands behind.
    pub(crate) fn check(&self, node: &Node, label: &str, report: &mut Report) {
        match (self, &node.value) {
            (_, Value::Invalid) => {}
            (Self::Choice(shapes), _) => match shapes.iter().find(|shape| shape.takes(node)) {
                Some(shape) => shape.check(node, label, report),
                None => match shapes.iter().find(|shape| shape.takes_words() && node.text().is_some()) {
                    Some(words) => words.check(node, label, report),
                    None => self.refuse(node, label, report),
                },
            },
            (Self::List(list), Value::List(items)) => list.check(node, items, label, report),
            (Self::List(list), _) if list.single => list.item.check(node, label, report),
            (Self::Object(object), Value::Mapping(_)) => object.check(node, report),
            (Self::Named(named), Value::Mapping(_)) => named.check(node, report),
            (Self::Flag, Value::Scalar(Scalar { kind: ScalarKind::Flag(_), .. })) => {}
            (
                Self::Integer { min, max },
                Value::Scalar(Scalar { kind: ScalarKind::Integer(number), text }),
            ) => {
                if number < min || number > max {
                    report.error(
                        node.place,
                        format!("{label}: {text} is out of range"),
                        format!("write {}", self.expected()),
                    );
                }
            }
            (Self::Words(words), Value::Scalar(scalar)) => check_word(&words(), scalar, node, label, report),
            (Self::Text(text), Value::Scalar(scalar)) => text.check(scalar, node, label, report),
            _ => self.refuse(node, label, report),
        }
    }

    /// Whether `node` is of the kind of value that this shape speaks of.
    fn takes(&self, node: &Node) -> bool {
        match (self, &node.value) {
            (Self::Choice(shapes), _) => shapes.iter().any(|shape| shape.takes(node)),
            (Self::List(list), value) => {
                matches!(value, Value::List(_)) || (list.single && list.item.takes(node))
            }
            (Self::Object(_) | Self::Named(_), Value::Mapping(_)) => true,
            (Self::Flag, Value::Scalar(scalar)) => matches!(scalar.kind, ScalarKind::Flag(_)),
            (Self::Integer { .. }, Value::Scalar(scalar)) => matches!(scalar.kind, ScalarKind::Integer(_)),
            (Self::Words(words), Value::Scalar(scalar)) => {
                words().contains(&&*scalar.text) && scalar.kind == ScalarKind::Text
            }
            (Self::Text(_), Value::Scalar(scalar)) => scalar.kind == ScalarKind::Text,
            _ => false,
        }
    }

    fn takes_words(&self) -> bool {
        matches!(self, Self::Words(_))
    }

    /// What should stand here, for messages.
    pub(crate) fn expected(&self) -> String {
        match self {
            Self::Object(object) => format!("{} as a mapping", object.what),
            Self::Named(named) => format!("a mapping from names to {}", named.what),
            Self::List(list) if list.single => format!("{}, or a list of such", list.item.expected()),
            Self::List(list) => format!("a list, each item {}", list.item.expected()),
            Self::Words(words) => either(&words()),
            Self::Integer { min, max } if min == max => min.to_string(),
            Self::Integer { min, max } => format!("a number from {min} to {max}"),
            Self::Flag => "true or false".to_owned(),
            Self::Text(text) => text.what.to_owned(),
            Self::Choice(shapes) => either(&shapes.iter().map(Self::expected).collect::<Vec<_>>()),
        }
    }

    fn refuse(&self, node: &Node, label: &str, report: &mut Report) {
        let expected = self.expected();
        let (message, remedy) = match &node.value {
            Value::Null => {
                (format!("{label}: nothing stands here"), format!("write {expected}, or leave out the key"))
            }
            Value::Scalar(Scalar { text, kind: ScalarKind::Text }) if self.takes_bare(text) => {
                (format!("{label}: {} is quoted", quoted(text)), format!("write it without quotes: {text}"))
            }
            _ => (format!("{label}: {} stands here", node.describe()), format!("write {expected}")),
        };
        report.error(node.place, message, remedy);
    }

    /// Whether the text would fit without its quotes.
    fn takes_bare(&self, text: &str) -> bool {
        match self {
            Self::Integer { .. } => text.parse::<i64>().is_ok(),
            Self::Flag => matches!(text, "true" | "false"),
            Self::Choice(shapes) => shapes.iter().any(|shape| shape.takes_bare(text)),
            Self::List(list) => list.single && list.item.takes_bare(text),
            _ => false,
        }
    }
}

impl Object {
    fn check(&self, node: &Node, report: &mut Report) {
        for entry in node.entries() {
            match self.fields.iter().find(|field| field.key == &*entry.key) {
                Some(field) => field.shape.check(&entry.node, field.key, report),
                None => {
                    let message = format!("{} has no key {}", self.what, quoted(&entry.key));
                    report.error(entry.place, message, self.remedy_for(&entry.key));
                }
            }
        }
        for field in self.fields {
            if matches!(field.presence, Presence::Required) && node.get(field.key).is_none() {
                let message = format!("{} lacks its {}", self.what, quoted(field.key));
                let remedy = format!("add \"{}:\" with {}", field.key, field.shape.expected());
                report.error(node.place, message, remedy);
            }
        }
        if self.nonempty && node.entries().is_empty() {
            let keys: Vec<_> = self.fields.iter().map(|field| field.key).collect();
            report.error(
                node.place,
                format!("{} is empty", self.what),
                format!("give it {}, or leave it out", either(&keys)),
            );
        }
    }

    fn remedy_for(&self, key: &str) -> String {
        let keys = self.fields.iter().map(|field| field.key);
        match nearest(key, keys.clone()) {
            Some(meant) => format!("did you mean {}?", quoted(meant)),
            None => format!("its keys are {}", keys.collect::<Vec<_>>().join(", ")),
        }
    }
}

impl Named {
    fn check(&self, node: &Node, report: &mut Report) {
        let entries = node.entries();
        for entry in entries {
            if let Err(fault) = (self.name)(&entry.key) {
                report.fault(entry.place, fault);
            }
            self.value.check(&entry.node, &entry.key, report);
        }
        if entries.len() > self.count_max {
            let place = entries[self.count_max].place;
            let message = format!("there are {} {}", entries.len(), self.what);
            report.error(
                place,
                message,
                format!("{} is the most; this one and those after it are too many", self.count_max),
            );
        }
    }
}

impl List {
    fn check(&self, node: &Node, items: &[Node], label: &str, report: &mut Report) {
        for item in items {
            self.item.check(item, label, report);
        }
        if items.is_empty() && !self.empty {
            let remedy = format!("write {}, or leave out the key", self.item.expected());
            report.error(node.place, format!("{label}: the list is empty and matches nothing"), remedy);
        }
        if items.len() > self.count_max {
            let message = format!("{label}: there are {} items", items.len());
            let remedy = format!("{} is the most; this one and those after it are too many", self.count_max);
            report.error(items[self.count_max].place, message, remedy);
        }
    }
}

impl Text {
    fn check(&self, scalar: &Scalar, node: &Node, label: &str, report: &mut Report) {
        match ((self.check)(&scalar.text), scalar.kind) {
            (Err(fault), _) => report.fault(node.place, fault),
            (Ok(()), ScalarKind::Text) => {}
            (Ok(()), _) => {
                let message = format!("{label}: {} stands here", node.describe());
                report.error(node.place, message, format!("put it in quotes: {}", quoted(&scalar.text)));
            }
        }
    }
}

fn check_word(words: &[&str], scalar: &Scalar, node: &Node, label: &str, report: &mut Report) {
    if scalar.kind == ScalarKind::Text && words.contains(&&*scalar.text) {
        return;
    }
    let remedy = match nearest(&scalar.text, words.iter().copied()) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("write {}", either(words)),
    };
    let found = if scalar.kind == ScalarKind::Text { quoted(&scalar.text) } else { node.describe() };
    let message = match words.len() {
        0..=5 => format!("{label}: {found} is not {}", either(words)),
        _ => format!("{label}: {found} is not known"),
    };
    report.error(node.place, message, remedy);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{Off, names};
    use crate::yaml;

    static INNER: Object = Object {
        what: "a thing",
        nonempty: true,
        fields: &[
            Field {
                key: "size",
                doc: "",
                presence: Presence::Required,
                shape: Shape::Integer { min: 1, max: 9 },
            },
            Field { key: "live", doc: "", presence: Presence::Default("true"), shape: Shape::Flag },
            Field {
                key: "mode",
                doc: "",
                presence: Presence::Default("off"),
                shape: Shape::Words(names::<Off>),
            },
        ],
    };
    static LIST: List = List { item: Shape::Object(&INNER), single: true, empty: false, count_max: 2 };

    fn faults(text: &str) -> String {
        let mut report = Report::new("f");
        let node = yaml::parse(text, &mut report).unwrap();
        Shape::List(&LIST).check(&node, "things", &mut report);
        report.finish().to_string()
    }

    #[test]
    fn what_fits_is_silent() {
        assert_eq!(faults("size: 3\nlive: false\n"), "");
        assert_eq!(faults("[{size: 1}, {size: 9, mode: off}]"), "");
    }

    #[test]
    fn all_faults_are_told_at_once_with_remedies() {
        let text = "- {sise: 1}\n- {size: 10, live: \"true\", mode: of}\n- {}\n";
        let told = faults(text);
        for wanted in [
            "f:1:4: a thing has no key \"sise\"; did you mean \"size\"?",
            "f:1:3: a thing lacks its \"size\"; add \"size:\" with a number from 1 to 9",
            "f:2:10: size: 10 is out of range; write a number from 1 to 9",
            "f:2:20: live: \"true\" is quoted; write it without quotes: true",
            "f:2:34: mode: \"of\" is not off; did you mean off?",
            "f:3:3: things: there are 3 items; 2 is the most",
            "f:3:3: a thing is empty",
        ] {
            assert!(told.contains(wanted), "{wanted}\n{told}");
        }
    }

    #[test]
    fn wrong_kinds_and_nothing_are_told() {
        assert!(faults("[]").contains("the list is empty and matches nothing"));
        assert!(faults("[7]").contains("the number 7 stands here; write a thing as a mapping"));
        assert!(faults("size:\n").contains("size: nothing stands here"));
    }
}
