//! What is to be done about one object at this moment: it is read once more, judged, and all that stands in the way is looked for. Nothing is
//! written here, so that a preview weighs as a write does.

use std::fmt;
use std::sync::Arc;

use cluster::access::Attributes;
use cluster::discovery::Catalog;
use cluster::index::{Material, ScopeKey};
use cluster::write::Place;
use cluster::{Account, Error};
use drift::converge::{Act, History, Left, Plan, Why, act, left, plan};
use drift::grade::NOTHING;
use drift::patch::PatchError;
use drift::undeclared::{Declarer, controller};
use drift::{Graded, ObjectId};
use jiff::Timestamp;
use serde_json::Value;

use super::known::Key;
use super::{Writer, words};
use crate::deliver;
use crate::engine::Engine;
use crate::exceptions;
use crate::healers;

/// What weighing comes to.
pub(crate) enum Weighed {
    /// It is not declared any more, or the account may not see it.
    Gone,
    /// It does not drift; it is there like this.
    Calm(Option<Box<(ScopeKey, Value)>>),
    /// It drifts, and nothing is to be done about it.
    Rest(Left),
    /// It is declared elsewhere by now: look again.
    Moved,
    Waits(Timestamp, Why),
    /// Its deployer puts it back.
    Healed(Timestamp, Arc<Declarer>),
    Blocked(Blocked),
    /// It may be written.
    Ready(Box<Scene>),
}

/// Why an object cannot be put back.
pub(crate) enum Blocked {
    /// Exceptions are not known yet.
    Exceptions,
    /// It could not be read, or asked about.
    Unread(Error),
    /// Somebody else declares it otherwise.
    Disputed,
    /// What to write is not known.
    Hidden,
    /// The account may not see it any more.
    Unseen(String),
}

impl Blocked {
    /// True where the same may succeed later without anybody mending anything.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Unread(error) if error.is_retryable())
    }

    /// In one word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Exceptions => "ExceptionsUnknown",
            Self::Unread(_) => "Unreadable",
            Self::Disputed => "Disputed",
            Self::Hidden => "ValueUnknown",
            Self::Unseen(_) => "NotAllowed",
        }
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exceptions => f.write_str(words::EXCEPTIONS),
            Self::Unread(error) => error.fmt(f),
            Self::Disputed => f.write_str(words::DISPUTED),
            Self::Hidden => f.write_str(words::HIDDEN),
            Self::Unseen(why) => f.write_str(why),
        }
    }
}

/// An object that may be written, and what is to be written.
pub(crate) struct Scene {
    catalog: Arc<Catalog>,
    pub scope: ScopeKey,
    pub live: Option<Value>,
    pub material: Material,
    pub planned: Plan,
}

impl Scene {
    pub fn place<'a>(&'a self, account: &'a Account, id: &'a ObjectId) -> Option<Place<'a>> {
        place(&self.catalog, &self.scope, account, id)
    }

    /// True where it is written because Git has moved, and not because somebody edited it.
    pub fn is_commit(&self) -> bool {
        let Plan::Apply(fields) = &self.planned else {
            return false;
        };
        let graded = self.material.graded.as_ref();
        graded.is_none_or(|graded| !drift::deliver::puts_back(graded, fields))
    }

    /// What goes to the API server.
    pub fn act(&self) -> Result<Act<'_>, PatchError> {
        let declared = &self.material.declared.object;
        act(&self.planned, declared, self.live.as_ref())
    }
}

fn place<'a>(
    catalog: &'a Catalog,
    scope: &'a ScopeKey,
    account: &'a Account,
    id: &'a ObjectId,
) -> Option<Place<'a>> {
    Some(Place {
        account,
        kind: &scope.kind,
        resource: catalog.resource(&scope.kind)?,
        namespace: scope.namespace.as_deref(),
        name: &id.name,
    })
}

/// What is the matter with an object and this writer's to mend: what a commit brings only where that is delivered.
fn told<'a>(writer: &Writer, material: &'a Material) -> Option<&'a Graded> {
    let graded = material.graded.as_ref();
    graded.filter(|_| writer.delivers || !material.pending)
}

