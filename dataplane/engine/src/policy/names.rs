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

/// All rule names that were ever deployed, with their keys. Owned by whoever deploys; there are at most
/// [`RuleNames::LEN_MAX`], for a session has three bytes for its rule.
#[derive(Clone, Debug, Default)]
pub struct RuleNames {
    names: Vec<Box<str>>,
    keys: HashMap<Box<str>, RuleKey>,
}

impl RuleNames {
    /// How many there may be in the life of a process.
    pub const LEN_MAX: usize = (1 << 24) - 1;

    /// Whether so many new ones may come.
    pub fn has_room_for(&self, more: usize) -> bool {
        self.names.len().checked_add(more).is_some_and(|len| len <= Self::LEN_MAX)
    }

    /// The key of `name`, a new one if the name is new.
    ///
    /// # Panics
    ///
    /// Panics if it is one more than [`RuleNames::LEN_MAX`], which [`RuleNames::has_room_for`] tells before.
    pub fn key(&mut self, name: &str) -> RuleKey {
        if let Some(key) = self.keys.get(name) {
            return *key;
        }
        assert!(self.has_room_for(1), "more rule names than there are keys");
        self.names.push(name.into());
        let key = RuleKey(u32::try_from(self.names.len()).expect("keys have 24 bits"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_as_many_names_as_there_are_keys() {
        let mut names = RuleNames::default();
        assert!(names.has_room_for(RuleNames::LEN_MAX) && !names.has_room_for(RuleNames::LEN_MAX + 1));
        let key = names.key("web");
        assert_eq!((key.number(), names.key("web")), (1, key));
        assert!(names.has_room_for(RuleNames::LEN_MAX - 1) && !names.has_room_for(RuleNames::LEN_MAX));
        assert!(!names.has_room_for(usize::MAX));
    }
}
