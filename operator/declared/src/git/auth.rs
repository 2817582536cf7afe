//! Credentials and host keys: who is asked for what, and who is believed.

use std::cell::{Cell, RefCell};

use git2::cert::Cert;
use git2::{CertificateCheckStatus, Cred, CredentialType, RemoteCallbacks};

use super::known_hosts::{self, Verdict};
use super::url::GitUrl;
use crate::error::{Category, Error, one_line};
use crate::request::{Credentials, FetchRequest};

/// One fetch's talk with a server. libgit2 turns what a callback says into a generic error, so the reason is kept here.
pub(crate) struct Session<'a> {
    pub(crate) url: &'a GitUrl,
    request: &'a FetchRequest,
    reason: RefCell<Option<Error>>,
    asked: Cell<u32>,
    connections: Cell<u32>,
    anonymous: bool,
}

impl<'a> Session<'a> {
    pub(crate) fn new(url: &'a GitUrl, request: &'a FetchRequest) -> Self {
        Self {
            url,
            request,
            reason: RefCell::new(None),
            asked: Cell::new(0),
            connections: Cell::new(0),
            anonymous: false,
        }
    }

    /// A talk in which no credentials are shown.
    pub(crate) fn anonymous(url: &'a GitUrl, request: &'a FetchRequest) -> Self {
        Self {
            anonymous: true,
            ..Self::new(url, request)
        }
    }

    /// True if a TLS connection was left for another one: the server redirected.
    pub(crate) fn moved_on(&self) -> bool {
        self.connections.get() > 1
    }

    /// The callbacks for one connection.
    pub(crate) fn callbacks(&self) -> RemoteCallbacks<'_> {
        self.asked.set(0);
        let mut callbacks = RemoteCallbacks::new();
        callbacks.credentials(|url, _user, allowed| self.credentials(url, allowed));
        callbacks.certificate_check(|cert, _host| self.certificate(cert));
        callbacks.transfer_progress(|progress| self.within_limits(progress.received_bytes()));
        // Banners of a server are nobody's business here.
        callbacks.sideband_progress(|_| true);
        callbacks
    }

    /// The header that carries a bearer token.
    pub(crate) fn header(&self) -> Option<String> {
        match &self.request.credentials {
            Some(Credentials::Bearer { token }) if !self.anonymous => {
                Some(format!("Authorization: Bearer {token}"))
            }
            _ => None,
        }
    }

    /// Turns libgit2's error into ours: a reason noted by a callback counts more than its echo.
    pub(crate) fn error(&self, error: &git2::Error) -> Error {
        self.reason.borrow_mut().take().unwrap_or_else(|| {
            classify(self.url.shown(), error, self.request.credentials.is_some())
        })
    }

    fn fail(&self, category: Category, what: impl Into<String>) -> git2::Error {
        *self.reason.borrow_mut() = Some(Error::new(category, self.url.shown(), what));
        git2::Error::from_str("refused")
    }

    fn within_limits(&self, received: usize) -> bool {
        let limit = self.request.limits.repository_bytes;
        if received as u64 > limit {
            let what = format!(
                "the server sends more than the limit of {} MiB: raise the limit or take large files out of the repository",
                limit >> 20
            );
            self.fail(Category::Limit, what);
            return false;
        }
        true
    }

    fn credentials(&self, url: &str, allowed: CredentialType) -> Result<Cred, git2::Error> {
        if !self.url.same_server(url) {
            return Err(self.fail(
                Category::Refused,
                "another server asks for the credentials: use the repository's final URL",
            ));
        }
        // A name may be asked for first; a second call for the rest means that the first answer was refused.
        if !allowed.is_username() {
            self.asked.set(self.asked.get() + 1);
        }
        match &self.request.credentials {
            _ if self.anonymous => {
                Err(self.fail(Category::Auth, "the server asks for credentials"))
            }
            _ if self.asked.get() > 1 => Err(self.fail(
                Category::Auth,
                "the server refused the credentials: check the Secret and the account's access",
            )),
            Some(Credentials::Basic { username, password }) if allowed.is_user_pass_plaintext() => {
                Cred::userpass_plaintext(username, password)
            }
            Some(Credentials::Ssh { .. }) if allowed.is_username() => {
                Cred::username(self.url.user())
            }
            Some(Credentials::Ssh {
                identity,
                passphrase,
                ..
            }) if allowed.is_ssh_memory() || allowed.is_ssh_key() => {
                Cred::ssh_key_from_memory(self.url.user(), None, identity, passphrase.as_deref())
            }
            Some(Credentials::Bearer { .. }) => Err(self.fail(
                Category::Auth,
                "the server refused the bearer token: check the Secret and the token's expiry",
            )),
            Some(_) => Err(self.fail(
                Category::Auth,
                "the server does not accept this kind of credentials",
            )),
            None => Err(self.fail(
                Category::Auth,
                "the server asks for credentials: name a Secret with them, or check the URL",
            )),
        }
    }

    fn certificate(&self, cert: &Cert<'_>) -> Result<CertificateCheckStatus, git2::Error> {
        let Some(host_key) = cert.as_hostkey() else {
            self.connections.set(self.connections.get() + 1);
            // TLS: libgit2 and OpenSSL have checked it against the trusted certificates.
            return Ok(CertificateCheckStatus::CertificatePassthrough);
        };
        let Some(key) = host_key.hostkey() else {
            return Err(self.fail(Category::Auth, "the server showed no host key"));
        };
        let Some(Credentials::Ssh { known_hosts, .. }) = &self.request.credentials else {
            return Err(self.fail(Category::Auth, "ssh needs `known_hosts` in the Secret"));
        };
        let shown = known_hosts::fingerprint(key);
        match known_hosts::check(known_hosts, self.url.host(), self.url.port(), key) {
            Verdict::Known => Ok(CertificateCheckStatus::CertificateOk),
            Verdict::Revoked => Err(self.fail(Category::Auth, format!("the host key {shown} is revoked in `known_hosts`"))),
            Verdict::Unknown => Err(self.fail(
                Category::Auth,
                format!(
                    "`known_hosts` in the Secret does not name this host (port {}); it shows {shown}: compare that with what its owner publishes, then add the output of `ssh-keyscan`",
                    self.url.port()
                ),
            )),
            Verdict::Other(expected) => Err(self.fail(
                Category::Auth,
                format!(
                    "the host key is not the one in `known_hosts`: it shows {shown}, expected {}; somebody may be listening in, or the key was changed: ask the server's owner",
                    one_line(&expected.join(" or "), 300)
                ),
            )),
        }
    }
}

