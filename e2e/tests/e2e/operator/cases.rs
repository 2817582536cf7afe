//! Real-life cases, each a folder of `e2e/cases` (or of the folder that `DRIFTLINE_CASES` names): what is declared, how it was
//! deployed, what happened then, and what has to be reported of it. See `e2e/cases/README.md`.

mod expect;
mod place;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use driftline_e2e::{Invocation, Options};
use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use self::expect::{Expectation, shown};
use super::support::{POLICY, Team, World, watch_until};

/// Nothing that is waited for takes longer while eight cases run at once on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The policy that is made after all has happened, and sees it for the first time.
const LATECOMER: &str = "latecomer";

/// Where the repository has `declared.yaml`.
const FILE: &str = "deploy/declared.yaml";

/// Cases at the same time, on two cores. More do not end sooner.
const CONCURRENCY: usize = 8;

/// What the accounts of all cases may see, and the operator of the cases' own kinds.
const RIGHTS: &str = "
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: e2e-cases}, rules: [{apiGroups: ['*'], resources: ['*'], verbs: [list]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: e2e-cases-read}, rules: [{apiGroups: [data.ho.example.com, cases.example.com], resources: ['*'], verbs: [get, list, watch]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: e2e-cases-read}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: e2e-cases-read}, subjects: [{kind: ServiceAccount, name: driftline, namespace: driftline-system}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: e2e-cases}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: e2e-cases}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: 'system:serviceaccounts'}]}
";

/// How a case ended.
enum Outcome {
    Right,
    Wrong(String),
    /// The server is too old for it to happen.
    Impossible(u32),
}

struct Report {
    name: String,
    trap: bool,
    outcome: Outcome,
    took: Duration,
    /// Of that, what a first sight of the same took.
    again: Duration,
}

/// A case in a namespace of its own, and a copy of its folder in which `$NS` has its value. The folder `lib` lies beside it.
struct Case<'a> {
    team: Team<'a>,
    folder: PathBuf,
    /// Holds the copy.
    _scratch: tempfile::TempDir,
}

