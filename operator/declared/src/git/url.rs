//! Which URLs are accepted, and with which credentials.

use crate::error::{Category, Error, one_line};
use crate::request::Credentials;

/// How a repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Https,
    Http,
    Ssh,
    File,
}

/// A repository's URL that has been looked at: no password in it, nothing that could be taken for an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GitUrl {
    /// What libgit2 is given.
    text: String,
    /// What people are shown: without user info.
    shown: String,
    scheme: Scheme,
    host: String,
    port: Option<u16>,
    user: Option<String>,
}

const SCHEMES: &str = "use https://host/path, ssh://git@host/path or git@host:path";

impl GitUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// Says which part is refused and what to write instead, without repeating what may be a password.
    pub(crate) fn parse(text: &str, allow_file: bool) -> Result<Self, Error> {
        let refuse = |what: &str| Error::new(Category::Refused, shown(text), what.to_owned());
        if text.is_empty() {
            return Err(Error::new(
                Category::Input,
                "the Git URL",
                format!("is empty: {SCHEMES}"),
            ));
        }
        if text.starts_with('-') {
            return Err(refuse(&format!(
                "a Git URL may not begin with a dash: {SCHEMES}"
            )));
        }
        if text.len() > 2048 || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(refuse(
                "a Git URL may not hold spaces or control characters, nor more than 2048 characters",
            ));
        }
        match text.split_once("://") {
            Some((scheme, rest)) => Self::with_scheme(text, scheme, rest, allow_file),
            None => Self::scp_like(text),
        }
    }

    fn with_scheme(text: &str, scheme: &str, rest: &str, allow_file: bool) -> Result<Self, Error> {
        let refuse = |what: String| Error::new(Category::Refused, shown(text), what);
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            "ssh" => Scheme::Ssh,
            "file" if allow_file => return Self::file(text, rest),
            "file" => return Err(refuse(format!("file:// is not allowed here: {SCHEMES}"))),
            _ => return Err(refuse(format!("the scheme is not supported: {SCHEMES}"))),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (userinfo, hostport) = match authority.rsplit_once('@') {
            Some((userinfo, hostport)) => (Some(userinfo), hostport),
            None => (None, authority),
        };
        if userinfo.is_some() && scheme != Scheme::Ssh {
            return Err(refuse(
                "user names and passwords do not belong into the URL: name a Secret instead".into(),
            ));
        }
        if userinfo.is_some_and(|u| u.contains(':')) {
            return Err(refuse(
                "passwords do not belong into the URL: name a Secret with an SSH key instead"
                    .into(),
            ));
        }
        let (host, port) =
            split_port(hostport).ok_or_else(|| refuse("the host or port is not valid".into()))?;
        check_host(&host).map_err(|what| refuse(what.to_owned()))?;
        check_user(userinfo).map_err(|what| refuse(what.to_owned()))?;
        if path.is_empty() || path.starts_with('-') || path.contains('#') {
            return Err(refuse(
                "the path to the repository is missing or not valid".into(),
            ));
        }
        Ok(Self {
            text: text.to_owned(),
            shown: shown(text),
            scheme,
            host,
            port,
            user: userinfo.map(str::to_owned),
        })
    }

    fn file(text: &str, path: &str) -> Result<Self, Error> {
        if !path.starts_with('/') {
            return Err(Error::new(
                Category::Refused,
                text,
                "file:// needs an absolute path",
            ));
        }
        let text = text.to_owned();
        Ok(Self {
            shown: text.clone(),
            text,
            scheme: Scheme::File,
            host: String::new(),
            port: None,
            user: None,
        })
    }

    fn scp_like(text: &str) -> Result<Self, Error> {
        let refuse = |what: &str| Error::new(Category::Refused, shown(text), what.to_owned());
        let not_url = || refuse(&format!("is not a Git URL: {SCHEMES}"));
        let (user, rest) = text.split_once('@').ok_or_else(not_url)?;
        let (host, path) = rest.split_once(':').ok_or_else(not_url)?;
        if user.contains(':') {
            return Err(refuse(
                "passwords do not belong into the URL: name a Secret with an SSH key instead",
            ));
        }
        check_host(host).map_err(refuse)?;
        check_user(Some(user)).map_err(refuse)?;
        if path.is_empty() || path.starts_with('-') {
            return Err(refuse(
                "the path to the repository is missing or begins with a dash",
            ));
        }
        Ok(Self {
            text: text.to_owned(),
            shown: shown(text),
            scheme: Scheme::Ssh,
            host: host.to_ascii_lowercase(),
            port: None,
            user: Some(user.to_owned()),
        })
    }

    /// What libgit2 is given.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// What people are shown.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The port that is dialled.
    pub(crate) fn port(&self) -> u16 {
        self.port.unwrap_or(match self.scheme {
            Scheme::Https => 443,
            Scheme::Http => 80,
            Scheme::Ssh => 22,
            Scheme::File => 0,
        })
    }

    /// The user of an ssh URL; `git` where it names none.
    pub(crate) fn user(&self) -> &str {
        self.user.as_deref().unwrap_or("git")
    }

    /// True if `url`, as libgit2 hands it to a callback, is the same server over the same protocol.
    pub(crate) fn same_server(&self, url: &str) -> bool {
        match GitUrl::parse(url, false) {
            Ok(other) => {
                other.scheme == self.scheme
                    && other.host == self.host
                    && other.port() == self.port()
            }
            Err(_) => false,
        }
    }

    /// Refuses credentials where they would travel in clear or do not fit.
    ///
    /// # Errors
    /// Says which scheme the credentials need.
    pub(crate) fn check_credentials(&self, credentials: Option<&Credentials>) -> Result<(), Error> {
        let refuse = |what: &str| Err(Error::new(Category::Refused, self.shown(), what));
        match (self.scheme, credentials) {
            (_, None) if self.scheme == Scheme::Ssh => Err(Error::new(
                Category::Auth,
                self.shown(),
                "ssh needs a key: name a Secret with `identity` and `known_hosts`",
            )),
            (_, None) | (Scheme::File, _) => Ok(()),
            (Scheme::Http, Some(_)) => {
                refuse("credentials are not sent over plain http: use https")
            }
            (Scheme::Https, Some(Credentials::Ssh { .. })) => refuse(
                "the Secret holds an SSH key, which https cannot use: give `username` and `password` or `bearerToken`, or use an ssh URL",
            ),
            (Scheme::Ssh, Some(Credentials::Basic { .. } | Credentials::Bearer { .. })) => refuse(
                "ssh needs a key: give `identity` and `known_hosts` in the Secret, or use an https URL",
            ),
            (Scheme::Https, Some(Credentials::Basic { username, password })) => {
                printable(self, "username", username)
                    .and_then(|()| printable(self, "password", password))
            }
            (Scheme::Https, Some(Credentials::Bearer { token })) => {
                printable(self, "bearerToken", token)
            }
            (Scheme::Ssh, Some(Credentials::Ssh { .. })) => Ok(()),
        }
    }
}

