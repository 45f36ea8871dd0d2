//! Keys for rule names that outlive a deploy.

use hashbrown::HashMap;

/// Stands for a rule's name: the same name has the same key in every policy of a process, so that sessions and
/// records outlive the policy that made them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleKey(u32);

impl RuleKey {
    /// No rule decided, but the default action.
    pub const NONE: Self = Self(0);

    /// The key as a number.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Back from [`RuleKey::number`].
    pub(crate) const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// All rule names that were ever deployed, with their keys. Owned by whoever deploys.
#[derive(Clone, Debug, Default)]
pub struct RuleNames {
    names: Vec<Box<str>>,
    keys: HashMap<Box<str>, RuleKey>,
}

impl RuleNames {
    /// The key of `name`, a new one if the name is new.
    pub fn key(&mut self, name: &str) -> RuleKey {
        if let Some(key) = self.keys.get(name) {
            return *key;
        }
        self.names.push(name.into());
        let key = RuleKey(u32::try_from(self.names.len()).expect("fewer than 2^32 rule names"));
        self.keys.insert(name.into(), key);
        key
    }

    /// How many there are; keys are from 1 to this.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The key of `name`, if a rule ever had it.
    pub fn find(&self, name: &str) -> Option<RuleKey> {
        self.keys.get(name).copied()
    }

    /// The name behind `key`; `None` for [`RuleKey::NONE`].
    pub fn name(&self, key: RuleKey) -> Option<&str> {
        let index = usize::try_from(key.0).ok()?.checked_sub(1)?;
        self.names.get(index).map(AsRef::as_ref)
    }
}
