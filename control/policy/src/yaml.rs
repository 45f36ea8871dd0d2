//! YAML 1.2 (core schema) as a tree that remembers where each value stands, so that all faults of a file can be
//! told at once. Hostile input ends in a diagnostic: nesting, aliases and size are bounded.

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span};

use crate::diagnostic::{Place, Report, quoted};

/// Collections inside collections; a policy needs six.
const DEPTH_MAX: usize = 64;

/// Nodes that anchors and aliases may add to a file, all told: a bomb of nested aliases ends here.
const ALIASED_NODES_MAX: usize = 250_000;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// `null`, `~`, or nothing at all.
    Null,
    /// A word, a number or a text.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file, keys unique.
    Mapping(Vec<Entry>),
    /// Something that was reported already.
    Invalid,
}

/// A scalar: its text, and what the core schema makes of it.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) text: Box<str>,
    pub(crate) kind: ScalarKind,
}

/// What the core schema makes of a scalar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ScalarKind {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number; those beyond 64 bits saturate.
    Integer(i64),
    /// Any other number.
    Float,
    /// Everything else, and whatever is quoted.
    Text,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Box<str>,
    pub(crate) place: Place,
    pub(crate) node: Node,
}

impl Node {
    /// The value of `key`, if this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| &*entry.key == key).map(|entry| &entry.node)
    }

    /// The entries, if this is a mapping, else none.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; of anything else that one thing: wherever a list may stand, a single value may too.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            Value::Invalid => &[],
            _ => std::slice::from_ref(self),
        }
    }

    /// The text of a scalar that is a text.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(Scalar { text, kind: ScalarKind::Text }) => Some(text),
            _ => None,
        }
    }

    /// A whole number.
    pub(crate) fn integer(&self) -> Option<i64> {
        match &self.value {
            Value::Scalar(Scalar { kind: ScalarKind::Integer(number), .. }) => Some(*number),
            _ => None,
        }
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self) -> Option<bool> {
        match &self.value {
            Value::Scalar(Scalar { kind: ScalarKind::Flag(flag), .. }) => Some(*flag),
            _ => None,
        }
    }

    /// What this is, for messages.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
            Value::Invalid => "no value".to_owned(),
            Value::Scalar(scalar) => match scalar.kind {
                ScalarKind::Flag(flag) => format!("the truth value {flag}"),
                ScalarKind::Integer(_) | ScalarKind::Float => format!("the number {}", scalar.text),
                ScalarKind::Text => format!("the text {}", quoted(&scalar.text)),
            },
        }
    }
}

/// Reads the one document of `text`. `None` if it could not be read to its end; the report then says why.
pub(crate) fn parse(text: &str, report: &mut Report) -> Option<Node> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        emit_comments: false,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => builder.take(event, span, report)?,
            Err(error) => {
                let remedy = "the rest of the file was not read";
                report.error(place(error.marker()), format!("this is not YAML: {}", error.info()), remedy);
                return None;
            }
        }
    }
    let root = builder.root;
    if root.as_ref().is_none_or(|root| matches!(root.value, Value::Null)) {
        report.error(
            Place::START,
            "the file is empty",
            "it must be a mapping that begins with \"version: 1\"",
        );
        return None;
    }
    root
}

fn place(mark: &Marker) -> Place {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place { line: number(mark.line().max(1)), column: number(mark.col() + 1) }
}

/// A collection that is still open.
#[derive(Debug)]
struct Open {
    place: Place,
    anchor: usize,
    /// Nodes inside, itself included; what an alias to it adds.
    nodes: usize,
    /// How deep collections nest below it, itself included.
    depth: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    List(Vec<Node>),
    /// The key whose value is awaited, if any; `None` inside for a key that was refused.
    Mapping(Vec<Entry>, Option<Option<(Box<str>, Place)>>),
}

/// A finished collection or scalar that has a name.
#[derive(Debug)]
struct Anchored {
    node: Node,
    nodes: usize,
    depth: usize,
}

/// Builds the tree from events, with a stack of its own.
#[derive(Debug, Default)]
struct Builder {
    root: Option<Node>,
    documents: usize,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    aliased_nodes: usize,
}