/// A line break in a header would let a token's author write headers of their own.
fn printable(url: &GitUrl, name: &str, value: &str) -> Result<(), Error> {
    if value.is_empty() || value.chars().any(char::is_control) {
        let what = format!(
            "`{name}` in the Secret is empty or holds a line break or control character: write it without"
        );
        return Err(Error::new(Category::Auth, url.shown(), what));
    }
    Ok(())
}

fn check_host(host: &str) -> Result<(), &'static str> {
    let bare = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    let valid = |c: char| {
        c.is_ascii_alphanumeric() || "-._".contains(c) || (bare.len() != host.len() && c == ':')
    };
    if bare.is_empty() || bare.starts_with('-') || !bare.chars().all(valid) {
        return Err("the host name is missing or not valid");
    }
    Ok(())
}

fn check_user(user: Option<&str>) -> Result<(), &'static str> {
    match user {
        Some(user) if user.is_empty() || user.starts_with('-') => {
            Err("the user name is empty or begins with a dash")
        }
        Some(user)
            if !user
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._+~".contains(c)) =>
        {
            Err("the user name holds characters that are not allowed")
        }
        _ => Ok(()),
    }
}

fn split_port(hostport: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match hostport.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            (host, Some(port.parse::<u16>().ok().filter(|p| *p > 0)?))
        }
        _ => (hostport, None),
    };
    Some((host.to_ascii_lowercase(), port))
}

