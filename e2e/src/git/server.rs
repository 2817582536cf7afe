//! The HTTP server: who may come in, what goes wrong on purpose, what was asked.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use http::{StatusCode, header};
use tokio::sync::oneshot;

use super::backend;
use super::repo::GitRepo;
use crate::error::{IoContext, Result};
use crate::ports;
use crate::tls::{Tls, TlsListener};

/// The largest request body that is taken, for pushes by tests.
const BODY_LIMIT: usize = 256 << 20;

/// What a client has to show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Auth {
    /// Nothing.
    #[default]
    Open,
    /// A user name and a password.
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: String,
    },
    /// A token, in an `Authorization: Bearer` header.
    Bearer(String),
}

impl Auth {
    fn expected(&self) -> Option<String> {
        match self {
            Self::Open => None,
            Self::Basic { username, password } => Some(format!(
                "Basic {}",
                STANDARD.encode(format!("{username}:{password}"))
            )),
            Self::Bearer(token) => Some(format!("Bearer {token}")),
        }
    }
}

/// What goes wrong on purpose, for every request until it is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection is accepted and no answer ever comes.
    Hang,
    /// The answer begins to come and then trickles: so many bytes, then a pause.
    Drip {
        /// Bytes at a time.
        bytes: usize,
        /// The time between them.
        pause: Duration,
    },
    /// This status, with an empty body.
    Status(u16),
    /// A redirect to this base URL, with the request's path and query after it.
    Redirect(String),
    /// The answer breaks off after so many bytes.
    CutOff(usize),
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The query.
    pub query: String,
    /// The whole `Authorization` header.
    pub authorization: Option<String>,
    /// What the server answered, before any fault in the body.
    pub status: Option<u16>,
}

/// How a [`GitServer`] starts.
#[derive(Debug, Clone, Default)]
pub struct GitServerOptions {
    /// What a client has to show.
    pub auth: Auth,
    /// Whether it speaks TLS, under a certificate authority of its own.
    pub tls: bool,
}

/// A Git server with any number of repositories, on a free port of 127.0.0.1.
///
/// It runs on a thread and runtime of its own, so that it can be shared between
/// tests, and so that stopping it cuts every connection. Repositories live in a
/// temporary directory that goes with it.
pub struct GitServer {
    root: tempfile::TempDir,
    address: SocketAddr,
    tls: Option<Tls>,
    shared: Arc<Shared>,
    running: Option<Running>,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

struct Shared {
    root: PathBuf,
    state: Mutex<Switches>,
}

#[derive(Default)]
struct Switches {
    auth: Auth,
    fault: Option<Fault>,
    requests: Vec<Request>,
}

impl GitServer {
    /// Starts a server without repositories.
    ///
    /// # Errors
    /// If no port can be bound.
    pub fn start(options: GitServerOptions) -> Result<Self> {
        let root = tempfile::Builder::new()
            .prefix("driftline-git-")
            .tempdir()
            .doing("creating a directory in", std::env::temp_dir())?;
        let tls = options.tls.then(Tls::new).transpose()?;
        let listener = ports::bind()?;
        let address = listener.local_addr().doing("binding", "127.0.0.1")?;
        let shared = Arc::new(Shared {
            root: root.path().to_owned(),
            state: Mutex::new(Switches {
                auth: options.auth,
                ..Switches::default()
            }),
        });
        let mut server = Self {
            root,
            address,
            tls,
            shared,
            running: None,
        };
        server.run(listener)?;
        Ok(server)
    }

    /// Makes an empty repository.
    ///
    /// # Errors
    /// If git is not installed.
    pub async fn create_repo(&self, name: &str) -> Result<GitRepo> {
        GitRepo::create(self.root.path(), name).await
    }

    /// The directory with the bare repositories, for a server of another kind.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The URL of a repository, without credentials.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("{}/{name}.git", self.base_url())
    }

