//! The cache of repositories: one folder a URL and set of credentials, the least recently used go first.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::error::{Category, Error};
use crate::git::{REPOSITORY, size};
use crate::request::{FetchRequest, hex};

const SALT: &str = "salt";
const USED: &str = "used";

/// The cache folder and who uses what of it.
#[derive(Debug)]
pub(crate) struct Cache {
    root: PathBuf,
    salt: Vec<u8>,
    limit: u64,
    entries: Mutex<HashMap<String, Arc<Entry>>>,
}

/// One repository. While somebody holds it, it is not evicted.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// Held by a fetch: one at a time.
    pub(crate) fetching: tokio::sync::Mutex<()>,
    /// Held by a fetch of history, which nobody else waits for.
    pub(crate) deepening: tokio::sync::Mutex<()>,
}

impl Cache {
    /// Opens or makes the folder; `limit` is in bytes.
    ///
    /// # Errors
    /// `Worker` if it cannot be written.
    pub(crate) fn open(root: &Path, limit: u64) -> Result<Self, Error> {
        let broken = |e: std::io::Error| {
            let what = format!(
                "the cache folder cannot be used ({e}): check the worker's volume and user"
            );
            Error::new(Category::Worker, root.display().to_string(), what)
        };
        fs::create_dir_all(root).map_err(broken)?;
        let root = root.canonicalize().map_err(broken)?;
        let salt = read_or_make_salt(&root.join(SALT)).map_err(broken)?;
        Ok(Self {
            root,
            salt,
            limit,
            entries: Mutex::new(HashMap::new()),
        })
    }

    /// The name of the entry for a URL with its credentials. Who may read a repository only with one set of
    /// credentials must not find it fetched with another. Keyed, so that the folder's name does not give a password away.
    pub(crate) fn key(&self, request: &FetchRequest) -> Result<String, Error> {
        let broken = || {
            Error::new(
                Category::Worker,
                "the cache",
                "the entry's name could not be made",
            )
        };
        let identity =
            serde_json::to_vec(&(&request.url, &request.credentials)).map_err(|_| broken())?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.salt).map_err(|_| broken())?;
        mac.update(&identity);
        let mut key = hex(&mac.finalize().into_bytes());
        key.truncate(40);
        Ok(key)
    }

    /// An entry's folder.
    pub(crate) fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// Takes hold of an entry and marks it used now.
    pub(crate) fn hold(&self, key: &str) -> Arc<Entry> {
        let entry = Arc::clone(self.lock().entry(key.to_owned()).or_default());
        let folder = self.path(key);
        if folder.is_dir() {
            // The file's time is all that counts; without it the entry is merely evicted sooner.
            let _ = fs::write(folder.join(USED), b"");
        }
        entry
    }

    /// Throws the repository of an entry away; the next fetch starts anew.
    pub(crate) fn discard(&self, key: &str) {
        let _ = fs::remove_dir_all(self.path(key).join(REPOSITORY));
    }

    /// Removes least recently used entries that nobody holds until the rest is within the limit.
    pub(crate) fn evict(&self) {
        let Ok(folders) = fs::read_dir(&self.root) else {
            return;
        };
        let mut entries: Vec<(SystemTime, u64, String)> = folders
            .flatten()
            .filter(|f| f.path().is_dir())
            .map(|f| {
                (
                    last_used(&f.path()),
                    size(&f.path()),
                    f.file_name().to_string_lossy().into_owned(),
                )
            })
            .collect();
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        let mut held = self.lock();
        held.retain(|_, entry| Arc::strong_count(entry) > 1);
        for (_, bytes, key) in entries {
            if total <= self.limit {
                break;
            }
            if !held.contains_key(&key) && fs::remove_dir_all(self.path(&key)).is_ok() {
                total = total.saturating_sub(bytes);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn last_used(folder: &Path) -> SystemTime {
    fs::metadata(folder.join(USED))
        .and_then(|meta| meta.modified())
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

fn read_or_make_salt(path: &Path) -> std::io::Result<Vec<u8>> {
    if let Ok(salt) = fs::read(path)
        && salt.len() == 32
    {
        return Ok(salt);
    }
    let mut salt = vec![0; 32];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut salt)?;
    let _ = fs::remove_file(path);
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?
        .write_all(&salt)?;
    Ok(salt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Credentials, FetchLimits, Reference};
    use std::time::Duration;

    fn request(url: &str, token: &str) -> FetchRequest {
        FetchRequest {
            url: url.into(),
            reference: Reference::Branch("main".into()),
            credentials: Some(Credentials::Bearer {
                token: token.into(),
            }),
            ca: None,
            timeout: Duration::from_secs(1),
            limits: FetchLimits::default(),
            allow_file: false,
        }
    }

    #[test]
    fn entries_are_apart_by_url_and_credentials_and_keep_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 1).unwrap();
        let key = cache.key(&request("https://h/x", "a")).unwrap();
        assert_ne!(key, cache.key(&request("https://h/x", "b")).unwrap());
        assert_ne!(key, cache.key(&request("https://h/y", "a")).unwrap());
        assert_eq!(
            key,
            Cache::open(folder.path(), 1)
                .unwrap()
                .key(&request("https://h/x", "a"))
                .unwrap()
        );
        assert!(crate::request::RepositoryKey(key).is_valid());
    }

    #[test]
    fn the_least_recently_used_entry_goes_unless_it_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 2500).unwrap();
        for (age, key) in [(30, "old"), (20, "held"), (10, "young")] {
            fs::create_dir_all(cache.path(key)).unwrap();
            fs::write(cache.path(key).join("data"), vec![0; 1000]).unwrap();
            let used = fs::File::create(cache.path(key).join(USED)).unwrap();
            used.set_modified(SystemTime::now() - Duration::from_secs(age))
                .unwrap();
        }
        let hold = cache.hold("held");
        cache.evict();
        assert!(
            !cache.path("old").exists()
                && cache.path("held").exists()
                && cache.path("young").exists()
        );
        drop(hold);
        let tight = Cache::open(folder.path(), 1500).unwrap();
        tight.evict();
        assert!(
            tight.path("held").exists() && !tight.path("young").exists(),
            "holding marks as used"
        );
    }
}
