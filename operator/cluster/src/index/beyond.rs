//! What is known of live objects for telling those that nobody declares: where targets ask about them, which objects are left out and
//! why, whose owners live, and what the tools that declare objects besides policies list. Empty where nobody asks.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use drift::undeclared::{Declarer, Owner, Tool};
use drift::{GroupKind, Unknown};

use super::read::Belief;
use super::scope::ScopeId;
use super::{ScopeKey, TargetId};

/// Whether the lists are known that a tool keeps of what it declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The cluster does not serve the kind in which it would keep them.
    Unserved,
    /// They cannot be read.
    Unread(Unknown),
    /// They are known.
    Listed,
}

/// What became of an owner that was asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerState {
    /// It is there, with that uid.
    Lives,
    /// It is not. A uid never comes back.
    Gone,
    /// The cluster does not serve its kind: it is not there, unless the kind came a moment ago.
    Unserved,
    /// The operator may not read it.
    Unreadable,
}

impl OwnerState {
    /// It is not there.
    pub(super) fn is_absent(self) -> bool {
        matches!(self, Self::Gone | Self::Unserved)
    }
}

/// An owner of which it has to be found out whether it lives. Anybody can write a uid together with another name, so an answer holds for
/// the whole question only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OwnerQuestion {
    /// The owner as its object names it.
    pub owner: Owner,
    /// The object's namespace: that of the owner, if that has one.
    pub namespace: Option<Arc<str>>,
}

/// Why objects that a target asks about are left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LeftOut {
    /// Another target declares them.
    Target(TargetId),
    /// A tool lists them as declared.
    Elsewhere(Arc<Declarer>),
    /// Whether their owner lives cannot be read.
    OwnerUnread(GroupKind),
}

/// Why an object is not told as one that nobody declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Why {
    /// The cluster makes it by itself.
    System,
    /// It has an owner that is not known to be gone.
    Owned(Arc<OwnerQuestion>),
    /// A tool lists it.
    Elsewhere(Arc<Declarer>),
}

/// An object that is left out.
#[derive(Debug)]
pub(super) struct Aside {
    pub(super) scope: ScopeId,
    pub(super) name: Box<str>,
    /// The last resourceVersion seen.
    pub(super) version: u64,
    /// The last list in which it was seen.
    pub(super) epoch: u32,
    pub(super) why: Why,
}

#[derive(Debug, Default)]
pub(super) struct Beyond {
    looked: HashMap<ScopeId, Vec<TargetId>>,
    /// By the hash of the object's identity.
    pub(super) aside: HashMap<u128, Aside>,
    /// What became of those that were asked about.
    owners: HashMap<Arc<OwnerQuestion>, Option<OwnerState>>,
    questions: VecDeque<Arc<OwnerQuestion>>,
    tools: BTreeMap<Tool, Standing>,
    /// What each lists, sorted.
    lists: BTreeMap<Arc<Declarer>, Vec<u128>>,
    /// Who lists an object; one of them, where several do.
    listed: HashMap<u128, Arc<Declarer>>,
    /// Objects to look at again.
    again: VecDeque<(ScopeId, Box<str>)>,
    waiting: HashSet<(ScopeId, Box<str>)>,
    /// Objects to look at again once the list of their scope is whole: a read before that could be older than the list.
    after_list: HashMap<ScopeId, HashSet<Box<str>>>,
}

impl Beyond {
    pub(super) fn looked(&self) -> impl Iterator<Item = ScopeId> {
        self.looked.keys().copied()
    }

    pub(super) fn is_looked(&self, scope: ScopeId) -> bool {
        self.looked.contains_key(&scope)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.looked.is_empty()
    }

    pub(super) fn askers(&self, scope: ScopeId) -> &[TargetId] {
        self.looked.get(&scope).map_or(&[], Vec::as_slice)
    }

    pub(super) fn looked_at(&self, target: TargetId) -> impl Iterator<Item = ScopeId> {
        let asks = move |targets: &[TargetId]| targets.contains(&target);
        let looked = self.looked.iter();
        looked
            .filter(move |(_, t)| asks(t))
            .map(|(scope, _)| *scope)
    }

