//! One object's life: made, deployed, compared, changed, compared.

use std::sync::Arc;

use fastrand::Rng;
use http::Method;
use serde_json::{Map, Value, json};

use super::deploy::{Way, deploy, one as url_of};
use super::generate::Generator;
use super::mutate::{Writer, mutation, write};
use super::object::{Creation, accepted, enrich};
use super::path::{Change, Field, find, is_nothing};
use super::report::{Mismatch, Report};
use super::server::{Kind, Server};
use super::templates::{Templates, instance};
use super::truth::{declared_touched, touched};
use super::variants::{say_nothing, spell, state_defaults};
use super::{Additions, Expected, Judge, Result, Sight, Verdict};

/// What all objects share.
pub struct Surroundings {
    /// The API server.
    pub server: Server,
    /// What is tested.
    pub judge: Arc<dyn Judge>,
    /// Templates and hints.
    pub templates: Templates,
    /// All kinds.
    pub kinds: Vec<Kind>,
}

/// Changes tried on one object.
const CHANGES: usize = 6;

/// How a manifest is varied.
#[derive(Debug, Clone, Copy)]
enum Variant {
    Spelling,
    Nothing,
    Defaults,
}

struct Life<'a> {
    all: &'a Surroundings,
    kind: &'a Kind,
    namespace: &'static str,
    seed: u64,
    generator: Generator<'a>,
    report: Report,
    history: Vec<String>,
    writers: Writers,
}

/// Who has written to an object since it was deployed, as far as that decides what ownership can tell.
#[derive(Debug, Clone, Copy, Default)]
struct Writers {
    /// The control plane, by name.
    control_plane: bool,
    /// The deployer, by name; or somebody who owns something that is declared now, or nobody knows who.
    familiar: bool,
}

impl Writers {
    fn told(self, additions: Additions) -> bool {
        match additions {
            Additions::All => true,
            Additions::NotControlPlanes => !self.control_plane,
            Additions::Strangers => !self.control_plane && !self.familiar,
            Additions::None => false,
        }
    }
}

/// Lives one object's life.
///
/// # Errors
/// Where the server does not answer.
pub async fn one(all: &Surroundings, kind: &Kind, seed: u64) -> Result<Report> {
    let mut life = Life {
        all,
        kind,
        // These act on all objects of their namespace.
        namespace: match kind.kind.as_str() {
            "ResourceQuota" | "LimitRange" => "differential-limits",
            _ => "differential",
        },
        seed,
        generator: Generator {
            hints: &all.templates.hints,
            rng: Rng::with_seed(seed),
            duplicates: false,
        },
        report: Report::default(),
        history: Vec::new(),
        writers: Writers::default(),
    };
    life.live().await?;
    Ok(life.report)
}

impl<'b> Life<'b> {
    async fn live(&mut self) -> Result<()> {
        let Some(template) = self.all.templates.of(self.kind) else {
            self.report.without_template.insert(self.kind.to_string());
            return Ok(());
        };
        let mut way = Way::random(&mut self.generator.rng);
        if way == Way::Replace && self.kind.kind == "CertificateSigningRequest" {
            // The server takes a new spec of these and keeps the old one, without a word.
            way = Way::Create("kubectl-create");
        }
        self.generator.duplicates = way.takes_duplicates();
        let Some((declared, template)) = self.declaration(&template).await? else {
            return Ok(());
        };
        let server = &self.all.server;
        let answer = deploy(server, self.kind, self.namespace, way, &declared, &template).await?;
        self.history.push(format!("deployed by {way:?}"));
        if answer.status >= 300 {
            self.refuse(&format!("{way:?}"), &answer.message());
            return Ok(());
        }
        let live = self.read(&declared).await?;
        *self
            .report
            .objects
            .entry(self.kind.to_string())
            .or_default() += 1;
        let expected = self.expected(&declared).await?;
        if self.compare(&declared, &live, &live, &expected) {
            self.change(way, &declared, &live, &expected).await?;
        }
        self.remove(&declared).await
    }

    /// Takes the object away, and what would hold it.
    async fn remove(&self, declared: &Value) -> Result<()> {
        let server = &self.all.server;
        let url = url_of(self.kind, self.namespace, declared);
        let held = server.get(&url).await?.body["metadata"]["finalizers"].is_array();
        if held {
            let patch = json!({"metadata": {"finalizers": null}});
            let merge = "application/merge-patch+json";
            server
                .call(Method::PATCH, &url, merge, Some(&patch))
                .await?;
        }
        server
            .call(Method::DELETE, &url, "application/json", None)
            .await?;
        Ok(())
    }

    /// Who writes, under which name: now and then under the deployer's or the control plane's.
    fn writer(&mut self, way: Way) -> (Writer, &'static str) {
        let writers = [
            Writer::Put,
            Writer::JsonPatch,
            Writer::MergePatch,
            Writer::Apply,
        ];
        let writer = writers[self.generator.rng.usize(..4)];
        let manager = match self.generator.rng.u8(..12) {
            0 => way.manager(),
            1 => "kube-controller-manager",
            _ => writer.name(),
        };
        (writer, manager)
    }

