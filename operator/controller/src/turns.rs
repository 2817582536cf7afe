//! Turns at something scarce: so many at a time, and of them only so many for one namespace, so that no team's slow or
//! hostile repositories keep the others waiting.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Hands out turns.
#[derive(Debug)]
pub struct Turns {
    all: Arc<Semaphore>,
    each: usize,
    namespaces: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// A turn; over when dropped.
#[derive(Debug)]
pub struct Turn {
    _held: [Option<OwnedSemaphorePermit>; 2],
    /// Keeps the namespace's own count for as long as somebody waits or holds.
    _namespace: Arc<Semaphore>,
}

impl Turns {
    /// `all` turns at a time, `each` of them for one namespace.
    pub fn new(all: usize, each: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all.max(1))),
            each: each.max(1),
            namespaces: Mutex::default(),
        }
    }

    /// Waits for a turn. Who waits for others of the same namespace takes no place in the queue of all.
    pub async fn take(&self, namespace: &str) -> Turn {
        let own = self.of(namespace);
        // Neither is ever closed.
        let first = Arc::clone(&own).acquire_owned().await.ok();
        let second = Arc::clone(&self.all).acquire_owned().await.ok();
        Turn {
            _held: [first, second],
            _namespace: own,
        }
    }

    fn of(&self, namespace: &str) -> Arc<Semaphore> {
        let mut namespaces = self.namespaces.lock();
        if let Some(own) = namespaces.get(namespace).and_then(Weak::upgrade) {
            return own;
        }
        namespaces.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.each));
        namespaces.insert(namespace.to_owned(), Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn one_namespace_with_endless_templates_kept_all_others_from_rendering() {
        let turns = Turns::new(2, 1);
        let soon = Duration::from_millis(50);
        let hostile = turns.take("hostile").await;
        let more = tokio::time::timeout(soon, turns.take("hostile"));
        assert!(more.await.is_err(), "a second turn of the same namespace");
        let other = tokio::time::timeout(soon, turns.take("shop")).await;
        assert!(other.is_ok(), "another namespace has its turn");
        drop((hostile, other));
        assert!(
            tokio::time::timeout(soon, turns.take("hostile"))
                .await
                .is_ok()
        );
    }
}
