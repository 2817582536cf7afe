//! What somebody who watches the API server sees, and when.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;
use tokio::sync::mpsc;

use super::Result;
use super::workload::{Kind, is_edited};

/// Something that was seen.
#[derive(Debug, Clone)]
pub struct Sighting {
    pub at: Instant,
    pub seen: Seen,
}

#[derive(Debug, Clone)]
pub enum Seen {
    /// A declared object, by namespace and name.
    Object {
        namespace: String,
        name: String,
        edited: bool,
    },
    /// A record with a status.
    Record {
        namespace: String,
        name: String,
        open: bool,
    },
    /// The policy's status.
    Policy(PolicySeen),
}

/// What the policy's status says.
#[derive(Debug, Clone, Default)]
pub struct PolicySeen {
    pub ready: bool,
    pub revision: String,
    pub declared: u64,
    pub drifted: u64,
    /// Of a commit that is not rolled out.
    pub pending: u64,
    /// Neither judged in sync nor drifted.
    pub open_questions: u64,
    pub records: u64,
}

/// Watches for all three.
pub struct Sightings {
    receiver: mpsc::UnboundedReceiver<Sighting>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Sightings {
    fn drop(&mut self) {
        self.tasks.iter().for_each(|t| t.abort());
    }
}

impl Sightings {
    /// Watches records and policies, and with a kind its objects too.
    pub async fn start(client: &Client, objects: Option<Kind>) -> Result<Self> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut tasks = Vec::new();
        let mut listed = Vec::new();
        let mut watch = |group: &str, version: &str, kind: &str, see: See| {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            let (tell, told) = tokio::sync::oneshot::channel();
            listed.push(told);
            tasks.push(tokio::spawn(follow(api, see, sender.clone(), tell)));
        };
        watch("driftline.dev", "v1alpha1", "DriftRecord", See::Record);
        watch("driftline.dev", "v1alpha1", "DriftPolicy", See::Policy);
        if let Some(kind) = objects {
            let (group, version, name) = kind.group_version();
            watch(group, version, name, See::Object(kind));
        }
        for told in listed {
            tokio::time::timeout(Duration::from_secs(60), told)
                .await
                .map_err(|_| "a watch of the benchmark could not list within 60 s")??;
        }
        Ok(Self { receiver, tasks })
    }

    /// Forgets what was seen and not taken yet.
    pub fn forget(&mut self) {
        while self.receiver.try_recv().is_ok() {}
    }

    pub async fn next(&mut self, until: Instant) -> Result<Sighting> {
        let next = tokio::time::timeout_at(until.into(), self.receiver.recv()).await;
        next.map_err(|_| "what was waited for was not seen in time")?
            .ok_or_else(|| "the watches of the benchmark have ended".into())
    }

    /// The time at which the policy's status first pleases.
    pub async fn policy(
        &mut self,
        most: Duration,
        mut pleases: impl FnMut(&PolicySeen) -> bool,
    ) -> Result<(Instant, PolicySeen)> {
        let until = Instant::now() + most;
        let mut last = PolicySeen::default();
        loop {
            match self.next(until).await {
                Ok(Sighting {
                    at,
                    seen: Seen::Policy(policy),
                }) => {
                    if pleases(&policy) {
                        return Ok((at, policy));
                    }
                    last = policy;
                }
                Ok(_) => {}
                Err(error) => return Err(format!("{error}; the policy said last: {last:?}").into()),
            }
        }
    }
}

#[derive(Clone, Copy)]
enum See {
    Object(Kind),
    Record,
    Policy,
}

async fn follow(
    api: Api<DynamicObject>,
    see: See,
    sender: mpsc::UnboundedSender<Sighting>,
    tell: tokio::sync::oneshot::Sender<()>,
) {
    let mut tell = Some(tell);
    let mut events = watcher(api, watcher::Config::default())
        .default_backoff()
        .boxed();
    while let Some(event) = events.next().await {
        let at = Instant::now();
        let object = match event {
            Ok(watcher::Event::Apply(object)) => object,
            Ok(watcher::Event::InitDone) => {
                if let Some(tell) = tell.take() {
                    let _ = tell.send(());
                }
                continue;
            }
            Ok(_) => continue,
            Err(error) => {
                super::say(&format!(
                    "a watch of the benchmark failed and goes on: {error}"
                ));
                continue;
            }
        };
        let Some(seen) = look(see, &object) else {
            continue;
        };
        if sender.send(Sighting { at, seen }).is_err() {
            return;
        }
    }
}

fn look(see: See, object: &DynamicObject) -> Option<Seen> {
    let data = &object.data;
    let text = |path: &str| -> Option<String> { Some(data.pointer(path)?.as_str()?.to_owned()) };
    Some(match see {
        See::Object(kind) => Seen::Object {
            namespace: object.namespace()?,
            name: object.name_any(),
            edited: is_edited(kind, data),
        },
        See::Record => Seen::Record {
            namespace: text("/spec/subject/kubernetes/namespace")?,
            name: text("/spec/subject/kubernetes/name")?,
            open: text("/status/state")? == "Open",
        },
        See::Policy => Seen::Policy(policy(data)?),
    })
}

fn policy(data: &Value) -> Option<PolicySeen> {
    let status = data.get("status")?;
    let number = |path: &str| status.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let ready =
        status.get("conditions")?.as_array()?.iter().any(|c| {
            c.get("type") == Some(&"Ready".into()) && c.get("status") == Some(&"True".into())
        });
    Some(PolicySeen {
        ready,
        revision: status
            .pointer("/targets/0/revision")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        declared: number("/summary/declared"),
        drifted: number("/summary/drifted"),
        pending: number("/summary/pending"),
        open_questions: number("/summary/unknown") + number("/summary/unverified"),
        records: number("/records/open"),
    })
}
