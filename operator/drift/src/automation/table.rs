//! The table itself: what is written on objects by others than their deployer, kind by kind.

use super::when::{
    PULL_SECRET_NOTE, beside_its_name, has_injector, holds_token, is_bound,
    is_declared_and_own_secrets, is_declared_empty, is_empty, is_job_label, is_of_token,
    is_own_secret, names_own_secrets, of_own_controller, set_by_argo, tracks, within_bounds,
};
use serde_json::Value;

use super::{Line, annotation, is_token_volume, label, name_begins, name_of};

const SERVICE: &str = "https://kubernetes.io/docs/concepts/services-networking/service/";
const DUAL_STACK: &str = "https://kubernetes.io/docs/concepts/services-networking/dual-stack/";
const JOB: &str = "https://kubernetes.io/docs/concepts/workloads/controllers/job/#specifying-your-own-pod-selector";
const VOLUMES: &str = "https://kubernetes.io/docs/concepts/storage/persistent-volumes/";
const ACCOUNT: &str = "https://kubernetes.io/docs/concepts/security/service-accounts/#bound-service-account-token-volume";
const SCHEDULER: &str = "https://kubernetes.io/docs/concepts/scheduling-eviction/kube-scheduler/";
const TOKEN: &str = "https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/controller/serviceaccount/tokens_controller.go";
const TOKEN_USED: &str = "https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-legacy-token-last-used";
const INJECTOR: &str = "https://cert-manager.io/docs/concepts/ca-injector/";
const SERVICE_CA: &str = "https://github.com/openshift/service-ca-operator#readme";
const TRUSTED_CA: &str = "https://github.com/openshift/cluster-network-operator/blob/master/pkg/controller/configmap_ca_injector/controller.go";
const PULL_SECRETS: &str = "https://github.com/openshift/openshift-controller-manager/blob/master/pkg/internalregistry/controllers/service_account_controller.go";
const HELM: &str = "https://helm.sh/docs/chart_best_practices/labels/";
const FLUX: &str = "https://fluxcd.io/flux/components/kustomize/kustomizations/";
const ARGO: &str = "https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/";
const AUTOSCALER: &str =
    "https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/";
const AWS: &str = "https://github.com/kubernetes-sigs/aws-load-balancer-controller/blob/main/pkg/shared_constants/finalizers.go";
const GCE_FINALIZERS: &str =
    "https://github.com/kubernetes/ingress-gce/blob/master/pkg/utils/common/finalizer.go";
const GCE_INGRESS: &str =
    "https://github.com/kubernetes/ingress-gce/blob/master/pkg/annotations/ingress.go";
const GCE_SERVICE: &str =
    "https://github.com/kubernetes/ingress-gce/blob/master/pkg/l4/annotations/service.go";
const GCE_NEG: &str = "https://cloud.google.com/kubernetes-engine/docs/how-to/standalone-neg";
const RANCHER: &str = "https://github.com/rancher/rancher/blob/main/pkg/controllers/managementagent/endpoints/endpoints.go";
const PROVISIONER: &str = "https://github.com/kubernetes-csi/external-provisioner/blob/master/pkg/controller/controller.go";
const SNAPSHOTTER: &str =
    "https://github.com/kubernetes-csi/external-snapshotter/blob/master/pkg/utils/util.go";

const FINALIZERS: &[&str] = &["metadata", "finalizers", "*"];
const ANNOTATIONS: &[&str] = &["metadata", "annotations", "*"];
const LABELS: &[&str] = &["metadata", "labels", "*"];

const WEBHOOKS: &[&str] = &[
    "admissionregistration.k8s.io/ValidatingWebhookConfiguration",
    "admissionregistration.k8s.io/MutatingWebhookConfiguration",
];
const API_SERVICE: &[&str] = &["apiregistration.k8s.io/APIService"];
const DEFINITION: &[&str] = &["apiextensions.k8s.io/CustomResourceDefinition"];
const ADMISSION: &str = "https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/";
const RBAC: &str =
    "https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-subjects";