impl<'a> Case<'a> {
    async fn stage(world: &'a World, source: &Path) -> Self {
        let team = Team::new(world, "case").await;
        let scratch = tempfile::tempdir().unwrap();
        let name = source.file_name().unwrap();
        let folder = scratch.path().join(name);
        copy(source, &folder, &team.namespace);
        let lib = source.parent().unwrap().join("lib");
        if lib.is_dir() {
            copy(&lib, &scratch.path().join("lib"), &team.namespace);
        }
        Self {
            team,
            folder,
            _scratch: scratch,
        }
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.join(name)).filter(|p| p.is_file())
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap()
    }

    async fn deploy(&self) -> Result<(), String> {
        for name in ["crds.yaml", "cluster.yaml"] {
            let Some(file) = self.file(name) else {
                continue;
            };
            let apply = ["apply", "--server-side", "--force-conflicts", "-f"];
            self.kubectl(&apply, &file).await?;
            if name == "crds.yaml" {
                let wait = ["wait", "--for=condition=Established", "-f"];
                self.kubectl(&wait, &file).await?;
            }
        }
        if self.script("deploy.sh").await? {
            return Ok(());
        }
        let namespace = self.team.namespace.as_str();
        let apply = ["apply", "--server-side", "--field-manager=deployer"];
        let arguments = [&["-n", namespace], &apply[..], &["-f"]].concat();
        self.kubectl(&arguments, &self.folder.join("declared.yaml"))
            .await
    }

    async fn kubectl(&self, arguments: &[&str], file: &Path) -> Result<(), String> {
        let run = self.team.world.kubectl().args(arguments).args([file]);
        run.run().await.map(drop).map_err(|e| e.to_string())
    }

    /// Runs a script of the folder, if it has one.
    async fn script(&self, name: &str) -> Result<bool, String> {
        let Some(file) = self.file(name) else {
            return Ok(false);
        };
        Invocation::new("bash")
            .args([file])
            .kubeconfig(self.team.world.plane().kubeconfig_path())
            .env("PATH", self.team.world.tools.path_variable())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("NS", &self.team.namespace)
            .run()
            .await
            .map(|_| true)
            .map_err(|e| e.to_string())
    }

    async fn run(&self, expect: &Expectation) -> Result<(), String> {
        self.deploy().await?;
        let declared = self.read("declared.yaml");
        self.team.commit(&[(FILE, declared.as_str())]).await;
        self.create_policy(POLICY).await?;
        self.settled(POLICY, "at rest", None, expect).await?;
        let open = self.records_of(POLICY).await;
        if !open.is_empty() {
            return Err(format!("reported at rest: {}", shown(&open)));
        }
        if self.script("mutate.sh").await? {
            let asked = json!({"metadata": {"annotations": {"driftline.dev/check": "mutated"}}});
            let patch = Patch::Merge(asked);
            let asked = self.team.api("DriftPolicy");
            let asked = asked.patch(POLICY, &PatchParams::default(), &patch).await;
            asked.map_err(|e| format!("asking for a check: {e}"))?;
            let when = "after the mutation";
            self.settled(POLICY, when, Some("mutated"), expect).await?;
        }
        let open = self.records_of(POLICY).await;
        let mut wrong = expect.judge(&open);
        wrong.extend(place::judge(&open, &declared));
        all_right(wrong)
    }

    /// The same as somebody sees it who comes after all has happened, without a baseline.
    async fn seen_first(&self, expect: &Expectation) -> Result<(), String> {
        if self.file("mutate.sh").is_none() {
            return Ok(());
        }
        let expect = expect.at_first_sight();
        let at_once = DeleteParams::default();
        let deleted = self.team.api("DriftPolicy").delete(POLICY, &at_once).await;
        deleted.map_err(|e| format!("deleting the policy: {e}"))?;
        self.create_policy(LATECOMER).await?;
        let settled = self.settled(LATECOMER, "at first sight", None, &expect);
        let settled = settled.await;
        let wrong = expect.judge(&self.records_of(LATECOMER).await);
        let wrong: Vec<String> = settled.err().into_iter().chain(wrong).collect();
        all_right(wrong).map_err(|wrong| format!("at first sight: {wrong}"))
    }

    async fn create_policy(&self, name: &str) -> Result<(), String> {
        let policy = self.team.policy_object(|p| {
            p["metadata"]["name"] = json!(name);
        });
        let owner = PatchParams::apply("e2e");
        let policies = self.team.api("DriftPolicy");
        let applied = policies.patch(name, &owner, &Patch::Apply(policy)).await;
        applied.map(drop).map_err(|e| format!("the policy: {e}"))
    }

    async fn records_of(&self, policy: &str) -> Vec<Value> {
        let mut open = self.team.open_records().await;
        open.retain(|record| record["spec"]["policy"] == policy);
        open
    }

    /// Waits until a check is answered, everything is compared, and all that differs has its record.
    async fn settled(
        &self,
        policy: &str,
        when: &str,
        check: Option<&str>,
        expect: &Expectation,
    ) -> Result<(), String> {
        let policies = self.team.api("DriftPolicy");
        let found = watch_until(policies, PATIENCE, |all| {
            is_settled(&all.get(policy)?["status"], check, expect).then_some(())
        });
        found.await.map_err(|last| {
            let status = last.get(policy).map(|p| &p["status"]);
            let status = status.map(|s| format!("{} {}", s["summary"], s["targets"][0]["message"]));
            format!("not settled {when}: {}", status.unwrap_or_default())
        })
    }

    /// Takes away what would go on costing the operator and the controllers.
    async fn clean(&self) -> Result<(), String> {
        let at_once = DeleteParams::default();
        let policies = self.team.api("DriftPolicy");
        for policy in [POLICY, LATECOMER] {
            // It is not there if the case failed early.
            let _ = policies.delete(policy, &at_once).await;
        }
        let cleaned = self.script("cleanup.sh").await;
        let namespaces: Api<Namespace> = Api::all(self.team.client.clone());
        let deleted = namespaces.delete(&self.team.namespace, &at_once).await;
        cleaned.map_err(|e| format!("cleaning up: {e}"))?;
        deleted.map(drop).map_err(|e| format!("cleaning up: {e}"))
    }
}

fn all_right(wrong: Vec<String>) -> Result<(), String> {
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("; "))
    }
}

/// Everything is accounted for: nothing waits for a roll-out that never comes, and what cannot be compared is what the case says.
fn is_settled(status: &Value, check: Option<&str>, expect: &Expectation) -> bool {
    let summary = &status["summary"];
    let count = |state: &str| summary[state].as_u64().unwrap_or_default();
    let (unknown, unverified) = (expect.unknown(), expect.unverified());
    let told = count("inSync") + count("drifted") + unknown + unverified;
    let encrypted = status["targets"][0]["message"]
        .as_str()
        .is_some_and(|m| m.contains("ValuesEncrypted"));
    check.is_none_or(|token| status["lastHandledCheck"] == token)
        && count("unverified") == unverified
        && count("unknown") == unknown
        && encrypted == (unknown > 0)
        && count("pending") == 0
        && summary["declared"] == told
        && status["targets"][0]["ready"]
            .as_str()
            .is_some_and(|r| r != "Unknown")
        && status["records"]["open"] == summary["drifted"]
}

