//! Real-life cases, each a folder of `e2e/cases` (or of the folder that `DRIFTLINE_CASES` names): what is declared, how it was
//! deployed, what happened then, and what has to be reported of it. See `e2e/cases/README.md`.

use std::path::{Path, PathBuf};

use driftline_e2e::{Invocation, Options};
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::support::{POLICY, Team, World, fields};

/// Cases at the same time.
const CONCURRENCY: usize = 4;

fn folders(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root).unwrap_or_else(|e| panic!("{}: {e}", root.display()));
    let mut all: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    all.retain(|p| p.join("expect.json").is_file());
    all.sort();
    all
}

async fn run(world: &World, folder: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(folder.join("expect.json")).unwrap();
    let expect: Value = serde_json::from_str(&text).unwrap();
    let team = Team::new(world, "case").await;
    world
        .apply(
            "",
            &format!(
                "{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {{name: e2e-cases}}, rules: [{{apiGroups: ['*'], resources: ['*'], verbs: [list]}}]}}
---
{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {{name: e2e-cases-read}}, rules: [{{apiGroups: [data.ho.example.com, cases.example.com], resources: ['*'], verbs: [get, list, watch]}}]}}
---
{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {{name: e2e-cases-read}}, roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: e2e-cases-read}}, subjects: [{{kind: ServiceAccount, name: driftline, namespace: driftline-system}}]}}
---
{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {{name: e2e-cases-{0}}}, roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: e2e-cases}}, subjects: [{{kind: ServiceAccount, name: drift, namespace: {0}}}]}}
",
                team.namespace
            ),
        )
        .await;
    for file in ["crds.yaml", "cluster.yaml"] {
        if let Ok(yaml) = std::fs::read_to_string(folder.join(file)) {
            world.apply("", &yaml.replace("$NS", &team.namespace)).await;
            if file == "crds.yaml" {
                let wait = ["wait", "--for=condition=Established", "-f"];
                let wait = world.kubectl().args(wait).args([folder.join(file)]);
                wait.run().await.map_err(|e| e.to_string())?;
            }
        }
    }
    let declared = std::fs::read_to_string(folder.join("declared.yaml")).unwrap();
    if folder.join("deploy.sh").is_file() {
        script(&team, &folder.join("deploy.sh")).await?;
    } else {
        let command = [
            "-n",
            &team.namespace,
            "apply",
            "--server-side",
            "--field-manager=deployer",
            "-f",
            "-",
        ];
        let apply = world.kubectl().args(command).stdin(declared.clone());
        apply.run().await.map_err(|e| e.to_string())?;
    }
    team.commit(&[("deploy/declared.yaml", &declared)]).await;
    team.policy(|_| {}).await;
    settled(&team).await;
    let open = team.open_records().await;
    if !open.is_empty() {
        return Err(format!("reported at rest: {}", shown(&open)));
    }
    if folder.join("mutate.sh").is_file() {
        script(&team, &folder.join("mutate.sh")).await?;
    }
    team.check().await;
    settled(&team).await;
    let open = team.open_records().await;
    let mut wrong = Vec::new();
    for object in expect["objects"].as_array().unwrap() {
        wrong.extend(judge(&team.namespace, object, &open).err());
    }
    let drifted = expect["objects"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|o| o["drift"] == true)
        .count();
    if open.len() != drifted {
        wrong.push(format!(
            "{} records, {drifted} expected: {}",
            open.len(),
            shown(&open)
        ));
    }
    team.kubectl(["delete", "driftpolicy", POLICY]).await;
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("; "))
    }
}

/// Everything is compared, and all that differs has its record.
async fn settled(team: &Team<'_>) {
    team.status("settled", |s| {
        s["summary"]["unverified"] == 0
            && s["targets"][0]["ready"] != "Unknown"
            && s["summary"]["unknown"] == 0
            && s["records"]["open"] == s["summary"]["drifted"]
    })
    .await;
}

