//! The objects: manifests of the size that services have, and the edits made to them.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Result;

/// Namespaces over which objects are spread.
pub const NAMESPACES: usize = 10;
/// Objects in one file of the repository.
const PER_FILE: usize = 10;

/// The kind of all objects of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// apps/v1 Deployments.
    Deployment,
    /// v1 ConfigMaps.
    ConfigMap,
}

impl Kind {
    pub fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::ConfigMap => "configmaps",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Deployment => "Deployments",
            Self::ConfigMap => "ConfigMaps",
        }
    }

    /// The path of the collection in a namespace.
    pub fn collection(self, namespace: &str) -> String {
        let base = match self {
            Self::Deployment => "/apis/apps/v1",
            Self::ConfigMap => "/api/v1",
        };
        format!("{base}/namespaces/{namespace}/{}", self.plural())
    }

    pub fn group_version(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Deployment => ("apps", "v1", "Deployment"),
            Self::ConfigMap => ("", "v1", "ConfigMap"),
        }
    }
}

pub fn namespace(number: usize) -> String {
    format!("bench-{:02}", number % NAMESPACES)
}

pub fn name(number: usize) -> String {
    format!("service-{number:05}")
}

/// Of Deployments that one is made in so many shapes: with other optional fields.
pub const SHAPES: usize = 200;

/// What a commit declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// What is deployed.
    First,
    /// The same in other words, in every declaration.
    Respelled,
    /// Another image, or another setting, in every declaration.
    Next,
}

/// The manifest of an object.
fn manifest(kind: Kind, number: usize, release: Release) -> String {
    match kind {
        Kind::Deployment => deployment(number, release),
        Kind::ConfigMap => config_map(number, release),
    }
}

fn image(number: usize, release: Release) -> String {
    let major = if release == Release::Next { 2 } else { 1 };
    let (name, minor) = (name(number), number % 50);
    format!("registry.example.com/shop/{name}:{major}.{minor}.0")
}

/// Fields that a Deployment's shape has or has not, by a bit of its number each, with their indentation.
const OPTIONAL: [(&str, &str); 4] = [
    ("\n  minReadySeconds: 5", "\n  progressDeadlineSeconds: 300"),
    (
        "\n      terminationGracePeriodSeconds: 60",
        "\n      automountServiceAccountToken: false",
    ),
    (
        "\n      enableServiceLinks: false",
        "\n      dnsPolicy: Default",
    ),
    (
        "\n        imagePullPolicy: Always",
        "\n        terminationMessagePolicy: FallbackToLogsOnError",
    ),
];

fn deployment(number: usize, release: Release) -> String {
    let (name, namespace) = (name(number), namespace(number));
    let shape = number % SHAPES;
    let optional = |place: usize| -> String {
        let (one, two) = OPTIONAL.get(place).copied().unwrap_or_default();
        let has = |bit: usize| shape >> (2 * place + bit) & 1 == 1;
        format!(
            "{}{}",
            if has(0) { one } else { "" },
            if has(1) { two } else { "" }
        )
    };
    let memory = match release {
        Release::Respelled => "268435456",
        _ => "256Mi",
    };
    format!(
        r#"apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  namespace: {namespace}
  labels:
    app.kubernetes.io/name: {name}
    app.kubernetes.io/part-of: shop
    app.kubernetes.io/version: "1.{minor}.0"
  annotations:
    team: "{namespace}"
spec:
  replicas: 2
  revisionHistoryLimit: 3{deployment}
  selector:
    matchLabels:
      app.kubernetes.io/name: {name}
  strategy:
    rollingUpdate:
      maxSurge: 25%
      maxUnavailable: 0
  template:
    metadata:
      labels:
        app.kubernetes.io/name: {name}
        app.kubernetes.io/part-of: shop
      annotations:
        prometheus.io/port: "9090"
        prometheus.io/scrape: "true"
    spec:
      serviceAccountName: default{pod}{network}
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
      containers:
      - name: app
        image: {image}{container}
        args: ["serve", "--port=8080"]
        ports:
        - name: http
          containerPort: 8080
        - name: metrics
          containerPort: 9090
        env:
        - name: LOG_LEVEL
          value: info
        - name: DATABASE_HOST
          value: db-{number}.{namespace}.svc
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        resources:
          requests:
            cpu: 100m
            memory: 128Mi
          limits:
            memory: {memory}
        readinessProbe:
          httpGet:
            path: /healthz
            port: http
          periodSeconds: 5
        volumeMounts:
        - name: config
          mountPath: /etc/app
      volumes:
      - name: config
        configMap:
          name: {name}
"#,
        minor = number % 50,
        image = image(number, release),
        deployment = optional(0),
        pod = optional(1),
        network = optional(2),
        container = optional(3),
    )
}