/// Copies the files of a folder; `$NS` in YAML gets its value.
fn copy(from: &Path, to: &Path, namespace: &str) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.extension() == Some(OsStr::new("yaml")) {
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(target, text.replace("$NS", namespace)).unwrap();
        } else if path.is_file() {
            std::fs::copy(&path, target).unwrap();
        }
    }
}

/// The folders with cases; of those, only the ones that `DRIFTLINE_CASE` names (separated by commas) if it is set.
fn folders(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root).unwrap_or_else(|e| panic!("{}: {e}", root.display()));
    let mut all: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    all.retain(|p| p.join("expect.json").is_file());
    if let Ok(named) = std::env::var("DRIFTLINE_CASE") {
        all.retain(|p| named.split(',').any(|n| p.file_name() == Some(n.as_ref())));
    }
    all.sort();
    assert!(!all.is_empty(), "no cases in {}", root.display());
    all
}

// Each case is told when it has ended, not all in the end.
#[allow(clippy::print_stdout)]
async fn report(world: &World, folder: &Path, minor: u32) -> Report {
    let began = Instant::now();
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(folder.join("expect.json")).unwrap();
    let first = Expectation::parse(&text, "").unwrap();
    let (outcome, again) = match first.needs_minor().filter(|needed| *needed > minor) {
        Some(needed) => (Outcome::Impossible(needed), Duration::ZERO),
        None => one(world, folder, &text).await,
    };
    let report = Report {
        name,
        trap: first.is_trap(),
        outcome,
        took: began.elapsed(),
        again,
    };
    println!("{report}");
    report
}

async fn one(world: &World, folder: &Path, text: &str) -> (Outcome, Duration) {
    let case = Case::stage(world, folder).await;
    let expect = Expectation::parse(text, &case.team.namespace).unwrap();
    let mut again = Duration::ZERO;
    let run = async {
        case.run(&expect).await?;
        let began = Instant::now();
        let seen = case.seen_first(&expect).await;
        again = began.elapsed();
        seen
    };
    // A case that panics is told like the others, and cleaned up after.
    let run = std::panic::AssertUnwindSafe(run).catch_unwind();
    let result = run.await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>();
        Err(text.map_or_else(|| "panicked".into(), |s| s.chars().take(3000).collect()))
    });
    let outcome = match result.and(case.clean().await) {
        Ok(()) => Outcome::Right,
        Err(wrong) => Outcome::Wrong(wrong),
    };
    (outcome, again)
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.trap { "trap" } else { "drift" };
        let seconds = self.took.as_secs_f32();
        write!(f, "{} ({kind}, {seconds:.1} s): ", self.name)?;
        match &self.outcome {
            Outcome::Right => f.write_str("ok"),
            Outcome::Wrong(wrong) => f.write_str(wrong),
            Outcome::Impossible(minor) => write!(f, "cannot happen before Kubernetes 1.{minor}"),
        }
    }
}

/// A control plane on which the cases themselves play the autoscaler: the real one would act at a time of its own.
fn options() -> Options {
    Options {
        controller_manager_flags: vec![
            "--controllers=*,-horizontal-pod-autoscaler-controller".to_owned(),
        ],
        ..Options::default()
    }
}

#[tokio::test]
async fn real_life_cases_are_reported_as_they_are() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let root = std::env::var_os("DRIFTLINE_CASES").map_or(own, PathBuf::from);
    let folders = folders(&root);
    let world = World::own(options(), &["--compare-secrets"]).await;
    world.apply("", RIGHTS).await;
    let version = world.client().await.apiserver_version().await.unwrap();
    let minor = version.minor.trim_end_matches('+').parse().unwrap();
    let began = Instant::now();
    let reports: Vec<Report> = futures::stream::iter(&folders)
        .map(|folder| report(&world, folder, minor))
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    let count = |f: fn(&Report) -> bool| reports.iter().filter(|r| f(r)).count();
    let mut wrong: Vec<&str> = reports
        .iter()
        .filter(|r| matches!(r.outcome, Outcome::Wrong(_)))
        .map(|r| r.name.as_str())
        .collect();
    wrong.sort_unstable();
    let again: Duration = reports.iter().map(|r| r.again).sum();
    println!(
        "{} cases, {} of them traps, against Kubernetes {}: {} wrong, {} that cannot happen there, in {:.0} s, about {:.0} s of it for first sights",
        reports.len(),
        count(|r| r.trap),
        version.git_version,
        wrong.len(),
        count(|r| matches!(r.outcome, Outcome::Impossible(_))),
        began.elapsed().as_secs_f32(),
        again.as_secs_f32() / CONCURRENCY as f32,
    );
    world.assert_nothing_missed().await;
    assert!(wrong.is_empty(), "wrong: {wrong:?}");
}