async fn script(team: &Team<'_>, path: &Path) -> Result<(), String> {
    let kubeconfig = team.world.plane().kubeconfig_path();
    Invocation::new("bash")
        .args([path])
        .kubeconfig(kubeconfig)
        .env("PATH", team.world.tools.path_variable())
        .env("NS", &team.namespace)
        .run()
        .await
        .map(drop)
        .map_err(|e| e.to_string())
}

fn shown(records: &[Value]) -> String {
    let all = records.iter().map(|r| {
        format!(
            "{} {} {:?}",
            r["status"]["display"]["subject"],
            r["status"]["change"],
            fields(r)
        )
    });
    all.collect::<Vec<_>>().join(", ")
}

/// One object's expectation against the records there are.
fn judge(namespace: &str, object: &Value, open: &[Value]) -> Result<(), String> {
    let place = match object["namespace"].as_str() {
        Some("$NS") => json!(namespace),
        Some(other) => json!(other),
        None => Value::Null,
    };
    let hit = |r: &&Value| {
        let subject = &r["spec"]["subject"]["kubernetes"];
        subject["kind"] == object["kind"]
            && subject["name"] == object["name"]
            && subject["namespace"] == place
    };
    let name = format!(
        "{} {}",
        object["kind"].as_str().unwrap(),
        object["name"].as_str().unwrap()
    );
    let record = match (open.iter().find(hit), object["drift"] == true) {
        (None, false) => return Ok(()),
        (None, true) => return Err(format!("{name}: not reported")),
        (Some(record), false) => {
            return Err(format!(
                "{name}: reported: {}",
                shown(std::slice::from_ref(record))
            ));
        }
        (Some(record), true) => record,
    };
    let level = match object["objectLevel"].as_str() {
        Some("MissingObject") => "Missing",
        Some(other) => other,
        None => "Changed",
    };
    if record["status"]["change"] != level {
        return Err(format!(
            "{name}: {} instead of {level}",
            record["status"]["change"]
        ));
    }
    let mut found = fields(record);
    for wanted in object["fields"].as_array().unwrap() {
        let sensitive = object["kind"] == "Secret";
        let place = found.iter().position(|(path, change, declared, live)| {
            let values = sensitive || (*declared == wanted["declared"] && *live == wanted["live"]);
            wanted["path"] == path.as_str() && wanted["kind"] == change.as_str() && values
        });
        match place {
            Some(place) => drop(found.swap_remove(place)),
            None => return Err(format!("{name}: no field {wanted} in {found:?}")),
        }
    }
    if found.is_empty() {
        Ok(())
    } else {
        Err(format!("{name}: also reported: {found:?}"))
    }
}

#[tokio::test]
async fn real_life_cases_are_reported_as_they_are() {
    let named = std::env::var_os("DRIFTLINE_CASES").map(PathBuf::from);
    let own;
    let (world, root) = match named {
        Some(root) => {
            own = World::own(Options::default(), &["--compare-secrets"]).await;
            (&own, root)
        }
        None => (
            World::shared().await,
            Path::new(env!("CARGO_MANIFEST_DIR")).join("cases"),
        ),
    };
    let runs = folders(&root).into_iter().map(|folder| async move {
        // A case that panics is told like the others.
        let result = std::panic::AssertUnwindSafe(run(world, &folder));
        let result = futures::FutureExt::catch_unwind(result).await;
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        (
            name,
            result.unwrap_or_else(|p| {
                Err(p
                    .downcast_ref::<String>()
                    .map_or_else(|| "panicked".to_owned(), |s| s.chars().take(3000).collect()))
            }),
        )
    });
    let mut results: Vec<_> = futures::stream::iter(runs)
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    results.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, result) in &results {
        println!(
            "{name}: {}",
            result.as_ref().map_or_else(String::as_str, |()| "ok")
        );
    }
    assert!(!results.is_empty(), "no cases in {}", root.display());
    let failed: Vec<&str> = results
        .iter()
        .filter(|(_, r)| r.is_err())
        .map(|(n, _)| n.as_str())
        .collect();
    assert!(
        failed.is_empty(),
        "of {} cases failed: {failed:?}",
        results.len()
    );
}
