//! The program, and what is audited by it.

use std::path::{Path, PathBuf};
use std::process::Output;

use driftline_e2e::{ControlPlane, Invocation, Tools, operator};
use serde_json::Value;

/// How a run ended, and what it showed.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    pub(crate) fn new(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// All of these are shown.
    #[track_caller]
    pub(crate) fn shows(&self, lines: &[&str]) {
        for line in lines {
            assert!(
                self.out.contains(line),
                "{line:?} is not in:\n{}\n{}",
                self.out,
                self.err
            );
        }
    }

    /// It failed with two lines: what, and what next. No defect shows.
    #[track_caller]
    pub(crate) fn fails_with(&self, words: &[&str]) {
        assert_eq!(self.code, 3, "{}{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in:\n{}", self.err);
        }
        assert!(
            !self.err.contains("panicked") && !self.err.contains("RUST_BACKTRACE"),
            "{}",
            self.err
        );
        assert_eq!(self.out, "");
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|e| panic!("{e}:\n{}\n{}", self.out, self.err))
    }
}

pub(crate) fn program() -> PathBuf {
    operator::program()
        .expect("the programs are built")
        .with_file_name("kubectl-driftline")
}

/// Runs the program with a kubeconfig.
pub(crate) async fn run(kubeconfig: &Path, arguments: &[&str]) -> Run {
    run_in(kubeconfig, Path::new("/"), arguments).await
}

/// Runs the program in a folder.
pub(crate) async fn run_in(kubeconfig: &Path, folder: &Path, arguments: &[&str]) -> Run {
    let run = invocation(kubeconfig, arguments).await.current_dir(folder);
    Run::new(&run.output().await.unwrap())
}

/// Runs the program with variables of its environment.
pub(crate) async fn run_with(
    kubeconfig: &Path,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Run {
    let mut run = invocation(kubeconfig, arguments).await;
    for (name, value) in variables {
        run = run.env(name, value);
    }
    Run::new(&run.output().await.unwrap())
}

async fn invocation(kubeconfig: &Path, arguments: &[&str]) -> Invocation {
    let tools = Tools::ensure().await.unwrap();
    Invocation::new(program())
        .env("KUBECONFIG", kubeconfig)
        .env("PATH", tools.path_variable())
        .args(arguments)
}

/// A namespace with an application in it, a folder that declares it, and an account that may list and get everything but nothing else.
pub(crate) struct Shop<'a> {
    pub(crate) plane: &'a ControlPlane,
    pub(crate) tools: Tools,
    pub(crate) namespace: String,
    pub(crate) folder: tempfile::TempDir,
}

/// What the shop declares.
const WEB: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: shop/web:1.4.2
";
const SETTINGS: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data:
  greeting: hello
---
apiVersion: v1
kind: Secret
metadata: {name: password}
stringData:
  value: declared-canary
";

impl<'a> Shop<'a> {
    pub(crate) async fn new(plane: &'a ControlPlane) -> Self {
        let namespace = plane.create_namespace("shop").await.unwrap();
        let shop = Self {
            plane,
            tools: Tools::ensure().await.unwrap(),
            namespace,
            folder: tempfile::tempdir().unwrap(),
        };
        shop.declare("web.yaml", WEB);
        shop.declare("settings.yaml", SETTINGS);
        let folder = shop.folder.path().to_string_lossy().into_owned();
        shop.kubectl(&["apply", "-f", &folder]).await;
        shop
    }

    /// Writes a file of the folder.
    pub(crate) fn declare(&self, file: &str, text: &str) {
        let path = self.folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// As an administrator, in the shop's namespace.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> String {
        self.tools
            .kubectl(self.plane.kubeconfig_path())
            .args(["-n", &self.namespace])
            .args(arguments)
            .run()
            .await
            .unwrap()
    }

    /// Edits everything that is declared.
    pub(crate) async fn edit(&self) {
        self.kubectl(&["set", "image", "deployment/web", "web=shop/web:hotfix"])
            .await;
        let hostile = r#"{"data": {"greeting": "<img src=x onerror=alert(1)>&\"'`|"}}"#;
        self.kubectl(&[
            "patch",
            "configmap",
            "settings",
            "--type=merge",
            "-p",
            hostile,
        ])
        .await;
        let secret = r#"{"stringData": {"value": "live-canary"}}"#;
        self.kubectl(&["patch", "secret", "password", "--type=merge", "-p", secret])
            .await;
    }

    /// A kubeconfig of an account that may do this, everywhere.
    pub(crate) async fn account(&self, name: &str, rules: &str) -> PathBuf {
        let namespace = &self.namespace;
        let objects = format!(
            "{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: {name}, namespace: {namespace}}}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {namespace}-{name}}}
rules: {rules}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {namespace}-{name}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {namespace}-{name}}}
subjects: [{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}]
"
        );
        let admin = self.tools.kubectl(self.plane.kubeconfig_path());
        admin
            .args(["apply", "-f", "-"])
            .stdin(objects)
            .run()
            .await
            .unwrap();
        let made = self
            .plane
            .kubeconfig_for_service_account(namespace, name)
            .await;
        made.unwrap()
    }

    /// Audits the folder as an account that may list everything.
    pub(crate) async fn audit(&self, arguments: &[&str]) -> Run {
        let reader = self.account("reader", READ).await;
        let folder = self.folder.path().to_string_lossy().into_owned();
        let mut all = vec!["audit", "--git", &folder, "-n", &self.namespace];
        all.extend(arguments);
        run(&reader, &all).await
    }
}

/// May read everything.
pub(crate) const READ: &str = "[{apiGroups: ['*'], resources: ['*'], verbs: [get, list]}]";