    /// The URL under which all repositories lie.
    #[must_use]
    pub fn base_url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The certificate of the authority that vouches for the server.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.tls.as_ref().map(|tls| tls.ca_pem.as_str())
    }

    /// Changes what a client has to show.
    pub fn set_auth(&self, auth: Auth) {
        self.shared.switches().auth = auth;
    }

    /// Sets what goes wrong from now on.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.shared.switches().fault = fault;
    }

    /// Everything that was asked since the start or [`GitServer::forget_requests`].
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.switches().requests.clone()
    }

    /// Empties the list of requests.
    pub fn forget_requests(&self) {
        self.shared.switches().requests.clear();
    }

    /// Stops the server and cuts all its connections. The repositories stay.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            // The other end is gone only if the thread has ended already.
            let _ = running.stop.send(());
            let _ = running.thread.join();
        }
    }

    /// Starts a stopped server on the port it had.
    ///
    /// # Errors
    /// If the port has been taken.
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.address.port()))
            .doing("binding again", self.address.to_string())?;
        self.run(listener)
    }

    fn run(&mut self, listener: TcpListener) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .doing("making a runtime for", "the Git server")?;
        listener
            .set_nonblocking(true)
            .doing("listening on", self.address.to_string())?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener)
                .doing("listening on", self.address.to_string())?
        };
        let router = axum::Router::new()
            .fallback(handle)
            .with_state(Arc::clone(&self.shared));
        let tls = self.tls.clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("git-server".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let serve = async {
                        // Neither returns: accepting goes on whatever happens to a connection.
                        let _ = match tls {
                            Some(tls) => axum::serve(TlsListener { listener, tls }, router).await,
                            None => axum::serve(listener, router).await,
                        };
                    };
                    tokio::select! {
                        () = serve => {}
                        _ = stopped => {}
                    }
                });
                // Connections have tasks of their own, which end with the runtime.
                runtime.shutdown_background();
            })
            .doing("starting a thread for", "the Git server")?;
        self.running = Some(Running { stop, thread });
        Ok(())
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl std::fmt::Debug for GitServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GitServer")
            .field("url", &self.base_url())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn switches(&self) -> std::sync::MutexGuard<'_, Switches> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn handle(State(shared): State<Arc<Shared>>, request: http::Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let authorization = parts
        .headers
        .get(header::AUTHORIZATION)
        .map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    let (index, expected, fault) = {
        let mut switches = shared.switches();
        switches.requests.push(Request {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            authorization: authorization.clone(),
            status: None,
        });
        (
            switches.requests.len() - 1,
            switches.auth.expected(),
            switches.fault.clone(),
        )
    };

    let response = match fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Status(code)) => StatusCode::from_u16(code)
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            .into_response(),
        Some(Fault::Redirect(base)) => {
            let rest = parts.uri.path_and_query().map_or("/", |p| p.as_str());
            (
                StatusCode::FOUND,
                [(header::LOCATION, format!("{base}{rest}"))],
            )
                .into_response()
        }
        _ if expected.is_some() && authorization != expected => refuse(expected.as_deref()),
        fault => {
            let answered = match axum::body::to_bytes(body, BODY_LIMIT).await {
                Ok(body) => backend::answer(&shared.root, &parts, body).await,
                Err(error) => Err(std::io::Error::other(error)),
            };
            let response = answered.unwrap_or_else(|error| {
                (StatusCode::BAD_GATEWAY, error.to_string()).into_response()
            });
            spoil(response, fault)
        }
    };
    if let Some(logged) = shared.switches().requests.get_mut(index) {
        logged.status = Some(response.status().as_u16());
    }
    response
}

fn refuse(expected: Option<&str>) -> Response {
    let challenge = match expected {
        Some(e) if e.starts_with("Bearer") => "Bearer realm=\"git\"",
        _ => "Basic realm=\"git\"",
    };
    (
        StatusCode::UNAUTHORIZED,
        [(header::WWW_AUTHENTICATE, challenge)],
    )
        .into_response()
}

/// Applies the faults that let an answer begin.
fn spoil(response: Response, fault: Option<Fault>) -> Response {
    match fault {
        Some(Fault::Drip { bytes, pause }) => response.map(|body| {
            let bytes = bytes.max(1);
            let pieces = body.into_data_stream().flat_map(move |chunk| {
                let pieces: Vec<_> = match chunk {
                    Ok(data) => data
                        .chunks(bytes)
                        .map(|piece| Ok(data.slice_ref(piece)))
                        .collect(),
                    Err(error) => vec![Err(error)],
                };
                futures::stream::iter(pieces)
            });
            Body::from_stream(pieces.then(move |piece| async move {
                tokio::time::sleep(pause).await;
                piece
            }))
        }),
        Some(Fault::CutOff(limit)) => response.map(|body| {
            let cut = body.into_data_stream().scan(limit, |left, chunk| {
                let piece = match chunk {
                    _ if *left == 0 => Err(axum::Error::new(std::io::Error::other("cut off"))),
                    Ok(mut data) => {
                        data.truncate(*left);
                        *left -= data.len();
                        Ok(data)
                    }
                    error => error,
                };
                std::future::ready(Some(piece))
            });
            Body::from_stream(cut)
        }),
        _ => response,
    }
}
