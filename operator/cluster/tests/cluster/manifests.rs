//! One valid object of each kind that the dry-run account may create.

use serde_json::{Value, json};

fn pod() -> Value {
    json!({"containers": [{"name": "main", "image": "example.com/app:1"}]})
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "x"}}, "spec": pod()})
}

fn workload() -> Value {
    json!({"selector": {"matchLabels": {"app": "x"}}, "template": template()})
}

fn job() -> Value {
    let mut spec = pod();
    spec["restartPolicy"] = json!("Never");
    json!({"template": {"spec": spec}})
}

fn claim() -> Value {
    json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}})
}

fn devices() -> Value {
    json!({"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}]}})
}

fn flow_schema() -> Value {
    let subjects = json!([{"kind": "User", "user": {"name": "nobody"}}]);
    let resources =
        json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["*"]}]);
    json!({
        "matchingPrecedence": 1000,
        "priorityLevelConfiguration": {"name": "exempt"},
        "rules": [{"subjects": subjects, "resourceRules": resources}],
    })
}

fn crd() -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object"}});
    json!({
        "group": "dry.example.com",
        "scope": "Namespaced",
        "names": {"kind": "Thing", "plural": "things"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
    })
}

/// An object of a kind, without its metadata. `None` for kinds that are not in this table.
pub(crate) fn of(plural: &str) -> Option<Value> {
    let spec = |spec: Value| json!({"spec": spec});
    Some(match plural {
        "configmaps" | "serviceaccounts" | "namespaces" | "endpoints" => json!({}),
        "limitranges" => spec(json!({"limits": [{"type": "Pod", "max": {"cpu": "1"}}]})),
        "persistentvolumeclaims" => spec(claim()),
        "persistentvolumes" => spec(json!({
            "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/data"},
        })),
        "pods" => spec(pod()),
        "podtemplates" => json!({"template": template()}),
        "replicationcontrollers" => spec(json!({"selector": {"app": "x"}, "template": template()})),
        "resourcequotas" => spec(json!({"hard": {"pods": "1"}})),
        "services" => spec(json!({"ports": [{"port": 80}]})),
        "customresourcedefinitions" => spec(crd()),
        "daemonsets" | "deployments" | "replicasets" => spec(workload()),
        "statefulsets" => {
            let mut set = workload();
            set["serviceName"] = json!("x");
            spec(set)
        }
        "horizontalpodautoscalers" => spec(json!({
            "maxReplicas": 2, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"},
        })),
        "cronjobs" => spec(json!({"schedule": "@daily", "jobTemplate": {"spec": job()}})),
        "jobs" => spec(job()),
        "endpointslices" => json!({"addressType": "IPv4", "endpoints": []}),
        "flowschemas" => spec(flow_schema()),
        "prioritylevelconfigurations" => spec(json!({
            "type": "Limited", "limited": {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}},
        })),
        "ingressclasses" => spec(json!({"controller": "example.com/x"})),
        "ingresses" => {
            spec(json!({"defaultBackend": {"service": {"name": "x", "port": {"number": 80}}}}))
        }
        "networkpolicies" => spec(json!({"podSelector": {}})),
        "runtimeclasses" => json!({"handler": "x"}),
        "poddisruptionbudgets" => {
            spec(json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}))
        }
        "deviceclasses" => spec(json!({})),
        "resourceclaims" => spec(devices()),
        "resourceclaimtemplates" => spec(json!({"spec": devices()})),
        "priorityclasses" => json!({"value": 1}),
        "csidrivers" => spec(json!({})),
        "storageclasses" => json!({"provisioner": "example.com/x"}),
        "volumeattributesclasses" => {
            json!({"driverName": "example.com", "parameters": {"iops": "1"}})
        }
        _ => return None,
    })
}
