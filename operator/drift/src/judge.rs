//! From a declaration, its baseline and what is live to a verdict.

use std::collections::HashSet;

use serde_json::Value;

use crate::automation::{self, Context, ReplicaBounds};
use crate::bookkeeping::normalise;
use crate::compare::{Change, FieldDrift, compare, is_left_out};
use crate::declared::DeclaredObject;
use crate::expected::{Expected, without_rewrites};
use crate::first_sight::{self, still_there};
use crate::hidden::Hidden;
use crate::origin::{Baseline, Evidence, Origin};
use crate::ownership::{Deployers, Owners};
use crate::path::{FieldPath, Step};
use crate::residue::{Extra, Residue, as_whole_list, extras, place_hash, unexplained};
use crate::schema::{Node, Schema};
use crate::subject::GroupKind;

/// What a verdict on a field stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Basis {
    /// The declared value and the live value alone.
    Declared,
    /// The server's own answer to a dry-run creation of the declared object.
    Expected,
    /// Who owns the field, because the server could not be asked.
    Ownership,
}

impl Basis {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Declared => "Declared",
            Self::Expected => "Expected",
            Self::Ownership => "Ownership",
        }
    }
}

/// What is the matter with the object as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectChange {
    /// It is there, some of its fields are not as declared.
    Changed,
    /// It is declared and not there.
    Missing,
    /// It was deleted and is held by a finalizer.
    Terminating,
    /// It was declared, is not any more, and is still there.
    Orphaned,
    /// It is there, and nobody declares it.
    Undeclared,
}

impl ObjectChange {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "Changed",
            Self::Missing => "Missing",
            Self::Terminating => "Terminating",
            Self::Orphaned => "Orphaned",
            Self::Undeclared => "Undeclared",
        }
    }
}

/// A field that differs, what the verdict stands on and where the difference comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedField {
    /// Path, kind of change and values.
    pub drift: FieldDrift,
    /// What the verdict stands on.
    pub basis: Basis,
    /// Who moved: live, Git, or both.
    pub origin: Origin,
    /// How many steps of the path lead to the outermost struct that was added as a whole, or to the field itself.
    pub whole: usize,
}

impl JudgedField {
    /// The place of the outermost struct that was added as a whole, or of the field itself.
    pub fn outermost(&self) -> FieldPath {
        let path = &self.drift.path;
        let steps = path.0.get(..self.whole);
        steps.map_or_else(|| path.clone(), |steps| FieldPath(steps.to_vec()))
    }
}

/// A drifted object.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What is the matter with the object as a whole.
    pub change: ObjectChange,
    /// The fields, in the order of their paths; empty unless `change` is [`ObjectChange::Changed`].
    pub fields: Vec<JudgedField>,
    /// The gravest of its fields; for a whole object its own.
    pub origin: Origin,
    /// What the baseline is known from, where there is one.
    pub evidence: Option<Evidence>,
    /// The live object's uid, where it exists.
    pub uid: Option<String>,
    /// When its deletion was asked for, for [`ObjectChange::Terminating`] (RFC 3339).
    pub deleted_at: Option<String>,
}

impl Finding {
    /// True if nothing but a roll-out is missing. What was not deployed from a commit may have been an edit, and proves no roll-out.
    pub fn is_pending(&self) -> bool {
        self.origin == Origin::GitAhead && self.evidence.is_none_or(Evidence::is_of_a_commit)
    }
}

/// Why nothing can be said about an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Unknown {
    /// Its watch has not listed it yet.
    NotSeen,
    /// Its watch has heard nothing for too long.
    Blind,
    /// The operator may not read its kind.
    Forbidden,
    /// The policy's account may not read its kind there.
    NotAllowed,
    /// The API server did not say whether the policy's account may read its kind there.
    AccessNotKnown,
    /// Its kind is not served by the cluster.
    NotServed,
    /// It differs, and whether the server makes that difference is being asked for or cannot be told.
    Unverified,
    /// Its replicas differ, and what an autoscaler may set them to is not known.
    Autoscaled,
    /// Its declaration renders differently each time at the only fields that differ.
    Unstable,
    /// Its values are encrypted in Git; its keys are as declared.
    Encrypted,
    /// Git does not declare it any more, and whether it is still there is not known yet, or ignored.
    NotDeclared,
    /// The source has an error, and what was declared before cannot be told from what was removed.
    NotRendered,
    /// Its deployer is at work on it.
    RollingOut,
    /// Chart or operator settings keep it from being compared (live Secrets).
    NotCompared,
}

