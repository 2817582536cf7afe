//! Questions for the server: what it would make of a declaration. One answer serves all objects of one shape where nothing that
//! runs on creation can tell them apart.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use drift::automation::{Context, ReplicaBounds, explains_addition, is_scalable};
use drift::expected::Expected;
use drift::judge::Replicas;
use drift::residue::{Extra, extras};
use drift::shape::shape;
use drift::{DeclaredObject, ObjectId, Residue, Schema, Unknown};
use serde_json::Value;

use super::memory::Base;
use super::slab::DeclId;
use super::{Decl, Index, Inner, Known, Reread, ScopeKey};
use crate::store::BlobRef;

/// How long an answer is believed when an object shows something that it does not explain, and for how long it serves others.
const FRESH: Duration = Duration::from_secs(60);
/// Answers that serve others at most; they are small.
const MAX_SHAPES: usize = 10_000;

/// What is known about how the server stores a declared object.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) enum Expectation {
    #[default]
    Unsettled,
    AsDeclared,
    /// Where the answer is kept, and when it came.
    Answered(BlobRef, Seconds),
    /// When.
    Refused(Seconds),
    /// It could not be asked, as of then.
    Unasked(Seconds),
}

impl Expectation {
    /// When the server was asked, or was to be.
    fn at(self) -> Option<Seconds> {
        match self {
            Self::Answered(_, at) | Self::Refused(at) | Self::Unasked(at) => Some(at),
            Self::Unsettled | Self::AsDeclared => None,
        }
    }

    /// There is no answer: nothing but ownership can speak.
    pub(super) fn is_refused(self) -> bool {
        matches!(self, Self::Refused(_) | Self::Unasked(_))
    }
}

/// A moment, in seconds since the first one that was asked for: there is one for each declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seconds(u32);

impl Seconds {
    fn now() -> Self {
        static START: OnceLock<Instant> = OnceLock::new();
        let passed = START.get_or_init(Instant::now).elapsed().as_secs();
        Self(u32::try_from(passed).unwrap_or(u32::MAX))
    }

    fn is_fresh(self) -> bool {
        let age = Self::now().0.saturating_sub(self.0);
        u64::from(age) <= FRESH.as_secs()
    }
}

/// What the server said.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// The object as it would be stored.
    Object(Value),
    /// It would not be stored, or may not be asked about.
    Refused,
    /// Nothing may be asked now: the guard of the account that asks is not in order.
    Unasked,
}

/// A declaration that the server is to be asked about.
#[derive(Debug, Clone)]
pub struct Question {
    decl: DeclId,
    digest: u64,
    /// The scope whose watch covers the object.
    pub scope: ScopeKey,
    /// The object.
    pub id: ObjectId,
    /// What is declared.
    pub declared: DeclaredObject,
    /// The schema it is compared by.
    pub schema: Schema,
    /// Its shape, where others wait for the answer.
    shape: Option<u64>,
}

/// What is known of declarations that differ only in what the server does not look at.
#[derive(Debug)]
enum Shape {
    /// One of them is being asked about; these wait, each with the digest of the declaration that has the shape.
    Waiting(Vec<(DeclId, u64)>),
    /// What the server adds to each of them.
    Answered(Arc<Residue>, Instant),
}

/// Shapes, and the declarations that are asked about for all of theirs.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    all: HashMap<u64, Shape>,
    first: HashMap<DeclId, u64>,
}

impl Shapes {
    /// Lets a declaration be asked about for all of its shape.
    fn lead(&mut self, shape: u64, first: DeclId) {
        if self.all.len() >= MAX_SHAPES {
            self.all.retain(|_, s| matches!(s, Shape::Waiting(_)));
        }
        self.all.insert(shape, Shape::Waiting(Vec::new()));
        self.first.insert(first, shape);
    }

