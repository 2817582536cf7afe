//! `driftline run`: puts the parts together, and takes them apart in order.

use std::sync::Arc;
use std::time::Duration;

use cluster::Account;
use cluster::access::{Access, AccessOptions};
use cluster::discovery::{CatalogKeeper, KeeperOptions};
use cluster::dry_run::{DryRunOptions, ExpectedAsker};
use cluster::guard::{Guard, GuardOptions};
use cluster::index::Index;
use cluster::openapi::Schemas;
use cluster::trigger::Trigger;
use cluster::watch::WatchOptions;
use declared::{LocalOptions, LocalWorker, Worker};
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::blame::{self, Blames};
use crate::converge;
use crate::deliver;
use crate::engine::Engine;
use crate::events::Events;
use crate::http;
use crate::leader::{Elector, LeaseClock};
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::options::RunOptions;
use crate::records::Records;
use crate::registry::Registry;
use crate::sources::Sources;
use crate::status::Statuses;
use crate::turns::Turns;
use crate::watches::{Watches, follow_catalog};
use crate::workloads::Workloads;
use crate::{exceptions, healers, policies, preview, questions, stamps, undeclared};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs until SIGTERM or SIGINT.
pub fn run(mut options: Box<RunOptions>) -> Result<(), Failure> {
    let identity = options.identity.clone().unwrap_or_else(default_identity);
    options.identity = Some(identity);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let result = runtime.block_on(operate(*options));
    runtime.shutdown_timeout(Duration::from_secs(5));
    result
}

fn default_identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}_{}", host.trim(), std::process::id())
}

async fn operate(options: RunOptions) -> Result<(), Failure> {
    let (client, watch_client) = clients().await?;
    let (worker, _local, _folder) = worker(&options).await?;
    let info = worker.ping().await?;
    for missing in info.missing() {
        tracing::warn!("this kernel lacks {missing}");
    }
    let watch_options = WatchOptions::default();
    let catalog = CatalogKeeper::start(
        watch_client.clone(),
        KeeperOptions {
            watch: watch_options.clone(),
            ..KeeperOptions::default()
        },
    )
    .await?;
    let rights = Arc::new(cluster::trigger::rbac(&watch_client, &watch_options));
    let metrics = Metrics::new();
    let (lead, leading) = watch::channel(false);
    let sources = Sources::new(
        worker.clone(),
        Arc::clone(&metrics),
        options.allow_file_urls,
    );
    let engine = Arc::new(Engine {
        pending: Default::default(),
        leaving: Default::default(),
        beyond: Default::default(),
        memory: Memory::default(),
        converging: Default::default(),
        delivering: Default::default(),
        previews: Default::default(),
        index: Arc::new(Index::new()),
        catalog,
        schemas: Schemas::new(client.clone()),
        access: Access::start(
            client.clone(),
            Arc::clone(&rights),
            AccessOptions::default(),
        ),
        worker,
        worker_info: info,
        sources,
        watches: Watches::default(),
        watch_options,
        registry: Registry::default(),
        metrics,
        blames: Blames::default(),
        workloads: Workloads::default(),
        renders: Turns::new(crate::options::RENDERS, crate::options::RENDERS - 1),
        leading,
        lease: LeaseClock::default(),
        exceptions: Default::default(),
        client,
        watch_client,
        options,
    });
    let guard = (ask_expected(&engine, &rights), stamps::keep(&engine));
    let (stop, stopped) = watch::channel(false);
    let election = elect(&engine, lead, stopped);
    let records = start(&engine);
    let served = http::Served {
        engine: Arc::clone(&engine),
        records,
    };
    let address = engine.options.listen;
    tokio::select! {
        result = http::serve(address, served) => result.map_err(|e| format!("cannot serve on {address}: {e}; choose another --listen"))?,
        () = terminated() => tracing::info!("stopping"),
    }
    // The lease goes first, so that another replica takes over at once.
    let _ = stop.send(true);
    let _ = tokio::time::timeout(Duration::from_secs(3), election).await;
    drop((guard, rights));
    Ok(())
}

/// A client for calls and one for watches, so that a stuck connection of one does not hold up the other. Neither tries again by
/// itself: it would do so for longer than any deadline here.
async fn clients() -> Result<(Client, Client), Failure> {
    let mut config = kube::Config::infer()
        .await
        .map_err(|e| format!("no cluster: {e}; run in one, or set KUBECONFIG"))?;
    config.default_retry = false;
    Ok((Client::try_from(config.clone())?, Client::try_from(config)?))
}

