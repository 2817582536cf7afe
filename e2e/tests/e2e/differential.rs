//! The operator's core against the API server: random objects of every kind, random changes, and exactly what was changed is found.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use drift::declared::{DeclaredObject, Provenance};
use drift::expected::Expected;
use drift::judge::{Case, Judgement, judge};
use drift::origin::Baseline;
use driftline_e2e::differential::{
    Additions, Change, Expected as Answer, Failure, Field, Judge, Kind, Options, Report, Result,
    Server, Sight, Step, Verdict, canonical, run,
};
use driftline_e2e::{ControlPlane, Options as PlaneOptions};
use futures::future::BoxFuture;
use serde_json::{Map, Value};

/// The operator's core as the operator uses it.
struct Core {
    schemas: cluster::openapi::Schemas,
    loaded: OnceLock<HashMap<drift::GroupVersionKind, drift::Schema>>,
}

fn gvk(kind: &Kind) -> drift::GroupVersionKind {
    drift::GroupVersionKind::new(&kind.group, &kind.version, &kind.kind)
}

fn normalised(kind: &Kind, declared: &Value) -> DeclaredObject {
    let mut object = declared.clone();
    let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
    let namespace = namespace.filter(|_| kind.namespaced);
    let encrypted = drift::bookkeeping::normalise(&mut object, namespace.as_deref());
    DeclaredObject {
        object,
        provenance: Provenance {
            file: "random.yaml".to_owned(),
            document: 1,
            line: 1,
        },
        lines: Vec::new(),
        unstable: Vec::new(),
        encrypted,
    }
}

impl Judge for Core {
    fn prepare<'a>(&'a self, kinds: &'a [Kind]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let loaded = self.schemas.load(kinds.iter().map(gvk)).await;
            let loaded = loaded.map_err(|error| Failure {
                what: "loading the schemas".to_owned(),
                reason: error.to_string(),
            })?;
            let missing = kinds.iter().find(|kind| !loaded.contains_key(&gvk(kind)));
            assert!(missing.is_none(), "no schema of {}", missing.unwrap());
            let _ = self.loaded.set(loaded);
            Ok(())
        })
    }

    fn question(&self, kind: &Kind, declared: &Value) -> Value {
        drift::expected::question(&normalised(kind, declared).object)
    }

    fn judge(&self, kind: &Kind, sight: &Sight<'_>) -> Vec<Verdict> {
        let schema = &self.loaded.get().unwrap()[&gvk(kind)];
        let group_kind = gvk(kind).group_kind;
        let declared = normalised(kind, sight.declared);
        let case = || Case::new(&group_kind, &declared, schema);
        let mut verdicts = by_values(case, sight);
        if drift::automation::is_custom(&group_kind) {
            verdicts.extend(by_ownership(case, sight));
        }
        verdicts
    }
}

/// With the server's word on what it makes of the declaration, where it gives it.
fn by_values<'a>(case: impl Fn() -> Case<'a>, sight: &Sight<'a>) -> Vec<Verdict> {
    let known = judged(case(), sight.expected, sight.first);
    if sight.live == sight.first {
        return vec![verdict("at first sight", Additions::All, &known)];
    }
    let seen = Case {
        expected: match sight.expected {
            _ if known.as_declared => Expected::AsDeclared,
            Answer::Object(object) => Expected::Answer(object),
            Answer::Refused(_) => Expected::Refused,
        },
        known: Some(&known.explained),
        baseline: Baseline::Declared,
        rewritten: known.rewritten.as_ref(),
        ..case()
    };
    let restarted = Case {
        expected: Expected::Unsettled,
        known: Some(&known.explained),
        baseline: Baseline::Declared,
        rewritten: known.rewritten.as_ref(),
        ..case()
    };
    let seen = judged(seen, sight.expected, sight.live);
    let restarted = judged(restarted, sight.expected, sight.live);
    let told = match sight.expected {
        Answer::Object(_) => Additions::All,
        Answer::Refused(_) => Additions::NotControlPlanes,
    };
    let mut verdicts = vec![
        verdict("having been in sync", told, &seen),
        verdict("after a restart", told, &restarted),
    ];
    // By ownership alone nothing can be told of what somebody else wrote back as it was.
    if matches!(sight.expected, Answer::Object(_)) {
        let first = judged(case(), sight.expected, sight.live);
        verdicts.push(verdict("at first sight", Additions::None, &first));
    }
    verdicts
}