    /// Those that wait for what a declaration is asked about, which is over.
    fn let_go(&mut self, first: DeclId) -> Vec<(DeclId, u64)> {
        let Some(shape) = self.first.remove(&first) else {
            return Vec::new();
        };
        match self.all.remove(&shape) {
            Some(Shape::Waiting(waiting)) => waiting,
            Some(answered) => {
                self.all.insert(shape, answered);
                Vec::new()
            }
            None => Vec::new(),
        }
    }
}

impl Index {
    /// The next question for the server.
    pub fn next_question(&self) -> Option<Question> {
        let mut inner = self.inner.lock();
        while let Some(decl) = inner.questions.pop_front() {
            let question = inner.question(decl);
            let led = inner.shapes.first.get(&decl).copied();
            if led.is_some() && led != question.as_ref().and_then(|q| q.shape) {
                // It is gone, or is declared otherwise by now: another one has to ask for those that wait.
                inner.hand_over(decl);
            }
            if question.is_some() {
                return question;
            }
            if let Some(decl) = inner.slab.get_mut(decl) {
                decl.asked = false;
            }
        }
        None
    }

    /// What the server said it would make of a declaration. True if the live object has to be observed again.
    pub fn settle(&self, question: &Question, asked: Asked) -> bool {
        let mut inner = self.inner.lock();
        let open = inner.settle(question, asked);
        drop(inner);
        self.wake();
        open
    }

    /// Gives a question back: it could not be asked now.
    pub fn ask_again(&self, question: &Question) {
        let mut inner = self.inner.lock();
        if inner.slab.get(question.decl).is_some_and(|d| d.asked) {
            inner.questions.push_back(question.decl);
        } else {
            inner.hand_over(question.decl);
        }
        drop(inner);
        self.wake();
    }

    /// Puts the questions again that were refused because nothing could be asked.
    pub fn reopen_refused(&self) {
        let mut inner = self.inner.lock();
        let refused = |d: &Decl| d.expectation.is_refused() && !d.asked && d.left.is_none();
        let refused = inner.slab.ids(refused);
        refused.into_iter().for_each(|id| inner.put(id));
        drop(inner);
        self.wake();
    }

    /// Asks about an object that seems to wait for a roll-out: it may be the server that stores it so. False if that is known.
    pub fn doubt(&self, target: super::TargetId, id: &ObjectId) -> bool {
        let mut inner = self.inner.lock();
        let key = super::key_of_object(id);
        let open = inner.find(key, target).filter(|place| {
            inner.slab.get(*place).is_some_and(|d| {
                d.expectation == Expectation::Unsettled
                    && d.version > 0
                    && d.left.is_none()
                    && inner.may_ask(d)
            })
        });
        if let Some(place) = open {
            inner.ask(place, false);
        }
        drop(inner);
        self.wake();
        open.is_some()
    }

    /// Asks again about some of a target's objects, in turn: `at_most` of those that were refused or answered longest ago.
    pub fn question_again(&self, target: super::TargetId, at_most: usize) -> usize {
        let mut inner = self.inner.lock();
        let mut due: Vec<(Seconds, DeclId)> = inner
            .slab
            .iter()
            .filter(|(_, d)| d.target == target && !d.asked && d.left.is_none())
            .filter_map(|(id, d)| Some((d.expectation.at()?, id)).filter(|_| inner.may_ask(d)))
            .collect();
        due.sort_by_key(|(at, _)| *at);
        due.truncate(at_most);
        due.iter().for_each(|(_, id)| inner.put(*id));
        drop(inner);
        self.wake();
        due.len()
    }

    /// Whether the server may be asked about a scope's objects. True if that is news: a list of the scope has to show them again.
    pub fn set_askable(&self, scope: &ScopeKey, askable: bool) -> bool {
        let mut inner = self.inner.lock();
        let id = inner.scopes.id(scope);
        let Some(state) = id.and_then(|id| inner.scopes.get_mut(id)) else {
            return false;
        };
        if std::mem::replace(&mut state.askable, askable) == askable {
            return false;
        }
        for member in state.members.clone() {
            if let Some(decl) = inner.slab.get_mut(member) {
                decl.version = 0;
                // What is known so far was explained by ownership alone.
                decl.unasked = askable && decl.known.is_some();
                decl.forget_unasked();
            }
        }
        true
    }