impl Unknown {
    /// The reason in CamelCase, as conditions use it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotSeen => "NotSeenYet",
            Self::Blind => "WatchBlind",
            Self::Forbidden => "Forbidden",
            Self::NotAllowed => "NotAllowed",
            Self::AccessNotKnown => "AccessNotKnown",
            Self::NotServed => "KindNotServed",
            Self::Unverified => "Unverified",
            Self::Autoscaled => "AutoscalersNotRead",
            Self::Unstable => "RenderUnstable",
            Self::Encrypted => "ValuesEncrypted",
            Self::NotDeclared => "NotDeclared",
            Self::NotRendered => "NotRendered",
            Self::RollingOut => "RollingOut",
            Self::NotCompared => "NotCompared",
        }
    }
}

/// What is known about one declared object.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Live is what Git declares.
    InSync,
    /// A commit is not rolled out yet.
    Pending(Box<Finding>),
    /// Live is not what Git declares.
    Drifted(Box<Finding>),
    /// Nothing can be said.
    Unknown(Unknown),
}

/// Whether what Git does not declare is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Undeclared {
    /// It is not.
    Ignore,
    /// What the server, its controllers and admission did not put there is drift.
    #[default]
    Report,
    /// The same, and it goes where the policy puts things back.
    Remove,
}

/// All that a judgement takes besides the live object.
pub struct Case<'a> {
    /// The kind.
    pub kind: &'a GroupKind,
    /// The declaration, normalised.
    pub declared: &'a DeclaredObject,
    /// The rules by which it compares.
    pub schema: &'a Schema,
    /// What the server makes of the declaration.
    pub expected: Expected<'a>,
    /// The server may be asked.
    pub askable: bool,
    /// What the object had beyond its declaration when that was last explained; `None` if it never was.
    pub known: Option<&'a Residue>,
    /// More may have been explained than is remembered: what is not in `known` is met as for the first time.
    pub partial: bool,
    /// What it was declared as when it was last in sync.
    pub baseline: Baseline<'a>,
    /// The places of that declaration of which the server made something else; `None` if that is not known.
    pub rewritten: Option<&'a Residue>,
    /// Whether undeclared fields are looked at.
    pub undeclared: Undeclared,
    /// What an autoscaler may set its replicas to.
    pub replicas: Replicas,
    /// Where its replicas are, if not at `spec.replicas`.
    pub replicas_at: Option<&'a FieldPath>,
    /// It was in sync by this very declaration, and has not been written since: what is new in it the server made on reading.
    pub unwritten: bool,
    /// Where it does not exist: it was seen to be deleted before it had finished.
    pub cut_short: bool,
}

/// Who sets an object's replicas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Replicas {
    /// Autoscalers have not been listed yet.
    NotKnown,
    /// No autoscaler.
    #[default]
    Declared,
    /// An autoscaler, within its bounds.
    Within(ReplicaBounds),
}

impl<'a> Case<'a> {
    /// A case of which nothing is known but the declaration: no baseline, no memory, the server not asked yet.
    pub fn new(kind: &'a GroupKind, declared: &'a DeclaredObject, schema: &'a Schema) -> Self {
        Self {
            kind,
            declared,
            schema,
            expected: Expected::Unsettled,
            askable: true,
            known: None,
            partial: false,
            baseline: Baseline::Unknown,
            rewritten: None,
            undeclared: Undeclared::default(),
            replicas: Replicas::default(),
            replicas_at: None,
            unwritten: false,
            cut_short: false,
        }
    }

    /// True if the server stored what was declared at a place as it was.
    fn is_literal_at(&self, path: &FieldPath) -> bool {
        self.rewritten
            .is_some_and(|places| places.is_empty() || !is_within(path, places))
    }
}

