//! The operator's side of the socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout_at};

use crate::error::{Category, Error};
use crate::request::{
    Blame, BlameRequest, DeepenRequest, FetchRequest, ListRequest, Listing, ReleaseRequest,
    RenderItem, RenderRequest, RenderSummary, Revision, WorkerInfo,
};
use crate::wire::{REPLY_BYTES, REQUEST_BYTES, Reply, Request};
use crate::worker::QUEUE_WAIT;

/// What the worker may take beyond a job's own deadline: waiting in the queue, starting and ending processes.
const GRACE: Duration = Duration::from_secs(15);

/// A handle on a worker: cheap to clone, connects anew for each request.
#[derive(Debug, Clone)]
pub struct Worker {
    socket: std::sync::Arc<Path>,
}

impl Worker {
    /// The worker that listens on a Unix socket.
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into().into(),
        }
    }

    /// What the worker can do. Asked once and kept by the worker.
    ///
    /// # Errors
    /// `Worker` if it does not answer.
    pub async fn ping(&self) -> Result<WorkerInfo, Error> {
        match self
            .ask(&Request::Ping, Duration::from_secs(60), &mut |_| {})
            .await?
        {
            Reply::Info(info) => Ok(info),
            _ => Err(self.garbled()),
        }
    }

    /// Fetches what a reference names now into the worker's cache.
    ///
    /// # Errors
    /// Every [`Category`]; the message names the URL and the remedy. Dropping the future ends the job.
    pub async fn fetch(&self, request: &FetchRequest) -> Result<Revision, Error> {
        match self
            .ask(
                &Request::Fetch(request.clone()),
                request.timeout,
                &mut |_| {},
            )
            .await?
        {
            Reply::Fetched(revision) => Ok(revision),
            _ => Err(self.garbled()),
        }
    }

    /// The files of a commit.
    ///
    /// # Errors
    /// `Limit` where there are too many; a retryable `NotFound` says that the commit has to be fetched again.
    pub async fn list(&self, request: &ListRequest) -> Result<Listing, Error> {
        let asked = Request::List(request.clone());
        match self
            .ask(&asked, request.limits.timeout, &mut |_| {})
            .await?
        {
            Reply::Listed(listing) => Ok(listing),
            _ => Err(self.garbled()),
        }
    }

    /// Renders a commit and streams what comes out; nothing is kept on this side.
    ///
    /// Items that came before an error are to be thrown away. Dropping the future ends the job.
    ///
    /// # Errors
    /// Every [`Category`]; a retryable `NotFound` says that the commit has to be fetched again.
    pub async fn render(
        &self,
        request: &RenderRequest,
        on_item: &mut (dyn FnMut(RenderItem) + Send),
    ) -> Result<RenderSummary, Error> {
        match self
            .ask(
                &Request::Render(request.clone()),
                request.limits.timeout,
                on_item,
            )
            .await?
        {
            Reply::Rendered(summary) => Ok(summary),
            _ => Err(self.garbled()),
        }
    }

    /// Streams the objects of a release that Helm stored; nothing is kept on this side.
    ///
    /// Items that came before an error are to be thrown away. Dropping the future ends the job.
    ///
    /// # Errors
    /// `Render` and `Limit` for what is not a release as Helm stores it, or too large.
    pub async fn release(
        &self,
        request: &ReleaseRequest,
        on_item: &mut (dyn FnMut(RenderItem) + Send),
    ) -> Result<RenderSummary, Error> {
        let asked = Request::Release(request.clone());
        match self.ask(&asked, request.limits.timeout, on_item).await? {
            Reply::Rendered(summary) => Ok(summary),
            _ => Err(self.garbled()),
        }
    }

    /// Who last changed lines, as far as the history in the cache tells.
    ///
    /// # Errors
    /// Every [`Category`]; a retryable `NotFound` says that the commit has to be fetched again.
    pub async fn blame(&self, request: &BlameRequest) -> Result<Blame, Error> {
        let asked = Request::Blame(request.clone());
        match self
            .ask(&asked, request.limits.timeout, &mut |_| {})
            .await?
        {
            Reply::Blamed(blame) if blame.lines.len() == request.lines.len() => Ok(blame),
            _ => Err(self.garbled()),
        }
    }

    /// Fetches the history of a commit into the worker's cache, for [`Worker::blame`].
    ///
    /// # Errors
    /// Every [`Category`]; the message names the URL and the remedy.
    pub async fn deepen(&self, request: &DeepenRequest) -> Result<(), Error> {
        let asked = Request::Deepen(request.clone());
        match self.ask(&asked, request.fetch.timeout, &mut |_| {}).await? {
            Reply::Deepened => Ok(()),
            _ => Err(self.garbled()),
        }
    }

    async fn ask(
        &self,
        request: &Request,
        timeout: Duration,
        on_item: &mut (dyn FnMut(RenderItem) + Send),
    ) -> Result<Reply, Error> {
        let deadline = Instant::now() + timeout + QUEUE_WAIT + GRACE;
        timeout_at(deadline, self.converse(request, on_item))
            .await
            .unwrap_or_else(|_| {
                Err(self.error(
                    Category::Timeout,
                    "the worker does not answer: see its log, restart it if it hangs",
                ))
            })
    }

    async fn converse(
        &self,
        request: &Request,
        on_item: &mut (dyn FnMut(RenderItem) + Send),
    ) -> Result<Reply, Error> {
        let mut line = serde_json::to_vec(request)
            .map_err(|_| self.error(Category::Input, "the request cannot be written as JSON"))?;
        line.push(b'\n');
        if line.len() > REQUEST_BYTES {
            let what = format!(
                "the request is larger than {} MiB: shorten Helm's inline values",
                REQUEST_BYTES >> 20
            );
            return Err(self.error(Category::Limit, what));
        }
        let gone = |e: std::io::Error| {
            self.error(
                Category::Worker,
                format!("the worker is not reachable ({e}): is it running?"),
            )
        };
        let mut stream = UnixStream::connect(&self.socket).await.map_err(gone)?;
        stream.write_all(&line).await.map_err(gone)?;
        let mut replies = BufReader::with_capacity(64 << 10, stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            (&mut replies)
                .take(REPLY_BYTES as u64)
                .read_until(b'\n', &mut line)
                .await
                .map_err(gone)?;
            if line.last() != Some(&b'\n') {
                return Err(self.error(
                    Category::Worker,
                    "the worker broke off in the middle of an answer: see its log",
                ));
            }
            match serde_json::from_slice(&line) {
                Ok(Reply::Item(item)) => on_item(item),
                Ok(Reply::Failed(error)) => return Err(error),
                Ok(last) => return Ok(last),
                Err(_) => return Err(self.garbled()),
            }
        }
    }

    fn garbled(&self) -> Error {
        self.error(
            Category::Worker,
            "the worker's answer makes no sense: run the same version of operator and worker",
        )
    }

    fn error(&self, category: Category, what: impl Into<String>) -> Error {
        Error::new(category, format!("worker {}", self.socket.display()), what)
    }
}