/// The worker of the pod's second container, or one of our own.
async fn worker(
    options: &RunOptions,
) -> Result<(Worker, Option<LocalWorker>, Option<tempfile::TempDir>), Failure> {
    if let Some(socket) = &options.worker_socket {
        let worker = Worker::at(socket);
        // The containers of a pod start side by side.
        for _ in 0..60 {
            if worker.ping().await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        return Ok((worker, None, None));
    }
    let folder = tempfile::Builder::new().prefix("driftline-").tempdir()?;
    let cache = options
        .worker_cache
        .clone()
        .unwrap_or_else(|| folder.path().join("cache"));
    std::fs::create_dir_all(&cache)?;
    let socket = folder.path().join("worker.sock");
    let mut arguments = vec![
        "worker".into(),
        "--end-with-stdin".into(),
        "--socket".into(),
        socket.clone().into(),
        "--cache".into(),
        cache.into(),
    ];
    for (flag, program) in [
        ("--kustomize", &options.kustomize),
        ("--helm", &options.helm),
    ] {
        if let Some(program) = program {
            arguments.extend([flag.into(), program.into()]);
        }
    }
    let local = LocalOptions {
        program: std::env::current_exe()?,
        arguments,
        socket,
        start_timeout: Duration::from_secs(30),
    };
    let local = LocalWorker::start(local).await?;
    Ok((local.worker(), Some(local), Some(folder)))
}

/// Starts asking for expected objects, and what guards that.
fn ask_expected(engine: &Arc<Engine>, rights: &Arc<Trigger>) -> Guard {
    let account = Account::new(&engine.options.namespace, &engine.options.dry_run_account);
    let options = GuardOptions {
        policy_name: engine.options.guard_policy.clone(),
        watch: engine.watch_options.clone(),
        ..GuardOptions::new(account.clone())
    };
    let guard = Guard::start(engine.watch_client.clone(), Arc::clone(rights), options);
    let asker = ExpectedAsker::new(
        engine.client.clone(),
        account,
        guard.subscribe(),
        DryRunOptions::default(),
    );
    tokio::spawn(questions::answer(
        Arc::clone(engine),
        asker,
        guard.subscribe(),
    ));
    guard
}

fn elect(
    engine: &Arc<Engine>,
    lead: watch::Sender<bool>,
    stopped: watch::Receiver<bool>,
) -> tokio::task::JoinHandle<()> {
    let options = &engine.options;
    let identity = options.identity.clone().unwrap_or_default();
    let elector = Elector::new(
        engine.client.clone(),
        &options.namespace,
        &options.lease_name,
        &identity,
        engine.lease.clone(),
    );
    tokio::spawn(elector.run(lead, stopped))
}

/// Starts the writers and the policies.
fn start(engine: &Arc<Engine>) -> Arc<Records> {
    let events = Events::start(engine);
    let records = Records::new(Arc::clone(engine), events.clone());
    let statuses = Statuses::new(Arc::clone(engine), Arc::clone(&records));
    tokio::spawn(Arc::clone(&records).run());
    tokio::spawn(Arc::clone(&statuses).run());
    tokio::spawn(follow_catalog(Arc::clone(engine)));
    tokio::spawn(blame::run(Arc::clone(engine)));
    tokio::spawn(converge::run(Arc::clone(engine), events.clone()));
    tokio::spawn(deliver::run(Arc::clone(engine), events.clone()));
    tokio::spawn(deliver::leave::run(Arc::clone(engine), events.clone()));
    tokio::spawn(exceptions::run(Arc::clone(engine)));
    tokio::spawn(exceptions::tell(
        Arc::clone(engine),
        Arc::clone(&records),
        events,
    ));
    tokio::spawn(Memory::run(Arc::clone(engine)));
    tokio::spawn(undeclared::run(Arc::clone(engine)));
    tokio::spawn(healers::run(Arc::clone(engine)));
    tokio::spawn(preview::run(Arc::clone(engine)));
    tokio::spawn(policies::run(Arc::clone(engine), statuses));
    records
}

async fn terminated() {
    let stream = |kind| signal(kind).ok();
    let (mut terminate, mut interrupt) = (
        stream(SignalKind::terminate()),
        stream(SignalKind::interrupt()),
    );
    let wait = async |stream: &mut Option<tokio::signal::unix::Signal>| match stream {
        Some(stream) => {
            stream.recv().await;
        }
        None => std::future::pending().await,
    };
    tokio::select! {
        () = wait(&mut terminate) => {}
        () = wait(&mut interrupt) => {}
    }
}
