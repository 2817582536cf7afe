//! To a cluster, as kubectl finds it.

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::failure::{Failure, Result};
use crate::options::Connection;

/// A cluster, and where commands look by default.
#[derive(Clone)]
pub struct Cluster {
    /// The client. It tries nothing again by itself.
    pub client: Client,
    /// The context's name; empty inside a cluster.
    pub context: String,
    /// The API server's address.
    pub server: String,
    /// The namespace of `-n`, of the context, or `default`.
    pub namespace: String,
}

/// Connects by one context; the current one if none is named. Nothing is asked of the cluster yet.
///
/// # Errors
/// Where there is no cluster to connect to.
pub async fn connect(connection: &Connection, context: Option<&str>) -> Result<Cluster> {
    let (config, context) = config(connection, context).await?;
    let mut config = config;
    config.default_retry = false;
    if let Some(user) = &connection.impersonate {
        config.auth_info.impersonate = Some(user.clone());
    }
    if !connection.impersonate_groups.is_empty() {
        config.auth_info.impersonate_groups = Some(connection.impersonate_groups.clone());
    }
    let namespace = connection
        .namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    let server = config.cluster_url.to_string();
    let client = Client::try_from(config).map_err(|e| {
        Failure::new(
            format!("cannot connect to {server} as the kubeconfig says: {e}"),
            "check the certificates and credentials of the kubeconfig with kubectl cluster-info",
        )
    })?;
    Ok(Cluster {
        client,
        context,
        server: server.trim_end_matches('/').to_owned(),
        namespace,
    })
}

async fn config(connection: &Connection, context: Option<&str>) -> Result<(Config, String)> {
    if connection.in_cluster {
        let config = Config::incluster().map_err(|e| {
            Failure::new(
                format!("this is not inside a cluster: {e}"),
                "leave out --in-cluster; in a Pod, let the service account's token be mounted (automountServiceAccountToken)",
            )
        })?;
        return Ok((config, String::new()));
    }
    let explicit = connection.kubeconfig.is_some();
    let read = match &connection.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let kubeconfig = match read {
        Ok(kubeconfig) => kubeconfig,
        // As kubectl inside a pod.
        Err(_) if !explicit && context.is_none() && in_cluster() => {
            let config = Config::incluster().map_err(|e| no_cluster(&e.to_string()))?;
            return Ok((config, String::new()));
        }
        Err(error) => return Err(no_cluster(&error.to_string())),
    };
    let named = context
        .map(str::to_owned)
        .or_else(|| kubeconfig.current_context.clone())
        .filter(|c| !c.is_empty());
    let Some(name) = named else {
        return Err(no_cluster("the kubeconfig has no current context"));
    };
    if !kubeconfig.contexts.iter().any(|c| c.name == name) {
        let mut there: Vec<&str> = kubeconfig.contexts.iter().map(|c| &*c.name).collect();
        there.sort_unstable();
        return Err(Failure::new(
            format!("the kubeconfig has no context {name:?}"),
            format!("choose one of: {}", there.join(", ")),
        ));
    }
    let options = KubeConfigOptions {
        context: Some(name.clone()),
        cluster: connection.cluster.clone(),
        user: connection.user.clone(),
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|e| {
            Failure::new(
                format!("context {name:?} of the kubeconfig cannot be used: {e}"),
                "check it with kubectl config view --minify",
            )
        })?;
    Ok((config, name))
}

fn in_cluster() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

fn no_cluster(why: &str) -> Failure {
    Failure::new(
        format!("no cluster: {why}"),
        "set KUBECONFIG or --kubeconfig, or choose a context with kubectl config use-context NAME",
    )
}
