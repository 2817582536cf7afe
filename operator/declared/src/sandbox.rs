//! What a job takes away from itself before it looks at anything foreign.
//!
//! Three layers, each of them kept by the programs a job starts: limits of the process, Landlock for files (and TCP, and
//! signals to others), seccomp for sockets. A kernel without one of the last two is reported by
//! [`crate::WorkerInfo`]; the other layers still hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus,
    PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, Scope,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// Read by every program: the loader, its libraries, certificates, time zones, names of hosts.
const SYSTEM_READ: [&str; 15] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/zoneinfo",
    "/usr/share/ca-certificates",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/ld-musl-x86_64.path",
    "/etc/localtime",
    // libgit2 gives up on one that is there and cannot be read.
    "/etc/gitconfig",
    "/dev/urandom",
    "/dev/random",
    "/sys/kernel/mm/transparent_hugepage",
];
/// Read by fetches besides.
const NETWORK_READ: [&str; 9] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
];
/// The program that starts a dynamically linked program.
const LOADERS: [&str; 5] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
];

/// What a job needs.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// Folders and files it reads.
    pub(crate) read: Vec<PathBuf>,
    /// Folders it writes.
    pub(crate) write: Vec<PathBuf>,
    /// Programs it starts.
    pub(crate) execute: Vec<PathBuf>,
    /// Sockets, and the files that go with them.
    pub(crate) network: bool,
    /// Bytes of memory of one process.
    pub(crate) memory_bytes: u64,
    /// Bytes of one file written.
    pub(crate) file_bytes: u64,
    /// Seconds of CPU of one process: the last resort should nobody be left to keep the deadline.
    pub(crate) cpu_seconds: u64,
}

/// What is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InForce {
    pub(crate) landlock_abi: u32,
    pub(crate) seccomp: bool,
}

/// Closes the sandbox around this process and all that it starts.
///
/// # Errors
/// In words: a limit could not be set. A kernel without Landlock or seccomp is no error.
pub(crate) fn enter(needs: &Needs) -> Result<InForce, String> {
    limit(Resource::Core, 0)?;
    limit(Resource::Data, needs.memory_bytes)?;
    limit(Resource::Fsize, needs.file_bytes)?;
    limit(Resource::Nofile, 1024)?;
    limit(Resource::Cpu, needs.cpu_seconds)?;
    let landlock_abi = restrict_files(needs).unwrap_or(0);
    let seccomp = !needs.network && restrict_calls().is_ok();
    Ok(InForce {
        landlock_abi,
        seccomp,
    })
}

fn limit(resource: Resource, value: u64) -> Result<(), String> {
    let before = rustix::process::getrlimit(resource);
    let value = before.maximum.map_or(value, |maximum| value.min(maximum));
    setrlimit(
        resource,
        Rlimit {
            current: Some(value),
            maximum: Some(value),
        },
    )
    .map_err(|e| format!("the limit {resource:?} could not be set: {e}"))
}

fn restrict_files(needs: &Needs) -> Option<u32> {
    let abi = ABI::V6;
    let all = AccessFs::from_all(abi);
    // Running and reading are granted apart: libraries are read, never run.
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = all & !AccessFs::Execute;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)
        .ok()?;
    ruleset = ruleset.scope(Scope::from_all(abi)).ok()?;
    if !needs.network {
        ruleset = ruleset.handle_access(AccessNet::from_all(abi)).ok()?;
    }
    let mut rules = ruleset.create().ok()?;
    let network: &[&str] = if needs.network { &NETWORK_READ } else { &[] };
    for path in SYSTEM_READ
        .iter()
        .chain(network)
        .map(Path::new)
        .chain(needs.read.iter().map(PathBuf::as_path))
    {
        rules = allow(rules, path, read)?;
    }
    rules = allow(
        rules,
        Path::new("/dev/null"),
        AccessFs::ReadFile | AccessFs::WriteFile,
    )?;
    if !needs.execute.is_empty() {
        for path in needs
            .execute
            .iter()
            .map(PathBuf::as_path)
            .chain(LOADERS.iter().map(Path::new))
        {
            rules = allow(rules, path, AccessFs::Execute | AccessFs::ReadFile)?;
        }
    }
    for path in &needs.write {
        rules = allow(rules, path, write)?;
    }
    let status = rules.restrict_self().ok()?;
    match status.landlock {
        LandlockStatus::Available {
            effective_abi,
            kernel_abi,
        } => Some(
            kernel_abi
                .and_then(|v| u32::try_from(v).ok())
                .unwrap_or(effective_abi as u32),
        ),
        _ => None,
    }
}

/// Paths that are not there need no rule.
fn allow(rules: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> Option<RulesetCreated> {
    let Ok(fd) = PathFd::new(path) else {
        return Some(rules);
    };
    let access = if path.is_dir() {
        access
    } else {
        access & AccessFs::from_file(ABI::V6)
    };
    rules.add_rule(PathBeneath::new(fd, access)).ok()
}

/// Refuses every call that opens a socket or reaches into another process; `EPERM`, so that programs can say what failed.
fn restrict_calls() -> Result<(), seccompiler::Error> {
    let denied = [
        libc::SYS_socket,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_accept,
        libc::SYS_accept4,
        // Makes sockets without the call above.
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_getfd,
        libc::SYS_kcmp,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_keyctl,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_unshare,
        libc::SYS_setns,
        // Leaving the process group would outlive the deadline.
        libc::SYS_setsid,
        libc::SYS_setpgid,
    ];
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        denied.into_iter().map(|call| (call, Vec::new())).collect();
    // Pairs of connected Unix sockets lead nowhere, and process start-up uses them.
    let not_unix = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::Ne,
        libc::AF_UNIX as u64,
    )?;
    rules.insert(
        libc::SYS_socketpair,
        vec![SeccompRule::new(vec![not_unix])?],
    );
    let errno = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        errno,
        std::env::consts::ARCH.try_into()?,
    )?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&program)
}
