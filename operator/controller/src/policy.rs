//! A `DriftPolicy` turned into what the operator works with: checked, with defaults, in its own types.

use std::sync::Arc;
use std::time::Duration;

use cluster::Account;
use declared::{HelmOptions, Reference};
use drift::converge::{Budget, Rung, Terms, Window, WindowError, Windows};
use drift::rules::{MatchText, RuleError, RuleText, Rules};
use driftline_crds::{
    Delivery, DriftPolicy, DriftPolicySpec, Enforcement, GitReference, GitSource, KubernetesTarget,
    Origin, Owner, PolicyRule, RuleMatch, Target, UndeclaredFields, UndeclaredObjects,
};
use jiff::SignedDuration;
use kube::ResourceExt as _;
use serde_json::Value;

use crate::options::RunOptions;

/// A policy's namespace and name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyKey {
    pub namespace: String,
    pub name: String,
}

impl PolicyKey {
    pub fn of(policy: &DriftPolicy) -> Self {
        Self {
            namespace: policy.namespace().unwrap_or_default(),
            name: policy.name_any(),
        }
    }
}

impl std::fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A policy that makes sense.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub account: Account,
    /// It is one of its own, as whom may be written.
    pub names_account: bool,
    /// What may be put back.
    pub terms: Terms,
    /// Why nothing is put back for now, where that is so.
    pub hold_reason: Option<String>,
    pub owner: Option<Owner>,
    /// `None` where no target needs one.
    pub source: Option<SourceSpec>,
    pub verify_every: Duration,
    pub targets: Vec<TargetSpec>,
    pub rules: Arc<Rules>,
    pub check: Option<String>,
    /// The digest of writes beyond the budget that somebody confirmed.
    pub confirmed: Option<String>,
}

/// Where declarations come from.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceSpec {
    pub url: String,
    pub reference: Reference,
    pub interval: Duration,
    pub timeout: Duration,
    pub secret: Option<String>,
}

/// What is compared under one name.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetSpec {
    pub name: String,
    /// Of namespaced objects that name none; of a release, its own.
    pub namespace: String,
    pub from: From,
    /// Commits are rolled out by Driftline.
    pub delivers: bool,
    /// What it delivered goes when Git drops it.
    pub prunes: bool,
    /// Whether fields that are not declared are looked at.
    pub undeclared: drift::Undeclared,
    /// Where live objects that nobody declares are drift.
    pub objects: Vec<Look>,
}

/// Kinds and namespaces in which an object that nobody declares is drift.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    pub kinds: Vec<drift::GroupKind>,
    pub namespaces: Vec<String>,
}

/// Where a target's declarations come from.
#[derive(Debug, Clone, PartialEq)]
pub enum From {
    /// A part of the source.
    Source {
        path: String,
        helm: Option<HelmOptions>,
    },
    /// Helm's storage: the release of this name.
    Release(String),
}

impl TargetSpec {
    pub fn is_release(&self) -> bool {
        matches!(self.from, From::Release(_))
    }

    /// True if both take their declarations from one place, for one namespace.
    pub fn is_same_place(&self, other: &Self) -> bool {
        let from = match (&self.from, &other.from) {
            (From::Source { path: a, .. }, From::Source { path: b, .. }) => a == b,
            (From::Release(a), From::Release(b)) => a == b,
            _ => false,
        };
        from && self.namespace == other.namespace
    }
}