/// Without it, as custom resources are judged unless the chart says otherwise.
fn by_ownership<'a>(case: impl Fn() -> Case<'a>, sight: &Sight<'a>) -> Vec<Verdict> {
    let case = || Case {
        askable: false,
        ..case()
    };
    let known = judge(&case(), Some(sight.first));
    if sight.live == sight.first {
        let way = "at first sight, by ownership";
        return vec![verdict(way, Additions::All, &known)];
    }
    let seen = Case {
        expected: match known.as_declared {
            true => Expected::AsDeclared,
            false => Expected::Unsettled,
        },
        known: Some(&known.explained),
        baseline: Baseline::Declared,
        rewritten: known.rewritten.as_ref(),
        ..case()
    };
    let seen = judge(&seen, Some(sight.live));
    let first = judge(&case(), Some(sight.live));
    vec![
        verdict(
            "having been in sync, by ownership",
            Additions::NotControlPlanes,
            &seen,
        ),
        verdict("at first sight, by ownership", Additions::Strangers, &first),
    ]
}

/// As the operator does it: the server is asked where the core wants to know.
fn judged<'a>(mut case: Case<'a>, answer: &'a Answer, live: &Value) -> Judgement {
    case.askable = matches!(answer, Answer::Object(_));
    let judgement = judge(&case, Some(live));
    if !judgement.ask {
        return judgement;
    }
    let expected = match answer {
        Answer::Object(object) => Expected::Answer(object),
        Answer::Refused(_) => Expected::Refused,
    };
    judge(&Case { expected, ..case }, Some(live))
}

fn verdict(way: &'static str, additions: Additions, judgement: &Judgement) -> Verdict {
    use drift::Verdict as Told;
    let fields = match &judgement.verdict {
        Told::InSync => Vec::new(),
        Told::Drifted(finding) | Told::Pending(finding) => finding
            .fields
            .iter()
            .map(|field| plain(&field.drift))
            .collect(),
        // Of additions at first sight it may not be possible to tell.
        Told::Unknown(_) if additions == Additions::None => Vec::new(),
        Told::Unknown(unknown) => vec![Field {
            path: vec![Step::Field(unknown.reason().to_owned())],
            change: Change::Added,
        }],
    };
    Verdict {
        way,
        additions,
        fields,
    }
}

fn plain(drift: &drift::FieldDrift) -> Field {
    let step = |step: &drift::path::Step| match step {
        drift::path::Step::Field(name) => Step::Field(name.clone()),
        drift::path::Step::Select(pairs, nth) => {
            let keys: Map<String, Value> = pairs
                .iter()
                .map(|(name, value)| (name.clone(), canonical(value).into()))
                .collect();
            Step::Keyed(Value::Object(keys).to_string(), *nth)
        }
        drift::path::Step::Index(n) => Step::Index(*n),
        drift::path::Step::Member(value) => Step::Member(canonical(value)),
        drift::path::Step::AnyMember => Step::Member(String::new()),
    };
    Field {
        path: drift.path.0.iter().map(step).collect(),
        change: match drift.change {
            drift::Change::Changed => Change::Changed,
            drift::Change::Missing => Change::Missing,
            drift::Change::Added => Change::Added,
        },
    }
}

/// On a control plane of its own: nothing else may write, and definitions and webhooks of random objects are no one else's.
async fn differential(options: &Options) -> Report {
    let plane = ControlPlane::start(PlaneOptions {
        without_controller_manager: true,
        ..PlaneOptions::default()
    });
    let plane = plane.await.unwrap();
    let client = plane.client().await.unwrap();
    let core = Arc::new(Core {
        schemas: cluster::openapi::Schemas::new(client.clone()),
        loaded: OnceLock::new(),
    });
    let report = run(Server::new(client), core, options).await.unwrap();
    show(&report, options.seed).unwrap();
    report
}

/// Past the capturing of output: the figures are to be seen where everything is as it should be, too.
fn show(report: &Report, seed: u64) -> std::io::Result<()> {
    let mut out = std::io::stderr().lock();
    writeln!(out, "\ndifferential test, seed {seed}\n{report}")?;
    for mismatch in report.mismatches.iter().take(5) {
        writeln!(out, "{mismatch}")?;
    }
    if std::env::var_os("REFUSALS").is_some() {
        for refusal in &report.refusals {
            writeln!(out, "REFUSED {refusal}")?;
        }
    }
    Ok(())
}

fn assert_clean(report: &Report) {
    let wrong = report.mismatches.len();
    assert!(
        wrong == 0 && report.has_all_kinds(),
        "{wrong} comparisons were not right, precision {:.4}, recall {:.4}; they are printed above",
        report.precision(),
        report.recall(),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_reported_of_random_objects_and_exactly_what_was_changed_is() {
    assert_clean(&differential(&Options::default()).await);
}

/// `make soak SECONDS=600 SEED=7 KIND=apps/v1`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes as long as it is told to: make soak"]
async fn soak() {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let options = Options {
        seed: number("SEED").unwrap_or_else(|| std::process::id().into()),
        rounds: usize::MAX,
        at_most: Duration::from_secs(number("SECONDS_TO_RUN").unwrap_or(600)),
        definitions: 32,
        only: std::env::var("KIND").unwrap_or_default(),
        ..Options::default()
    };
    assert_clean(&differential(&options).await);
}
