//! Whether a host key is the one that the user vouched for, by the rules of `sshd(8)`, "SSH_KNOWN_HOSTS FILE FORMAT".

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// What the lines say about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A line names this host and this key.
    Known,
    /// A line revokes this key.
    Revoked,
    /// Lines name this host, with other keys (their fingerprints).
    Other(Vec<String>),
    /// No line names this host.
    Unknown,
}

struct Line<'a> {
    revoked: bool,
    hosts: &'a str,
    kind: &'a str,
    key: Vec<u8>,
}

/// Looks a host's key up. Certificate authorities (`@cert-authority`) are not supported, and such lines match nothing.
pub(crate) fn check(known_hosts: &str, host: &str, port: u16, key: &[u8]) -> Verdict {
    let mut others = Vec::new();
    let mut known = false;
    for line in known_hosts.lines().filter_map(parse) {
        if line.revoked {
            if line.key == key && matches(line.hosts, host, port) {
                return Verdict::Revoked;
            }
        } else if matches(line.hosts, host, port) {
            if line.key == key {
                known = true;
            } else {
                others.push(fingerprint(&line.key));
            }
        }
    }
    match (known, others.is_empty()) {
        (true, _) => Verdict::Known,
        (false, false) => Verdict::Other(others),
        (false, true) => Verdict::Unknown,
    }
}

/// The lines about one host, each with the host's plain name: what libgit2 reads to ask the server for a key of a known type.
pub(crate) fn plain_lines(known_hosts: &str, host: &str, port: u16) -> String {
    let name = name_of(host, port);
    known_hosts
        .lines()
        .filter_map(parse)
        .filter(|line| !line.revoked && matches(line.hosts, host, port))
        .map(|line| format!("{name} {} {}\n", line.kind, STANDARD.encode(&line.key)))
        .collect()
}

/// A key's fingerprint as OpenSSH prints it.
pub(crate) fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

fn parse(line: &str) -> Option<Line<'_>> {
    let mut fields = line.split_whitespace();
    let mut hosts = fields.next().filter(|f| !f.starts_with('#'))?;
    let mut revoked = false;
    if hosts.starts_with('@') {
        revoked = hosts == "@revoked";
        if !revoked {
            return None;
        }
        hosts = fields.next()?;
    }
    let (kind, key) = (fields.next()?, STANDARD.decode(fields.next()?).ok()?);
    // The key's own words must agree with the line: length-prefixed type name first.
    let length = u32::from_be_bytes(key.get(..4)?.try_into().ok()?) as usize;
    (key.get(4..4 + length)? == kind.as_bytes()).then_some(Line {
        revoked,
        hosts,
        kind,
        key,
    })
}

fn name_of(host: &str, port: u16) -> String {
    let bare = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host)
        .to_ascii_lowercase();
    if port == 22 {
        bare
    } else {
        format!("[{bare}]:{port}")
    }
}

fn matches(patterns: &str, host: &str, port: u16) -> bool {
    let name = name_of(host, port);
    if let Some(hashed) = patterns.strip_prefix("|1|") {
        return matches_hash(hashed, &name).unwrap_or(false);
    }
    let mut found = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(not) if glob(&not.to_ascii_lowercase(), &name) => return false,
            Some(_) => {}
            None => found |= glob(&pattern.to_ascii_lowercase(), &name),
        }
    }
    found
}

fn matches_hash(hashed: &str, name: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let mut mac = Hmac::<Sha1>::new_from_slice(&STANDARD.decode(salt).ok()?).ok()?;
    mac.update(name.as_bytes());
    Some(mac.verify_slice(&STANDARD.decode(hash).ok()?).is_ok())
}