const POLICIES: &[&str] = &[
    "admissionregistration.k8s.io/ValidatingAdmissionPolicy",
    "admissionregistration.k8s.io/MutatingAdmissionPolicy",
];
const BINDINGS: &[&str] = &[
    "admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding",
    "admissionregistration.k8s.io/MutatingAdmissionPolicyBinding",
];
const WEBHOOKS_CA: &[&str] = &["webhooks", "*", "clientConfig", "caBundle"];
const API_SERVICE_CA: &[&str] = &["spec", "caBundle"];
const CONVERSION_CA: &[&str] = &["spec", "conversion", "webhook", "clientConfig", "caBundle"];

const EMPTY: &str = "where Git declares it empty";
const TOPOLOGY: &str = "https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#podtopologylabels";
const INJECTED: &str = "where Git asks an injector for it by an annotation";

const REPLICAS: Line = Line::new(&["*"], &["spec", "replicas"], AUTOSCALER).when(
    within_bounds,
    "within the bounds of a HorizontalPodAutoscaler, and not 0",
);

const AGGREGATED: Line = Line::new(
    &["rbac.authorization.k8s.io/ClusterRole"],
    &["rules"],
    "https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles",
)
.when(
    // Whoever takes the rule off may write others.
    |c, _, _| {
        let aggregates = |role: &Value| role.get("aggregationRule").is_some_and(|r| !r.is_null());
        aggregates(c.declared) && aggregates(c.live)
    },
    "with an `aggregationRule`, declared and live",
);

const MANAGED_BY_HELM: Line = Line::new(
    &["*"],
    &["metadata", "labels", "app.kubernetes.io/managed-by"],
    HELM,
)
.when(
    |c, _, v| v == "Helm" && annotation(c.live, "meta.helm.sh/release-name").is_some(),
    "`Helm`, beside Helm's own annotations",
);