impl Builder {
    /// Takes one event; `None` when there is no point in going on.
    fn take(&mut self, event: Event<'_>, span: Span, report: &mut Report) -> Option<()> {
        let place = place(&span.start);
        if let Some(tag) = event.tag()
            && tag.core_suffix() != Some("str")
        {
            let message = format!("the tag {} is not understood", quoted(&tag.original()));
            report.error(place, message, "leave it out");
        }
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let remedy = "one file holds one document: remove the \"---\" and what follows";
                    report.error(place, "a second document begins here", remedy);
                    return None;
                }
            }
            Event::Scalar(text, style, anchor, ref tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let node = Node { place, value: scalar(&text, plain) };
                self.finished(node, anchor, 1, 0, report)?;
            }
            Event::SequenceStart(_, anchor, _) => self.begin(place, anchor, Content::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => {
                self.begin(place, anchor, Content::Mapping(Vec::new(), None));
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop()?;
                let (anchor, nodes, depth) = (open.anchor, open.nodes, open.depth);
                self.finished(close(open, report), anchor, nodes, depth, report)?;
            }
            Event::Alias(id) => self.alias(id, place, report)?,
            Event::UnresolvedAlias(name) => {
                let message = format!("the alias {} names nothing", quoted(&format!("*{name}")));
                report.error(place, message, format!("set the anchor \"&{name}\" before it"));
                self.finished(Node { place, value: Value::Invalid }, 0, 1, 0, report)?;
            }
            _ => {}
        }
        Some(())
    }

    fn begin(&mut self, place: Place, anchor: usize, content: Content) {
        self.open.push(Open { place, anchor, nodes: 1, depth: 1, content });
    }

    fn alias(&mut self, id: usize, place: Place, report: &mut Report) -> Option<()> {
        let Some(anchored) = self.anchors.get(&id) else {
            report.error(place, "this alias stands inside what it names", "write the value out");
            return self.finished(Node { place, value: Value::Invalid }, 0, 1, 0, report);
        };
        let (node, nodes, depth) = (anchored.node.clone(), anchored.nodes, anchored.depth);
        if self.open.len() + depth > DEPTH_MAX {
            let message = format!("aliases nest more than {DEPTH_MAX} deep here");
            report.error(place, message, "write the value out");
            return None;
        }
        self.count_aliased(nodes, place, report)?;
        self.finished(node, 0, nodes, depth, report)
    }

    /// Counts what anchors and aliases multiply.
    fn count_aliased(&mut self, nodes: usize, place: Place, report: &mut Report) -> Option<()> {
        self.aliased_nodes += nodes;
        if self.aliased_nodes > ALIASED_NODES_MAX {
            let message = format!("aliases stand for more than {ALIASED_NODES_MAX} values by here");
            report.error(place, message, "write the values out, or name them as addresses and services");
            return None;
        }
        Some(())
    }

    /// Puts a finished node where it belongs.
    fn finished(
        &mut self,
        node: Node,
        anchor: usize,
        nodes: usize,
        depth: usize,
        report: &mut Report,
    ) -> Option<()> {
        if anchor != 0 {
            self.count_aliased(nodes, node.place, report)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, depth });
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Some(());
        };
        parent.nodes += nodes;
        parent.depth = parent.depth.max(depth + 1);
        match &mut parent.content {
            Content::List(items) => items.push(node),
            Content::Mapping(entries, key) => match key.take() {
                None => *key = Some(as_key(node, report)),
                Some(Some((key, place))) => entries.push(Entry { key, place, node }),
                Some(None) => {}
            },
        }
        Some(())
    }
}

/// A finished node as a key.
fn as_key(node: Node, report: &mut Report) -> Option<(Box<str>, Place)> {
    let place = node.place;
    match node.value {
        Value::Scalar(scalar) => Some((scalar.text, place)),
        Value::Invalid => None,
        _ => {
            report.error(place, format!("{} cannot be a key", node.describe()), "a key is a single word");
            None
        }
    }
}

fn close(open: Open, report: &mut Report) -> Node {
    let value = match open.content {
        Content::List(items) => Value::List(items),
        Content::Mapping(entries, _) => Value::Mapping(without_duplicates(entries, report)),
    };
    Node { place: open.place, value }
}

/// Refuses keys that stand twice; the first is kept.
fn without_duplicates(entries: Vec<Entry>, report: &mut Report) -> Vec<Entry> {
    let mut lines: HashMap<Box<str>, u32> = HashMap::with_capacity(entries.len());
    let mut kept = Vec::with_capacity(entries.len());
    for entry in entries {
        match lines.get(&entry.key) {
            Some(line) => {
                let message = format!("the key {} stands in line {line} already", quoted(&entry.key));
                report.error(entry.place, message, "remove one of the two, or rename it");
            }
            None => {
                lines.insert(entry.key.clone(), entry.place.line);
                kept.push(entry);
            }
        }
    }
    kept
}

/// The core schema, YAML 1.2.2 section 10.3.2. `off`, `on`, `yes` and `no` are words.
fn scalar(text: &str, plain: bool) -> Value {
    let kind = match text {
        _ if !plain => ScalarKind::Text,
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => ScalarKind::Flag(true),
        "false" | "False" | "FALSE" => ScalarKind::Flag(false),
        _ => number(text),
    };
    Value::Scalar(Scalar { text: text.into(), kind })
}

fn number(text: &str) -> ScalarKind {
    let radix = |digits: &str, radix| {
        let valid = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        valid.then(|| ScalarKind::Integer(i64::from_str_radix(digits, radix).unwrap_or(i64::MAX)))
    };
    if let Some(found) = text.strip_prefix("0x").and_then(|digits| radix(digits, 16)) {
        return found;
    }
    if let Some(found) = text.strip_prefix("0o").and_then(|digits| radix(digits, 8)) {
        return found;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        let limit = if text.starts_with('-') { i64::MIN } else { i64::MAX };
        return ScalarKind::Integer(text.parse().unwrap_or(limit));
    }
    if is_float(unsigned) { ScalarKind::Float } else { ScalarKind::Text }
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`, `.inf` and `.nan`.
fn is_float(unsigned: &str) -> bool {
    if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty())
        }
        None => !mantissa.is_empty() && digits(mantissa),
    };
    exponent_fits && mantissa_fits
}

#[cfg(test)]
mod tests;
