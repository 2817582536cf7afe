//! Clients and kubeconfigs for a control plane.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;

use crate::error::{Error, IoContext, Result};

/// How long the controller manager may take to make a namespace's account.
const ACCOUNT: Duration = Duration::from_secs(2);

/// A client with what a kubeconfig's current context says.
pub(crate) async fn client(kubeconfig: &Path) -> Result<Client> {
    let unusable = |source| Error::Kubeconfig {
        path: kubeconfig.to_owned(),
        source: Box::new(source),
    };
    let parsed = Kubeconfig::read_from(kubeconfig).map_err(unusable)?;
    let config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default())
        .await
        .map_err(unusable)?;
    Client::try_from(config).map_err(|source| Error::Kube {
        doing: format!("making a client from {}", kubeconfig.display()),
        source: Box::new(source),
    })
}

/// Asks for a token of the account and writes a kubeconfig with it into `directory`.
pub(crate) async fn service_account(
    admin: &Path,
    directory: &Path,
    namespace: &str,
    name: &str,
) -> Result<PathBuf> {
    let accounts = Api::<ServiceAccount>::namespaced(client(admin).await?, namespace);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(24 * 60 * 60),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let answer = accounts
        .create_token_request(name, &PostParams::default(), &request)
        .await
        .map_err(|source| Error::Kube {
            doing: format!("asking for a token of the service account {namespace}/{name}"),
            source: Box::new(source),
        })?;
    let token = answer.status.map(|s| s.token).unwrap_or_default();

    let mut config = Kubeconfig::read_from(admin).map_err(|source| Error::Kubeconfig {
        path: admin.to_owned(),
        source: Box::new(source),
    })?;
    let cluster = current_cluster(&mut config);
    // JSON is YAML, and saves a writer of YAML.
    let text = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster],
        "users": [{ "name": name, "user": { "token": token } }],
        "contexts": [{
            "name": "driftline",
            "context": {
                "cluster": cluster.as_ref().map(|c| c.name.as_str()),
                "user": name,
                "namespace": namespace,
            },
        }],
        "current-context": "driftline",
    });
    std::fs::create_dir_all(directory).doing("creating", directory)?;
    let file = directory.join(format!("{namespace}-{name}.kubeconfig"));
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&file)
        .and_then(|mut f| f.write_all(text.to_string().as_bytes()))
        .doing("writing", &file)?;
    Ok(file)
}

/// Makes a namespace whose name begins with `prefix`, and waits for its account
/// `default`, without which no Pod can be created in it.
pub(crate) async fn namespace(client: Client, prefix: &str) -> Result<String> {
    let failed = |source| Error::Kube {
        doing: format!("making a namespace {prefix}…"),
        source: Box::new(source),
    };
    let namespace = Namespace {
        metadata: ObjectMeta {
            generate_name: Some(format!("{prefix}-")),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let made = Api::<Namespace>::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .map_err(failed)?;
    let name = made.metadata.name.unwrap_or_default();
    let accounts = Api::<ServiceAccount>::namespaced(client, &name);
    // Without a controller manager it never comes, and is not needed either.
    let deadline = Instant::now() + ACCOUNT;
    while Instant::now() < deadline {
        if accounts.get_opt("default").await.map_err(failed)?.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(name)
}

fn current_cluster(config: &mut Kubeconfig) -> Option<kube::config::NamedCluster> {
    let current = config.current_context.clone()?;
    let context = config.contexts.iter().find(|c| c.name == current)?;
    let cluster = context.context.as_ref()?.cluster.clone();
    let found = config.clusters.iter().position(|c| c.name == cluster)?;
    Some(config.clusters.swap_remove(found))
}