    /// Whether an answer about an object of a kind serves others of the same shape.
    pub fn set_shared(&self, shared: impl Fn(&drift::GroupVersionKind) -> bool) {
        let mut inner = self.inner.lock();
        for scope in inner.scopes.iter_mut() {
            scope.shared = shared(&scope.key.kind);
        }
    }

    /// Whether the objects of scopes can be scaled.
    pub fn set_scalable<'s>(&self, scopes: impl IntoIterator<Item = (&'s ScopeKey, bool)>) {
        let mut inner = self.inner.lock();
        for (scope, scalable) in scopes {
            let id = inner.scopes.id(scope);
            if let Some(state) = id.and_then(|id| inner.scopes.get_mut(id)) {
                state.scalable = scalable;
            }
        }
    }

    /// Replaces what autoscalers may set replicas to: where several scale one object, what any of them may. Gives the objects to read
    /// again.
    pub fn set_bounds(
        &self,
        bounds: impl IntoIterator<Item = (ObjectId, ReplicaBounds)>,
    ) -> Vec<Reread> {
        let mut new: HashMap<u128, ReplicaBounds> = HashMap::new();
        for (id, b) in bounds {
            let known = new.entry(super::key_of_object(&id)).or_insert(b);
            *known = known.or(b);
        }
        self.replace_bounds(Some(new))
    }

    /// Autoscalers may not be read any more: what they may set replicas to is not known. Gives the objects to read again.
    pub fn lose_bounds(&self) -> Vec<Reread> {
        self.replace_bounds(None)
    }

    fn replace_bounds(&self, new: Option<HashMap<u128, ReplicaBounds>>) -> Vec<Reread> {
        let mut inner = self.inner.lock();
        let before = std::mem::replace(&mut inner.bounds, new);
        let (old, new) = (before.as_ref(), inner.bounds.as_ref());
        let of = |bounds: Option<&HashMap<u128, ReplicaBounds>>, key| bounds?.get(key).copied();
        let all = old.into_iter().chain(new).flat_map(HashMap::keys);
        let keys: HashSet<u128> = all
            .filter(|key| of(old, key) != of(new, key))
            .copied()
            .collect();
        let mut members: HashSet<DeclId> = keys
            .into_iter()
            .flat_map(|key| inner.chain(key).map(|(id, _)| id).collect::<Vec<_>>())
            .collect();
        if before.is_none() {
            // These have waited for it.
            let waited = |d: &Decl| d.verdict == Known::Unknown(Unknown::Autoscaled);
            members.extend(inner.slab.ids(waited));
        }
        members
            .into_iter()
            .filter_map(|id| inner.judge_again(id))
            .collect()
    }
}

impl Inner {
    pub(super) fn replicas_of(&self, decl: &Decl, scope: &ScopeKey) -> Replicas {
        let Some(bounds) = &self.bounds else {
            let listed = self.scopes.get(decl.scope).is_some_and(|s| s.scalable);
            return if listed || is_scalable(&scope.kind.group_kind) {
                Replicas::NotKnown
            } else {
                Replicas::Declared
            };
        };
        if bounds.is_empty() {
            return Replicas::Declared;
        }
        let place = super::key_of(
            &scope.kind.group_kind,
            scope.namespace.as_deref(),
            &decl.name,
        );
        bounds
            .get(&place)
            .map_or(Replicas::Declared, |b| Replicas::Within(*b))
    }

    /// The server's answer about an object, read back.
    pub(super) fn answer(&self, decl: &Decl) -> Option<Value> {
        match decl.expectation {
            Expectation::Answered(at, _) => self.notes.read(at).ok(),
            _ => None,
        }
    }

