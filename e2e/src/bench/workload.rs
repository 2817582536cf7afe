//! The objects: manifests of the size that services have, and the edits made to them.

use std::fmt::Write as _;

use serde_json::{Value, json};

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

/// The manifest of an object; `release` is a label that commits change, left out if empty.
fn manifest(kind: Kind, number: usize, release: &str) -> String {
    let (name, namespace) = (name(number), namespace(number));
    let label = |indent: &str| match release {
        "" => String::new(),
        release => format!("\n{indent}bench.driftline.dev/release: {release}"),
    };
    match kind {
        Kind::Deployment => deployment(&name, &namespace, number, &label("    ")),
        Kind::ConfigMap => config_map(&name, &namespace, number, &label("    ")),
    }
}

fn deployment(name: &str, namespace: &str, number: usize, label: &str) -> String {
    format!(
        r#"apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  namespace: {namespace}
  labels:
    app.kubernetes.io/name: {name}
    app.kubernetes.io/part-of: shop
    app.kubernetes.io/version: "1.{minor}.0"{label}
  annotations:
    team: "{namespace}"
spec:
  replicas: 2
  revisionHistoryLimit: 3
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
      serviceAccountName: default
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
      containers:
      - name: app
        image: registry.example.com/shop/{name}:1.{minor}.0
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
            memory: 256Mi
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
    )
}

fn config_map(name: &str, namespace: &str, number: usize, label: &str) -> String {
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
    app.kubernetes.io/part-of: shop{label}
data:
  LOG_LEVEL: info
  DATABASE_HOST: db-{number}.{namespace}.svc
  FEATURES: "search,basket,checkout,recommendations"
  application.properties: |
{properties}"#
    )
}

/// The files of the repository.
pub fn files(kind: Kind, objects: usize, release: &str) -> Vec<(String, String)> {
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

/// An object as it is deployed: as the first commit declares it, and with the label that only the second one declares.
pub fn live(kind: Kind, number: usize) -> Value {
    let (name, namespace) = (name(number), namespace(number));
    let labels = |version: bool| {
        let mut labels = json!({
            "app.kubernetes.io/name": name,
            "app.kubernetes.io/part-of": "shop",
            "bench.driftline.dev/release": "r2",
        });
        if version {
            labels["app.kubernetes.io/version"] = format!("1.{}.0", number % 50).into();
        }
        labels
    };
    match kind {
        Kind::Deployment => json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": namespace, "labels": labels(true), "annotations": {"team": namespace}},
            "spec": {
                "replicas": 2,
                "revisionHistoryLimit": 3,
                "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
                "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
                "template": {
                    "metadata": {
                        "labels": {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "shop"},
                        "annotations": {"prometheus.io/port": "9090", "prometheus.io/scrape": "true"},
                    },
                    "spec": {
                        "serviceAccountName": "default",
                        "securityContext": {"runAsNonRoot": true, "runAsUser": 10001},
                        "containers": [{
                            "name": "app",
                            "image": format!("registry.example.com/shop/{name}:1.{}.0", number % 50),
                            "args": ["serve", "--port=8080"],
                            "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9090}],
                            "env": [
                                {"name": "LOG_LEVEL", "value": "info"},
                                {"name": "DATABASE_HOST", "value": format!("db-{number}.{namespace}.svc")},
                                {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                            ],
                            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
                            "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 5},
                            "volumeMounts": [{"name": "config", "mountPath": "/etc/app"}],
                        }],
                        "volumes": [{"name": "config", "configMap": {"name": name}}],
                    },
                },
            },
        }),
        Kind::ConfigMap => {
            let properties: String = (0..24)
                .map(|line| {
                    format!(
                        "service.module{line:02}.setting={}\n",
                        (number * 31 + line * 7919) % 1_000_003
                    )
                })
                .collect();
            json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": namespace, "labels": labels(false)},
                "data": {
                    "LOG_LEVEL": "info",
                    "DATABASE_HOST": format!("db-{number}.{namespace}.svc"),
                    "FEATURES": "search,basket,checkout,recommendations",
                    "application.properties": properties,
                },
            })
        }
    }
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