/// What is to be done: what Git declares is delivered, where that is the writer's to do; else live edits go back.
pub(super) fn decide(
    writer: &Writer,
    material: &Material,
    live: Option<&Value>,
    history: History,
    now: Timestamp,
) -> Plan {
    let Some(graded) = told(writer, material) else {
        return Plan::Rest;
    };
    let terms = &writer.terms;
    if writer.delivers {
        let delivery = deliver::plan(terms, graded, material, live, history, now);
        if delivery != Plan::Rest {
            return delivery;
        }
        // What only others own goes as it does anywhere.
    }
    let ignored = material.ignored.as_ref().unwrap_or(&NOTHING);
    let removes = material.removes.then_some(ignored);
    plan(terms, graded, removes, history, now)
}

/// Reads an object once more and finds out what is to be done about it, by the writer's terms.
pub(crate) async fn weigh(
    engine: &Arc<Engine>,
    (target, id): &Key,
    writer: &Writer,
    mut history: History,
    now: Timestamp,
) -> Weighed {
    if !engine.exceptions.is_listed() {
        return Weighed::Blocked(Blocked::Exceptions);
    }
    let catalog = engine.catalog.catalog();
    let Some(scope) = engine.index.scope_of(*target, id) else {
        return Weighed::Gone;
    };
    let Some(place) = place(&catalog, &scope, &writer.account, id) else {
        return Weighed::Gone;
    };
    let live = match read(engine, place).await {
        Ok(live) => live,
        Err(error) => return Weighed::Blocked(Blocked::Unread(error)),
    };
    let (excepted, _) = exceptions::in_force(engine, &writer.policy);
    exceptions::bring_into_force(engine, &writer.policy, *target, &writer.target, excepted);
    let Some(material) = engine.index.material(*target, id, live.as_ref()) else {
        return Weighed::Gone;
    };
    if material.scope != scope {
        return Weighed::Moved;
    }
    let Some(graded) = told(writer, &material) else {
        return Weighed::Calm(live.map(|live| Box::new((scope, live))));
    };
    history.held_until = live.as_ref().and_then(|live| held_until(engine, live, now));
    let (healed, by) = healers::healed(engine, &writer.account, id, live.as_ref()).await;
    history.healed = healed;
    let planned = decide(writer, &material, live.as_ref(), history, now);
    match planned {
        Plan::Rest => return Weighed::Rest(left(&writer.terms, graded, material.removes)),
        Plan::Wait(until, Why::Healed) if let Some(by) = by => return Weighed::Healed(until, by),
        Plan::Wait(until, why) if !material.disputed => return Weighed::Waits(until, why),
        _ if material.disputed => return Weighed::Blocked(Blocked::Disputed),
        _ => {}
    }
    if material.hidden.is_written_by(&planned) {
        return Weighed::Blocked(Blocked::Hidden);
    }
    match may_see(engine, place).await {
        Ok(true) => {}
        Ok(false) => return Weighed::Blocked(Blocked::Unseen(words::unseen(place))),
        Err(error) => return Weighed::Blocked(Blocked::Unread(error)),
    }
    Weighed::Ready(Box::new(Scene {
        catalog: Arc::clone(&catalog),
        scope,
        live,
        material,
        planned,
    }))
}

pub(crate) async fn read(engine: &Engine, place: Place<'_>) -> cluster::Result<Option<Value>> {
    engine.metrics.object_reads.inc();
    let Place {
        kind,
        resource,
        namespace,
        name,
        ..
    } = place;
    cluster::read::object(&engine.client, kind, resource, namespace, name).await
}

/// Until when a live object asks to be left alone. What lies further ahead than anybody may ask for is not heeded.
pub(crate) fn held_until(engine: &Engine, live: &Value, now: Timestamp) -> Option<Timestamp> {
    // Controllers copy annotations to what they own.
    if !engine.options.heed_holds || controller(live).is_some() {
        return None;
    }
    let annotations = live.get("metadata")?.get("annotations")?;
    let until = annotations.get(driftline_crds::HOLD_UNTIL_ANNOTATION)?;
    let until: Timestamp = until.as_str()?.parse().ok()?;
    let latest = now.checked_add(engine.options.longest_hold).ok()?;
    (until > now && until <= latest).then_some(until)
}

/// The account's right to see an object, asked afresh.
pub(crate) async fn may_see(engine: &Engine, place: Place<'_>) -> cluster::Result<bool> {
    let attributes = Attributes {
        verb: "list",
        group: &place.kind.group_kind.group,
        resource: &place.resource.plural,
        subresource: "",
        namespace: place.namespace,
        name: None,
    };
    engine.access.may(place.account, attributes).await
}