/// Sorts libgit2's errors by what a user can do about them.
pub(crate) fn classify(at: &str, error: &git2::Error, with_credentials: bool) -> Error {
    use git2::{ErrorClass as Class, ErrorCode as Code};
    let text = one_line(error.message(), 200);
    let key = ["authenticate", "private key", "public key"];
    let full = ["No space left", "Disk quota exceeded"];
    if full.iter().any(|word| text.contains(word)) {
        // Neither the server's fault nor a damaged copy: what was fetched before stays.
        let what = "the worker's volume is full: give it more room, or keep less in its cache";
        return Error::new(Category::Worker, at, what);
    }
    let (category, what, remedy) = match (error.class(), error.code()) {
        (_, Code::Auth) => refused(with_credentials),
        (Class::Ssh, _) if key.iter().any(|word| text.contains(word)) => (
            Category::Auth,
            "the SSH key cannot be used",
            "check `identity` in the Secret, and its passphrase if it has one",
        ),
        (_, Code::Certificate) | (Class::Ssl, _) => (
            Category::Auth,
            "the server's certificate is not trusted",
            "put its authority into the Secret as `caFile`",
        ),
        (Class::Http | Class::Net, _) if text.contains("redirect") => (
            Category::Refused,
            "the server redirects, which is not followed with credentials nor more than once",
            "use the final URL",
        ),
        (Class::Http, _) => http(&text, with_credentials),
        (Class::NoMemory, _) => (
            Category::Limit,
            "the fetch ran out of its memory limit",
            "give the worker more, or take large files out of the repository",
        ),
        (Class::Odb | Class::Zlib | Class::Indexer, _)
        | (Class::Object | Class::Tree | Class::Sha1, _) => (
            Category::Corrupt,
            "the cached copy is damaged",
            "it is fetched anew",
        ),
        (_, Code::NotFound) => (
            Category::NotFound,
            "there is no repository",
            "check the URL",
        ),
        (_, Code::Owner) => (
            Category::Refused,
            "the folder belongs to another user",
            "run as its owner",
        ),
        _ => UNREACHABLE,
    };
    Error::new(category, at, format!("{what} ({text}): {remedy}"))
}

/// What happened, and what to do.
type Told = (Category, &'static str, &'static str);

const UNREACHABLE: Told = (
    Category::Unreachable,
    "could not fetch",
    "check that the server is up and reachable from here",
);

fn refused(with_credentials: bool) -> Told {
    if with_credentials {
        let remedy = "check the Secret and the account's access";
        (Category::Auth, "the server refused the credentials", remedy)
    } else {
        let remedy = "name a Secret with them, or check the URL";
        (Category::Auth, "the server asks for credentials", remedy)
    }
}

fn http(text: &str, with_credentials: bool) -> Told {
    let status = |codes: [&str; 2]| codes.iter().any(|code| text.ends_with(code));
    if status(["401", "403"]) {
        refused(with_credentials)
    } else if status(["404", "410"]) {
        (
            Category::NotFound,
            "there is no repository at this URL",
            "check the URL and the account's rights",
        )
    } else {
        UNREACHABLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_volume_was_called_a_server_that_is_down() {
        use git2::{Error as GitError, ErrorClass as Class, ErrorCode as Code};
        for class in [Class::Os, Class::Indexer, Class::Odb] {
            let text = "cannot extend packfile '/x': No space left on device";
            let error = GitError::new(Code::GenericError, class, text);
            let said = classify("https://h/x", &error, false);
            assert_eq!(said.category(), Category::Worker);
            assert!(said.to_string().contains("volume is full"), "{said}");
        }
    }
}