    /// Notes a change that the server took.
    fn wrote(&mut self, way: Way, (writer, manager): (Writer, &str)) {
        self.writers.control_plane |= manager == "kube-controller-manager";
        // What is applied by force comes with keys, which are declared.
        self.writers.familiar |= manager == way.manager() || writer == Writer::Apply;
    }

    /// What is declared, and the template that it comes from.
    async fn declaration(&mut self, template: &Value) -> Result<Option<(Value, Value)>> {
        let [.., a, b, c, d] = self.seed.to_be_bytes();
        let name = format!("x{:012x}", self.seed >> 16);
        let address = format!("10.{}.{}.{}", 100 + a % 100, b, c.max(1) ^ (d & 1));
        let template = instance(template, self.kind, self.namespace, &name, &address);
        let mut object = template.clone();
        let additions = self.generator.rng.usize(..14);
        enrich(&mut object, self.kind, &mut self.generator, additions);
        let made = self.accepted(&template, object).await?;
        let Some(object) = made else {
            return Ok(None);
        };
        let declared = self.varied(object).await?;
        Ok(Some((declared, template)))
    }

    /// Another manifest for the same object, as far as the server takes it.
    async fn varied(&mut self, mut object: Value) -> Result<Value> {
        let mut stored = None;
        for variant in [
            Variant::Defaults,
            Variant::Spelling,
            Variant::Nothing,
            Variant::Defaults,
        ] {
            let mut other = object.clone();
            let (schema, rng) = (&self.kind.schema, &mut self.generator.rng);
            match (variant, &stored) {
                (Variant::Spelling, _) => spell(&mut other, schema, rng),
                (Variant::Nothing, _) => say_nothing(&mut other, schema, rng),
                (Variant::Defaults, Some(stored)) if rng.bool() => {
                    state_defaults(&mut other, stored, rng);
                }
                _ => {}
            }
            if other == object && stored.is_some() {
                continue;
            }
            let url = format!("{}?dryRun=All", self.kind.collection(self.namespace));
            let server = &self.all.server;
            let answer = server
                .call(Method::POST, &url, "application/json", Some(&other))
                .await?;
            let message = answer.message();
            match answer.object() {
                Some(answer) => {
                    object = other;
                    stored = Some(answer);
                }
                None => self.refuse(&format!("{variant:?}"), &message),
            }
        }
        Ok(object)
    }

    async fn accepted(&mut self, template: &Value, object: Value) -> Result<Option<Value>> {
        let made = accepted(
            &self.all.server,
            self.kind,
            self.namespace,
            template,
            object,
            &mut self.report.refusals,
        )
        .await?;
        Ok(match made {
            Creation::Taken(object) => Some(object),
            Creation::Refused(message) => {
                self.report.not_made.insert(self.kind.to_string(), message);
                None
            }
        })
    }

    async fn read(&self, declared: &Value) -> Result<Value> {
        let url = url_of(self.kind, self.namespace, declared);
        Ok(self.all.server.get(&url).await?.body)
    }

    async fn expected(&mut self, declared: &Value) -> Result<Expected> {
        let question = self.all.judge.question(self.kind, declared);
        let url = format!("{}?dryRun=All", self.kind.collection(self.namespace));
        let answer = self
            .all
            .server
            .call(Method::POST, &url, "application/json", Some(&question))
            .await?;
        let message = answer.message();
        Ok(match answer.object() {
            Some(object) => Expected::Object(object),
            None => {
                *self
                    .report
                    .unanswered
                    .entry(self.kind.to_string())
                    .or_default() += 1;
                Expected::Refused(message)
            }
        })
    }