fn is_within(path: &FieldPath, places: &Residue) -> bool {
    let steps = &path.0;
    let mut above = (1..=steps.len()).filter_map(|n| steps.get(..n));
    above.any(|steps| places.holds(place_hash(&FieldPath(steps.to_vec()))))
}

/// What judging one observation led to.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The verdict; until the server was asked, where `ask` is set.
    pub verdict: Verdict,
    /// Whether the server itself makes the difference is not known: ask for the expected object.
    pub ask: bool,
    /// The live object was looked at as a whole; else there is nothing of it to remember.
    pub compared: bool,
    /// All that the object has beyond its declaration.
    pub residue: Residue,
    /// The part of it that is explained, to be remembered.
    pub explained: Residue,
    /// Nothing that is declared differs, without the server having been asked.
    pub as_declared: bool,
    /// The places of the declaration of which the server has made something else, as far as that shows; `None` if that is not known.
    pub rewritten: Option<Residue>,
    /// What keeps the rest of a drifted object from being called in sync.
    pub rest: Option<Unknown>,
    /// Why some of its values can never be compared: that alone is no difference.
    pub hidden: Option<Unknown>,
}

impl Judgement {
    fn of(verdict: Verdict) -> Self {
        Self {
            verdict,
            ask: false,
            compared: false,
            residue: Residue::default(),
            explained: Residue::default(),
            as_declared: false,
            rewritten: None,
            rest: None,
            hidden: None,
        }
    }
}

/// Judges one declared object against its live one; `live` is `None` where the object does not exist.
pub fn judge(case: &Case<'_>, live: Option<&Value>) -> Judgement {
    let declared = &case.declared.object;
    let Some(live) = live else {
        return Judgement::of(absent(case));
    };
    if let Some(at) = metadata(live, "deletionTimestamp") {
        if goes_by_itself(case, !automation::is_finished(live)) {
            return Judgement::of(Verdict::InSync);
        }
        return Judgement::of(Verdict::Drifted(Box::new(Finding {
            deleted_at: Some(at),
            ..whole(
                case,
                ObjectChange::Terminating,
                Origin::LiveEdited,
                metadata(live, "uid"),
            )
        })));
    }
    let context = Context {
        kind: case.kind,
        declared,
        live,
        replicas: match case.replicas {
            Replicas::Within(bounds) => Some(bounds),
            Replicas::NotKnown | Replicas::Declared => None,
        },
        replicas_at: case.replicas_at,
    };
    match declared_part(case, &context) {
        Err(unknown) => Judgement::of(Verdict::Unknown(unknown)),
        Ok(drifts) => present(case, &context, drifts),
    }
}

fn version(object: &Value) -> Option<&str> {
    object.get("apiVersion")?.as_str()
}

fn metadata(object: &Value, key: &str) -> Option<String> {
    Some(object.get("metadata")?.get(key)?.as_str()?.to_owned())
}

/// True for what is not meant to stay, where nobody deleted it before its time.
fn goes_by_itself(case: &Case<'_>, unfinished: bool) -> bool {
    let declared = &case.declared.object;
    automation::is_hook(declared) || (automation::may_be_gone(case.kind, declared) && !unfinished)
}

fn absent(case: &Case<'_>) -> Verdict {
    if goes_by_itself(case, case.cut_short) {
        return Verdict::InSync;
    }
    if Hidden::of(case.declared, case.schema).is_all() {
        return Verdict::Unknown(Unknown::Unstable);
    }
    let origin = case.baseline.origin_of_absence();
    let finding = Box::new(whole(case, ObjectChange::Missing, origin, None));
    if finding.is_pending() {
        Verdict::Pending(finding)
    } else {
        Verdict::Drifted(finding)
    }
}

fn whole(case: &Case<'_>, change: ObjectChange, origin: Origin, uid: Option<String>) -> Finding {
    Finding {
        change,
        fields: Vec::new(),
        origin,
        evidence: case.baseline.evidence(),
        uid,
        deleted_at: None,
    }
}

