//! The operator's Deployment, and the names by which it goes.

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client, ResourceExt};

use super::reading::{self, Seen};
use super::report::{Finding, Level};

const CHECK: &str = "installation";
const VERSION_LABEL: &str = "app.kubernetes.io/version";
const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";

/// What is installed, by the Deployment's own flags; where there is no Deployment, as the program's defaults say.
pub struct Installation {
    /// Where.
    pub namespace: String,
    /// The operator's version, as its Deployment is labelled.
    pub version: Option<String>,
    /// The Deployment.
    pub deployment: Option<Deployment>,
    flags: Vec<String>,
}

impl Installation {
    fn of(deployment: Deployment) -> Self {
        Self {
            namespace: deployment.namespace().unwrap_or_default(),
            version: deployment.labels().get(VERSION_LABEL).cloned(),
            flags: flags(&deployment).unwrap_or_default(),
            deployment: Some(deployment),
        }
    }

    pub fn none(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            version: None,
            deployment: None,
            flags: Vec::new(),
        }
    }

    /// The beginning of the names of all that belongs to it.
    pub fn name(&self) -> String {
        let name = self.deployment.as_ref().map(ResourceExt::name_any);
        name.unwrap_or_else(|| "driftline".to_owned())
    }

    /// The value of a flag of the operator.
    pub fn flag(&self, name: &str) -> Option<&str> {
        self.flags
            .iter()
            .find_map(|f| f.strip_prefix(name)?.strip_prefix('='))
    }

    /// Whether a flag without a value is given.
    pub fn has(&self, name: &str) -> bool {
        self.flags.iter().any(|f| f == name)
    }

    /// A service account by the flag that names it.
    pub fn account(&self, flag: &str, default: &str) -> cluster::Account {
        cluster::Account::new(&self.namespace, self.flag(flag).unwrap_or(default))
    }

    /// The command that installs the chart's objects again.
    pub fn upgrade(&self) -> String {
        let labels = self.deployment.as_ref().map(ResourceExt::labels);
        let label = labels.and_then(|l| l.get(INSTANCE_LABEL));
        let release = label.map_or("driftline", |r| r);
        format!(
            "`helm upgrade {release} charts/driftline -n {} --reset-then-reuse-values` \
             (where Helm 4 tells of a conflict with what was changed by hand, with --force-conflicts)",
            self.namespace
        )
    }
}

/// The flags of `driftline run`, if the Deployment runs it.
fn flags(deployment: &Deployment) -> Option<Vec<String>> {
    let pod = deployment.spec.template.spec.as_ref()?;
    pod.containers.iter().find_map(|container| {
        let program = container.command.as_ref()?.first()?;
        let arguments = container.args.as_ref()?;
        let is_it = program.rsplit('/').next() == Some("driftline")
            && arguments.first().is_some_and(|a| a == "run");
        is_it.then(|| arguments.clone())
    })
}

/// Finds the installation.
pub async fn find(client: &Client, namespace: Option<&str>) -> (Installation, Vec<Finding>) {
    let api: Api<Deployment> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let home = namespace.unwrap_or("driftline-system");
    let mut seen = reading::all(&api, "app.kubernetes.io/name=driftline").await;
    // Whoever renames the chart renames the label.
    if matches!(&seen, Seen::There(found) if !found.iter().any(|d| flags(d).is_some())) {
        seen = reading::all(&api, "").await;
    }
    if matches!(seen, Seen::Hidden(_)) && namespace.is_none() {
        let at_home: Api<Deployment> = Api::namespaced(client.clone(), home);
        if let Seen::There(found) = reading::all(&at_home, "").await {
            seen = Seen::There(found);
        }
    }
    let mut found = match seen {
        Seen::There(found) => found,
        Seen::Absent => Vec::new(),
        Seen::Hidden(why) => {
            let finding = reading::hidden(CHECK, "the operator's Deployment", &why);
            return (Installation::none(home), vec![finding]);
        }
    };
    found.retain(|d| flags(d).is_some());
    let others: Vec<String> = found
        .iter()
        .skip(1)
        .map(|d| format!("{}/{}", d.namespace().unwrap_or_default(), d.name_any()))
        .collect();
    let Some(first) = found.into_iter().next() else {
        let place = namespace
            .map(|n| format!(" in namespace {n}"))
            .unwrap_or_default();
        let finding = Finding::bad(
            CHECK,
            Level::Failure,
            format!("no Deployment runs the operator{place}"),
            "install it: `helm install driftline charts/driftline -n driftline-system --create-namespace --set image.repository=IMAGE`; \
             an audit needs none: `kubectl driftline audit --git URL`",
        );
        return (Installation::none(home), vec![finding]);
    };
    let installation = Installation::of(first);
    let mut findings = vec![versions(&installation)];
    if !others.is_empty() {
        findings.push(Finding::bad(
            CHECK,
            Level::Warning,
            format!(
                "there are other operators: {}; those of different leases write the same records",
                others.join(", ")
            ),
            "uninstall all but one: `helm uninstall RELEASE -n NAMESPACE`",
        ));
    }
    (installation, findings)
}

fn versions(installation: &Installation) -> Finding {
    let ours = env!("CARGO_PKG_VERSION");
    let place = format!("{}/{}", installation.namespace, installation.name());
    match installation.version.as_deref() {
        Some(theirs) if theirs == ours => Finding::ok(
            CHECK,
            format!("Deployment {place} runs {theirs}, as this program is"),
        ),
        Some(theirs) => Finding::bad(
            CHECK,
            Level::Warning,
            format!("Deployment {place} runs {theirs}, and this program is {ours}"),
            format!(
                "use the kubectl-driftline of {theirs}, or upgrade the operator: {}",
                installation.upgrade()
            ),
        ),
        None => Finding::bad(
            CHECK,
            Level::Warning,
            format!("Deployment {place} does not say which version it runs"),
            format!(
                "see its image: `kubectl get deployment {} -n {} -o wide`",
                installation.name(),
                installation.namespace
            ),
        ),
    }
}