/// Why a policy cannot be worked with; only its author can mend that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("spec.enforcement: {0} is not available yet; use Observe or Revert")]
    Enforcement(String),
    #[error(
        "spec.enforcement: Revert writes as the policy's own account; name it in spec.serviceAccountName"
    )]
    NoWriter,
    #[error(
        "spec.serviceAccountName: name an account that decides what this policy may see. For one that may see this namespace: \
         kubectl -n {namespace} create serviceaccount {name}-drift && kubectl -n {namespace} create rolebinding {name}-drift --clusterrole=view --serviceaccount={namespace}:{name}-drift"
    )]
    NoAccount { namespace: String, name: String },
    #[error(
        "spec.serviceAccountName: {0} is one of Driftline's own accounts; name one of your own"
    )]
    OwnAccount(String),
    #[error("{field}: {value:?} is not a duration such as 1m or 1h30m")]
    Duration { field: &'static str, value: String },
    #[error("spec.revert.windows[{index}]: {source}")]
    Window { index: usize, source: WindowError },
    #[error("spec.revert.budget: name at least one object")]
    Budget,
    #[error(
        "spec.targets: undeclared.fields of {0:?} is Remove, which takes effect only where enforcement is Revert; use Report, or raise the policy or a rule"
    )]
    Remove(String),
    #[error(
        "spec.targets: delivery of {0:?} is Driftline, which takes spec.enforcement: Revert; set it, or let something else deliver with External"
    )]
    Delivery(String),
    #[error(
        "spec.targets: prune of {0:?} is true, but only what Driftline delivers is pruned; set delivery: Driftline, or leave prune out"
    )]
    Prune(String),
    #[error("spec.source.git.ref: set exactly one of branch, tag, semver, commit")]
    Reference,
    #[error(
        "spec.source.git.url: file:// is accepted only by an operator that was started with --allow-file-urls; use https:// or ssh://"
    )]
    FileUrl,
    #[error("spec.targets: {0:?} needs exactly one of kubernetes, helmRelease")]
    TargetKind(String),
    #[error("spec.source: name the repository; only helmRelease targets need none")]
    NoSource,
    #[error("spec.targets: two are named {0:?}; give each a name of its own")]
    TargetName(String),
    #[error(transparent)]
    Rule(#[from] RuleError),
}

impl PolicyError {
    /// The reason in CamelCase, for conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Enforcement(_) => "NotAvailable",
            Self::NoAccount { .. } | Self::NoWriter => "ServiceAccountMissing",
            Self::OwnAccount(_) => "ServiceAccountRefused",
            Self::Duration { .. }
            | Self::Window { .. }
            | Self::Budget
            | Self::Remove(_)
            | Self::Delivery(_)
            | Self::Prune(_)
            | Self::Reference
            | Self::FileUrl
            | Self::TargetKind(_)
            | Self::NoSource
            | Self::TargetName(_) => "InvalidSpec",
            Self::Rule(_) => "InvalidRule",
        }
    }
}

/// Checks a policy. The schema has refused most of what is refused here; an operator does not rely on that.
pub fn parse(policy: &DriftPolicy, options: &RunOptions) -> Result<Policy, PolicyError> {
    let key = PolicyKey::of(policy);
    let spec = &policy.spec;
    let terms = terms(spec)?;
    if terms.writes() && spec.service_account_name.is_none() {
        return Err(PolicyError::NoWriter);
    }
    let git = spec.source.as_ref().map(|s| &s.git);
    let source = git.map(|git| source(git, options)).transpose()?;
    let mut targets: Vec<TargetSpec> = Vec::new();
    for target in &spec.targets {
        if targets.iter().any(|t| t.name == target.name) {
            return Err(PolicyError::TargetName(target.name.clone()));
        }
        targets.push(target_spec(target, &key.namespace)?);
    }
    if source.is_none() && !targets.iter().all(TargetSpec::is_release) {
        return Err(PolicyError::NoSource);
    }
    let removes = |t: &&TargetSpec| t.undeclared == drift::Undeclared::Remove;
    if let Some(target) = targets.iter().find(removes)
        && !terms.writes()
    {
        return Err(PolicyError::Remove(target.name.clone()));
    }
    if let Some(target) = targets.iter().find(|t| t.delivers)
        && terms.rung != Rung::Revert
    {
        return Err(PolicyError::Delivery(target.name.clone()));
    }
    if let Some(target) = targets.iter().find(|t| t.prunes && !t.delivers) {
        return Err(PolicyError::Prune(target.name.clone()));
    }
    let annotation = |name| {
        let value = policy.annotations().get(name);
        value.map(|v| drift::redact::cut(v, 256).to_owned())
    };
    Ok(Policy {
        account: account(&key, spec.service_account_name.as_deref(), options)?,
        names_account: spec.service_account_name.is_some(),
        terms,
        hold_reason: spec.hold.as_ref().map(|h| h.reason.clone()),
        owner: spec.owner.clone(),
        source,
        verify_every: duration("spec.verifyEvery", &spec.verify_every)?,
        rules: Arc::new(rules(&spec.rules, &targets)?),
        targets,
        check: annotation(driftline_crds::CHECK_ANNOTATION),
        confirmed: annotation(driftline_crds::CONFIRM_ANNOTATION),
    })
}