/// The declared fields that differ.
fn declared_part(case: &Case<'_>, context: &Context<'_>) -> Result<Vec<FieldDrift>, Unknown> {
    let declared = context.declared;
    let mut drifts = compare(declared, context.live, case.schema);
    drifts.retain(|d| !automation::explains_change(context, &d.path.0, d.live.as_ref()));
    if case.replicas == Replicas::NotKnown && drifts.iter().any(|d| context.is_replicas(&d.path.0))
    {
        return Err(Unknown::Autoscaled);
    }
    Ok(drifts)
}

/// Judges an object that is there.
fn present(case: &Case<'_>, context: &Context<'_>, mut drifts: Vec<FieldDrift>) -> Judgement {
    let Context { declared, live, .. } = *context;
    let mut beyond = match case.undeclared {
        Undeclared::Ignore => Vec::new(),
        Undeclared::Report | Undeclared::Remove => extras(declared, live, case.schema),
    };
    beyond.retain(|e| !automation::explains_addition(context, &e.path.0, e.value));
    let places = Hidden::of(case.declared, case.schema);
    let hidden = places.take_out(&mut drifts, &mut beyond, declared, case.schema);
    if case.replicas == Replicas::NotKnown && beyond.iter().any(|e| context.is_replicas(&e.path.0))
    {
        return Judgement::of(Verdict::Unknown(Unknown::Autoscaled));
    }
    let hashes: Vec<u64> = beyond.iter().map(Extra::hash).collect();
    let residue = Residue::new(hashes.clone());
    let is_new =
        |hash: &u64| !case.unwritten && !case.known.is_some_and(|known| known.holds(*hash));
    let mut new: Vec<Extra<'_>> = beyond
        .iter()
        .zip(&hashes)
        .filter(|(_, hash)| is_new(hash))
        .map(|(extra, _)| extra.clone())
        .collect();
    if !new.is_empty() && automation::is_custom(case.kind) {
        let remembered = beyond.iter().zip(&hashes);
        let remembered = remembered.filter(|(_, hash)| case.known.is_some_and(|k| k.holds(**hash)));
        without_controllers(case, live, remembered.map(|(extra, _)| extra), &mut new);
    }
    let as_declared = drifts.is_empty();
    let mut rewritten = Vec::new();
    let mut doubtful = first_sight::take_out(case, &mut new);
    let (basis, mut added) = match case.expected {
        Expected::Answer(expected) => {
            rewritten = without_rewrites(&mut drifts, declared, expected, case.schema);
            let mut added = unexplained(&new, declared, expected, live, case.schema);
            if !added.is_empty() {
                let holders = Holders::of(case, live);
                let (told, open) = added.into_iter().partition(|d| {
                    !first_sight::is_first(case, &d.path)
                        || holders.owner(&d.path) == Owner::Foreign
                        || still_there(case, &holders.owners, &d.path)
                });
                added = told;
                doubtful.extend::<Vec<FieldDrift>>(open);
            }
            (Basis::Expected, added)
        }
        Expected::Unsettled | Expected::AsDeclared | Expected::Refused
            if case.expected == Expected::Refused || !case.askable =>
        {
            let (left_out, told) = drifts.into_iter().partition(|d| {
                let known = case.baseline == Baseline::Declared && case.is_literal_at(&d.path);
                !known && is_left_out(d, case.schema)
            });
            drifts = told;
            rewritten = left_out;
            let (added, open) = by_ownership(case, live, &new);
            doubtful.extend(open);
            let lost = rewritten.iter().filter(|d| may_be_lost(case, d));
            doubtful.extend(lost.cloned());
            (Basis::Ownership, added)
        }
        Expected::Unsettled | Expected::AsDeclared | Expected::Refused => {
            let unsettled = case.expected == Expected::Unsettled && !all_told(case, &drifts);
            if unsettled || !new.is_empty() {
                let verdict = if unsettled || drifts.is_empty() {
                    Verdict::Unknown(Unknown::Unverified)
                } else {
                    verdict(case, live, drifts, (Basis::Declared, Vec::new()))
                };
                return Judgement {
                    verdict,
                    ask: true,
                    compared: true,
                    residue,
                    explained: Residue::default(),
                    as_declared,
                    rewritten: case.rewritten.cloned(),
                    rest: Some(Unknown::Unverified),
                    hidden,
                };
            }
            (Basis::Declared, Vec::new())
        }
    };
    // A list that is one value, with something random in it, is not what the server makes of it either.
    added.retain(|d| !places.hides(d, case.schema));
    let explained = explained(&beyond, &hashes, added.iter().chain(&doubtful));
    without_told(&mut added, &drifts);
    without_told(&mut doubtful, &drifts);
    let rewritten = match case.expected {
        Expected::Unsettled | Expected::AsDeclared if case.askable && !as_declared => {
            case.rewritten.cloned()
        }
        _ => {
            // What differs otherwise now may be made something else of again.
            let open = !(drifts.is_empty() && added.is_empty());
            let before = case.rewritten.filter(|_| open);
            places_of(&rewritten, before)
        }
    };
    let unverified = (!doubtful.is_empty()).then_some(Unknown::Unverified);
    let rest = unverified.or_else(|| hidden.clone());
    let verdict = if drifts.is_empty() && added.is_empty() {
        rest.clone().map_or(Verdict::InSync, Verdict::Unknown)
    } else {
        verdict(case, live, drifts, (basis, added))
    };
    Judgement {
        verdict,
        ask: false,
        compared: true,
        residue,
        explained,
        as_declared,
        rewritten,
        rest,
        hidden,
    }
}