/// A URL fit for people: no user info, no query, one line.
fn shown(text: &str) -> String {
    // A password may hold anything that would end it in a well-formed URL; so everything before the last @ goes.
    let stripped = match text.split_once("://") {
        Some((scheme, rest)) => {
            let rest = rest.rsplit_once('@').map_or(rest, |(_, after)| after);
            format!("{scheme}://{rest}")
        }
        None => match text.rsplit_once('@') {
            Some((user, rest)) if user.contains(':') => rest.to_owned(),
            _ => text.to_owned(),
        },
    };
    let plain = stripped.split(['?', '#']).next().unwrap_or_default();
    one_line(plain, 300)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn usual_urls_are_read() {
        let https = GitUrl::parse("https://Git.Example.com:8443/team/shop.git", false).unwrap();
        assert_eq!(
            (https.scheme(), https.host(), https.port()),
            (Scheme::Https, "git.example.com", 8443)
        );
        let ssh = GitUrl::parse("ssh://deploy@git.example.com:2222/srv/shop.git", false).unwrap();
        assert_eq!(
            (ssh.scheme(), ssh.port(), ssh.user()),
            (Scheme::Ssh, 2222, "deploy")
        );
        let scp = GitUrl::parse("git@git.example.com:team/shop.git", false).unwrap();
        assert_eq!(
            (scp.scheme(), scp.host(), scp.port(), scp.user()),
            (Scheme::Ssh, "git.example.com", 22, "git")
        );
        assert_eq!(
            GitUrl::parse("http://[::1]:80/x", false).unwrap().host(),
            "[::1]"
        );
        assert_eq!(
            GitUrl::parse("file:///srv/x", true).unwrap().scheme(),
            Scheme::File
        );
    }

    #[test]
    fn what_is_refused_is_refused_without_repeating_a_password() {
        for bad in [
            "",
            "-u",
            "--upload-pack=x",
            "file:///etc",
            "ext::sh -c x",
            "ext::sh",
            "ftp://h/x",
            "git://h/x",
            "/etc/passwd",
            "x",
            "https://user:canary@h/x",
            "https://canary@h/x",
            "ssh://u:canary@h/x",
            "u:canary@h:x",
            "https://h/a b",
            "https://h\n/x",
            "https://-h/x",
            "ssh://-oProxyCommand=x/y",
            "ssh://-u@h/y",
            "git@-h:x",
            "git@h:-x",
            "https://h",
            "https://h:0/x",
            "https://h:99999/x",
            "https://u:can/ary@h/x",
            "https://u:can?ary@h/x",
            "https://u:can#ary@h/x",
            "u:can?ary@h:x",
            "https:///x",
        ] {
            let error = GitUrl::parse(bad, false).expect_err(bad);
            assert!(!error.to_string().contains("can"), "{error}");
        }
    }

    #[test]
    fn credentials_fit_their_scheme() {
        let basic = Credentials::Basic {
            username: "u".into(),
            password: "p".into(),
        };
        let key = Credentials::Ssh {
            identity: "k".into(),
            known_hosts: "h".into(),
            passphrase: None,
        };
        let check = |url: &str, c: Option<&Credentials>| {
            GitUrl::parse(url, true)
                .unwrap()
                .check_credentials(c)
                .is_ok()
        };
        assert!(
            check("https://h/x", Some(&basic))
                && check("ssh://h/x", Some(&key))
                && check("http://h/x", None)
        );
        assert!(
            !check("http://h/x", Some(&basic)),
            "credentials over plain http"
        );
        assert!(
            !check("https://h/x", Some(&key))
                && !check("ssh://h/x", Some(&basic))
                && !check("git@h:x", None)
        );
        let split = Credentials::Bearer {
            token: "t\r\nX-Evil: 1".into(),
        };
        assert!(!check("https://h/x", Some(&split)), "a header of its own");
    }

    #[test]
    fn credentials_stay_with_their_server() {
        let url = GitUrl::parse("https://git.example.com/x", false).unwrap();
        assert!(url.same_server("https://git.example.com:443/y"));
        for other in [
            "http://git.example.com/x",
            "https://evil.example.com/x",
            "https://git.example.com:444/x",
            "https://a@b/x",
        ] {
            assert!(!url.same_server(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_url_is_a_panic_and_errors_are_one_line(text in "\\PC{0,60}") {
            if let Err(error) = GitUrl::parse(&text, false) {
                prop_assert!(!error.to_string().contains('\n'));
            }
        }
    }
}