/// `*` and `?` as in `ssh_config(5)`, without recursion: the last star takes one more character on each mismatch.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(kind: &str, body: &[u8]) -> Vec<u8> {
        let mut key = (kind.len() as u32).to_be_bytes().to_vec();
        key.extend_from_slice(kind.as_bytes());
        key.extend_from_slice(body);
        key
    }

    fn line(hosts: &str, kind: &str, key: &[u8]) -> String {
        format!("{hosts} {kind} {} a comment\n", STANDARD.encode(key))
    }

    fn hashed(name: &str) -> String {
        let mut mac = Hmac::<Sha1>::new_from_slice(b"salt").unwrap();
        mac.update(name.as_bytes());
        format!(
            "|1|{}|{}",
            STANDARD.encode(b"salt"),
            STANDARD.encode(mac.finalize().into_bytes())
        )
    }

    #[test]
    fn entries_of_all_forms_are_found() {
        let k = key("ssh-ed25519", b"one");
        for (hosts, host, port) in [
            ("git.example.com", "git.example.com", 22),
            ("other,git.example.com", "GIT.example.com", 22),
            ("*.example.com", "git.example.com", 22),
            ("git.example.co?", "git.example.com", 22),
            ("[git.example.com]:2222", "git.example.com", 2222),
            ("[::1]:2222", "[::1]", 2222),
            ("::1", "[::1]", 22),
            (&hashed("git.example.com"), "git.example.com", 22),
            (&hashed("[git.example.com]:2222"), "git.example.com", 2222),
        ] {
            let file = format!("# comment\n\n{}", line(hosts, "ssh-ed25519", &k));
            assert_eq!(check(&file, host, port, &k), Verdict::Known, "{hosts}");
            assert_eq!(
                check(&file, host, port + 1, &k),
                Verdict::Unknown,
                "{hosts} at another port"
            );
        }
    }

    #[test]
    fn other_keys_unknown_hosts_and_revocations_refuse() {
        let (good, bad) = (key("ssh-ed25519", b"good"), key("ssh-rsa", b"bad"));
        let file = line("h", "ssh-ed25519", &good);
        assert_eq!(
            check(&file, "h", 22, &bad),
            Verdict::Other(vec![fingerprint(&good)])
        );
        assert_eq!(check("", "h", 22, &good), Verdict::Unknown);
        assert_eq!(
            check(&line("!h,*", "ssh-ed25519", &good), "h", 22, &good),
            Verdict::Unknown
        );
        let revoked = format!("{file}@revoked {}", line("*", "ssh-ed25519", &good));
        assert_eq!(check(&revoked, "h", 22, &good), Verdict::Revoked);
        let authority = format!("@cert-authority {}", line("*", "ssh-ed25519", &good));
        assert_eq!(check(&authority, "h", 22, &good), Verdict::Unknown);
        assert_eq!(
            check(&line("h", "ssh-rsa", &good), "h", 22, &good),
            Verdict::Unknown,
            "type and key disagree"
        );
        let both = format!("{file}{}", line("h", "ssh-rsa", &bad));
        assert_eq!(
            check(&both, "h", 22, &bad),
            Verdict::Known,
            "several types of one host"
        );
    }

    #[test]
    fn libgit2_sees_plain_names_only() {
        let k = key("ssh-ed25519", b"one");
        let file = format!(
            "{}{}",
            line(&hashed("[h]:2222"), "ssh-ed25519", &k),
            line("else", "ssh-ed25519", &k)
        );
        assert_eq!(
            plain_lines(&file, "h", 2222),
            format!("[h]:2222 ssh-ed25519 {}\n", STANDARD.encode(&k))
        );
    }

    proptest! {
        #[test]
        fn no_file_is_a_panic(text in "\\PC{0,200}", host in "[a-z.]{1,10}") {
            check(&text, &host, 22, b"key");
        }

        #[test]
        fn globs_match_what_was_starred(a in "[a-z]{0,5}", b in "[a-z.]{0,8}", c in "[a-z]{0,5}") {
            let (pattern, text) = (format!("{a}*{c}"), format!("{a}{b}{c}"));
            prop_assert!(glob(&pattern, &text));
        }
    }
}
