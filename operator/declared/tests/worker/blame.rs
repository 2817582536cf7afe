//! Who last changed a line: real histories, whole and cut short.

use std::fmt::Write as _;

use declared::{
    Blame, BlameLimits, BlameRequest, DeepenRequest, FetchRequest, LineAt, Reference, Revision,
};
use driftline_e2e::git::{Auth, GitRepo, GitServer, GitServerOptions};

use crate::support::{Repo, TestWorker, What, fetch_of};

const FILE: &str = "deploy/web.yaml";

struct World {
    server: GitServer,
    repo: GitRepo,
    worker: TestWorker,
}

impl World {
    async fn new() -> Self {
        let server = GitServer::start(GitServerOptions {
            auth: Auth::default(),
            tls: false,
        })
        .unwrap();
        let repo = server.create_repo("shop").await.unwrap();
        let worker = TestWorker::start().await;
        Self {
            server,
            repo,
            worker,
        }
    }

    fn request(&self) -> FetchRequest {
        fetch_of(&self.server.url("shop"), Reference::Branch("main".into()))
    }

    /// Commits a file as somebody, an hour after the commit before.
    async fn commit(&self, who: &str, file: &str, text: &str) -> String {
        let path = self.repo.work_tree().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self.commit_all(who).await
    }

    async fn commit_all(&self, who: &str) -> String {
        self.repo.git(["add", "--all"]).await.unwrap();
        let author = format!("--author={who} <{who}@example.com>");
        self.repo
            .git(["commit", "--quiet", "--allow-empty", "-m", "x", &author])
            .await
            .unwrap();
        self.repo
            .git(["push", "--quiet", "--force", "origin", "HEAD"])
            .await
            .unwrap();
        self.repo.head().await.unwrap()
    }

    async fn fetch(&self) -> Revision {
        self.worker.worker.fetch(&self.request()).await.unwrap()
    }

    async fn deepen(&self, revision: &Revision, depth: u32) -> Result<(), declared::Error> {
        let request = DeepenRequest {
            fetch: self.request(),
            commit: revision.commit.clone(),
            depth,
        };
        self.worker.worker.deepen(&request).await
    }

    /// The history down to `depth`, and who wrote the first lines of a file: by name, `?` where not known.
    async fn blamed(&self, depth: u32, file: &str, lines: u32) -> String {
        let revision = self.fetch().await;
        self.deepen(&revision, depth).await.unwrap();
        names(&self.blame(&revision, file, lines).await)
    }

    async fn blame(&self, revision: &Revision, file: &str, lines: u32) -> Blame {
        let request = blame_of(revision, file, lines);
        self.worker.worker.blame(&request).await.unwrap()
    }
}

fn blame_of(revision: &Revision, file: &str, lines: u32) -> BlameRequest {
    BlameRequest {
        repository: revision.repository.clone(),
        commit: revision.commit.clone(),
        lines: (1..=lines)
            .map(|line| LineAt {
                file: file.into(),
                line,
            })
            .collect(),
        limits: BlameLimits::default(),
    }
}

