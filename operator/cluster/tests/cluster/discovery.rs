//! Discovery: both forms, kinds that come and go, groups that are down.

use std::time::{Duration, Instant};

use cluster::discovery::{Catalog, CatalogKeeper, KeeperOptions, Served};
use cluster::openapi::Schemas;
use drift::GroupVersionKind;
use http::Method;
use kube::Client;
use serde_json::json;

use crate::support::*;

/// A kind `Widget` of a group, whose `spec` keeps everything.
pub(crate) async fn create_crd(client: &Client, group: &str) -> String {
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let name = format!("widgets.{group}");
    let spec = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    let body = json!({
        "metadata": {"name": name},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Widget", "listKind": "WidgetList", "plural": "widgets", "singular": "widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    });
    post(client, path, body).await;
    format!("{path}/{name}")
}

#[tokio::test]
async fn both_forms_of_discovery_say_the_same() {
    let (_, client) = shared().await;
    let deployment = GroupVersionKind::new("apps", "v1", "Deployment");
    let aggregated = Catalog::read(&client).await.unwrap();
    let resource = aggregated.resource(&deployment).unwrap();
    assert_eq!(
        (
            resource.plural.as_str(),
            resource.namespaced,
            resource.create
        ),
        ("deployments", true, true)
    );
    assert!(
        !aggregated
            .resource(&GroupVersionKind::new("", "v1", "Namespace"))
            .unwrap()
            .namespaced
    );
    assert!(aggregated.api_versions().contains(&"apps/v1".to_owned()));
    assert!(
        aggregated
            .api_versions()
            .contains(&"apps/v1/Deployment".to_owned())
    );
    assert!(aggregated.api_versions().contains(&"v1/Pod".to_owned()));
    assert!(aggregated.server().git_version.starts_with("v1."));
    assert_eq!(
        aggregated.served(&GroupVersionKind::new("apps", "v1", "Nothing")),
        Served::No
    );

    let classic = Catalog::read_classic(&client).await.unwrap();
    let builtin = |catalog: &Catalog| {
        let of = catalog
            .resources()
            .filter(|(kind, _)| !kind.group_kind.group.contains("example.com"));
        of.map(|(kind, resource)| (kind.clone(), resource.clone()))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let (aggregated, classic) = (builtin(&aggregated), builtin(&classic));
    assert_eq!(
        aggregated.keys().collect::<Vec<_>>(),
        classic.keys().collect::<Vec<_>>()
    );
    assert_eq!(aggregated, classic);
}

#[tokio::test]
async fn a_new_kind_is_in_the_catalog_soon_and_a_removed_one_is_not() {
    let (_, client) = shared().await;
    let keeper = CatalogKeeper::start(
        client.clone(),
        KeeperOptions {
            watch: quick(),
            ..KeeperOptions::default()
        },
    )
    .await
    .unwrap();
    let mut catalogs = keeper.subscribe();
    let group = format!("{}.example.com", unique("appears"));
    let kind = GroupVersionKind::new(&group, "v1", "Widget");
    // The keeper's own watches first have to be up.
    tokio::time::timeout(Duration::from_secs(5), catalogs.changed())
        .await
        .ok();
    let path = create_crd(&client, &group).await;
    let created = Instant::now();
    tokio::time::timeout(PATIENCE, catalogs.wait_for(|c| c.resource(&kind).is_some()))
        .await
        .unwrap()
        .unwrap();
    // Two seconds is the promise; the rest is for a busy machine.
    assert!(
        created.elapsed() < Duration::from_secs(5),
        "{:?}",
        created.elapsed()
    );
    println!(
        "a new kind was in the catalog after {:?}",
        created.elapsed()
    );
    delete(&client, &path).await;
    tokio::time::timeout(
        PATIENCE,
        catalogs.wait_for(|c| c.served(&kind) == Served::No),
    )
    .await
    .unwrap()
    .unwrap();
}

/// Until the next reading, which came after minutes, objects were compared by the schema of before.
#[tokio::test]
async fn a_definition_that_changed_its_schema_alone_was_noticed_late() {
    let (_, client) = shared().await;
    let options = KeeperOptions {
        watch: quick(),
        ..KeeperOptions::default()
    };
    let keeper = CatalogKeeper::start(client.clone(), options).await.unwrap();
    let (mut catalogs, mut definitions) = (keeper.subscribe(), keeper.definitions());
    let group = format!("{}.example.com", unique("schema"));
    let kind = GroupVersionKind::new(&group, "v1", "Widget");
    let path = create_crd(&client, &group).await;
    let served = catalogs.wait_for(|c| c.resource(&kind).is_some());
    tokio::time::timeout(PATIENCE, served)
        .await
        .unwrap()
        .unwrap();
    let schemas = Schemas::new(client.clone());
    let published = async || !schemas.load([kind.clone()]).await.unwrap().is_empty();
    eventually("the schema is published", published).await;
    let mut definition = must(&client, Method::GET, &path, json!(null)).await;
    let schema = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema["properties"]["spec"]["properties"] = json!({"size": {"type": "integer", "default": 3}});
    must(&client, Method::PUT, &path, definition).await;
    let noticed = async {
        loop {
            definitions.changed().await.unwrap();
            if schemas.refresh().await.unwrap().contains(&kind) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, noticed).await.unwrap();
    delete(&client, &path).await;
}

#[tokio::test]
async fn a_group_whose_server_is_down_hides_only_itself() {
    let (_, client) = shared().await;
    let group = format!("{}.example.com", unique("down"));
    let path = "/apis/apiregistration.k8s.io/v1/apiservices";
    let name = format!("v1.{group}");
    let body = json!({
        "metadata": {"name": name},
        "spec": {
            "group": group, "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100, "insecureSkipTLSVerify": true,
            "service": {"namespace": "default", "name": "nobody", "port": 443},
        },
    });
    post(&client, path, body).await;
    let kind = GroupVersionKind::new(&group, "v1", "Anything");
    eventually("the group is unavailable", || async {
        Catalog::read(&client).await.unwrap().served(&kind) == Served::Unavailable
    })
    .await;
    let catalog = Catalog::read(&client).await.unwrap();
    assert!(
        catalog.is_stale(&group, "v1")
            && catalog
                .resource(&GroupVersionKind::new("apps", "v1", "Deployment"))
                .is_some()
    );
    let classic = Catalog::read_classic(&client).await.unwrap();
    assert!(
        classic
            .resource(&GroupVersionKind::new("apps", "v1", "Deployment"))
            .is_some()
    );
    call(&client, Method::DELETE, &format!("{path}/{name}"), None).await;
}