    pub(super) fn look(&mut self, scope: ScopeId, target: TargetId) {
        self.looked.entry(scope).or_default().push(target);
    }

    pub(super) fn look_away(&mut self, scope: ScopeId, target: TargetId) {
        let Some(targets) = self.looked.get_mut(&scope) else {
            return;
        };
        targets.retain(|t| *t != target);
        if targets.is_empty() {
            self.looked.remove(&scope);
            self.forget_scope(scope);
        }
        if self.looked.is_empty() {
            self.owners = HashMap::new();
            self.questions = VecDeque::new();
            self.again = VecDeque::new();
            self.waiting = HashSet::new();
            self.aside.shrink_to_fit();
        }
    }

    pub(super) fn forget_scope(&mut self, scope: ScopeId) {
        self.aside.retain(|_, a| a.scope != scope);
        self.after_list.remove(&scope);
    }

    /// Forgets what the last list did not hold.
    pub(super) fn forget_older(&mut self, scope: ScopeId, epoch: u32) {
        if self.is_looked(scope) {
            self.aside
                .retain(|_, a| a.scope != scope || a.epoch == epoch);
        }
    }

    pub(super) fn beliefs(&self, scope: ScopeId) -> impl Iterator<Item = (String, Belief)> {
        let aside = self.aside.values().filter(move |a| a.scope == scope);
        aside.map(|a| {
            let belief = Belief {
                version: a.version,
                exists: true,
            };
            (a.name.to_string(), belief)
        })
    }

    pub(super) fn is_wondering(&self) -> bool {
        !(self.again.is_empty() && self.questions.is_empty())
    }

    /// Has an object looked at again.
    pub(super) fn wonder(&mut self, scope: ScopeId, name: &str) {
        let entry = (scope, Box::from(name));
        if self.is_looked(scope) && self.waiting.insert(entry.clone()) {
            self.again.push_back(entry);
        }
    }

    pub(super) fn next_again(&mut self) -> Option<(ScopeId, Box<str>)> {
        let next = self.again.pop_front()?;
        self.waiting.remove(&next);
        Some(next)
    }

    /// Has an object looked at again when the list of its scope is whole.
    pub(super) fn wonder_after_list(&mut self, scope: ScopeId, name: Box<str>) {
        self.after_list.entry(scope).or_default().insert(name);
    }

    /// The list of a scope is whole.
    pub(super) fn listed_whole(&mut self, scope: ScopeId) {
        for name in self.after_list.remove(&scope).into_iter().flatten() {
            self.wonder(scope, &name);
        }
    }

    pub(super) fn next_question(&mut self) -> Option<Arc<OwnerQuestion>> {
        self.questions.pop_front()
    }

    pub(super) fn ask_again(&mut self, question: Arc<OwnerQuestion>) {
        if self.owners.contains_key(&question) {
            self.questions.push_back(question);
        }
    }

    /// What is known of an owner; asks where that is nothing.
    pub(super) fn owner(&mut self, question: &Arc<OwnerQuestion>) -> Option<OwnerState> {
        if let Some(state) = self.owners.get(question) {
            return *state;
        }
        self.questions.push_back(Arc::clone(question));
        self.owners.insert(Arc::clone(question), None);
        None
    }

    /// Takes in an answer; objects of an owner that is gone are looked at again. Gives what was known before, if the answer changes that.
    pub(super) fn answer(
        &mut self,
        question: &OwnerQuestion,
        state: OwnerState,
    ) -> Option<Option<OwnerState>> {
        let before = self.owners.get_mut(question)?.replace(state);
        if before == Some(state) {
            return None;
        }
        if state.is_absent() {
            self.wonder_about(|a| matches!(&a.why, Why::Owned(q) if **q == *question));
        }
        Some(before)
    }

