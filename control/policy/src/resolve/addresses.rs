//! Names of addresses, and what stands behind them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sekisho_engine::policy::{AddressSet, AddressSetId};
use sha2::{Digest, Sha256};

use super::{any_beside, any_inside, unknown};
use crate::diagnostic::{Fault, Place, Report, quoted};
use crate::feed;
use crate::model::Defined;
use crate::text::address::{self, Range, Reference};
use crate::yaml::Node;

/// Names inside names; deeper is a mistake, or an attack on the stack.
const DEPTH_MAX: usize = 16;

/// Ranges that all sets together may have. A feed of half a million lines is a hundredth of it.
const RANGES_MAX: usize = 50_000_000;

/// What stands in a field that takes addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// Everything.
    Any,
    /// A set.
    Set(AddressSetId),
    /// Something that was refused.
    Refused,
}

/// All named addresses, the feeds that were read, and the sets made of them, each once.
#[derive(Debug)]
pub(super) struct AddressBook<'a> {
    directory: &'a Path,
    names: HashMap<&'a str, usize>,
    entries: Vec<Entry<'a>>,
    feeds: HashMap<PathBuf, Option<Arc<AddressSet>>>,
    /// Sets that fields were given, by how they were written.
    written: HashMap<String, Field>,
    sets: Vec<Arc<AddressSet>>,
    by_hash: HashMap<u64, Vec<AddressSetId>>,
    ranges: usize,
    hasher: Sha256,
}

#[derive(Debug)]
struct Entry<'a> {
    name: &'a str,
    place: Place,
    node: &'a Node,
    state: State,
    is_used: bool,
}

#[derive(Clone, Debug)]
enum State {
    Unread,
    /// Being resolved: whoever meets it now is inside it.
    Open,
    Done(Option<Arc<AddressSet>>),
}

impl<'a> AddressBook<'a> {
    pub(super) fn new(section: Option<&'a Node>, directory: &'a Path, hasher: Sha256) -> Self {
        let entries: Vec<_> = section
            .map_or(&[][..], Node::entries)
            .iter()
            .map(|entry| Entry {
                name: &entry.key,
                place: entry.place,
                node: &entry.node,
                state: State::Unread,
                is_used: false,
            })
            .collect();
        let names = entries.iter().enumerate().map(|(index, entry)| (entry.name, index)).collect();
        Self {
            directory,
            names,
            entries,
            feeds: HashMap::new(),
            written: HashMap::new(),
            sets: Vec::new(),
            by_hash: HashMap::new(),
            ranges: 0,
            hasher,
        }
    }

    /// Resolves every name, used or not.
    pub(super) fn resolve_all(&mut self, report: &mut Report) {
        for index in 0..self.entries.len() {
            self.named(index, 0, report);
        }
    }

    /// The set that a field of a rule or zone means; `any` only where `any_allowed`.
    pub(super) fn field(
        &mut self,
        node: &Node,
        label: &str,
        any_allowed: bool,
        report: &mut Report,
    ) -> Field {
        let items = node.items();
        let any = items.iter().find(|item| item.text() == Some("any"));
        if let Some(any) = any {
            if !any_allowed {
                report.fault(any.place, any_inside(label));
                return Field::Refused;
            }
            if items.len() > 1 {
                report.fault(any.place, any_beside(label));
                return Field::Refused;
            }
            return Field::Any;
        }
        let key = written(node);
        if let Some(known) = self.written.get(&key)
            && *known != Field::Refused
        {
            return *known;
        }
        let field = match self.union(items, 0, true, report) {
            Some(set) => Field::Set(self.intern(set)),
            None => Field::Refused,
        };
        self.written.insert(key, field);
        field
    }

    /// The resolved set `id`.
    pub(super) fn set(&self, id: AddressSetId) -> &AddressSet {
        &self.sets[id.0 as usize]
    }