    /// What is expected, in the form in which judging takes it.
    pub(super) fn expected<'a>(&self, decl: &Decl, answer: Option<&'a Value>) -> Expected<'a> {
        match (decl.expectation, answer) {
            (Expectation::Answered(..), Some(answer)) => Expected::Answer(answer),
            (Expectation::Refused(_) | Expectation::Unasked(_), _) => Expected::Refused,
            (Expectation::AsDeclared, _) => Expected::AsDeclared,
            (Expectation::Unsettled | Expectation::Answered(..), _) => Expected::Unsettled,
        }
    }

    pub(super) fn expect(&mut self, id: DeclId, expectation: Expectation) {
        let Some(decl) = self.slab.get_mut(id) else {
            return;
        };
        let old = std::mem::replace(&mut decl.expectation, expectation);
        if let Expectation::Answered(at, _) = old {
            self.notes.release(at);
        }
    }

    /// Asks about an object; `only_residue` where all that is declared is as declared.
    pub(super) fn ask(&mut self, id: DeclId, only_residue: bool) {
        let Some(decl) = self.slab.get_mut(id) else {
            return;
        };
        // What was asked about may have been edited since: the answer then says nothing about what is declared.
        decl.residue_only = only_residue;
        if decl.asked {
            return;
        }
        // It was asked about for others, and is declared anew since.
        self.hand_over(id);
        let shape = if only_residue {
            self.shape_of(id)
        } else {
            None
        };
        let Some(shape) = shape else {
            return self.put(id);
        };
        match self.shapes.all.get_mut(&shape) {
            Some(Shape::Waiting(others)) => {
                if let Some(decl) = self.slab.get_mut(id) {
                    decl.asked = true;
                    others.push((id, decl.digest));
                }
            }
            Some(Shape::Answered(residue, at)) if at.elapsed() < FRESH => {
                let residue = Arc::clone(residue);
                self.explain_or_put(id, &residue);
            }
            _ => {
                self.shapes.lead(shape, id);
                self.put(id);
            }
        }
    }

    /// Lets the next of those that wait ask for all of them, where the one that did so cannot any more.
    fn hand_over(&mut self, first: DeclId) {
        for (id, _) in self.shapes.let_go(first) {
            let Some(decl) = self.slab.get_mut(id) else {
                continue;
            };
            decl.asked = false;
            let only_residue = decl.residue_only;
            self.ask(id, only_residue);
        }
    }

    /// True if the server may be asked about objects of its scope.
    fn may_ask(&self, decl: &Decl) -> bool {
        self.scopes.get(decl.scope).is_some_and(|s| s.askable)
    }

    fn put(&mut self, id: DeclId) {
        if let Some(decl) = self.slab.get_mut(id) {
            decl.asked = true;
            self.questions.push_back(id);
        }
    }

    /// Asks again about an object that shows something unexplained, unless that was just done.
    pub(super) fn ask_when_stale(&mut self, id: DeclId) {
        let stale = self.slab.get(id).is_some_and(|d| {
            let asked = d.expectation.at();
            asked.is_some_and(|at| self.may_ask(d) && !d.asked && !at.is_fresh())
        });
        if stale {
            self.put(id);
        }
    }

    fn shape_of(&self, id: DeclId) -> Option<u64> {
        let decl = self.slab.get(id).filter(|d| d.left.is_none())?;
        let scope = self.scopes.get(decl.scope).filter(|s| s.shared)?;
        let declared = self.targets.get(&decl.target)?.blobs.read(decl.blob).ok()?;
        Some(shape(&scope.key.kind, &declared.object))
    }

    /// Settles an object by what the server adds to others of its shape, or asks about it.
    fn explain_or_put(&mut self, id: DeclId, residue: &Residue) {
        if !self.explain(id, residue) {
            self.put(id);
        }
    }

    /// Settles an object by what the server adds to its declaration, if that is all that it has.
    fn explain(&mut self, id: DeclId, residue: &Residue) -> bool {
        let nothing = self.residues.intern(Residue::default());
        let Some(decl) = self.slab.get_mut(id) else {
            return true;
        };
        let unverified = decl.verdict == Known::Unknown(Unknown::Unverified);
        let Some(seen) = decl
            .seen
            .clone()
            .filter(|_| unverified && decl.residue_only)
        else {
            return false;
        };
        let known = decl.known.clone();
        let explained =
            |hash: &u64| residue.holds(*hash) || known.as_ref().is_some_and(|k| k.holds(*hash));
        if !seen.hashes().iter().all(explained) {
            return false;
        }
        decl.learn(seen);
        decl.asked = false;
        decl.rewritten = Some(nothing);
        let target = decl.target;
        self.unsaved.insert(target);
        self.expect(id, Expectation::AsDeclared);
        self.set_base(id, Base::Declared);
        self.stamps.forget(id);
        let hidden = self.slab.get(id).and_then(|d| d.hidden.clone());
        self.set(id, hidden.map_or(Known::InSync, Known::Unknown));
        true
    }

    fn settle(&mut self, question: &Question, asked: Asked) -> bool {
        let residue = match &asked {
            Asked::Object(expected) => Some(Arc::new(added_by_server(question, expected))),
            Asked::Refused | Asked::Unasked => None,
        };
        for (id, digest) in self.waiting(question, residue.as_ref()) {
            let same = self.slab.get(id).is_some_and(|d| d.digest == digest);
            match &residue {
                Some(residue) if same => self.explain_or_put(id, residue),
                _ => self.put(id),
            }
        }
        let current = self
            .slab
            .get(question.decl)
            .is_some_and(|d| d.digest == question.digest);
        if let Some(decl) = self.slab.get_mut(question.decl) {
            decl.asked = false;
            if residue.is_some() {
                decl.forget_unasked();
            }
        }
        if !current {
            // What it is declared as by now was waiting for this answer.
            self.ask_if_unverified(question.decl);
            return false;
        }
        if residue.is_some_and(|residue| self.explain(question.decl, &residue)) {
            return false;
        }
        if let Some(decl) = self.slab.get_mut(question.decl) {
            decl.version = 0;
        }
        let expectation = match asked {
            Asked::Refused => Expectation::Refused(Seconds::now()),
            Asked::Unasked => Expectation::Unasked(Seconds::now()),
            Asked::Object(expected) => match self.notes.push(&expected) {
                Ok(at) => Expectation::Answered(at, Seconds::now()),
                Err(error) => {
                    tracing::warn!(%error, "an expected object cannot be kept in a temporary file; ownership stands in");
                    Expectation::Refused(Seconds::now())
                }
            },
        };
        self.expect(question.decl, expectation);
        true
    }

    fn ask_if_unverified(&mut self, id: DeclId) {
        let open = self.slab.get(id).filter(|d| {
            d.verdict == Known::Unknown(Unknown::Unverified) && !d.asked && self.may_ask(d)
        });
        if let Some(only_residue) = open.map(|d| d.residue_only) {
            self.ask(id, only_residue);
        }
    }

    /// Those that wait for an answer about their shape; it is kept for others.
    fn waiting(
        &mut self,
        question: &Question,
        residue: Option<&Arc<Residue>>,
    ) -> Vec<(DeclId, u64)> {
        let Some(shape) = question.shape else {
            return Vec::new();
        };
        let waiting = self.shapes.let_go(question.decl);
        if let Some(residue) = residue {
            let answered = Shape::Answered(Arc::clone(residue), Instant::now());
            self.shapes.all.insert(shape, answered);
        }
        waiting
    }

    fn question(&self, id: DeclId) -> Option<Question> {
        let decl = self.slab.get(id).filter(|d| d.asked && d.left.is_none())?;
        let scope = self.scopes.get(decl.scope)?;
        let declared = self.targets.get(&decl.target)?.blobs.read(decl.blob).ok()?;
        let shape = Some(shape(&scope.key.kind, &declared.object))
            .filter(|shape| self.shapes.first.get(&id) == Some(shape));
        Some(Question {
            decl: id,
            digest: decl.digest,
            scope: scope.key.clone(),
            id: self.identity(id)?,
            declared,
            schema: scope.schema.clone(),
            shape,
        })
    }

    /// Moves what is needed of the notes to a new file.
    pub(super) fn tidy_notes(&mut self) {
        let old = std::mem::take(&mut self.notes);
        let ids = self.slab.ids(|d| {
            matches!(d.base, Base::Kept(_))
                || matches!(d.expectation, Expectation::Answered(..))
                || d.left.is_some()
        });
        for id in ids {
            let Some(decl) = self.slab.get_mut(id) else {
                continue;
            };
            let mut moved = |at: BlobRef| self.notes.push(&old.read(at).ok()?).ok();
            if let Base::Kept(kept) = &mut decl.base {
                match moved(kept.at) {
                    Some(at) => kept.at = at,
                    None => decl.base = Base::Unknown,
                }
            }
            if let Some(left) = &mut decl.left {
                left.at = left.at.and_then(&mut moved);
            }
            if let Expectation::Answered(at, when) = decl.expectation {
                decl.expectation =
                    moved(at).map_or(Expectation::Unsettled, |at| Expectation::Answered(at, when));
            }
        }
    }
}