    /// Asks again about owners that live or cannot be read; forgets those that nothing names any more.
    pub(super) fn review_owners(&mut self) {
        let named: HashSet<&Arc<OwnerQuestion>> = self
            .aside
            .values()
            .filter_map(|a| match &a.why {
                Why::Owned(question) => Some(question),
                _ => None,
            })
            .collect();
        self.owners.retain(|question, state| {
            state.is_some_and(OwnerState::is_absent) || named.contains(question)
        });
        self.ask_anew(|s| matches!(s, OwnerState::Lives | OwnerState::Unreadable));
    }

    /// Asks again about owners whose kind was not served.
    pub(super) fn review_unserved(&mut self) {
        self.ask_anew(|s| s == OwnerState::Unserved);
    }

    fn ask_anew(&mut self, which: impl Fn(OwnerState) -> bool) {
        let due = self.owners.iter().filter(|(_, s)| s.is_some_and(&which));
        self.questions.extend(due.map(|(q, _)| Arc::clone(q)));
    }

    /// True while nothing is known of an owner.
    pub(super) fn is_asked(&self, question: &OwnerQuestion) -> bool {
        self.owners.get(question).is_none_or(Option::is_none)
    }

    /// The kind of an owner that cannot be read.
    pub(super) fn unread_owner(&self, question: &OwnerQuestion) -> Option<GroupKind> {
        let unread = self.owners.get(question) == Some(&Some(OwnerState::Unreadable));
        unread.then(|| question.owner.group_kind())
    }

    fn wonder_about(&mut self, which: impl Fn(&Aside) -> bool) {
        let found: Vec<(ScopeId, Box<str>)> = self
            .aside
            .values()
            .filter(|a| which(a))
            .map(|a| (a.scope, a.name.clone()))
            .collect();
        found.iter().for_each(|(s, n)| self.wonder(*s, n));
    }

    pub(super) fn tool(&self, tool: Tool) -> Option<&Standing> {
        self.tools.get(&tool)
    }

    pub(super) fn set_tool(&mut self, tool: Tool, standing: Standing) -> bool {
        let changed = self.tools.get(&tool) != Some(&standing);
        self.tools.insert(tool, standing);
        changed
    }

    pub(super) fn forget_tools(&mut self) {
        self.tools = BTreeMap::new();
        self.lists = BTreeMap::new();
        self.listed = HashMap::new();
    }

    pub(super) fn lister(&self, key: u128) -> Option<&Arc<Declarer>> {
        self.listed.get(&key)
    }

    /// Replaces what one lists. Gives what is new; what it does not list any more is looked at again.
    pub(super) fn list(&mut self, by: &Arc<Declarer>, mut keys: Vec<u128>) -> Vec<u128> {
        keys.sort_unstable();
        keys.dedup();
        let before = self.lists.get(by).cloned().unwrap_or_default();
        if before == keys {
            return Vec::new();
        }
        if keys.is_empty() {
            self.lists.remove(by);
        } else {
            self.lists.insert(Arc::clone(by), keys.clone());
        }
        for gone in before.iter().filter(|k| keys.binary_search(k).is_err()) {
            self.unlist(by, *gone);
        }
        keys.retain(|k| before.binary_search(k).is_err());
        for key in &keys {
            self.listed.entry(*key).or_insert_with(|| Arc::clone(by));
        }
        keys
    }

    fn unlist(&mut self, by: &Arc<Declarer>, key: u128) {
        if self.listed.get(&key) != Some(by) {
            return;
        }
        let another = self
            .lists
            .iter()
            .find(|(_, l)| l.binary_search(&key).is_ok());
        match another.map(|(d, _)| Arc::clone(d)) {
            Some(another) => self.listed.insert(key, another),
            None => self.listed.remove(&key),
        };
        let aside = self.aside.get(&key).map(|a| (a.scope, a.name.clone()));
        if let Some((scope, name)) = aside {
            self.wonder(scope, &name);
        }
    }
}

/// The scopes in which a target asks, of one kind and place, in whichever version.
pub(super) fn is_of(scope: &ScopeKey, kind: &GroupKind, namespace: Option<&str>) -> bool {
    scope.kind.group_kind == *kind && scope.namespace.as_deref() == namespace
}