/// What may be put back, and when.
fn terms(spec: &DriftPolicySpec) -> Result<Terms, PolicyError> {
    let revert = spec.revert.as_ref();
    let core = |origin: &Origin| match origin {
        Origin::LiveEdited => Some(drift::Origin::LiveEdited),
        Origin::Diverged => Some(drift::Origin::Diverged),
        Origin::Unknown => Some(drift::Origin::Unknown),
        Origin::GitAhead => None,
    };
    let origins = revert.map(|r| r.origins.iter().filter_map(core).collect());
    let after = revert.map_or("0s", |r| r.after.as_str());
    let raises = |rule: &PolicyRule| rule.enforcement == Some(Enforcement::Revert);
    let windows = revert.into_iter().flat_map(|r| &r.windows).enumerate();
    let windows: Vec<Window> = windows.map(window).collect::<Result<_, _>>()?;
    let budget = revert.and_then(|r| r.budget.as_ref());
    Ok(Terms {
        rung: rung(spec.enforcement)?,
        raised: spec.rules.iter().any(raises),
        origins: origins.unwrap_or_else(|| vec![drift::Origin::LiveEdited]),
        after: signed("spec.revert.after", after)?,
        held_until: spec.hold.as_ref().map(|h| h.until.0),
        windows: Windows(windows),
        budget: budget.map(self::budget).transpose()?,
    })
}

fn rung(enforcement: Enforcement) -> Result<Rung, PolicyError> {
    match enforcement {
        Enforcement::Observe => Ok(Rung::Observe),
        Enforcement::Revert => Ok(Rung::Revert),
        other => Err(PolicyError::Enforcement(format!("{other:?}"))),
    }
}

fn window((index, window): (usize, &driftline_crds::Window)) -> Result<Window, PolicyError> {
    let length = signed("spec.revert.windows.duration", &window.duration)?;
    Window::parse(&window.cron, length, &window.time_zone)
        .map_err(|source| PolicyError::Window { index, source })
}

fn budget(budget: &driftline_crds::Budget) -> Result<Budget, PolicyError> {
    let per = signed("spec.revert.budget.per", &budget.per)?;
    if budget.objects == 0 || per.is_zero() {
        return Err(PolicyError::Budget);
    }
    Ok(Budget {
        objects: budget.objects,
        per,
    })
}

fn signed(field: &'static str, value: &str) -> Result<SignedDuration, PolicyError> {
    drift::quantity::parse_duration(value)
        .and_then(|nanos| i64::try_from(nanos).ok())
        .filter(|nanos| *nanos >= 0)
        .map(SignedDuration::from_nanos)
        .ok_or_else(|| no_duration(field, value))
}

fn no_duration(field: &'static str, value: &str) -> PolicyError {
    PolicyError::Duration {
        field,
        value: drift::redact::cut(value, 64).to_owned(),
    }
}

fn rules(all: &[PolicyRule], targets: &[TargetSpec]) -> Result<Rules, RuleError> {
    let text = |(index, rule): (usize, &PolicyRule)| {
        let matches = &rule.matches;
        if !(matches.addresses.is_empty() && matches.types.is_empty()) {
            return Err(RuleError::new(
                format!("spec.rules[{index}].match"),
                "addresses and types are not available yet; remove them",
            ));
        }
        Ok(RuleText {
            matches: match_text(matches),
            ignore: rule.ignore.as_ref().map(|i| i.reason.clone()),
            severity: rule.severity.map(severity),
            rung: match rule.enforcement {
                None => None,
                Some(Enforcement::Observe) => Some(Rung::Observe),
                Some(Enforcement::Revert) => Some(Rung::Revert),
                Some(other) => {
                    let what = format!("{other:?} is not available yet; use Observe or Revert");
                    return Err(RuleError::new(
                        format!("spec.rules[{index}].enforcement"),
                        what,
                    ));
                }
            },
        })
    };
    let texts: Vec<RuleText> = all.iter().enumerate().map(text).collect::<Result<_, _>>()?;
    let names: Vec<&str> = targets.iter().map(|t| t.name.as_str()).collect();
    Rules::parse(&texts, &names)
}

