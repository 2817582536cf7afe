//! Who last changed a line: each line is followed through history to the commit that wrote it.
//!
//! Not libgit2's own blame: that takes paths for patterns, so that a file named `a[1].yaml` is blamed on the wrong commit, and
//! knows neither a limit nor where a shallow history ends.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Instant;

use git2::{Commit, Delta, DiffOptions, ObjectType, Oid, Patch, Repository, Tree};

use super::fetch::{HISTORY, REPOSITORY};
use super::refs;
use crate::error::{Error, one_line};
use crate::request::{Blame, BlameRequest, LineOrigin};

/// Deleted files that are compared with one that appeared, when looking for the name it had before.
const RENAME_CANDIDATES: usize = 64;
/// Of a file's lines, how many percent must be found again in one under another name.
const RENAME_PERCENT: usize = 60;

/// Answers for each line of the request; what the limits or the end of a shallow history hide stays unknown.
///
/// # Errors
/// A retryable `NotFound` if the commit is not in the cache any more.
pub(crate) fn blame(
    request: &BlameRequest,
    entry: &Path,
    deadline: Instant,
) -> Result<Blame, Error> {
    let gone = || Error::NotFound {
        at: format!("commit {}", one_line(&request.commit, 40)),
        what: "is not in the worker's cache: it is fetched again".into(),
        retry: true,
    };
    let id = refs::commit_id(&request.commit).ok_or_else(gone)?;
    let repo = with_most_history(entry, id).ok_or_else(gone)?;
    let mut walk = Walk {
        repo: &repo,
        file_bytes: request.limits.file_bytes,
        open: BTreeMap::new(),
        found: vec![Found::Unknown; request.lines.len()],
        renames: HashMap::new(),
    };
    walk.begin(id, request);
    // What is damaged or too much leaves lines unknown, nothing worse.
    let _ = walk.run(request.limits.commits, deadline);
    let shallow = walk.found.iter().any(|f| matches!(f, Found::Hidden));
    Ok(Blame {
        lines: walk.found.iter().map(|f| f.origin(&repo)).collect(),
        shallow,
    })
}

/// The copy that holds the commit and most of what came before it.
fn with_most_history(entry: &Path, id: Oid) -> Option<Repository> {
    let open = |name| {
        let repo = Repository::open_bare(entry.join(name)).ok()?;
        let has = repo.find_commit(id).is_ok();
        has.then_some(repo)
    };
    match open(REPOSITORY) {
        Some(repo) if !repo.is_shallow() => Some(repo),
        shallow => open(HISTORY).or(shallow),
    }
}

/// True where parents of a commit were left out: it then seems to have written all that it only inherited. By the commit's own
/// words, because the list of such commits changes while a fetch is under way.
pub(super) fn is_cut(commit: &Commit<'_>) -> bool {
    let header = commit.raw_header_bytes();
    let named = header.split(|b| *b == b'\n');
    named.filter(|line| line.starts_with(b"parent ")).count() > commit.parents().count()
}

/// What is known of a line that was asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Unknown,
    /// Older than the history that is here.
    Hidden,
    By(Oid),
}

impl Found {
    fn origin(self, repo: &Repository) -> Option<LineOrigin> {
        let Found::By(id) = self else { return None };
        let commit = repo.find_commit(id).ok()?;
        Some(LineOrigin {
            commit: id.to_string(),
            author: super::fetch::author(&commit),
            authored_at: commit.author().when().seconds(),
        })
    }
}

/// A line that is followed: which answer it is, and its number in the file as of the commit looked at.
type Followed = (usize, u32);

/// Commits to be looked at, the newest first, each with its files and their lines.
type Open = BTreeMap<(i64, Oid), BTreeMap<String, Vec<Followed>>>;

struct Walk<'r> {
    repo: &'r Repository,
    file_bytes: u64,
    open: Open,
    found: Vec<Found>,
    /// What disappeared between two commits.
    renames: HashMap<(Oid, Oid), Vec<(String, Oid)>>,
}

impl<'r> Walk<'r> {
    fn begin(&mut self, id: Oid, request: &BlameRequest) {
        let Ok(commit) = self.repo.find_commit(id) else {
            return;
        };
        let mut files: BTreeMap<String, Vec<Followed>> = BTreeMap::new();
        for (index, line) in request.lines.iter().enumerate() {
            files
                .entry(line.file.clone())
                .or_default()
                .push((index, line.line));
        }
        let Ok(tree) = commit.tree() else { return };
        for (file, mut lines) in files {
            let count = blob_at(&tree, &file)
                .and_then(|blob| self.read(blob))
                .map_or(0, |text| lines_as_git_counts(&text));
            lines.retain(|(_, line)| *line >= 1 && *line <= count);
            self.hand(&commit, file, lines);
        }
    }

