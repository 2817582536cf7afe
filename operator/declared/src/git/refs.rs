//! From a reference of a policy to a name on the remote.

use crate::error::{Category, Error, one_line};
use crate::request::Reference;

/// A ref that a remote advertises, with annotated tags peeled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteRef {
    /// The full name, for example `refs/heads/main`.
    pub(crate) name: String,
    /// The commit (or whatever else the ref points at).
    pub(crate) target: git2::Oid,
}

/// Puts the peeled targets (`…^{}`) of annotated tags in their tags' place.
pub(crate) fn peel(listed: impl IntoIterator<Item = (String, git2::Oid)>) -> Vec<RemoteRef> {
    let mut refs: Vec<RemoteRef> = Vec::new();
    for (name, target) in listed {
        match name.strip_suffix("^{}") {
            // The peeled line follows its tag.
            Some(tag) => {
                if let Some(last) = refs.iter_mut().rev().find(|r| r.name == tag) {
                    last.target = target;
                }
            }
            None => refs.push(RemoteRef { name, target }),
        }
    }
    refs
}

/// Refuses names that Git would not make, before they go anywhere near a refspec.
///
/// # Errors
/// Names the reference and what is wrong with it.
pub(crate) fn check(reference: &Reference) -> Result<(), Error> {
    let input = |name: &str, what: &str| {
        Err(Error::new(
            Category::Input,
            one_line(name, 200),
            what.to_owned(),
        ))
    };
    match reference {
        Reference::Branch(name) if !valid(name, "refs/heads/") => {
            input(name, "is not a valid branch name")
        }
        Reference::Tag(name) if !valid(name, "refs/tags/") => {
            input(name, "is not a valid tag name")
        }
        Reference::Semver(range) => parse_range(range).map(|_| ()),
        Reference::Commit(hash) if commit_id(hash).is_none() => input(
            hash,
            "is not a full commit hash: write all 40 hexadecimal digits",
        ),
        _ => Ok(()),
    }
}

/// The id a full hash stands for.
pub(crate) fn commit_id(hash: &str) -> Option<git2::Oid> {
    let full = hash.len() == 40 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    full.then(|| hash.parse().ok()).flatten()
}

fn valid(name: &str, prefix: &str) -> bool {
    // `*` is refused by Git itself; a colon or plus would change the refspec's meaning.
    !name.starts_with(['-', '+'])
        && name.len() <= 250
        && git2::Reference::is_valid_name(&format!("{prefix}{name}"))
}

fn parse_range(range: &str) -> Result<semver::VersionReq, Error> {
    semver::VersionReq::parse(range.trim()).map_err(|_| {
        let what = "is not a semver range: write for example `>=1.2, <2`, `~1.4` or `1.x`";
        Error::new(Category::Input, one_line(range, 200), what)
    })
}

/// Finds what a branch, tag or range names among the refs of a remote; `url` is for errors.
///
/// # Errors
/// `NotFound` naming the reference, with what there is instead.
pub(crate) fn resolve(
    reference: &Reference,
    refs: &[RemoteRef],
    url: &str,
) -> Result<RemoteRef, Error> {
    let by_name = |full: String| refs.iter().find(|r| r.name == full).cloned();
    let not_found = |what: String| Error::new(Category::NotFound, url, what);
    match reference {
        Reference::Head => head(refs).ok_or_else(|| {
            not_found(format!(
                "it has no default branch, or nothing was pushed yet: {}",
                some_of(refs, "refs/heads/", "branches")
            ))
        }),
        Reference::Branch(name) => by_name(format!("refs/heads/{name}")).ok_or_else(|| {
            not_found(format!(
                "there is no branch `{name}`: {}",
                some_of(refs, "refs/heads/", "branches")
            ))
        }),
        Reference::Tag(name) => by_name(format!("refs/tags/{name}")).ok_or_else(|| {
            not_found(format!(
                "there is no tag `{name}`: {}",
                some_of(refs, "refs/tags/", "tags")
            ))
        }),
        Reference::Semver(range) => {
            let wanted = parse_range(range)?;
            highest(refs, &wanted).cloned().ok_or_else(|| {
                let there = some_of(refs, "refs/tags/", "tags");
                not_found(format!(
                    "no tag is a version in the range `{}`: {there}",
                    one_line(range, 100)
                ))
            })
        }
        Reference::Commit(hash) => Err(not_found(format!("commit {hash} is not a ref"))),
    }
}

/// The default branch. A remote lists its head by commit alone, so of several branches at it the one with the usual name is meant.
fn head(refs: &[RemoteRef]) -> Option<RemoteRef> {
    let head = refs.iter().find(|r| r.name == "HEAD")?;
    let there = |r: &&RemoteRef| r.target == head.target && r.name.starts_with("refs/heads/");
    let usual = ["refs/heads/main", "refs/heads/master"];
    let mut branches = refs.iter().filter(there);
    let named = refs
        .iter()
        .filter(there)
        .find(|r| usual.contains(&&*r.name));
    Some(named.or_else(|| branches.next()).unwrap_or(head).clone())
}