/// Undeclared places.
pub(super) const ADDED: &[Line] = &[
    Line::new(&["Service"], &["spec", "clusterIP"], SERVICE)
        .when(|_, _, v| v != "None", "unless it is `None`"),
    // Its first is the address above, which is told.
    Line::new(&["Service"], &["spec", "clusterIPs"], SERVICE),
    Line::new(&["Service"], &["spec", "clusterIPs", "*"], SERVICE),
    Line::new(&["Service"], &["spec", "ipFamilies"], DUAL_STACK),
    Line::new(&["Service"], &["spec", "ipFamilyPolicy"], DUAL_STACK)
        .when(|_, _, v| v == "SingleStack", "`SingleStack`"),
    Line::new(&["Service"], &["spec", "ports", "*", "nodePort"], SERVICE),
    Line::new(&["Service"], &["spec", "healthCheckNodePort"], SERVICE),
    Line::new(&["Service"], &["spec", "externalTrafficPolicy"], SERVICE)
        .when(|_, _, v| v == "Cluster", "`Cluster`"),
    Line::new(
        &["Service"],
        &["spec", "allocateLoadBalancerNodePorts"],
        SERVICE,
    )
    .when(|_, _, v| v == true, "`true`"),
    Line::new(&["Service"], FINALIZERS, SERVICE)
        .among(&["service.kubernetes.io/load-balancer-cleanup"]),
    Line::new(&["Service"], FINALIZERS, AWS).among(&["service.k8s.aws/resources"]),
    Line::new(&["Service"], FINALIZERS, GCE_FINALIZERS).among(&[
        "gke.networking.io/l4-ilb-v1",
        "gke.networking.io/l4-ilb-v2",
        "gke.networking.io/l4-netlb-v1",
        "gke.networking.io/l4-netlb-v2",
        "gke.networking.io/l4-netlb-v3",
    ]),
    Line::new(&["networking.k8s.io/Ingress"], FINALIZERS, AWS)
        .among(&["ingress.k8s.aws/resources"]),
    // The group may be named by an annotation or by the class.
    Line::new(&["networking.k8s.io/Ingress"], FINALIZERS, AWS).when(
        |_, _, v| {
            v.as_str()
                .and_then(|f| f.strip_prefix("group.ingress.k8s.aws/"))
                .is_some_and(|group| !group.is_empty())
        },
        "`group.ingress.k8s.aws/` and the name of the group",
    ),
    Line::new(&["networking.k8s.io/Ingress"], FINALIZERS, GCE_FINALIZERS).among(&[
        "networking.gke.io/ingress-finalizer",
        "networking.gke.io/ingress-finalizer-V2",
    ]),
    Line::new(&["gateway.networking.k8s.io/Gateway"], FINALIZERS, AWS)
        .among(&["gateway.k8s.aws/alb", "gateway.k8s.aws/nlb"]),
    Line::new(&["gateway.networking.k8s.io/GatewayClass"], FINALIZERS, AWS)
        .among(&["gateway.k8s.aws/gatewayclass"]),
    Line::new(
        &["networking.k8s.io/ServiceCIDR"],
        FINALIZERS,
        "https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/controller/servicecidrs/servicecidrs_controller.go",
    )
    .among(&["networking.k8s.io/service-cidr-finalizer"]),
    Line::new(&["PersistentVolumeClaim"], &["spec", "volumeName"], VOLUMES),
    Line::new(&["PersistentVolumeClaim"], FINALIZERS, VOLUMES)
        .among(&["kubernetes.io/pvc-protection"]),
    Line::new(&["PersistentVolumeClaim"], FINALIZERS, SNAPSHOTTER)
        .among(&["snapshot.storage.kubernetes.io/pvc-as-source-protection"]),
    Line::new(&["PersistentVolumeClaim"], FINALIZERS, PROVISIONER)
        .among(&["provisioner.storage.kubernetes.io/cloning-protection"]),
    Line::new(&["PersistentVolume"], FINALIZERS, VOLUMES).among(&[
        "external-provisioner.volume.kubernetes.io/finalizer",
        "kubernetes.io/pv-controller",
        "kubernetes.io/pv-protection",
    ]),
    Line::new(
        &["PersistentVolume"],
        FINALIZERS,
        "https://github.com/kubernetes-csi/external-attacher/blob/master/pkg/controller/util.go",
    )
    .when(
        |_, _, v| {
            v.as_str()
                .is_some_and(|f| f.starts_with("external-attacher/"))
        },
        "`external-attacher/` and the name of the driver",
    ),
    Line::new(
        &["PersistentVolume"],
        &["spec", "claimRef", "**"],
        VOLUMES,
    ),
    Line::new(
        &["snapshot.storage.k8s.io/VolumeSnapshot"],
        FINALIZERS,
        SNAPSHOTTER,
    )
    .among(&[
        "snapshot.storage.kubernetes.io/volumesnapshot-as-source-protection",
        "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection",
        "snapshot.storage.kubernetes.io/volumesnapshot-in-group-protection",
    ]),
    Line::new(
        &["snapshot.storage.k8s.io/VolumeSnapshot"],
        FINALIZERS,
        PROVISIONER,
    )
    .among(&["provisioner.storage.kubernetes.io/volumesnapshot-as-source-protection"]),
    Line::new(
        &["snapshot.storage.k8s.io/VolumeSnapshotContent"],
        FINALIZERS,
        SNAPSHOTTER,
    )
    .among(&["snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"]),
    Line::new(
        &["storage.k8s.io/VolumeAttributesClass"],
        FINALIZERS,
        "https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/volume/util/finalizer.go",
    )
    .among(&["kubernetes.io/vac-protection"]),
    Line::new(
        &["resource.k8s.io/ResourceClaim"],
        FINALIZERS,
        "https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/api/resource/v1/types.go",
    )
    .among(&["resource.kubernetes.io/delete-protection"]),
    Line::new(
        &["Namespace"],
        &["spec", "finalizers"],
        "https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/",
    )
    .when(
        |_, _, v| *v == serde_json::json!(["kubernetes"]),
        "`kubernetes` alone",
    ),
    Line::new(
        &["Namespace"],
        &["metadata", "labels", "kubernetes.io/metadata.name"],
        "https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-metadata-name",
    )
    .when(|c, _, v| name_of(c.live) == v.as_str(), "its own name"),
    Line::new(&["Secret"], &["data", "*"], TOKEN)
        .among(&["ca.crt", "namespace", "token"])
        .when(is_of_token, "of the type `kubernetes.io/service-account-token`"),
    Line::new(&["Secret"], ANNOTATIONS, TOKEN)
        .among(&["kubernetes.io/service-account.uid"])
        .when(holds_token, "of the type `kubernetes.io/service-account-token`"),
    Line::new(&["Secret"], LABELS, TOKEN_USED)
        .among(&["kubernetes.io/legacy-token-last-used"])
        .when(holds_token, "of the type `kubernetes.io/service-account-token`"),
    Line::new(&["ServiceAccount"], &["secrets", "*"], ACCOUNT)
        .when(is_own_secret, "a token or registry Secret of its own"),
    Line::new(&["ServiceAccount"], &["imagePullSecrets"], PULL_SECRETS)
        .when(names_own_secrets, "registry Secrets of its own"),
    Line::new(
        &["ServiceAccount"],
        &["metadata", "annotations", PULL_SECRET_NOTE],
        PULL_SECRETS,
    ),
    Line::new(&["*"], &["**", "serviceAccount"], ACCOUNT)
        .when(beside_its_name, "as `serviceAccountName` beside it"),
    Line::new(&["Pod"], &["spec", "nodeName"], SCHEDULER),
    Line::new(&["Pod"], LABELS, TOPOLOGY)
        .among(&["topology.kubernetes.io/region", "topology.kubernetes.io/zone"])
        .when(is_bound, "of a Pod that has a node"),
    Line::new(&["Pod"], &["spec", "volumes", "*"], ACCOUNT).when(
        |_, _, v| name_begins(v, "kube-api-access-") && is_token_volume(v),
        "`kube-api-access-…`, projected from the account's token",
    ),
    Line::new(&["Pod"], &["spec", "*", "*", "volumeMounts", "*"], ACCOUNT).when(
        |_, _, v| name_begins(v, "kube-api-access-"),
        "of `kube-api-access-…`",
    ),
    Line::new(&["batch/Job"], &["spec", "selector", "**"], JOB),
    Line::new(&["batch/Job"], LABELS, JOB)
        .among(JOB_LABELS)
        .when(is_job_label, "with its own name or uid"),
    Line::new(
        &["batch/Job"],
        &["spec", "template", "metadata", "labels", "*"],
        JOB,
    )
    .among(JOB_LABELS)
    .when(is_job_label, "with its own name or uid"),
    Line::new(&["batch/Job"], ANNOTATIONS, JOB).among(&[
        "batch.kubernetes.io/cronjob-scheduled-timestamp",
        "batch.kubernetes.io/job-tracking",
    ]),
    Line::new(
        &["Endpoints"],
        &["metadata", "annotations", "endpoints.kubernetes.io/last-change-trigger-time"],
        "https://kubernetes.io/docs/reference/labels-annotations-taints/#endpoints-kubernetes-io-last-change-trigger-time",
    ),
    // Defaults of kinds about which the server is never asked.
    Line::new(WEBHOOKS, &["webhooks", "*", "failurePolicy"], ADMISSION)
        .when(|_, _, v| v == "Fail", "`Fail`"),
    Line::new(WEBHOOKS, &["webhooks", "*", "matchPolicy"], ADMISSION)
        .when(|_, _, v| v == "Equivalent", "`Equivalent`"),
    Line::new(WEBHOOKS, &["webhooks", "*", "*"], ADMISSION)
        .among(&["namespaceSelector", "objectSelector"])
        .when(is_empty, "`{}`"),
    Line::new(WEBHOOKS, &["webhooks", "*", "reinvocationPolicy"], ADMISSION)
        .when(|_, _, v| v == "Never", "`Never`"),
    Line::new(WEBHOOKS, &["webhooks", "*", "timeoutSeconds"], ADMISSION)
        .when(|_, _, v| v == 10, "`10`"),
    Line::new(
        WEBHOOKS,
        &["webhooks", "*", "clientConfig", "service", "port"],
        ADMISSION,
    )
    .when(|_, _, v| v == 443, "`443`"),
    Line::new(WEBHOOKS, &["webhooks", "*", "rules", "*", "scope"], ADMISSION)
        .when(|_, _, v| v == "*", "`*`"),
    Line::new(POLICIES, &["spec", "failurePolicy"], ADMISSION)
        .when(|_, _, v| v == "Fail", "`Fail`"),
    Line::new(POLICIES, &["spec", "matchConstraints", "matchPolicy"], ADMISSION)
        .when(|_, _, v| v == "Equivalent", "`Equivalent`"),
    Line::new(POLICIES, &["spec", "matchConstraints", "*"], ADMISSION)
        .among(&["namespaceSelector", "objectSelector"])
        .when(is_empty, "`{}`"),
    Line::new(
        POLICIES,
        &["spec", "matchConstraints", "*", "*", "scope"],
        ADMISSION,
    )
    .when(|_, _, v| v == "*", "`*`"),
    Line::new(BINDINGS, &["spec", "matchResources", "matchPolicy"], ADMISSION)
        .when(|_, _, v| v == "Equivalent", "`Equivalent`"),
    Line::new(BINDINGS, &["spec", "matchResources", "*"], ADMISSION)
        .among(&["namespaceSelector", "objectSelector"])
        .when(is_empty, "`{}`"),
    Line::new(
        BINDINGS,
        &["spec", "matchResources", "*", "*", "scope"],
        ADMISSION,
    )
    .when(|_, _, v| v == "*", "`*`"),
    Line::new(
        &[
            "rbac.authorization.k8s.io/ClusterRoleBinding",
            "rbac.authorization.k8s.io/RoleBinding",
        ],
        &["**", "apiGroup"],
        RBAC,
    )
    .when(
        |_, _, v| v == "rbac.authorization.k8s.io",
        "`rbac.authorization.k8s.io`",
    ),
    Line::new(WEBHOOKS, WEBHOOKS_CA, INJECTOR),
    Line::new(API_SERVICE, API_SERVICE_CA, INJECTOR),
    Line::new(DEFINITION, CONVERSION_CA, INJECTOR),
    Line::new(&["*"], &["**", "caBundle"], INJECTOR)
        .when(|c, _, _| has_injector(c.declared), INJECTED),
    Line::new(&["ConfigMap"], &["data", "service-ca.crt"], SERVICE_CA).when(
        |c, _, _| annotation(c.declared, "service.beta.openshift.io/inject-cabundle") == Some("true"),
        INJECTED,
    ),
    Line::new(&["ConfigMap"], &["data", "ca-bundle.crt"], TRUSTED_CA).when(
        |c, _, _| label(c.declared, "config.openshift.io/inject-trusted-cabundle") == Some("true"),
        "where Git asks for it by the label `config.openshift.io/inject-trusted-cabundle`",
    ),
    REPLICAS,
    AGGREGATED,
    MANAGED_BY_HELM,
    Line::new(&["*"], LABELS, FLUX).among(&[
        "helm.toolkit.fluxcd.io/name",
        "helm.toolkit.fluxcd.io/namespace",
        "kustomize.toolkit.fluxcd.io/name",
        "kustomize.toolkit.fluxcd.io/namespace",
    ]),
    Line::new(
        &["*"],
        &["metadata", "annotations", "argocd.argoproj.io/tracking-id"],
        ARGO,
    )
    .when(tracks, "where it names this object"),
    Line::new(
        &["*"],
        &["metadata", "labels", "app.kubernetes.io/instance"],
        ARGO,
    )
    .when(set_by_argo, "where Argo CD applied it"),
    Line::new(
        &["*"],
        FINALIZERS,
        "https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#finalizers",
    )
    .when(
        of_own_controller,
        "of a custom resource, under the domain of its group; not those of Argo CD that people set (`resources-finalizer.argocd.argoproj.io`)",
    ),
];