    fn hand(&mut self, commit: &Commit<'_>, file: String, lines: Vec<Followed>) {
        if !lines.is_empty() {
            self.open
                .entry((commit.time().seconds(), commit.id()))
                .or_default()
                .entry(file)
                .or_default()
                .extend(lines);
        }
    }

    fn run(&mut self, commits: u64, deadline: Instant) -> Result<(), git2::Error> {
        for _ in 0..commits {
            let Some(((_, id), files)) = self.open.pop_last() else {
                break;
            };
            if Instant::now() > deadline {
                break;
            }
            let commit = self.repo.find_commit(id)?;
            let parents: Vec<Commit<'r>> = commit.parents().collect();
            let cut = is_cut(&commit);
            for (file, mut lines) in files {
                if cut {
                    lines
                        .iter()
                        .for_each(|(index, _)| self.found[*index] = Found::Hidden);
                    continue;
                }
                self.pass_on(&commit, &parents, &file, &mut lines)?;
                for (index, _) in lines {
                    self.found[index] = Found::By(id);
                }
            }
        }
        Ok(())
    }

    /// Hands on to the parents the lines that they have; those that stay are this commit's.
    fn pass_on(
        &mut self,
        commit: &Commit<'r>,
        parents: &[Commit<'r>],
        file: &str,
        lines: &mut Vec<Followed>,
    ) -> Result<(), git2::Error> {
        let tree = commit.tree()?;
        let Some(blob) = blob_at(&tree, file) else {
            return Ok(());
        };
        let mut counterparts = Vec::new();
        for parent in parents {
            let before = parent.tree()?;
            let same_name = blob_at(&before, file).map(|id| (file.to_owned(), id));
            let counterpart = match same_name {
                Some(found) => Some(found),
                None => self.renamed(&before, &tree, file, blob)?,
            };
            if let Some((name, id)) = counterpart {
                if id == blob {
                    self.hand(parent, name, std::mem::take(lines));
                    return Ok(());
                }
                counterparts.push((parent, name, id));
            }
        }
        let Some(text) = self.read(blob) else {
            lines.clear();
            return Ok(());
        };
        for (parent, name, id) in counterparts {
            let Some(before) = self.read(id) else {
                // Too large to compare: nothing can be said of these lines any more.
                lines.clear();
                return Ok(());
            };
            let changes = changes(&before, &text)?;
            let mut kept = Vec::new();
            lines.retain(|(index, line)| match line_before(&changes, *line) {
                Some(line) => {
                    kept.push((*index, line));
                    false
                }
                None => true,
            });
            self.hand(parent, name, kept);
        }
        Ok(())
    }

    /// The name under which a file that is not in `before` was there: one that disappeared and held the same, or most of it.
    fn renamed(
        &mut self,
        before: &Tree<'r>,
        after: &Tree<'r>,
        file: &str,
        blob: Oid,
    ) -> Result<Option<(String, Oid)>, git2::Error> {
        let pair = (before.id(), after.id());
        if !self.renames.contains_key(&pair) {
            let gone = disappeared(self.repo, before, after)?;
            self.renames.insert(pair, gone);
        }
        let gone = self.renames.get(&pair).map_or(&[][..], Vec::as_slice);
        if let Some(same) = gone.iter().find(|(_, id)| *id == blob) {
            return Ok(Some(same.clone()));
        }
        let Some(text) = self.read(blob) else {
            return Ok(None);
        };
        let own_name = base_name(file);
        let mut candidates: Vec<&(String, Oid)> = gone.iter().collect();
        candidates.sort_by_key(|(name, _)| base_name(name) != own_name);
        let mut best: Option<(usize, &(String, Oid))> = None;
        for candidate in candidates.into_iter().take(RENAME_CANDIDATES) {
            let Some(other) = self.read(candidate.1) else {
                continue;
            };
            let score = likeness(&other, &text)?;
            if score >= RENAME_PERCENT && best.is_none_or(|(most, _)| score > most) {
                best = Some((score, candidate));
            }
        }
        Ok(best.map(|(_, found)| found.clone()))
    }

    /// A file's bytes, unless they are more than the limit.
    fn read(&self, blob: Oid) -> Option<Vec<u8>> {
        let (size, _) = self.repo.odb().ok()?.read_header(blob).ok()?;
        if size as u64 > self.file_bytes {
            return None;
        }
        Some(self.repo.find_blob(blob).ok()?.content().to_vec())
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A regular file of a tree.
fn blob_at(tree: &Tree<'_>, path: &str) -> Option<Oid> {
    let entry = tree.get_path(Path::new(path)).ok()?;
    let regular =
        entry.kind() == Some(ObjectType::Blob) && entry.filemode() & 0o170_000 == 0o100_000;
    regular.then(|| entry.id())
}

/// How many lines a file has; none where YAML counts them in another way than Git does: YAML takes a carriage return alone
/// for the end of a line.
fn lines_as_git_counts(text: &[u8]) -> u32 {
    let alone = |pair: &[u8]| pair[0] == b'\r' && pair[1] != b'\n';
    if text.last() == Some(&b'\r') || text.windows(2).any(alone) {
        return 0;
    }
    u32::try_from(text.split_inclusive(|b| *b == b'\n').count()).unwrap_or(u32::MAX)
}

fn disappeared(
    repo: &Repository,
    before: &Tree<'_>,
    after: &Tree<'_>,
) -> Result<Vec<(String, Oid)>, git2::Error> {
    let mut options = DiffOptions::new();
    options.skip_binary_check(true);
    let diff = repo.diff_tree_to_tree(Some(before), Some(after), Some(&mut options))?;
    let gone = diff.deltas().filter(|d| d.status() == Delta::Deleted);
    Ok(gone
        .filter_map(|d| {
            let file = d.old_file();
            Some((file.path()?.to_str()?.to_owned(), file.id()))
        })
        .collect())
}

/// A change between two texts: the lines it takes of the newer one, and how many it takes of the older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hunk {
    old_lines: u32,
    new_start: u32,
    new_lines: u32,
}

fn changes(before: &[u8], after: &[u8]) -> Result<Vec<Hunk>, git2::Error> {
    let mut options = DiffOptions::new();
    options.context_lines(0).interhunk_lines(0).force_text(true);
    let patch = Patch::from_buffers(before, None, after, None, Some(&mut options))?;
    (0..patch.num_hunks())
        .map(|n| {
            let (hunk, _) = patch.hunk(n)?;
            Ok(Hunk {
                old_lines: hunk.old_lines(),
                new_start: hunk.new_start(),
                new_lines: hunk.new_lines(),
            })
        })
        .collect()
}

/// The number that a line had before; `None` if it is new.
fn line_before(changes: &[Hunk], line: u32) -> Option<u32> {
    let mut moved = i64::from(line);
    for hunk in changes {
        // A hunk that only takes away names the line after which it did.
        let end = hunk.new_start + hunk.new_lines.max(1) - 1;
        if hunk.new_lines > 0 && (hunk.new_start..=end).contains(&line) {
            return None;
        }
        if end < line {
            moved += i64::from(hunk.old_lines) - i64::from(hunk.new_lines);
        }
    }
    u32::try_from(moved).ok()
}

/// Of the longer text's lines, how many percent the two have in common.
fn likeness(before: &[u8], after: &[u8]) -> Result<usize, git2::Error> {
    let count = |text: &[u8]| text.split_inclusive(|b| *b == b'\n').count();
    let (old, new) = (count(before), count(after));
    if old.max(new) == 0 || old.min(new) * 100 < old.max(new) * RENAME_PERCENT {
        return Ok(0);
    }
    let added: usize = changes(before, after)?
        .iter()
        .map(|h| usize::try_from(h.new_lines).unwrap_or(usize::MAX))
        .fold(0, usize::saturating_add);
    Ok(new.saturating_sub(added) * 100 / old.max(new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_move_with_what_is_added_and_taken_away_above_them() {
        let changes = changes(b"a\nb\nc\nd\ne\n", b"new\na\nc\nD\ne\nf\n").unwrap();
        let before: Vec<Option<u32>> = (1..=6).map(|n| line_before(&changes, n)).collect();
        assert_eq!(before, [None, Some(1), Some(3), None, Some(5), None]);
    }

    #[test]
    fn a_lone_carriage_return_moved_all_lines_below_it() {
        assert_eq!(lines_as_git_counts(b"a: 1\r\nb: 2\r\n"), 2);
        assert_eq!(lines_as_git_counts(b"a: 1\n\nb: 2"), 3);
        assert_eq!(lines_as_git_counts(b"a: 1\rb: 2\n"), 0);
        assert_eq!(lines_as_git_counts(b"a: 1\nb: 2\r"), 0);
    }
}
