//! What the operator asked of the API server, from the API server's own audit log. Its metrics do not know who asked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Result;

/// The user that the chart's account is; requests as the dry-run account are made by it too and counted as such.
const USER: &str = "system:serviceaccount:driftline-system:driftline";

/// How the names of requests end that were made as the dry-run account.
pub const DRY_RUN: &str = " (dry run)";
/// How those end that were made as a policy's account.
pub const AS_POLICY: &str = " (as the policy's account)";

/// The account that only dry runs are made as.
const DRY_RUN_USER: &str = "system:serviceaccount:driftline-system:driftline-dry-run";

/// The audit log of a control plane.
pub struct Audit {
    policy: PathBuf,
    log: PathBuf,
}

/// A place in the log, to count from.
#[derive(Debug, Clone, Copy)]
pub struct Mark(usize);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    verb: String,
    #[serde(rename = "requestURI")]
    uri: String,
    object_ref: Option<ObjectRef>,
    #[serde(rename = "impersonatedUser")]
    impersonated: Option<User>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct ObjectRef {
    resource: Option<String>,
    subresource: Option<String>,
}

impl Audit {
    /// Files in a folder: a policy that logs nothing but the operator's requests, without their bodies.
    pub fn new(folder: &Path) -> Result<Self> {
        let policy = folder.join("audit-policy.yaml");
        fs::write(
            &policy,
            format!(
                "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: Metadata\n  users: [\"{USER}\"]\n- level: None\n"
            ),
        )?;
        Ok(Self {
            policy,
            log: folder.join("audit.log"),
        })
    }

    /// The flags of kube-apiserver.
    pub fn flags(&self) -> Vec<String> {
        vec![
            format!("--audit-policy-file={}", self.policy.display()),
            format!("--audit-log-path={}", self.log.display()),
            // Nothing may be missing when the log is read.
            "--audit-log-mode=blocking".to_owned(),
        ]
    }

    pub fn mark(&self) -> Mark {
        Mark(fs::metadata(&self.log).map_or(0, |m| usize::try_from(m.len()).unwrap_or(0)))
    }

    /// Requests since then, by verb and resource. A watch counts when it begins.
    pub fn since(&self, mark: Mark) -> Result<BTreeMap<String, u64>> {
        let text = fs::read(&self.log)?;
        let mut counts = BTreeMap::new();
        for line in text
            .get(mark.0..)
            .unwrap_or_default()
            .split(|b| *b == b'\n')
        {
            let Ok(event) = serde_json::from_slice::<Event>(line) else {
                continue;
            };
            let counted = if event.verb == "watch" {
                "ResponseStarted"
            } else {
                "ResponseComplete"
            };
            if event.stage == counted {
                *counts.entry(event.describe()).or_default() += 1;
            }
        }
        Ok(counts)
    }
}

impl Event {
    fn describe(&self) -> String {
        let what = match &self.object_ref {
            Some(ObjectRef {
                resource: Some(resource),
                subresource,
            }) => match subresource {
                Some(sub) => format!("{resource}/{sub}"),
                None => resource.clone(),
            },
            _ => self.uri.split('?').next().unwrap_or_default().to_owned(),
        };
        let as_other = match &self.impersonated {
            None => "",
            Some(user) if user.username == DRY_RUN_USER => DRY_RUN,
            Some(_) => AS_POLICY,
        };
        format!("{} {what}{as_other}", self.verb)
    }
}