/// True for a zero value of a custom resource that is not there and was not seen to go. The server stores such a value as it is, except
/// in the metadata; a controller that reads and writes the whole object may drop it, and so may whoever edits it.
fn may_be_lost(case: &Case<'_>, drift: &FieldDrift) -> bool {
    automation::is_custom(case.kind)
        && first_sight::is_first(case, &drift.path)
        && !automation::is_metadata(&drift.path.0)
}

/// The places of what the server makes something else of, and those that were known before; `None` for more than are kept.
fn places_of(rewritten: &[FieldDrift], before: Option<&Residue>) -> Option<Residue> {
    const MOST: usize = 64;
    let before = before.map_or(&[][..], Residue::hashes);
    let places = rewritten.iter().map(|d| place_hash(&d.path));
    let places = Residue::new(places.chain(before.iter().copied()).collect());
    (places.hashes().len() <= MOST).then_some(places)
}

/// Takes out what the controller of a custom resource's kind writes: notes in the metadata, and values beside the declared ones where it
/// had filled in others when the object was in sync. Of one that had not, only the name speaks, which anybody can choose.
fn without_controllers<'a>(
    case: &Case<'_>,
    live: &Value,
    remembered: impl Iterator<Item = &'a Extra<'a>>,
    new: &mut Vec<Extra<'_>>,
) {
    let owners = Owners::of(live);
    let manager = |e: &Extra<'_>| Some(owners.owner(&e.path, case.schema)?.manager);
    let is_note = |e: &Extra<'_>| automation::is_metadata(&e.path.0);
    let completing: HashSet<String> = remembered
        .filter(|e| !is_note(e))
        .filter_map(manager)
        .collect();
    new.retain(|e| {
        let theirs = is_note(e) || manager(e).is_some_and(|m| completing.contains(&m));
        !(theirs && owners.is_controllers(&e.path, case.schema))
    });
}

/// Takes out the additions that lie in what is told as changed: a list that is one value is told once, whatever differs in it.
fn without_told(added: &mut Vec<FieldDrift>, drifts: &[FieldDrift]) {
    if added.is_empty() || drifts.is_empty() {
        return;
    }
    let told: HashSet<String> = drifts.iter().map(|d| d.path.to_string()).collect();
    added.retain(|d| {
        let steps = &d.path.0;
        let above = (1..=steps.len()).filter_map(|n| steps.get(..n));
        !above
            .map(|steps| FieldPath(steps.to_vec()).to_string())
            .any(|place| told.contains(&place))
    });
}