/// What rules and exceptions match.
pub fn match_text(matches: &RuleMatch) -> MatchText {
    MatchText {
        targets: matches.targets.clone(),
        kinds: matches.kinds.clone(),
        names: matches.names.clone(),
        labels: matches.labels.clone(),
        fields: matches.fields.clone(),
    }
}

fn severity(severity: driftline_crds::Severity) -> drift::Severity {
    use drift::Severity as Core;
    use driftline_crds::Severity as Api;
    match severity {
        Api::Low => Core::Low,
        Api::Medium => Core::Medium,
        Api::High => Core::High,
        Api::Critical => Core::Critical,
    }
}

fn source(git: &GitSource, options: &RunOptions) -> Result<SourceSpec, PolicyError> {
    let url = git.url.trim_start().to_ascii_lowercase();
    if url.starts_with("file:") && !options.allow_file_urls {
        return Err(PolicyError::FileUrl);
    }
    Ok(SourceSpec {
        url: git.url.clone(),
        reference: reference(&git.reference)?,
        interval: duration("spec.source.git.interval", &git.interval)?,
        timeout: duration("spec.source.git.timeout", &git.timeout)?,
        secret: git.secret_ref.as_ref().map(|s| s.name.clone()),
    })
}

fn target_spec(target: &Target, namespace: &str) -> Result<TargetSpec, PolicyError> {
    match (&target.kubernetes, &target.helm_release) {
        (Some(kubernetes), None) => Ok(of_source(&target.name, kubernetes, namespace)),
        (None, Some(release)) => Ok(TargetSpec {
            name: target.name.clone(),
            namespace: release.namespace.as_deref().unwrap_or(namespace).to_owned(),
            from: From::Release(release.name.clone()),
            delivers: false,
            prunes: false,
            undeclared: undeclared(release.undeclared.fields),
            objects: looks(
                &release.undeclared.objects,
                release.namespace.as_deref().unwrap_or(namespace),
            ),
        }),
        _ => Err(PolicyError::TargetKind(target.name.clone())),
    }
}

fn looks(objects: &[UndeclaredObjects], namespace: &str) -> Vec<Look> {
    let kind = |text: &String| {
        let (group, kind) = text.split_once('/').unwrap_or(("", text));
        drift::GroupKind::new(group, kind)
    };
    let namespaces = |named: &[String]| match named {
        [] => vec![namespace.to_owned()],
        named => named.to_vec(),
    };
    objects
        .iter()
        .map(|o| Look {
            kinds: o.kinds.iter().map(kind).collect(),
            namespaces: namespaces(&o.namespaces),
        })
        .collect()
}

fn undeclared(fields: UndeclaredFields) -> drift::Undeclared {
    match fields {
        UndeclaredFields::Ignore => drift::Undeclared::Ignore,
        UndeclaredFields::Report => drift::Undeclared::Report,
        UndeclaredFields::Remove => drift::Undeclared::Remove,
    }
}

fn of_source(name: &str, target: &KubernetesTarget, namespace: &str) -> TargetSpec {
    let helm = target.helm.clone().map(|helm| HelmOptions {
        release_name: helm.release_name.unwrap_or_else(|| name.to_owned()),
        values_files: helm.values_files,
        values: Value::Object(helm.values.unwrap_or_default()),
    });
    let default = || HelmOptions {
        release_name: name.to_owned(),
        values_files: Vec::new(),
        values: Value::Object(serde_json::Map::new()),
    };
    TargetSpec {
        name: name.to_owned(),
        namespace: target
            .namespace
            .clone()
            .unwrap_or_else(|| namespace.to_owned()),
        from: From::Source {
            path: target.path.clone(),
            helm: Some(helm.unwrap_or_else(default)),
        },
        delivers: target.delivery == Delivery::Driftline,
        prunes: target.prune,
        undeclared: undeclared(target.undeclared.fields),
        objects: looks(
            &target.undeclared.objects,
            target.namespace.as_deref().unwrap_or(namespace),
        ),
    }
}

