//! What the demo does and shows.

use std::io::IsTerminal as _;
use std::path::Path;
use std::time::{Duration, Instant};

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;

use super::observer::{Observer, Seen};
use super::revert;
use super::{Failure, Serving};
use crate::Tools;
use crate::operator::workspace;

pub(super) const NAMESPACE: &str = "shop";
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// An edit as an engineer would make it.
struct Edit {
    why: &'static str,
    command: &'static [&'static str],
    kind: &'static str,
    name: &'static str,
    deletes: bool,
}

const EDITS: [Edit; 5] = [
    Edit {
        why: "an incident: a hotfix image, past Git",
        command: &[
            "set",
            "image",
            "deployment/web",
            "web=registry.example.com/shop/web:hotfix",
        ],
        kind: "Deployment",
        name: "web",
        deletes: false,
    },
    Edit {
        why: "more load on the Helm release",
        command: &["scale", "deployment/api", "--replicas=6"],
        kind: "Deployment",
        name: "api",
        deletes: false,
    },
    Edit {
        why: "a feature switched off with kubectl edit",
        command: &["edit", "configmap/app-config"],
        kind: "ConfigMap",
        name: "app-config",
        deletes: false,
    },
    Edit {
        why: "traffic sent to another port",
        command: &[
            "patch",
            "service/web",
            "--type=json",
            r#"-p=[{"op":"replace","path":"/spec/ports/0/targetPort","value":9090}]"#,
        ],
        kind: "Service",
        name: "web",
        deletes: false,
    },
    Edit {
        why: "a network policy in the way, deleted",
        command: &["delete", "networkpolicy/only-web"],
        kind: "NetworkPolicy",
        name: "only-web",
        deletes: true,
    },
];

/// What the story came to.
pub(super) struct Told {
    /// Milliseconds from each edit to its record.
    found: Vec<u128>,
    /// Milliseconds from edits until they were put back.
    reverted: Vec<u128>,
}

/// Deploys, edits, shows, and has what was edited put back.
pub(super) async fn tell(
    tools: &Tools,
    kubeconfig: &Path,
    serving: &Serving,
) -> Result<Told, Failure> {
    let client = client(kubeconfig).await?;
    deploy(tools, kubeconfig).await?;
    let kinds = [
        ("apps", "v1", "Deployment"),
        ("", "v1", "ConfigMap"),
        ("", "v1", "Service"),
        ("networking.k8s.io", "v1", "NetworkPolicy"),
    ];
    let mut live = Observer::start(&client, NAMESPACE, &kinds);
    let mut policies = Observer::start(
        &client,
        NAMESPACE,
        &[("driftline.dev", "v1alpha1", "DriftPolicy")],
    );
    let mut records = Observer::start(
        &client,
        NAMESPACE,
        &[("driftline.dev", "v1alpha1", "DriftRecord")],
    );
    watch(tools, kubeconfig, serving, &mut policies).await?;
    println!("==> Five live edits, as they happen during a bad night");
    let mut found = Vec::new();
    for edit in &EDITS {
        found.push(make(edit, tools, kubeconfig, &mut live, &mut records).await?);
    }
    mend(tools, kubeconfig, &mut records).await?;
    let mut stage = Stage {
        tools,
        kubeconfig,
        live,
        policies,
        records,
    };
    let reverted = revert::tell(&mut stage).await?;
    Ok(Told { found, reverted })
}

/// What the story is told with.
pub(super) struct Stage<'a> {
    tools: &'a Tools,
    kubeconfig: &'a Path,
    pub(super) live: Observer,
    pub(super) policies: Observer,
    pub(super) records: Observer,
}

impl Stage<'_> {
    /// Shows a command and runs it.
    pub(super) async fn kubectl(&self, arguments: &[&str], why: &str) -> Result<(), Failure> {
        let all: Vec<_> = arguments.iter().map(|a| quoted(a)).collect();
        let why = dim(&format!("# {why}"));
        println!("  $ kubectl -n {NAMESPACE} {}   {why}", all.join(" "));
        self.run(arguments).await
    }

    /// Runs a command that was shown in other words.
    pub(super) async fn run(&self, arguments: &[&str]) -> Result<(), Failure> {
        let kubectl = self.tools.kubectl(self.kubeconfig);
        kubectl
            .args(["-n", NAMESPACE])
            .args(arguments)
            .run()
            .await?;
        Ok(())
    }

    /// Applies a manifest.
    pub(super) async fn apply(&self, manifest: String) -> Result<(), Failure> {
        let kubectl = self.tools.kubectl(self.kubeconfig);
        kubectl
            .args(["apply", "-f", "-"])
            .stdin(manifest)
            .run()
            .await?;
        Ok(())
    }
}