    /// Changes the live object again and again; what was changed before has to be reported along with the rest.
    async fn change(
        &mut self,
        way: Way,
        declared: &Value,
        first: &Value,
        expected: &Expected,
    ) -> Result<()> {
        let mut live = first.clone();
        for _ in 0..CHANGES {
            let Some(mutation) = mutation(self.kind, declared, &live, &mut self.generator) else {
                continue;
            };
            let writer = self.writer(way);
            let through = self.version();
            let server = &self.all.server;
            let answer = write(server, through, self.namespace, writer, &live, &mutation).await?;
            if answer.status >= 300 {
                self.refuse(&mutation.what, &answer.message());
                continue;
            }
            self.report.mutations += 1;
            self.history.push(format!(
                "{} by {writer:?} in {}",
                mutation.what, through.version
            ));
            self.wrote(way, writer);
            live = match through.version == self.kind.version {
                true => answer.body,
                false => self.read(declared).await?,
            };
            self.writers.familiar |= !is_named(&live, writer.1);
            if self.generator.rng.u8(..8) == 0 {
                live = self.forget_managers(&live).await?;
            }
            if !self.compare(declared, first, &live, expected) {
                return Ok(());
            }
            if self.generator.rng.u8(..4) == 0 {
                live = self.put_back(first, live).await?;
                if !self.compare(declared, first, &live, expected) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The version in which somebody writes: now and then another one than the declared.
    fn version(&mut self) -> &'b Kind {
        let same = |k: &&Kind| k.group == self.kind.group && k.kind == self.kind.kind;
        let versions: Vec<&Kind> = self.all.kinds.iter().filter(same).collect();
        let chosen = self.generator.rng.choice(versions);
        chosen.unwrap_or(self.kind)
    }

    async fn forget_managers(&mut self, live: &Value) -> Result<Value> {
        let url = url_of(self.kind, self.namespace, live);
        let patch = json!({"metadata": {"managedFields": [{}]}});
        let answer = self
            .all
            .server
            .call(
                Method::PATCH,
                &url,
                "application/merge-patch+json",
                Some(&patch),
            )
            .await?;
        self.history.push("managers forgotten".to_owned());
        self.writers.familiar = true;
        Ok(answer.object().unwrap_or_else(|| live.clone()))
    }

    async fn put_back(&mut self, first: &Value, live: Value) -> Result<Value> {
        let mut object = first.clone();
        object["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
        let url = url_of(self.kind, self.namespace, &live);
        let answer = self
            .all
            .server
            .call(Method::PUT, &url, "application/json", Some(&object))
            .await?;
        self.history.push(format!("put back: {}", answer.status));
        Ok(answer.object().unwrap_or(live))
    }

    /// Compares, and says whether that was right.
    fn compare(
        &mut self,
        declared: &Value,
        first: &Value,
        live: &Value,
        expected: &Expected,
    ) -> bool {
        let (schema, stored) = (&self.kind.schema, stored_form(declared));
        let due = touched(schema, &stored, first, live);
        let certain = declared_touched(schema, &stored, first, live);
        // Whoever owns half of what is declared is taken for a deployer.
        self.writers.familiar |= !certain.is_empty();
        let sight = Sight {
            declared,
            first,
            live,
            expected,
        };
        let verdicts = self.all.judge.judge(self.kind, &sight);
        verdicts
            .into_iter()
            .all(|verdict| self.is_right(&sight, (&due, &certain), verdict))
    }

    /// What is reported has to be due; and what is due, or where not all additions can be told what is certain, has to be reported.
    fn is_right(
        &mut self,
        sight: &Sight<'_>,
        (due, certain): (&[Field], &[Field]),
        verdict: Verdict,
    ) -> bool {
        let only_in = |a: &[Field], b: &[Field]| -> Vec<Field> {
            a.iter().filter(|f| !b.contains(f)).cloned().collect()
        };
        let needed = match self.writers.told(verdict.additions) {
            true => due,
            false => certain,
        };
        let (mut missed, mut wrong) = (
            only_in(needed, &verdict.fields),
            only_in(&verdict.fields, due),
        );
        if verdict.additions == Additions::Strangers {
            wrong.retain(|field| field.change != Change::Added);
            // Nor can it be told whether the server has left out what means nothing.
            let means_nothing = |f: &Field| {
                f.change == Change::Missing && find(sight.declared, &f.path).is_some_and(is_nothing)
            };
            missed.retain(|field| !means_nothing(field));
        }
        self.report.comparisons += 1;
        self.report.found += needed.len() - missed.len();
        self.report.missed += missed.len();
        self.report.wrong += wrong.len();
        if missed.is_empty() && wrong.is_empty() {
            return true;
        }
        let mut history = self.history.clone();
        history.push(format!("judged {}", verdict.way));
        self.report.mismatches.push(Mismatch {
            kind: self.kind.to_string(),
            seed: self.seed,
            history,
            declared: sight.declared.clone(),
            before: sight.first.clone(),
            live: sight.live.clone(),
            expected: match sight.expected {
                Expected::Object(object) => object.clone(),
                Expected::Refused(message) => json!(message),
            },
            missed,
            wrong,
        });
        false
    }

    fn refuse(&mut self, what: &str, message: &str) {
        self.report.refused += 1;
        self.report
            .refusals
            .push(format!("{}: {what}: {message}", self.kind));
    }
}

/// Whether the server noted who wrote: it does not for objects that were created without owning anything.
fn is_named(live: &Value, manager: &str) -> bool {
    let entries = live["metadata"]["managedFields"].as_array();
    entries
        .into_iter()
        .flatten()
        .any(|entry| entry["manager"] == manager)
}

/// A Secret's plain texts are stored in base64.
fn stored_form(declared: &Value) -> Value {
    use base64::Engine as _;
    let mut stored = declared.clone();
    if stored["kind"] != "Secret" {
        return stored;
    }
    let plain = stored.as_object_mut().and_then(|s| s.remove("stringData"));
    let mut data: Map<String, Value> = stored["data"].as_object().cloned().unwrap_or_default();
    for (key, text) in plain
        .as_ref()
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        if let Some(text) = text.as_str() {
            let encoded = base64::engine::general_purpose::STANDARD.encode(text);
            data.insert(key.clone(), json!(encoded));
        }
    }
    stored["data"] = Value::Object(data);
    stored
}