/// What the server has added to a declaration by itself.
fn added_by_server(question: &Question, expected: &Value) -> Residue {
    let declared = &question.declared.object;
    let context = Context {
        kind: &question.scope.kind.group_kind,
        declared,
        live: expected,
        replicas: None,
        replicas_at: None,
    };
    let mut added = extras(declared, expected, &question.schema);
    added.retain(|e| !explains_addition(&context, &e.path.0, e.value));
    Residue::new(added.iter().map(Extra::hash).collect())
}

#[cfg(test)]
mod tests {
    use super::super::TargetId;
    use super::super::tests::{TARGET, batch, listed, live, scope};
    use super::*;

    /// The names of those about which the server is to be asked, in the order of the questions.
    fn questions(index: &Index) -> Vec<String> {
        let next = || Some(index.next_question()?.id.name.to_string());
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn with_each_verification_so_many_are_asked_about_again_those_longest_ago_first() {
        let index = Index::new();
        let names = ["a", "b", "c", "d", "e"];
        let objects = names.map(|n| (n, "1"));
        index.declare(TARGET, batch(&objects, true));
        let other = TargetId(2);
        index.declare(other, batch(&objects, true));
        listed(&index, &names.map(|n| live(n, "2", 5)));
        questions(&index);
        // When each was answered; nothing is known of the last.
        for (name, at) in [("a", 30), ("b", 10), ("c", 40), ("d", 20)] {
            let mut inner = index.inner.lock();
            let ids = inner.slab.ids(|d| &*d.name == name);
            for id in ids {
                inner.expect(id, Expectation::Refused(Seconds(at)));
            }
        }
        let ids = index.inner.lock().slab.ids(|_| true);
        for id in ids {
            let mut inner = index.inner.lock();
            inner.slab.get_mut(id).expect("there").asked = false;
        }
        assert_eq!(index.question_again(TARGET, 2), 2);
        assert_eq!(questions(&index), ["b", "d"]);
        // Those have not been answered yet.
        assert_eq!(index.question_again(TARGET, 10), 2);
        assert_eq!(questions(&index), ["a", "c"]);
        assert_eq!(index.question_again(TARGET, 10), 0);
        index.set_askable(&scope(), false);
        assert_eq!(index.question_again(other, 10), 0);
        index.set_askable(&scope(), true);
        assert_eq!(index.question_again(other, 10), 4);
    }
}