/// Declared places that somebody else may change.
pub(super) const CHANGED: &[Line] = &[
    REPLICAS,
    AGGREGATED,
    MANAGED_BY_HELM,
    Line::new(WEBHOOKS, WEBHOOKS_CA, INJECTOR).when(|c, _, _| has_injector(c.declared), INJECTED),
    Line::new(API_SERVICE, API_SERVICE_CA, INJECTOR)
        .when(|c, _, _| has_injector(c.declared), INJECTED),
    Line::new(DEFINITION, CONVERSION_CA, INJECTOR)
        .when(|c, _, _| has_injector(c.declared), INJECTED),
    Line::new(&["ServiceAccount"], &["imagePullSecrets"], PULL_SECRETS).when(
        is_declared_and_own_secrets,
        "as declared, and registry Secrets of its own",
    ),
    Line::new(&["Service"], &["spec", "clusterIP"], SERVICE).when(
        |c, p, v| is_declared_empty(c, p, v) && v != "None",
        "where Git declares it empty, unless it is `None`",
    ),
    // Its first is the address above, which is told.
    Line::new(&["Service"], &["spec", "clusterIPs"], SERVICE).when(is_declared_empty, EMPTY),
    Line::new(&["Service"], &["spec", "ipFamilies"], DUAL_STACK).when(is_declared_empty, EMPTY),
    Line::new(&["Service"], &["spec", "ports", "*", "nodePort"], SERVICE)
        .when(is_declared_empty, EMPTY),
    Line::new(&["Service"], &["spec", "healthCheckNodePort"], SERVICE)
        .when(is_declared_empty, EMPTY),
    Line::new(&["PersistentVolumeClaim"], &["spec", "volumeName"], VOLUMES)
        .when(is_declared_empty, EMPTY),
    Line::new(&["PersistentVolume"], &["spec", "claimRef", "*"], VOLUMES)
        .among(&["resourceVersion", "uid"])
        .when(is_declared_empty, EMPTY),
    Line::new(&["Pod"], &["spec", "nodeName"], SCHEDULER).when(is_declared_empty, EMPTY),
];