async fn client(kubeconfig: &Path) -> Result<Client, Failure> {
    let config = kube::Config::from_custom_kubeconfig(
        Kubeconfig::read_from(kubeconfig)?,
        &KubeConfigOptions::default(),
    )
    .await?;
    Ok(Client::try_from(config)?)
}

async fn deploy(tools: &Tools, kubeconfig: &Path) -> Result<(), Failure> {
    println!(
        "==> Deploying the example as a pipeline would: kubectl apply, kubectl apply -k, helm install"
    );
    let shop = workspace().join("examples/shop");
    let path = |part: &str| shop.join(part).display().to_string();
    let apply = |flag: &'static str, part: &str| {
        vec![
            "apply".to_owned(),
            "-n".to_owned(),
            NAMESPACE.to_owned(),
            flag.to_owned(),
            path(part),
        ]
    };
    tools
        .kubectl(kubeconfig)
        .args(apply("-f", "account.yaml"))
        .run()
        .await?;
    tools
        .kubectl(kubeconfig)
        .args(apply("-f", "config"))
        .run()
        .await?;
    tools
        .kubectl(kubeconfig)
        .args(apply("-k", "web/overlays/prod"))
        .run()
        .await?;
    let values = path("api/values-prod.yaml");
    tools
        .helm(kubeconfig)
        .args([
            "install",
            "api",
            &path("api"),
            "-n",
            NAMESPACE,
            "-f",
            &values,
        ])
        .run()
        .await?;
    Ok(())
}

async fn watch(
    tools: &Tools,
    kubeconfig: &Path,
    serving: &Serving,
    policies: &mut Observer,
) -> Result<(), Failure> {
    println!("==> Pointing Driftline at the repository: kubectl apply -f policy.yaml");
    let policy = std::fs::read_to_string(workspace().join("examples/shop/policy.yaml"))?;
    let policy = policy.replace("https://git.example.com/shop.git", &serving.url);
    let begun = Instant::now();
    tools
        .kubectl(kubeconfig)
        .args(["apply", "-f", "-"])
        .stdin(policy)
        .run()
        .await?;
    let compared = policies
        .wait(
            "the first complete report",
            Duration::from_secs(60),
            |seen| condition(&seen.object, "Drifted") == Some("False"),
        )
        .await?;
    println!(
        "    {} after {} ms",
        message(&compared.object, "Drifted"),
        (compared.at - begun).as_millis()
    );
    Ok(())
}

async fn make(
    edit: &Edit,
    tools: &Tools,
    kubeconfig: &Path,
    live: &mut Observer,
    records: &mut Observer,
) -> Result<u128, Failure> {
    live.forget();
    records.forget();
    println!();
    println!(
        "  $ kubectl -n {NAMESPACE} {}   {}",
        edit.command
            .iter()
            .map(|argument| quoted(argument))
            .collect::<Vec<_>>()
            .join(" "),
        dim(&format!("# {}", edit.why))
    );
    // What an engineer's editor does to the file that kubectl edit opens.
    let editor = "sed -i 's/FEATURE_CHECKOUT: .*/FEATURE_CHECKOUT: \"off\"/'";
    tools
        .kubectl(kubeconfig)
        .args(["-n", NAMESPACE])
        .args(edit.command)
        .env("KUBE_EDITOR", editor)
        .run()
        .await?;
    let changed = live
        .wait("the change", PATIENCE, |s| {
            s.kind == edit.kind && s.name == edit.name && s.deleted == edit.deletes
        })
        .await?;
    let record = records
        .wait("the record", PATIENCE, |s| is_open(s, edit))
        .await?;
    let took = record.at.saturating_duration_since(changed.at).as_millis();
    show(&record.object, took);
    Ok(took)
}