fn account(
    key: &PolicyKey,
    named: Option<&str>,
    options: &RunOptions,
) -> Result<Account, PolicyError> {
    let own_namespace = key.namespace == options.namespace;
    match named {
        Some(name)
            if own_namespace
                && [&options.operator_account, &options.dry_run_account]
                    .iter()
                    .any(|a| *a == name) =>
        {
            Err(PolicyError::OwnAccount(name.to_owned()))
        }
        Some(name) => Ok(Account::new(&key.namespace, name)),
        None if own_namespace => Ok(Account::new(&key.namespace, &options.reader_account)),
        None => Err(PolicyError::NoAccount {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
        }),
    }
}

fn reference(git: &GitReference) -> Result<Reference, PolicyError> {
    let all = [
        git.branch.clone().map(Reference::Branch),
        git.tag.clone().map(Reference::Tag),
        git.semver.clone().map(Reference::Semver),
        git.commit.clone().map(Reference::Commit),
    ];
    let mut named = all.into_iter().flatten();
    match (named.next(), named.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(PolicyError::Reference),
    }
}

fn duration(field: &'static str, value: &str) -> Result<Duration, PolicyError> {
    let nanos = drift::quantity::parse_duration(value)
        .and_then(|n| u64::try_from(n).ok())
        .filter(|n| *n > 0);
    nanos
        .map(Duration::from_nanos)
        .ok_or_else(|| no_duration(field, value))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::*;
    use crate::options::{Cli, Command};

    fn options() -> RunOptions {
        match Cli::parse_from(["driftline", "run"]).command {
            Command::Run(options) => *options,
            other => panic!("{other:?}"),
        }
    }

    fn policy(change: impl Fn(&mut Value)) -> Result<Policy, PolicyError> {
        let mut object = json!({
            "apiVersion": "driftline.dev/v1alpha1", "kind": "DriftPolicy", "metadata": {"name": "shop", "namespace": "shop"},
            "spec": {"serviceAccountName": "shop-drift", "source": {"git": {"url": "https://git.example.com/x.git", "ref": {"branch": "main"}}},
                     "targets": [{"name": "app", "kubernetes": {"path": "deploy"}}]}});
        change(&mut object);
        parse(
            &serde_json::from_value(object).expect("decodes"),
            &options(),
        )
    }

    #[test]
    fn defaults_are_filled_in() {
        let policy = policy(|_| {}).expect("parses");
        let source = policy.source.expect("a source");
        assert_eq!(source.interval, Duration::from_secs(60));
        assert_eq!(policy.verify_every, Duration::from_secs(3600));
        assert_eq!(
            (
                policy.targets[0].namespace.as_str(),
                policy.account.name.as_str()
            ),
            ("shop", "shop-drift")
        );
    }

    #[test]
    fn only_releases_need_no_repository() {
        let of = |targets: Value| {
            policy(|p| {
                p["spec"].as_object_mut().expect("a map").remove("source");
                p["spec"]["targets"] = targets.clone();
            })
        };
        let release = json!({"name": "r", "helmRelease": {"name": "web"}});
        let parsed = of(json!([release])).expect("parses");
        let target = &parsed.targets[0];
        assert_eq!(
            (&target.from, target.namespace.as_str()),
            (&From::Release("web".into()), "shop")
        );
        let path = json!({"name": "p", "kubernetes": {"path": "."}});
        assert_eq!(of(json!([release, path])), Err(PolicyError::NoSource));
        let none = Err(PolicyError::TargetKind("n".into()));
        assert_eq!(of(json!([{"name": "n"}])), none);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let refused =
            |change: &dyn Fn(&mut Value)| policy(change).expect_err("refused").to_string();
        assert!(
            refused(&|p| p["spec"]["enforcement"] = json!("Prevent"))
                .contains("Prevent is not available yet")
        );
        let writer = refused(&|p| {
            p["spec"]["enforcement"] = json!("Revert");
            p["spec"]["serviceAccountName"] = Value::Null;
        });
        assert!(writer.contains("name it in spec.serviceAccountName"));
        assert!(
            refused(&|p| p["spec"]["serviceAccountName"] = Value::Null)
                .contains("create serviceaccount")
        );
        let target = "/spec/targets/0/kubernetes";
        let delivers = refused(&|p| {
            p.pointer_mut(target).expect("a target")["delivery"] = json!("Driftline");
        });
        assert!(
            delivers.contains("takes spec.enforcement: Revert"),
            "{delivers}"
        );
        let prunes = refused(&|p| {
            p.pointer_mut(target).expect("a target")["prune"] = json!(true);
        });
        assert!(prunes.contains("set delivery: Driftline"), "{prunes}");
        assert!(
            refused(&|p| p["spec"]["source"]["git"]["ref"] = json!({})).contains("exactly one")
        );
        assert!(
            refused(&|p| p["spec"]["source"]["git"]["ref"]["tag"] = json!("x"))
                .contains("exactly one")
        );
        assert!(
            refused(&|p| p["spec"]["source"]["git"]["interval"] = json!("-1m"))
                .contains("interval")
        );
        assert!(refused(&|p| p["spec"]["verifyEvery"] = json!("soon")).contains("verifyEvery"));
        assert!(
            refused(&|p| p["spec"]["source"]["git"]["url"] = json!(" FILE:///x"))
                .contains("--allow-file-urls")
        );
        assert!(
            refused(&|p| p["spec"]["targets"] = json!([{"name": "a", "kubernetes": {"path": "."}}, {"name": "a", "kubernetes": {"path": "."}}]))
                .contains("\"a\"")
        );
    }

    #[test]
    fn a_rule_that_the_schema_cannot_see_through_is_named() {
        let refused = |rule: Value| {
            let error = policy(|p| {
                p["spec"]["rules"] =
                    json!([{"match": {"names": ["*"]}, "severity": "Low"}, rule.clone()]);
            })
            .expect_err("refused");
            assert_eq!(error.reason(), "InvalidRule");
            error.to_string()
        };
        let ignore = json!({"reason": "x"});
        assert!(
            refused(json!({"match": {"fields": ["a[name=]"]}, "ignore": ignore}))
                .starts_with("spec.rules[1].match.fields[0]: \"a[name=]\" is not a field path at character 7: expected a value; write it like")
        );
        assert!(
            refused(json!({"match": {"names": ["a"]}, "ignore": null}))
                .starts_with("spec.rules[1]: set ignore, or severity, enforcement or both")
        );
        assert!(
            refused(json!({"match": {"names": ["a"], "types": ["x"]}, "ignore": ignore}))
                .starts_with("spec.rules[1].match: addresses and types are not available yet")
        );
        assert!(
            refused(json!({"match": {"targets": ["b"]}, "ignore": ignore}))
                .starts_with("spec.rules[1].match.targets[0]: \"b\" is no target")
        );
    }

    #[test]
    fn who_asks_about_undeclared_objects_asks_where_the_target_is() {
        let asked = |namespaces: Value| {
            let policy = policy(|p| {
                p["spec"]["targets"][0]["kubernetes"]["undeclared"] = json!({"objects": [{"kinds": ["ConfigMap", "apps/Deployment"], "namespaces": namespaces}]});
            });
            policy.expect("parses").targets[0].objects[0].clone()
        };
        let kinds = asked(json!([])).kinds;
        assert_eq!(kinds[1], drift::GroupKind::new("apps", "Deployment"));
        assert_eq!(asked(json!([])).namespaces, ["shop"]);
        assert_eq!(asked(json!(["a", "b"])).namespaces, ["a", "b"]);
    }

    #[test]
    fn only_the_operators_namespace_may_leave_the_account_out() {
        let own = |change: fn(&mut Value)| {
            policy(|p| {
                p["metadata"]["namespace"] = json!("driftline-system");
                change(p);
            })
        };
        assert_eq!(
            own(|p| p["spec"]["serviceAccountName"] = Value::Null)
                .expect("parses")
                .account
                .name,
            "driftline-reader"
        );
        for name in ["driftline", "driftline-dry-run"] {
            let error = policy(|p| {
                p["metadata"]["namespace"] = json!("driftline-system");
                p["spec"]["serviceAccountName"] = json!(name);
            });
            assert_eq!(error, Err(PolicyError::OwnAccount(name.to_owned())));
        }
    }
}