    /// The names, and which of them are used.
    pub(super) fn defined(&self) -> Vec<Defined> {
        let defined = |entry: &Entry<'_>| Defined {
            name: entry.name.into(),
            place: entry.place,
            is_used: entry.is_used,
        };
        self.entries.iter().map(defined).collect()
    }

    /// The sets that fields were given, in the order of their ids, and the hash of the policy and its feeds.
    pub(super) fn into_sets(mut self) -> (Vec<AddressSet>, Sha256) {
        self.entries.clear();
        self.feeds.clear();
        let sets = self.sets.into_iter().map(Arc::unwrap_or_clone).collect();
        (sets, self.hasher)
    }

    fn named(&mut self, index: usize, depth: usize, report: &mut Report) -> Option<Arc<AddressSet>> {
        let entry = &mut self.entries[index];
        match std::mem::replace(&mut entry.state, State::Open) {
            State::Done(set) => {
                entry.state = State::Done(set.clone());
                return set;
            }
            State::Open => {
                let message = format!("the addresses {} contain themselves", quoted(entry.name));
                report.error(entry.place, message, "break the circle");
                return None;
            }
            State::Unread => {}
        }
        let node = entry.node;
        if let Some(any) = node.items().iter().find(|item| item.text() == Some("any")) {
            report.fault(any.place, any_inside("addresses"));
            self.entries[index].state = State::Done(None);
            return None;
        }
        let set = self.union(node.items(), depth, false, report);
        if set.as_ref().is_some_and(|set| set.is_empty()) {
            let (name, place) = (self.entries[index].name, self.entries[index].place);
            let message = format!("the addresses {} hold no address", quoted(name));
            report.warning(place, message, "a rule that names only them matches nothing");
        }
        self.entries[index].state = State::Done(set.clone());
        set
    }

    /// All items together. `None` if one of them was refused.
    fn union(
        &mut self,
        items: &[Node],
        depth: usize,
        by_rule: bool,
        report: &mut Report,
    ) -> Option<Arc<AddressSet>> {
        if let [only] = items {
            return self.item(only, depth, by_rule, report).map(|item| match item {
                Item::Set(set) => set,
                Item::Range(Range::V4(range)) => Arc::new(AddressSet::new(vec![range], Vec::new())),
                Item::Range(Range::V6(range)) => Arc::new(AddressSet::new(Vec::new(), vec![range])),
            });
        }
        let (mut v4, mut v6, mut whole) = (Vec::new(), Vec::new(), !items.is_empty());
        for item in items {
            match self.item(item, depth, by_rule, report) {
                Some(Item::Set(set)) => {
                    v4.extend_from_slice(&set.v4);
                    v6.extend_from_slice(&set.v6);
                }
                Some(Item::Range(Range::V4(range))) => v4.push(range),
                Some(Item::Range(Range::V6(range))) => v6.push(range),
                None => whole = false,
            }
            if self.ranges + v4.len() + v6.len() > RANGES_MAX {
                let message = format!("the policy has more than {RANGES_MAX} addresses and prefixes by here");
                report.error(item.place, message, "name large sets once, and use the name");
                return None;
            }
        }
        self.ranges += v4.len() + v6.len();
        whole.then(|| Arc::new(AddressSet::new(v4, v6)))
    }

    fn item(&mut self, node: &Node, depth: usize, by_rule: bool, report: &mut Report) -> Option<Item> {
        if let Some(file) = node.get("file") {
            return self.feed(file, report).map(Item::Set);
        }
        match address::reference(node.text()?) {
            Ok(Reference::Inline(range)) => Some(Item::Range(range)),
            Ok(Reference::Name(name)) => {
                let Some(index) = self.names.get(name).copied() else {
                    let known = self.entries.iter().map(|entry| entry.name);
                    report
                        .fault(node.place, unknown("address or set of addresses", name, "addresses", known));
                    return None;
                };
                self.entries[index].is_used = true;
                if depth >= DEPTH_MAX {
                    let message = format!("addresses are named inside addresses more than {DEPTH_MAX} deep");
                    report.error(node.place, message, "name the innermost ones directly");
                    return None;
                }
                let next = if by_rule { 0 } else { depth + 1 };
                self.named(index, next, report).map(Item::Set)
            }
            Err(fault) => {
                report.fault(node.place, fault);
                None
            }
        }
    }

    fn feed(&mut self, node: &Node, report: &mut Report) -> Option<Arc<AddressSet>> {
        let path = self.directory.join(node.text()?);
        if let Some(known) = self.feeds.get(&path) {
            return known.clone();
        }
        let set = match feed::read(&path) {
            Ok(bytes) => {
                self.hasher.update(&bytes);
                let set = feed::parse(&bytes, &path.display().to_string(), report);
                self.ranges += set.v4.len() + set.v6.len();
                Some(Arc::new(set))
            }
            Err(Fault { message, remedy }) => {
                report.error(node.place, message, remedy);
                None
            }
        };
        self.feeds.insert(path, set.clone());
        set
    }

    /// The id of a set; equal sets share one.
    fn intern(&mut self, set: Arc<AddressSet>) -> AddressSetId {
        let mut hasher = DefaultHasher::new();
        (&set.v4, &set.v6).hash(&mut hasher);
        let ids = self.by_hash.entry(hasher.finish()).or_default();
        if let Some(id) = ids.iter().find(|id| self.sets[id.0 as usize] == set) {
            return *id;
        }
        let id = AddressSetId(u32::try_from(self.sets.len()).expect("fewer sets than rules and zones"));
        self.sets.push(set);
        ids.push(id);
        id
    }
}

#[derive(Debug)]
enum Item {
    Range(Range),
    Set(Arc<AddressSet>),
}

/// A field as it was written.
pub(super) fn written(node: &Node) -> String {
    let item = |item: &Node| match (item.get("file"), item.get("ports")) {
        (Some(file), _) => format!("file {}", file.text().unwrap_or_default()),
        (None, Some(ports)) => {
            let helper =
                item.get("helper").and_then(Node::text).map(|helper| format!(" with helper {helper}"));
            format!("{}{}", written(ports), helper.unwrap_or_default())
        }
        (None, None) => item.text().unwrap_or_default().to_owned(),
    };
    node.items().iter().map(item).collect::<Vec<_>>().join(", ")
}