/// True if the baseline tells of each difference who moved, live or Git. Only one that the server stored as it was declared does: else
/// a difference may be what the server has always made of it.
fn all_told(case: &Case<'_>, drifts: &[FieldDrift]) -> bool {
    let told = |d: &FieldDrift| {
        matches!(
            case.baseline.origin(d, case.schema),
            Origin::LiveEdited | Origin::GitAhead
        )
    };
    // Of another declaration only that all of it was stored tells of this one.
    let is_literal = |d: &FieldDrift| match case.rewritten {
        Some(places) if !places.is_empty() => {
            case.baseline == Baseline::Declared && case.is_literal_at(&d.path)
        }
        places => places.is_some(),
    };
    drifts.iter().all(|d| is_literal(d) && told(d))
}

/// The hashes of what is not an addition. An addition is reported at its own place, below it where part of it is explained, or as
/// the atomic list around it.
fn explained<'a>(
    beyond: &[Extra<'_>],
    hashes: &[u64],
    added: impl Iterator<Item = &'a FieldDrift>,
) -> Residue {
    let text = |steps: &[Step]| FieldPath(steps.to_vec()).to_string();
    let mut places: HashSet<String> = HashSet::new();
    for drift in added {
        let steps = &drift.path.0;
        places.extend((1..=steps.len()).filter_map(|n| Some(text(steps.get(..n)?))));
    }
    let is_added = |extra: &Extra<'_>| {
        let list = extra.atomic.and_then(|depth| extra.path.0.get(..depth));
        places.contains(&extra.path.to_string()) || list.is_some_and(|l| places.contains(&text(l)))
    };
    let explained = beyond
        .iter()
        .zip(hashes)
        .filter(|(extra, _)| places.is_empty() || !is_added(extra))
        .map(|(_, hash)| *hash);
    Residue::new(explained.collect())
}

/// Whose a place is, as far as that tells whether it was edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Nobody,
    /// The deployer, or the controller of the object's kind.
    Expected,
    /// It is called as one of the control plane, or has changed what it may have deployed.
    Claimed,
    Foreign,
}

/// Who owns what of a live object.
struct Holders<'a> {
    owners: Owners<'a>,
    deployers: Deployers,
    schema: &'a Schema,
    /// The object's kind has a controller of its own, which may complete what is declared.
    custom: bool,
}

impl<'a> Holders<'a> {
    fn of(case: &Case<'a>, live: &'a Value) -> Self {
        let owners = Owners::of(live);
        Self {
            deployers: owners.deployers(&case.declared.object, case.schema),
            owners,
            schema: case.schema,
            custom: automation::is_custom(case.kind),
        }
    }

    fn owner(&self, path: &FieldPath) -> Owner {
        let Some(owner) = self.owners.owner(path, self.schema) else {
            return Owner::Nobody;
        };
        let manager = &owner.manager;
        let Deployers { certain, likely } = &self.deployers;
        let controllers = || self.custom && self.owners.is_controllers(path, self.schema);
        if certain.contains(manager) || controllers() {
            Owner::Expected
        } else if likely.contains(manager) || automation::is_control_plane(manager) {
            Owner::Claimed
        } else {
            Owner::Foreign
        }
    }

    fn is_control_planes(&self, path: &FieldPath) -> bool {
        self.owners
            .owner(path, self.schema)
            .is_some_and(|o| automation::is_control_plane(&o.manager))
    }
}

