//! The records there are, as last written or listed.

use std::collections::{HashMap, HashSet};

use drift::ObjectId;
use driftline_crds::{DriftRecord, DriftRecordStatus, RecordChange, RecordState, WorstEntry};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use parking_lot::Mutex;

use super::identity;
use crate::policy::PolicyKey;

/// One record.
#[derive(Debug, Clone)]
pub struct Entry {
    pub policy: PolicyKey,
    pub target: String,
    pub id: ObjectId,
    /// `None` for one whose status was never written.
    pub status: Option<DriftRecordStatus>,
}

impl Entry {
    /// It is not closed.
    pub fn is_open(&self) -> bool {
        self.status
            .as_ref()
            .is_none_or(|s| s.state != RecordState::Closed)
    }

    /// It tells only of a commit that is not rolled out.
    pub fn is_pending(&self) -> bool {
        self.status
            .as_ref()
            .is_some_and(|s| s.state == RecordState::Pending)
    }
}

impl Entry {
    /// True if exceptions allow all of it for now.
    pub fn is_excepted(&self) -> bool {
        self.status
            .as_ref()
            .is_some_and(|s| s.state == RecordState::Excepted)
    }

    /// Since when the commit that it tells of has not been rolled out.
    pub fn pending_since(&self) -> Option<Timestamp> {
        let status = self.status.as_ref().filter(|_| self.is_pending())?;
        Some(status.first_seen.0)
    }

    /// True if it says that nobody declares the object.
    pub fn is_undeclared(&self) -> bool {
        self.status
            .as_ref()
            .is_some_and(|s| s.change == RecordChange::Undeclared)
    }

    /// It tells of an object that is there and not declared.
    pub fn is_orphan(&self) -> bool {
        self.status
            .as_ref()
            .is_some_and(|s| matches!(s.change, RecordChange::Orphaned | RecordChange::Undeclared))
    }

    /// Whether the object was missing as a whole.
    pub fn is_missing(&self) -> bool {
        self.status
            .as_ref()
            .is_some_and(|s| s.change == RecordChange::Missing)
    }
}

/// All records, by namespace and name.
#[derive(Debug, Default)]
pub struct Store {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<(String, String), Entry>,
    open: HashMap<PolicyKey, usize>,
    /// Policies for which there was no room for a record.
    full: HashSet<PolicyKey>,
    /// Records that are being opened.
    opening: HashMap<PolicyKey, usize>,
}

/// What a policy has open.
#[derive(Debug, Default)]
pub struct Standing {
    /// Records of drift.
    pub open: usize,
    /// Records of commits that are not rolled out.
    pub pending: usize,
    /// Since when the oldest drift is known.
    pub oldest: Option<Time>,
    /// The gravest drifted objects, among equals the oldest.
    pub worst: Vec<WorstEntry>,
}

/// Room for a record that is being opened; given back when dropped.
#[derive(Debug)]
pub struct Room<'a> {
    store: &'a Store,
    policy: PolicyKey,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut inner = self.store.inner.lock();
        if let Some(opening) = inner.opening.get_mut(&self.policy) {
            *opening = opening.saturating_sub(1);
            if *opening == 0 {
                inner.opening.remove(&self.policy);
            }
        }
    }
}

impl Inner {
    fn remove(&mut self, key: &(String, String)) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        if entry.is_open()
            && let Some(open) = self.open.get_mut(&entry.policy)
        {
            *open = open.saturating_sub(1);
        }
        Some(entry)
    }

    fn insert(&mut self, key: (String, String), entry: Entry) {
        self.remove(&key);
        if entry.is_open() {
            *self.open.entry(entry.policy.clone()).or_default() += 1;
        }
        self.entries.insert(key, entry);
    }
}

impl Store {
    /// Forgets everything and takes in a list.
    pub fn replace(&self, records: Vec<DriftRecord>) {
        let mut inner = self.inner.lock();
        inner.entries.clear();
        inner.open.clear();
        for record in records {
            let (policy, id) = identity(&record);
            let key = (policy.namespace.clone(), record.name_any());
            inner.insert(
                key,
                Entry {
                    policy,
                    target: record.spec.target.clone(),
                    id,
                    status: record.status,
                },
            );
        }
    }

    pub fn get(&self, namespace: &str, name: &str) -> Option<Entry> {
        self.inner
            .lock()
            .entries
            .get(&(namespace.to_owned(), name.to_owned()))
            .cloned()
    }

    pub fn put(&self, name: &str, entry: Entry) {
        let key = (entry.policy.namespace.clone(), name.to_owned());
        self.inner.lock().insert(key, entry);
    }

    pub fn take(&self, namespace: &str, name: &str) -> Option<Entry> {
        self.inner
            .lock()
            .remove(&(namespace.to_owned(), name.to_owned()))
    }