/// The highest version in a range. Of tags with equal versions (`v1.0.0` and `1.0.0`, build metadata) the one that sorts last wins, always the same.
fn highest<'a>(refs: &'a [RemoteRef], wanted: &semver::VersionReq) -> Option<&'a RemoteRef> {
    let version = |r: &RemoteRef| {
        let tag = r.name.strip_prefix("refs/tags/")?;
        semver::Version::parse(tag.strip_prefix(['v', 'V']).unwrap_or(tag)).ok()
    };
    refs.iter()
        .filter_map(|r| version(r).filter(|v| wanted.matches(v)).map(|v| (v, r)))
        .max_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.name.cmp(&y.name)))
        .map(|(_, r)| r)
}

fn some_of(refs: &[RemoteRef], prefix: &str, noun: &str) -> String {
    let mut names: Vec<&str> = refs
        .iter()
        .filter_map(|r| r.name.strip_prefix(prefix))
        .take(6)
        .collect();
    let more = if names.len() > 5 { ", …" } else { "" };
    names.truncate(5);
    if names.is_empty() {
        format!("the repository has no {noun}")
    } else {
        format!("there are {}{more}", one_line(&names.join(", "), 200))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn oid(byte: u8) -> git2::Oid {
        git2::Oid::from_bytes(&[byte; 20]).unwrap()
    }

    fn tags(names: &[&str]) -> Vec<RemoteRef> {
        peel(
            names
                .iter()
                .enumerate()
                .map(|(i, n)| (format!("refs/tags/{n}"), oid(i as u8 + 1))),
        )
    }

    fn pick(names: &[&str], range: &str) -> Option<String> {
        resolve(&Reference::Semver(range.into()), &tags(names), "u")
            .ok()
            .map(|r| r.name.replace("refs/tags/", ""))
    }

    #[test]
    fn annotated_tags_are_peeled() {
        let refs = peel([
            ("refs/tags/v1".into(), oid(1)),
            ("refs/tags/v1^{}".into(), oid(2)),
            ("refs/heads/x".into(), oid(3)),
        ]);
        assert_eq!(
            resolve(&Reference::Tag("v1".into()), &refs, "u")
                .unwrap()
                .target,
            oid(2)
        );
        assert_eq!(
            resolve(&Reference::Branch("x".into()), &refs, "u")
                .unwrap()
                .target,
            oid(3)
        );
    }

    #[test]
    fn the_default_branch_is_told_by_its_name_where_it_has_one() {
        let at = |named: &[(&str, u8)]| {
            let refs = peel(named.iter().map(|(n, o)| ((*n).to_owned(), oid(*o))));
            resolve(&Reference::Head, &refs, "u").ok().map(|r| r.name)
        };
        let name = |text: &str| Some(text.to_owned());
        let several = [
            ("HEAD", 1),
            ("refs/heads/a", 1),
            ("refs/heads/main", 1),
            ("refs/heads/z", 2),
        ];
        assert_eq!(at(&several), name("refs/heads/main"));
        assert_eq!(at(&several[..2]), name("refs/heads/a"));
        assert_eq!(at(&[("HEAD", 1), ("refs/heads/z", 2)]), name("HEAD"));
        assert_eq!(at(&[]), None);
    }

    #[test]
    fn the_highest_version_in_the_range_wins() {
        let names = [
            "v1.2.0",
            "1.10.0",
            "v1.9.9",
            "2.0.0",
            "v2.0.0-rc.1",
            "nightly",
            "v1",
        ];
        assert_eq!(pick(&names, ">=1.0, <2").as_deref(), Some("1.10.0"));
        assert_eq!(pick(&names, "*").as_deref(), Some("2.0.0"));
        assert_eq!(
            pick(&names, ">=2.0.0-rc.0, <2.0.0").as_deref(),
            Some("v2.0.0-rc.1")
        );
        assert_eq!(pick(&names, "3"), None);
        assert_eq!(
            pick(&["1.0.0", "v1.0.0"], "1"),
            pick(&["v1.0.0", "1.0.0"], "1")
        );
    }

    #[test]
    fn hostile_names_are_refused() {
        for bad in [
            "",
            "-x",
            "--upload-pack=x",
            "a b",
            "a..b",
            "a:b",
            "+a",
            "a*",
            "a~1",
            "a^{}",
            "x.lock",
            "a\nb",
            "/a",
            "a//b",
        ] {
            assert!(check(&Reference::Branch(bad.into())).is_err(), "{bad:?}");
            assert!(check(&Reference::Tag(bad.into())).is_err(), "{bad:?}");
        }
        for bad in [
            "",
            "abc",
            "HEAD",
            &"g".repeat(40),
            &"a".repeat(39),
            &"a".repeat(41),
        ] {
            assert!(check(&Reference::Commit(bad.into())).is_err(), "{bad:?}");
        }
        assert!(check(&Reference::Semver("not a range".into())).is_err());
        for good in ["main", "feature/x-1", "release-2.0", "ümlaut"] {
            assert!(check(&Reference::Branch(good.into())).is_ok(), "{good:?}");
        }
    }

    proptest! {
        #[test]
        fn the_picked_version_is_in_range_and_none_is_higher(versions in prop::collection::vec((0u64..4, 0u64..4, 0u64..4), 1..20), low in 0u64..4) {
            let names: Vec<String> = versions.iter().map(|(a, b, c)| format!("v{a}.{b}.{c}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let best = versions.iter().filter(|v| v.0 >= low).max().map(|(a, b, c)| format!("v{a}.{b}.{c}"));
            prop_assert_eq!(pick(&names, &format!(">={low}.0.0")), best);
        }
    }
}
