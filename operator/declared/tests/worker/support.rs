//! A worker of a test's own, and what tests ask it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use declared::{
    Error, FetchLimits, FetchRequest, LocalOptions, LocalWorker, Reference, RenderItem,
    RenderLimits, RenderRequest, RenderSummary, Revision, Worker,
};
use drift::declared::{DeclaredObject, Problem};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_declared-worker");

/// A worker with a cache of its own.
pub(crate) struct TestWorker {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) local: LocalWorker,
    pub(crate) worker: Worker,
}

impl TestWorker {
    pub(crate) async fn start() -> Self {
        Self::with_tools(None, None).await
    }

    pub(crate) async fn with_tools(kustomize: Option<&Path>, helm: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("run/worker.sock");
        let tool =
            |path: Option<&Path>| path.map_or_else(Default::default, |p| p.as_os_str().to_owned());
        let arguments = vec![
            "worker".into(),
            socket.clone().into(),
            folder.path().join("cache").into(),
            tool(kustomize),
            tool(helm),
        ];
        let options = LocalOptions {
            program: PROGRAM.into(),
            arguments,
            socket,
            start_timeout: Duration::from_secs(60),
        };
        let local = LocalWorker::start(options).await.unwrap();
        let worker = local.worker();
        Self {
            folder,
            local,
            worker,
        }
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.folder.path().join("cache/repositories")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("run/worker.sock")
    }

    /// Fetches the branch `main`.
    pub(crate) async fn fetch(&self, url: &str) -> Result<Revision, Error> {
        self.worker
            .fetch(&fetch_of(url, Reference::Branch("main".into())))
            .await
    }

    /// Fetches `main` and renders a path of it.
    pub(crate) async fn rendered(&self, url: &str, path: &str) -> Result<Rendered, Error> {
        let revision = self.fetch(url).await?;
        self.render(&render_of(&revision, path)).await
    }

    pub(crate) async fn render(&self, request: &RenderRequest) -> Result<Rendered, Error> {
        let (mut objects, mut problems) = (Vec::new(), Vec::new());
        let summary = self
            .worker
            .render(request, &mut |item| match item {
                RenderItem::Object(object) => objects.push(object),
                RenderItem::Problem(problem) => problems.push(problem),
            })
            .await?;
        Ok(Rendered {
            objects,
            problems,
            summary,
        })
    }
}

#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) objects: Vec<DeclaredObject>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) summary: RenderSummary,
}

impl Rendered {
    pub(crate) fn names(&self) -> Vec<&str> {
        self.objects.iter().map(|o| o.name().unwrap()).collect()
    }

    pub(crate) fn told(&self) -> Vec<String> {
        self.problems.iter().map(ToString::to_string).collect()
    }
}

pub(crate) fn fetch_of(url: &str, reference: Reference) -> FetchRequest {
    FetchRequest {
        url: url.into(),
        reference,
        credentials: None,
        ca: None,
        timeout: Duration::from_secs(60),
        limits: FetchLimits::default(),
        allow_file: true,
    }
}

pub(crate) fn render_of(revision: &Revision, path: &str) -> RenderRequest {
    RenderRequest {
        repository: revision.repository.clone(),
        commit: revision.commit.clone(),
        path: path.into(),
        namespace: "shop".into(),
        helm: None,
        kube_version: "v1.37.2".into(),
        api_versions: vec!["v1".into(), "apps/v1".into(), "apps/v1/Deployment".into()],
        limits: RenderLimits::default(),
    }
}

/// A repository on disk, filled through libgit2, for trees that git itself would not make.
pub(crate) struct Repo {
    pub(crate) folder: tempfile::TempDir,
    repo: git2::Repository,
}

/// An entry of a tree made by hand.
pub(crate) enum What<'a> {
    File(&'a str),
    Bytes(Vec<u8>),
    Link(&'a str),
    Submodule,
}

impl Repo {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repo = git2::Repository::init_bare(folder.path()).unwrap();
        Self { folder, repo }
    }

    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let repo = Self::new();
        repo.commit(files.iter().map(|(path, text)| (*path, What::File(text))));
        repo
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.folder.path().display())
    }

    /// Commits exactly these files to `main`.
    pub(crate) fn commit<'a>(
        &self,
        files: impl IntoIterator<Item = (&'a str, What<'a>)>,
    ) -> String {
        let mut index = git2::Index::new().unwrap();
        for (path, what) in files {
            let (mode, id) = match what {
                What::File(text) => (0o100_644, self.repo.blob(text.as_bytes()).unwrap()),
                What::Bytes(bytes) => (0o100_644, self.repo.blob(&bytes).unwrap()),
                What::Link(target) => (0o120_000, self.repo.blob(target.as_bytes()).unwrap()),
                What::Submodule => (
                    0o160_000,
                    "1234567890123456789012345678901234567890".parse().unwrap(),
                ),
            };
            let zero = git2::IndexTime::new(0, 0);
            index
                .add(&git2::IndexEntry {
                    ctime: zero,
                    mtime: zero,
                    dev: 0,
                    ino: 0,
                    mode,
                    uid: 0,
                    gid: 0,
                    file_size: 0,
                    id,
                    flags: 0,
                    flags_extended: 0,
                    path: path.into(),
                })
                .unwrap();
        }
        let tree = self
            .repo
            .find_tree(index.write_tree_to(&self.repo).unwrap())
            .unwrap();
        let who =
            git2::Signature::new("Ann", "ann@example.com", &git2::Time::new(1_700_000_000, 0))
                .unwrap();
        let parent = self
            .repo
            .find_reference("refs/heads/main")
            .ok()
            .map(|r| r.peel_to_commit().unwrap());
        let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
        self.repo
            .commit(
                Some("refs/heads/main"),
                &who,
                &who,
                "a change\n\nmore",
                &tree,
                &parents,
            )
            .unwrap()
            .to_string()
    }
}

pub(crate) fn config_map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  key: value\n")
}