    /// Room for one more record of a policy, if fewer than `most` are open or being opened.
    pub fn room(&self, policy: &PolicyKey, most: usize) -> Option<Room<'_>> {
        let mut inner = self.inner.lock();
        let open = inner.open.get(policy).copied().unwrap_or(0);
        let opening = inner.opening.entry(policy.clone()).or_default();
        if open + *opening >= most {
            inner.full.insert(policy.clone());
            return None;
        }
        *opening += 1;
        Some(Room {
            store: self,
            policy: policy.clone(),
        })
    }

    /// Whether there was no room for a record of a policy since the last call.
    pub fn take_full(&self, policy: &PolicyKey) -> bool {
        self.inner.lock().full.remove(policy)
    }

    /// Shows every record that is not closed.
    pub fn each_open(&self, see: impl FnMut(&Entry)) {
        let inner = self.inner.lock();
        inner.entries.values().filter(|e| e.is_open()).for_each(see);
    }

    /// How many records are so.
    pub fn count(&self, hit: impl Fn(&Entry) -> bool) -> usize {
        let inner = self.inner.lock();
        inner.entries.values().filter(|e| hit(e)).count()
    }

    /// All records: namespace, name, entry.
    pub fn all(&self) -> Vec<(String, String, Entry)> {
        self.inner
            .lock()
            .entries
            .iter()
            .map(|((ns, name), e)| (ns.clone(), name.clone(), e.clone()))
            .collect()
    }

    /// The closed records of a policy beyond the `most` that were closed last.
    pub fn oldest_closed(&self, policy: &PolicyKey, most: usize) -> Vec<String> {
        let inner = self.inner.lock();
        let mut closed: Vec<_> = inner
            .entries
            .iter()
            .filter(|(_, e)| e.policy == *policy && !e.is_open())
            .map(|((_, name), e)| {
                let at = e.status.as_ref().and_then(|s| s.closed_at.as_ref());
                (at.map(|t| t.0), name)
            })
            .collect();
        closed.sort_unstable();
        let surplus = closed.len().saturating_sub(most);
        closed.truncate(surplus);
        closed.into_iter().map(|(_, name)| name.clone()).collect()
    }

    /// What a policy has open, with at most so many of the worst.
    pub fn standing(&self, policy: &PolicyKey, most: usize) -> Standing {
        let inner = self.inner.lock();
        let active = inner
            .entries
            .iter()
            .filter(|(_, e)| e.policy == *policy && e.is_open());
        let (pending, open): (Vec<_>, Vec<_>) = active.partition(|(_, e)| e.is_pending());
        let (excepted, drifted): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|(_, e)| e.is_excepted());
        let (pending, count) = (pending.len(), drifted.len() + excepted.len());
        let since = |e: &Entry| Some(e.status.as_ref()?.first_seen.clone());
        let oldest = drifted
            .iter()
            .filter_map(|(_, e)| since(e))
            .min_by_key(|t| t.0);
        let mut worst: Vec<WorstEntry> = drifted
            .into_iter()
            .filter_map(|((_, name), entry)| {
                let status = entry.status.as_ref()?;
                Some(WorstEntry {
                    target: entry.target.clone(),
                    subject: status.display.subject.clone(),
                    fields: status.display.fields.clone(),
                    severity: status.severity,
                    since: Some(status.first_seen.clone()),
                    record: name.clone(),
                })
            })
            .collect();
        worst.sort_by(|a, b| {
            let rank =
                |w: &WorstEntry| (std::cmp::Reverse(w.severity), w.since.as_ref().map(|t| t.0));
            rank(a).cmp(&rank(b)).then_with(|| a.record.cmp(&b.record))
        });
        worst.truncate(most);
        Standing {
            open: count,
            pending,
            oldest,
            worst,
        }
    }
}

#[cfg(test)]
mod tests {
    use drift::GroupKind;
    use serde_json::json;

    use super::*;

    #[test]
    fn closed_records_filled_etcd_with_each_renaming_commit() {
        let store = Store::default();
        let policy = PolicyKey {
            namespace: "shop".into(),
            name: "shop".into(),
        };
        for n in 0..5 {
            let closed = n != 2;
            let status = json!({
                "state": if closed { "Closed" } else { "Open" }, "change": "Missing", "firstSeen": "2026-01-01T00:00:00Z",
                "closedAt": closed.then(|| format!("2026-01-01T00:00:0{n}Z")), "apiVersion": "v1",
                "display": {"subject": "", "fields": "", "by": ""}});
            let entry = Entry {
                policy: policy.clone(),
                target: "app".into(),
                id: ObjectId::new(GroupKind::new("", "ConfigMap"), None, &format!("c{n}")),
                status: Some(serde_json::from_value(status).expect("a status")),
            };
            store.put(&format!("r{n}"), entry);
        }
        assert_eq!(store.oldest_closed(&policy, 2), ["r0", "r1"]);
        assert!(store.oldest_closed(&policy, 4).is_empty());
    }
}