fn is_open(seen: &Seen, edit: &Edit) -> bool {
    let subject = &seen.object["spec"]["subject"]["kubernetes"];
    let status = &seen.object["status"];
    subject["kind"] == edit.kind && subject["name"] == edit.name && status["state"] == "Open"
}

fn show(record: &Value, took: u128) {
    let status = &record["status"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    println!(
        "    drift {} after {took} ms",
        bold(&text(&status["display"]["subject"]))
    );
    let declared = &status["declaredAt"];
    let place = |line: &Value| match line.as_u64() {
        Some(line) => format!("{}:{line}", text(&declared["file"])),
        None => text(&declared["file"]),
    };
    if status["change"] != "Changed" {
        println!(
            "      {} (declared at {})",
            text(&status["change"]),
            place(&declared["line"])
        );
    }
    for field in status["fields"].as_array().into_iter().flatten() {
        println!(
            "      {}: {} -> {}",
            text(&field["path"]),
            field["declared"],
            bold(&field["live"].to_string())
        );
        println!(
            "        by {}, declared at {}",
            text(&field["by"]["manager"]),
            place(&field["line"])
        );
    }
}

async fn mend(tools: &Tools, kubeconfig: &Path, records: &mut Observer) -> Result<(), Failure> {
    println!();
    println!("==> One of them put right again");
    println!("  $ kubectl -n {NAMESPACE} scale deployment/api --replicas=2");
    records.forget();
    tools
        .kubectl(kubeconfig)
        .args(["-n", NAMESPACE, "scale", "deployment/api", "--replicas=2"])
        .run()
        .await?;
    records
        .wait("the record to close", PATIENCE, |s| {
            s.object["status"]["state"] == "Closed"
        })
        .await?;
    println!("    its record is closed");
    Ok(())
}

/// As a shell has to be given it.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', "'\\''"))
    }
}

/// Says what there is to look at.
pub(super) fn end(tools: &Tools, kubeconfig: &Path, serving: &Serving, told: &Told) {
    let Told { found, reverted } = told;
    let slowest = |all: &[u128]| all.iter().max().copied().unwrap_or(0);
    println!();
    println!(
        "==> {} edits, {} records, the slowest {} ms after the change was on the API server",
        found.len(),
        found.len(),
        slowest(found)
    );
    println!(
        "    {} edits put back as they were made, the slowest after {} ms",
        reverted.len(),
        slowest(reverted)
    );
    println!("Everything is still running. Look around:");
    println!();
    let bin = tools.kubectl.parent().unwrap_or(Path::new(""));
    println!(
        "  export KUBECONFIG={} PATH={}:$PATH",
        quoted(&kubeconfig.display().to_string()),
        quoted(&bin.display().to_string())
    );
    println!("  kubectl -n {NAMESPACE} get driftpolicies,driftrecords");
    println!("  kubectl -n {NAMESPACE} get driftrecords -o yaml");
    println!("  kubectl -n {NAMESPACE} get events --field-selector reason=DriftReverted");
    println!("  kubectl explain driftpolicy.spec.source");
    println!("  curl -s http://{}/metrics", serving.operator);
    println!(
        "  git -C {} log    {}",
        quoted(&serving.work_tree.display().to_string()),
        dim("# push a commit from here; it is noticed within 10 s")
    );
    println!("  less {}", quoted(&serving.log.display().to_string()));
    println!();
    println!("End it with: make demo-down");
}

fn condition<'v>(policy: &'v Value, kind: &str) -> Option<&'v str> {
    find(policy, kind)?["status"].as_str()
}

fn message(policy: &Value, kind: &str) -> String {
    find(policy, kind)
        .and_then(|c| c["message"].as_str())
        .unwrap_or_default()
        .to_owned()
}

fn find<'v>(policy: &'v Value, kind: &str) -> Option<&'v Value> {
    policy["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|c| c["type"] == kind)
}

fn styled(text: &str, code: &str) -> String {
    let plain = !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some();
    if plain {
        text.to_owned()
    } else {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

pub(super) fn bold(text: &str) -> String {
    styled(text, "1")
}

pub(super) fn dim(text: &str) -> String {
    styled(text, "2")
}