fn names(blame: &Blame) -> String {
    let name = |line: &Option<declared::LineOrigin>| match line {
        Some(line) => line.author.split(' ').next().unwrap_or("").to_owned(),
        None => "?".to_owned(),
    };
    blame.lines.iter().map(name).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn each_line_names_the_commit_that_wrote_it() {
    let world = World::new().await;
    let first = world.commit("ann", FILE, "a: 1\nb: 1\nc: 1\n").await;
    let second = world.commit("bob", FILE, "a: 1\nb: 2\nc: 1\n").await;
    world
        .commit("cid", FILE, "new: 0\na: 1\nb: 2\nc: 1\n")
        .await;
    world.commit("dan", "other.yaml", "x: 1\n").await;
    assert_eq!(world.blamed(50, FILE, 5).await, "cid ann bob ann ?");
    let blame = world.blame(&world.fetch().await, FILE, 4).await;
    let commit = |n: usize| blame.lines[n].as_ref().unwrap().commit.clone();
    assert_eq!((commit(1), commit(2)), (first, second));
    let line = blame.lines[1].as_ref().unwrap();
    assert_eq!(line.author, "ann <ann@example.com>");
    assert_eq!(line.authored_at, 1_767_268_800, "2026-01-01T12:00:00Z");
}

/// The oldest commit of a cut history looks as if it had written everything that is older.
#[tokio::test]
async fn the_last_commit_of_a_cut_history_was_named_for_all_it_inherited() {
    let world = World::new().await;
    world.commit("ann", FILE, "a: 1\nb: 1\nc: 1\n").await;
    world.commit("bob", FILE, "a: 1\nb: 2\nc: 1\n").await;
    world.commit("cid", FILE, "a: 1\nb: 2\nc: 3\n").await;
    let revision = world.fetch().await;
    let blame = world.blame(&revision, FILE, 3).await;
    assert_eq!(
        (names(&blame), blame.shallow),
        ("? ? ?".into(), true),
        "as fetched"
    );
    world.deepen(&revision, 2).await.unwrap();
    let blame = world.blame(&revision, FILE, 3).await;
    assert_eq!((names(&blame), blame.shallow), ("? ? cid".into(), true));
    // The history in the cache stays with its commit; the next one gets its own.
    world.commit("dan", FILE, "a: 4\nb: 2\nc: 3\n").await;
    assert_eq!(world.blamed(3, FILE, 3).await, "dan ? cid");
    world.commit("eve", FILE, "a: 4\nb: 2\nc: 3\nd: 5\n").await;
    let revision = world.fetch().await;
    world.deepen(&revision, 50).await.unwrap();
    let blame = world.blame(&revision, FILE, 4).await;
    assert_eq!(
        (names(&blame), blame.shallow),
        ("dan bob cid eve".into(), false)
    );
}

#[tokio::test]
async fn going_back_to_the_end_of_a_cut_history_fetches_more_of_it() {
    let world = World::new().await;
    world.commit("ann", FILE, "a: 1\nb: 1\nc: 1\n").await;
    let second = world.commit("bob", FILE, "a: 1\nb: 2\nc: 1\n").await;
    world.commit("cid", FILE, "a: 1\nb: 2\nc: 3\n").await;
    assert_eq!(world.blamed(2, FILE, 3).await, "? ? cid");
    world
        .repo
        .git(["push", "-q", "-f", "origin", &format!("{second}:main")])
        .await
        .unwrap();
    let back = world.fetch().await;
    assert_eq!(names(&world.blame(&back, FILE, 3).await), "? ? ?");
    assert_eq!(world.blamed(2, FILE, 3).await, "ann bob ann");
}

#[tokio::test]
async fn history_is_fetched_once_for_a_commit() {
    let world = World::new().await;
    world.commit("ann", FILE, "a: 1\n").await;
    world.commit("bob", FILE, "a: 1\nb: 1\n").await;
    assert_eq!(world.blamed(50, FILE, 2).await, "ann bob");
    let revision = world.fetch().await;
    world.server.forget_requests();
    world.deepen(&revision, 50).await.unwrap();
    assert!(world.server.requests().is_empty());
    // And leaves the copy that is rendered from alone.
    let rendered = world.worker.rendered(&world.server.url("shop"), "").await;
    assert!(rendered.is_ok());
}

#[tokio::test]
async fn a_merge_names_who_wrote_the_line_on_either_side() {
    let world = World::new().await;
    let text = |first: &str, last: &str| format!("a: {first}\nb: 1\nc: 1\nd: 1\ne: {last}\n");
    world.commit("ann", FILE, &text("1", "1")).await;
    world
        .repo
        .git(["checkout", "-q", "-b", "side"])
        .await
        .unwrap();
    world.commit("bob", FILE, &text("2", "1")).await;
    world.repo.git(["checkout", "-q", "main"]).await.unwrap();
    world.commit("cid", FILE, &text("1", "3")).await;
    world
        .repo
        .git(["merge", "-q", "--no-ff", "-m", "merge", "side"])
        .await
        .unwrap();
    world
        .repo
        .git(["push", "-q", "origin", "HEAD"])
        .await
        .unwrap();
    assert_eq!(world.blamed(50, FILE, 5).await, "bob ann ann ann cid");
}

#[tokio::test]
async fn a_line_keeps_its_author_when_its_file_is_renamed() {
    let world = World::new().await;
    world.commit("ann", FILE, "a: 1\nb: 1\nc: 1\nd: 1\n").await;
    let moved = ["mv", FILE, "deploy/moved.yaml"];
    world.repo.git(moved).await.unwrap();
    world.commit_all("bob").await;
    assert_eq!(
        world.blamed(50, "deploy/moved.yaml", 4).await,
        "ann ann ann ann"
    );
    // Renamed and changed at once, into another folder.
    std::fs::create_dir_all(world.repo.work_tree().join("base")).unwrap();
    let moved = ["mv", "deploy/moved.yaml", "base/moved.yaml"];
    world.repo.git(moved).await.unwrap();
    world
        .commit("cid", "base/moved.yaml", "a: 1\nb: 2\nc: 1\nd: 1\n")
        .await;
    assert_eq!(
        world.blamed(50, "base/moved.yaml", 4).await,
        "ann cid ann ann"
    );
    // A file that has little in common with the one that went is a new one.
    world
        .repo
        .git(["rm", "-q", "base/moved.yaml"])
        .await
        .unwrap();
    world
        .commit("dan", "base/new.yaml", "a: 1\nx: 2\ny: 1\nz: 1\n")
        .await;
    assert_eq!(world.blamed(50, "base/new.yaml", 2).await, "dan dan");
}

#[tokio::test]
async fn a_name_that_looks_like_a_pattern_is_a_name() {
    let world = World::new().await;
    world.commit("ann", "a[1]*.yaml", "a: 1\nb: 1\n").await;
    world.commit("bob", "a1.yaml", "a: 1\nb: 1\n").await;
    world.commit("cid", "a[1]*.yaml", "a: 1\nb: 2\n").await;
    assert_eq!(world.blamed(50, "a[1]*.yaml", 2).await, "ann cid");
    assert_eq!(world.blamed(50, "../a1.yaml", 1).await, "?");
    assert_eq!(world.blamed(50, "", 1).await, "?");
}

#[tokio::test]
async fn line_ends_of_windows_count_and_lone_carriage_returns_are_not_guessed_at() {
    let world = World::new().await;
    world.commit("ann", FILE, "a: 1\r\nb: 1\r\nc: 1\r\n").await;
    world.commit("bob", FILE, "a: 1\r\nb: 2\r\nc: 1\r\n").await;
    assert_eq!(world.blamed(50, FILE, 3).await, "ann bob ann");
    // As `git blame` has it: who changed all line ends wrote all lines.
    world.commit("cid", FILE, "a: 1\nb: 2\nc: 1\n").await;
    assert_eq!(world.blamed(50, FILE, 3).await, "cid cid cid");
    world.commit("dan", FILE, "a: 1\rb: 2\nc: 1\n").await;
    assert_eq!(world.blamed(50, FILE, 2).await, "? ?");
}

#[tokio::test]
async fn a_force_push_takes_the_authors_of_the_old_history_away() {
    let world = World::new().await;
    let base = world.commit("ann", FILE, "a: 1\nb: 1\n").await;
    world.commit("bob", FILE, "a: 2\nb: 1\n").await;
    assert_eq!(world.blamed(50, FILE, 2).await, "bob ann");
    let old = world.fetch().await;
    world
        .repo
        .git(["reset", "-q", "--hard", &base])
        .await
        .unwrap();
    world.commit("cid", FILE, "a: 3\nb: 1\n").await;
    assert_eq!(world.blamed(50, FILE, 2).await, "cid ann");
    // What still runs from the old commit is told from what was fetched of it.
    assert_eq!(names(&world.blame(&old, FILE, 2).await), "bob ann");
}

#[tokio::test]
async fn a_history_that_was_pushed_away_before_it_was_asked_for_is_unknown() {
    let world = World::new().await;
    let none = ["config", "uploadpack.allowAnySHA1InWant", "false"];
    let base = world.commit("ann", FILE, "a: 1\nb: 1\n").await;
    world.commit("bob", FILE, "a: 2\nb: 1\n").await;
    let bare = world.repo.path().display().to_string();
    let git_dir = format!("--git-dir={bare}");
    let configure = std::iter::once(git_dir.as_str()).chain(none);
    world.repo.git(configure).await.unwrap();
    let old = world.fetch().await;
    world
        .repo
        .git(["reset", "-q", "--hard", &base])
        .await
        .unwrap();
    world.commit("cid", FILE, "a: 3\nb: 1\n").await;
    let error = world.deepen(&old, 50).await.unwrap_err();
    assert!(error.to_string().contains("cannot be had"), "{error}");
    assert_eq!(names(&world.blame(&old, FILE, 2).await), "? ?");
    // A server that hands out nothing but its branches is no obstacle otherwise.
    assert_eq!(world.blamed(50, FILE, 2).await, "cid ann");
}

#[tokio::test]
async fn a_whole_copy_needs_no_deepening() {
    let repo = Repo::new();
    repo.commit([(FILE, What::File("a: 1\nb: 1\n"))]);
    let second = repo.commit([(FILE, What::File("a: 1\nb: 2\n"))]);
    let worker = TestWorker::start().await;
    let revision = worker.fetch(&repo.url()).await.unwrap();
    let blame = worker
        .worker
        .blame(&blame_of(&revision, FILE, 2))
        .await
        .unwrap();
    assert!(!blame.shallow);
    assert_ne!(blame.lines[0].as_ref().unwrap().commit, second);
    assert_eq!(blame.lines[1].as_ref().unwrap().commit, second);
    let request = DeepenRequest {
        fetch: fetch_of(&repo.url(), Reference::Branch("main".into())),
        commit: revision.commit.clone(),
        depth: 50,
    };
    worker.worker.deepen(&request).await.unwrap();
}

#[tokio::test]
async fn what_is_too_large_or_too_long_ago_is_unknown_and_harms_nothing_else() {
    let mut huge = String::new();
    for n in 0..200_000 {
        writeln!(huge, "k{n}: value").unwrap();
    }
    let repo = Repo::new();
    repo.commit([
        ("huge.yaml", What::File(&huge)),
        ("small.yaml", What::File("a: 1\n")),
    ]);
    for n in 0..30 {
        let other = format!("x: {n}\n");
        repo.commit([
            ("huge.yaml", What::File(&format!("{huge}last: {n}\n"))),
            ("small.yaml", What::File("a: 1\n")),
            ("other.yaml", What::File(&other)),
        ]);
    }
    let worker = TestWorker::start().await;
    let revision = worker.fetch(&repo.url()).await.unwrap();
    let mut request = blame_of(&revision, "huge.yaml", 2);
    for file in ["small.yaml", "other.yaml"] {
        let file = file.to_owned();
        request.lines.push(LineAt { file, line: 1 });
    }
    let blame = worker.worker.blame(&request).await.unwrap();
    assert_eq!(names(&blame), "? ? Ann Ann");
    request.limits.commits = 10;
    let blame = worker.worker.blame(&request).await.unwrap();
    assert_eq!(names(&blame), "? ? ? Ann");
    request.lines = vec![request.lines[0].clone(); BlameRequest::MOST + 1];
    assert!(worker.worker.blame(&request).await.is_err());
}

#[tokio::test]
async fn a_commit_that_is_not_in_the_cache_is_asked_for_again() {
    let repo = Repo::with(&[(FILE, "a: 1\n")]);
    let worker = TestWorker::start().await;
    let mut revision = worker.fetch(&repo.url()).await.unwrap();
    revision.commit = "1234567890123456789012345678901234567890".into();
    let error = worker
        .worker
        .blame(&blame_of(&revision, FILE, 1))
        .await
        .unwrap_err();
    assert!(error.is_retryable(), "{error}");
}