fn config_map(number: usize, release: Release) -> String {
    let (name, namespace) = (name(number), namespace(number));
    let nothing = match release {
        Release::Respelled => "\nbinaryData: {}",
        _ => "",
    };
    let features = features(release);
    let mut properties = String::new();
    for line in 0..24 {
        // Writing into a String cannot fail.
        let _ = writeln!(
            properties,
            "    service.module{line:02}.setting={}",
            (number * 31 + line * 7919) % 1_000_003
        );
    }
    format!(
        r#"apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}
  namespace: {namespace}
  labels:
    app.kubernetes.io/name: {name}
    app.kubernetes.io/part-of: shop{nothing}
data:
  LOG_LEVEL: info
  DATABASE_HOST: db-{number}.{namespace}.svc
  FEATURES: "{features}"
  application.properties: |
{properties}"#
    )
}

fn features(release: Release) -> &'static str {
    match release {
        Release::Next => "search,basket,checkout,recommendations,vouchers",
        _ => "search,basket,checkout,recommendations",
    }
}

/// The files of the repository.
pub fn files(kind: Kind, objects: usize, release: Release) -> Vec<(String, String)> {
    (0..objects)
        .step_by(PER_FILE)
        .map(|first| {
            let documents: Vec<String> = (first..objects.min(first + PER_FILE))
                .map(|n| manifest(kind, n, release))
                .collect();
            let path = format!("deploy/{:03}/services-{first:05}.yaml", first / 1000);
            (path, documents.join("---\n"))
        })
        .collect()
}

/// An object as it is deployed: as the first commit declares it.
pub fn live(kind: Kind, number: usize) -> Result<Value> {
    Ok(serde_saphyr::from_str(&manifest(
        kind,
        number,
        Release::First,
    ))?)
}

/// What rolls out the next release.
pub fn roll_out(kind: Kind, number: usize) -> (&'static str, Value) {
    let patch = match kind {
        Kind::Deployment => {
            let container = json!({"name": "app", "image": image(number, Release::Next)});
            json!({"spec": {"template": {"spec": {"containers": [container]}}}})
        }
        Kind::ConfigMap => json!({"data": {"FEATURES": features(Release::Next)}}),
    };
    ("application/strategic-merge-patch+json", patch)
}

/// The account `bench` of the operator's namespace, what it may do, and that the operator may act as it: paths and bodies.
pub fn writer(namespace: &str) -> Vec<(&'static str, Value)> {
    let rbac = "rbac.authorization.k8s.io/v1";
    let bound = |to: &str, role: &str, subject: &str| {
        json!({
            "apiVersion": rbac, "kind": "ClusterRoleBinding", "metadata": {"name": to},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": subject, "namespace": namespace}],
        })
    };
    let role = |name: &str, rules: Value| json!({"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules});
    let writes = json!([{"apiGroups": ["", "apps"], "resources": ["configmaps", "deployments"], "verbs": ["get", "list", "watch", "patch", "create"]}]);
    let acts = json!([{"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": ["bench"], "verbs": ["impersonate"]}]);
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bench", "namespace": namespace}});
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    vec![
        (
            "/api/v1/namespaces/driftline-system/serviceaccounts",
            account,
        ),
        (roles, role("bench-writes", writes)),
        (bindings, bound("bench-writes", "bench-writes", "bench")),
        (roles, role("driftline-acts-as-bench", acts)),
        (
            bindings,
            bound(
                "driftline-acts-as-bench",
                "driftline-acts-as-bench",
                "driftline",
            ),
        ),
    ]
}

/// An edit of one field, or its undoing.
pub fn edit(kind: Kind, undo: bool) -> Value {
    match kind {
        Kind::Deployment => json!({"spec": {"replicas": if undo { 2 } else { 7 }}}),
        Kind::ConfigMap => json!({"data": {"LOG_LEVEL": if undo { "info" } else { "debug" }}}),
    }
}

/// Whether a live object has been edited.
pub fn is_edited(kind: Kind, object: &Value) -> bool {
    match kind {
        Kind::Deployment => object.pointer("/spec/replicas") == Some(&json!(7)),
        Kind::ConfigMap => object.pointer("/data/LOG_LEVEL") == Some(&json!("debug")),
    }
}