/// Where the server cannot be asked: what somebody else than the deployer owns is added, and what has come since the object was
/// in sync by this very declaration, whoever calls himself its owner. Then what cannot be told, where it was not seen to come: ownership
/// was emptied, or names somebody who may be anybody.
fn by_ownership(
    case: &Case<'_>,
    live: &Value,
    new: &[Extra<'_>],
) -> (Vec<FieldDrift>, Vec<FieldDrift>) {
    if new.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let holders = Holders::of(case, live);
    let seen_before = case.known.is_some() && case.baseline == Baseline::Declared;
    let (mut found, mut doubtful): (Vec<FieldDrift>, Vec<FieldDrift>) = Default::default();
    for extra in new {
        let first = first_sight::is_first(case, &extra.path);
        // What the control plane goes on writing there is its business; elsewhere its name is one that anybody can choose.
        let theirs = automation::is_kept_by_control_plane(case.kind, &extra.path.0)
            && holders.is_control_planes(&extra.path);
        let since = seen_before && !first && !theirs;
        let owner = holders.owner(&extra.path);
        let there = still_there(case, &holders.owners, &extra.path);
        let told = owner == Owner::Foreign || since || there;
        let open = match owner {
            Owner::Nobody => holders.deployers.is_empty(),
            Owner::Claimed => !theirs,
            Owner::Expected | Owner::Foreign => false,
        };
        let found = match told {
            true => &mut found,
            false if first && open => &mut doubtful,
            false => continue,
        };
        let list = extra.atomic.and_then(|depth| extra.path.0.get(..depth));
        let drift = match list.map(|steps| FieldPath(steps.to_vec())) {
            Some(path) => match path.get(live) {
                Some(list) if found.last().is_none_or(|f| f.path != path) => {
                    as_whole_list(path, &case.declared.object, list)
                }
                _ => continue,
            },
            None => FieldDrift {
                path: extra.path.clone(),
                change: Change::Added,
                declared: None,
                live: Some(extra.value.clone()),
            },
        };
        found.push(drift);
    }
    (found, doubtful)
}

/// The verdict on an object with differences.
fn verdict(
    case: &Case<'_>,
    live: &Value,
    drifts: Vec<FieldDrift>,
    (basis, added): (Basis, Vec<FieldDrift>),
) -> Verdict {
    let applied = match case.baseline {
        Baseline::Unknown => last_applied(live),
        _ => None,
    };
    let baseline = applied
        .as_ref()
        .map_or(case.baseline, |object| Baseline::Earlier {
            object,
            except: &[],
            evidence: Evidence::LastApplied,
        });
    let declared_basis = if basis == Basis::Expected && !drifts.is_empty() {
        Basis::Expected
    } else {
        Basis::Declared
    };
    let judged = |drift: FieldDrift, basis| JudgedField {
        origin: baseline.origin_of(&drift, case.schema, version(&case.declared.object)),
        whole: added_as_whole(case, &drift),
        drift,
        basis,
    };
    let fields: Vec<JudgedField> = drifts
        .into_iter()
        .map(|d| judged(d, declared_basis))
        .collect::<Vec<_>>()
        .into_iter()
        .chain(added.into_iter().map(|d| judged(d, basis)))
        .collect();
    let origin = fields.iter().map(|f| f.origin).max();
    let finding = Box::new(Finding {
        fields,
        evidence: baseline.evidence(),
        ..whole(
            case,
            ObjectChange::Changed,
            origin.unwrap_or(Origin::Unknown),
            metadata(live, "uid"),
        )
    });
    if finding.is_pending() {
        Verdict::Pending(finding)
    } else {
        Verdict::Drifted(finding)
    }
}

/// How many steps of an addition's path lead to the outermost struct of which nothing is declared nor expected. Members of maps are told
/// one by one.
fn added_as_whole(case: &Case<'_>, drift: &FieldDrift) -> usize {
    let steps = &drift.path.0;
    if drift.change != Change::Added {
        return steps.len();
    }
    let mut there = vec![Some(&case.declared.object)];
    if let Expected::Answer(expected) = case.expected {
        there.push(Some(expected));
    }
    let mut node = case.schema.root();
    let mut whole = None;
    for (n, step) in steps.iter().enumerate() {
        if !matches!(case.schema.node(node), Node::Struct(_)) {
            whole = None;
        }
        there
            .iter_mut()
            .for_each(|v| *v = v.and_then(|v| step.get(v)).filter(|v| !v.is_null()));
        if whole.is_none() && there.iter().all(Option::is_none) {
            whole = Some(n + 1);
        }
        node = case.schema.below(node, step);
    }
    whole.unwrap_or(steps.len())
}

/// What `kubectl apply` noted down of its last declaration.
fn last_applied(live: &Value) -> Option<Value> {
    let annotations = live.get("metadata")?.get("annotations")?;
    let text = annotations
        .get("kubectl.kubernetes.io/last-applied-configuration")?
        .as_str()?;
    let mut object: Value = serde_json::from_str(text).ok()?;
    let namespace = metadata(live, "namespace");
    normalise(&mut object, namespace.as_deref());
    object.is_object().then_some(object)
}

#[cfg(test)]
#[path = "judge_tests.rs"]
pub(crate) mod tests;