/// Notes that controllers write for themselves and write again: whether they are declared or not.
pub(super) const NOTED: &[Line] = &[
    Line::new(&["Service"], ANNOTATIONS, GCE_NEG).among(&["cloud.google.com/neg-status"]),
    Line::new(&["Service"], ANNOTATIONS, GCE_SERVICE).among(&[
        "service.kubernetes.io/backend-service",
        "service.kubernetes.io/firewall-rule",
        "service.kubernetes.io/firewall-rule-deny",
        "service.kubernetes.io/firewall-rule-deny-ipv6",
        "service.kubernetes.io/firewall-rule-for-hc",
        "service.kubernetes.io/firewall-rule-for-hc-ipv6",
        "service.kubernetes.io/firewall-rule-ipv6",
        "service.kubernetes.io/healthcheck",
        "service.kubernetes.io/l3-forwarding-rule",
        "service.kubernetes.io/l3-forwarding-rule-ipv6",
        "service.kubernetes.io/tcp-forwarding-rule",
        "service.kubernetes.io/tcp-forwarding-rule-ipv6",
        "service.kubernetes.io/udp-forwarding-rule",
        "service.kubernetes.io/udp-forwarding-rule-ipv6",
    ]),
    Line::new(&["networking.k8s.io/Ingress"], ANNOTATIONS, GCE_INGRESS).among(&[
        "ingress.gcp.kubernetes.io/instance-groups",
        "ingress.kubernetes.io/backends",
        "ingress.kubernetes.io/forwarding-rule",
        "ingress.kubernetes.io/https-forwarding-rule",
        "ingress.kubernetes.io/https-target-proxy",
        "ingress.kubernetes.io/redirect-url-map",
        "ingress.kubernetes.io/ssl-cert",
        "ingress.kubernetes.io/static-ip",
        "ingress.kubernetes.io/target-proxy",
        "ingress.kubernetes.io/url-map",
    ]),
    Line::new(
        &[
            "Service",
            "ReplicationController",
            "apps/DaemonSet",
            "apps/Deployment",
            "apps/ReplicaSet",
            "apps/StatefulSet",
            "batch/CronJob",
            "batch/Job",
            "networking.k8s.io/Ingress",
        ],
        ANNOTATIONS,
        RANCHER,
    )
    .among(&["field.cattle.io/publicEndpoints"]),
];

const JOB_LABELS: &[&str] = &[
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "controller-uid",
    "job-name",
];
