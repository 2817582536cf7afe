//! Flags: those of kubectl where kubectl has them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::connect::Cluster;
use crate::paint::When;
use crate::records::Scope;

/// What runs and is not what Git says: an audit that needs nothing installed, and what the operator knows.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-driftline",
    bin_name = "kubectl driftline",
    version,
    about,
    after_help = "Exit codes of everything that compares: 0 in sync, 1 drift, 2 not everything could be checked and no drift is known, 3 an error of use or set-up.\n\nBegin with: kubectl driftline audit --git URL",
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub connection: Connection,
    /// When to colour; NO_COLOR turns it off, too.
    #[arg(long, global = true, value_enum, default_value_t = When::Auto, value_name = "WHEN")]
    pub color: When,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compare Git with a cluster, without anything installed there. Only reads
    Audit(Box<AuditOptions>),
    /// What drifts, as a diff of declared against live
    Diff(Box<DiffOptions>),
    /// Policies: whether they can be believed, and what they found
    Status(StatusOptions),
    /// Drift, as the operator recorded it
    Get(GetOptions),
    /// One record: what, since when, who, where it is declared, what happens next, what you can do
    Explain(ExplainOptions),
    /// Ask the operator to look at a policy now, and wait for what it finds
    Check(CheckOptions),
    /// Where an object comes from: policy, commit, file and deployer
    Trace(TraceOptions),
    /// Drift as it comes and goes
    Watch(WatchOptions),
    /// Write policies for what Argo CD and Flux deploy. Only reads the cluster
    Adopt(AdoptOptions),
    /// Whether the installation works, and what mends what does not
    Doctor(DoctorOptions),
    /// Completion for a shell
    Completion(CompletionOptions),
    /// What could follow on a command line, for kubectl
    #[command(hide = true)]
    Complete {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// A worker that fetches and renders; started by this program
    #[command(hide = true)]
    Worker(WorkerOptions),
    /// One job of a worker; started by it
    #[command(hide = true)]
    WorkerJob,
}

/// How to reach a cluster.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cluster")]
pub struct Connection {
    /// The kubeconfig file. Default: KUBECONFIG, then ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; audit takes several
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Vec<String>,
    /// The cluster of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The user of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,
    /// The namespace. Default: that of the context
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Inside a cluster: as the Pod's service account, whatever kubeconfig there is. Without a kubeconfig that is the default in a Pod
    #[arg(long, global = true, conflicts_with_all = ["kubeconfig", "context", "cluster", "user"])]
    pub in_cluster: bool,
    /// Act as this user
    #[arg(long = "as", global = true, value_name = "USER")]
    pub impersonate: Option<String>,
    /// Act as a member of this group
    #[arg(long = "as-group", global = true, value_name = "GROUP")]
    pub impersonate_groups: Vec<String>,
}

/// Where renderers are.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Rendering")]
pub struct Programs {
    /// The kustomize program; looked for on the PATH if not given
    #[arg(long, value_name = "FILE")]
    pub kustomize: Option<PathBuf>,
    /// The helm program; looked for on the PATH if not given
    #[arg(long, value_name = "FILE")]
    pub helm: Option<PathBuf>,
}

/// What Git declares.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Source")]
pub struct SourceOptions {
    /// A repository's URL, or a folder: of a Git working tree its commit is compared, of any other its files
    #[arg(long, value_name = "URL|DIR")]
    pub git: Vec<String>,
    /// A branch, tag or commit. Default: the default branch, of a folder the commit that is checked out
    #[arg(long = "ref", value_name = "REF")]
    pub reference: Option<String>,
    /// A folder or file below the root (of a folder: below it); * and ** may stand for names. Each match is rendered by
    /// itself: kustomization.yaml by kustomize, Chart.yaml by Helm, else every YAML and JSON file. Default: all
    #[arg(long, value_name = "GLOB")]
    pub path: Vec<String>,
    /// Compare a folder's files as they are, also those that are not committed
    #[arg(long)]
    pub worktree: bool,
    /// A private key for Git over ssh. Default: ~/.ssh/id_ed25519, id_ecdsa, id_rsa
    #[arg(long, value_name = "FILE")]
    pub ssh_key: Option<PathBuf>,
    /// Certificates that are trusted for Git over https instead of the system's
    #[arg(long, value_name = "FILE")]
    pub git_ca: Option<PathBuf>,
    /// The release's name where a chart is rendered. Default: the folder's name
    #[arg(long, value_name = "NAME")]
    pub release_name: Option<String>,
    /// A values file for charts, relative to the chart
    #[arg(long, value_name = "FILE")]
    pub values: Vec<String>,
}

#[derive(Debug, Args)]
#[command(
    mut_arg("git", |git| git.required_unless_present("helm_release")),
    after_help = "Examples:\n  kubectl driftline audit --git https://git.example.com/shop/deploy.git --path deploy/overlays/prod -n shop\n  kubectl driftline audit --git . --worktree\n  kubectl driftline audit --git . --path 'apps/*' --context staging --context prod -o html > audit.html\n\nAn audit only lists and gets, and writes nothing. It exits with 0 where all is in sync, 1 where anything drifts, 2 where\nnothing is known to drift and not everything could be checked, 3 where it could not be done."
)]
pub struct AuditOptions {
    #[command(flatten)]
    pub source: SourceOptions,
    /// A Helm release as NAMESPACE/NAME, compared with the manifest that Helm keeps of it; needs no repository
    #[arg(long, value_name = "RELEASE", help_heading = "Source")]
    pub helm_release: Vec<String>,
    #[command(flatten)]
    pub programs: Programs,
    /// How the report is written
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    pub output: ReportFormat,
    /// Leave out what is live beyond what is declared (sidecars, labels added by hand)
    #[arg(long)]
    pub ignore_undeclared: bool,
    /// Do not read live Secrets. Their values are never shown; this leaves them unchecked
    #[arg(long)]
    pub skip_secrets: bool,
    /// Do not look for the commits that wrote the lines
    #[arg(long)]
    pub no_blame: bool,
}

#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  kubectl driftline diff ./deploy -n shop               # a folder, as its files are\n  kubectl driftline diff --git URL --path deploy        # a repository\n  kubectl driftline diff deployment/web -n shop         # of what the operator recorded\n  kubectl driftline diff --policy shop --target app     # the same of a policy or one of its targets\n\nKUBECTL_EXTERNAL_DIFF names a program that is given two folders instead, as for kubectl diff. Exit codes are those of audit; what an\nexception allows or a hold keeps is shown, and is no drift."
)]
pub struct DiffOptions {
    /// An object; or a folder or file, as ./FOLDER. All that drift if not given
    #[arg(value_name = "KIND/NAME|FOLDER")]
    pub what: Option<String>,
    /// Show all of what runs, not only what differs
    #[arg(long)]
    pub full: bool,
    /// Of all that this policy declares, as the operator recorded it
    #[arg(long, value_name = "NAME", conflicts_with = "what")]
    pub policy: Option<String>,
    /// Of this target of the policy
    #[arg(long, value_name = "NAME", requires = "policy")]
    pub target: Option<String>,
    #[command(flatten)]
    pub source: SourceOptions,
    /// A Helm release as NAMESPACE/NAME, compared with the manifest that Helm keeps of it; needs no repository
    #[arg(long, value_name = "RELEASE", help_heading = "Source")]
    pub helm_release: Vec<String>,
    #[command(flatten)]
    pub programs: Programs,
    /// Leave out what is live beyond what is declared
    #[arg(long)]
    pub ignore_undeclared: bool,
    /// Do not read live Secrets
    #[arg(long)]
    pub skip_secrets: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "For bash: source <(kubectl driftline completion bash)\n\nkubectl completes plugins by a program kubectl_complete-driftline on the PATH:\n  kubectl driftline completion plugin > ~/bin/kubectl_complete-driftline && chmod +x ~/bin/kubectl_complete-driftline"
)]
pub struct CompletionOptions {
    /// The shell; plugin is the program by which kubectl itself completes
    #[arg(value_enum)]
    pub shell: Shell,
}

/// What a completion is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
    Plugin,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For a terminal
    Table,
    /// For machines; docs/cli.md has the schema
    Json,
    /// The same as YAML
    Yaml,
    /// For merge requests and tickets
    Markdown,
    /// One file for a browser
    Html,
    /// For CI
    Junit,
}

/// Where records and policies are looked for.
#[derive(Debug, Clone, Args)]
pub struct ScopeOptions {
    /// In all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
}

impl ScopeOptions {
    /// All namespaces, or that of `-n` or the context.
    pub fn of<'a>(&self, cluster: &'a Cluster) -> Scope<'a> {
        if self.all_namespaces {
            Scope::All
        } else {
            Scope::In(&cluster.namespace)
        }
    }
}

/// A severity, from which on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SeverityName {
    Low,
    Medium,
    High,
    Critical,
}

impl From<SeverityName> for driftline_crds::Severity {
    fn from(name: SeverityName) -> Self {
        match name {
            SeverityName::Low => Self::Low,
            SeverityName::Medium => Self::Medium,
            SeverityName::High => Self::High,
            SeverityName::Critical => Self::Critical,
        }
    }
}

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// For a terminal
    Table,
    /// With policy, file and record
    Wide,
    /// As kubectl writes it
    Json,
    /// The same as YAML
    Yaml,
    /// Names only
    Name,
}

/// How one thing is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PolicyFormat {
    /// For a terminal
    Table,
    /// The resource, as kubectl writes it
    Json,
    /// The same as YAML
    Yaml,
}

/// How an explanation is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExplainFormat {
    /// For a terminal
    Table,
    /// The record, as kubectl writes it
    Json,
    /// The same as YAML
    Yaml,
    /// Nothing but the patch that brings what runs into Git
    Patch,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: kubectl driftline status -A")]
pub struct StatusOptions {
    /// A policy; all if not given
    pub policy: Option<String>,
    #[command(flatten)]
    pub scope: ScopeOptions,
    /// How it is written
    #[arg(short, long, value_enum, default_value_t = PolicyFormat::Table)]
    pub output: PolicyFormat,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: kubectl driftline get -A --severity high -o wide")]
pub struct GetOptions {
    /// Records by name; all if not given
    pub names: Vec<String>,
    #[command(flatten)]
    pub scope: ScopeOptions,
    /// Of this policy
    #[arg(long, value_name = "NAME")]
    pub policy: Option<String>,
    /// As grave as this, or graver
    #[arg(long, value_enum, ignore_case = true, value_name = "SEVERITY")]
    pub severity: Option<SeverityName>,
    /// Also those that are over
    #[arg(long)]
    pub all: bool,
    /// How it is written
    #[arg(short, long, value_enum, default_value_t = ListFormat::Table)]
    pub output: ListFormat,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: kubectl driftline explain deployment/web -n shop")]
pub struct ExplainOptions {
    /// A record's name, or an object as KIND/NAME
    #[arg(value_name = "RECORD|KIND/NAME")]
    pub what: String,
    /// A checkout of the repository, for the patch that brings what runs into Git. Default: that of the working directory
    #[arg(long, value_name = "DIR")]
    pub repo: Option<PathBuf>,
    /// How it is written
    #[arg(short, long, value_enum, default_value_t = ExplainFormat::Table)]
    pub output: ExplainFormat,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: kubectl driftline check shop -n shop\n\nExits with 0 where all is in sync, 1 where anything drifts, 2 where nothing is known to drift and not everything could be\nchecked, 3 where the operator did not answer."
)]
pub struct CheckOptions {
    /// The policy
    pub policy: String,
    /// How long to wait for the operator: 90, 90s, 2m
    #[arg(long, default_value = "120s", value_parser = wait, value_name = "TIME")]
    pub timeout: Duration,
}

/// The longest that anything is waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Seconds, or a time with its unit.
fn wait(text: &str) -> Result<Duration, String> {
    let time = match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => text
            .parse::<jiff::SignedDuration>()
            .ok()
            .and_then(|time| Duration::try_from(time).ok()),
    };
    match time {
        Some(time) if time <= LONGEST_WAIT => Ok(time),
        Some(_) => Err("it is waited 24h at most".to_owned()),
        None => Err("write seconds, or a time as 90s or 2m".to_owned()),
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: kubectl driftline trace deployment/web -n shop\n\nThe policies' repositories are rendered here, at the commits that the operator rendered. As policies\nname their hosts, only Git's own credential helper is asked for credentials; ssh:// and file:// are not fetched."
)]
pub struct TraceOptions {
    /// An object of the namespace, or a cluster-scoped one
    #[arg(value_name = "KIND/NAME")]
    pub what: String,
    #[command(flatten)]
    pub programs: Programs,
    /// Certificates that are trusted for Git over https instead of the system's
    #[arg(long, value_name = "FILE")]
    pub git_ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: kubectl driftline watch -A")]
pub struct WatchOptions {
    #[command(flatten)]
    pub scope: ScopeOptions,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl driftline adopt -A --output-dir policies\n  kubectl driftline adopt -n argocd -l team=shop > shop.yaml\n\nExits with 0 where all was translated, 2 where something was not, which is told, 3 where nothing was written. Read what it\nwrites before you commit it."
)]
pub struct AdoptOptions {
    /// Of all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Of those with these labels, as kubectl takes them
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// The folder for the files, one for each policy. Default: they are printed
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    pub output_dir: Option<PathBuf>,
    /// Say what would be written, and write nothing
    #[arg(long, requires = "output_dir")]
    pub dry_run: bool,
    /// Write over files that are there
    #[arg(long, requires = "output_dir")]
    pub force: bool,
    /// The policies' namespace. In the operator's own they need no service account
    #[arg(long, value_name = "NAMESPACE", default_value = "driftline-system")]
    pub policy_namespace: String,
    /// The policies' service account, in their namespace
    #[arg(long, value_name = "NAME")]
    pub service_account: Option<String>,
    /// How they are printed
    #[arg(short, long, value_enum)]
    pub output: Option<AdoptFormat>,
}

/// How policies are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AdoptFormat {
    /// As kubectl applies them
    Yaml,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: kubectl driftline doctor\n\nExits with 0 where nothing fails (there may be warnings), 1 where something fails, 2 where nothing is known to fail and not\neverything could be looked at, 3 where there is no cluster to look at."
)]
pub struct DoctorOptions {
    /// Where the operator is installed. Default: looked for
    #[arg(long, value_name = "NAMESPACE")]
    operator_namespace: Option<String>,
    /// A repository that has to be reached from here. Repeatable
    #[arg(long, value_name = "URL")]
    pub git: Vec<String>,
    /// A private key for Git over ssh. Default: ~/.ssh/id_ed25519, id_ecdsa, id_rsa
    #[arg(long, value_name = "FILE")]
    pub ssh_key: Option<PathBuf>,
    /// Certificates that are trusted for Git over https instead of the system's
    #[arg(long, value_name = "FILE")]
    pub git_ca: Option<PathBuf>,
    /// How it is written
    #[arg(short, long, value_enum, default_value_t = DoctorFormat::Table)]
    pub output: DoctorFormat,
}

impl DoctorOptions {
    /// Where the operator is, if that was said.
    pub fn operator_namespace(&self) -> Option<&str> {
        self.operator_namespace.as_deref()
    }
}

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DoctorFormat {
    /// For a terminal
    Table,
    /// For machines
    Json,
}

#[derive(Debug, Args)]
pub struct WorkerOptions {
    #[arg(long)]
    pub socket: PathBuf,
    #[arg(long)]
    pub cache: PathBuf,
    #[arg(long)]
    pub kustomize: Option<PathBuf>,
    #[arg(long)]
    pub helm: Option<PathBuf>,
}

impl From<WorkerOptions> for declared::WorkerOptions {
    fn from(options: WorkerOptions) -> Self {
        let mut worker = Self::new(options.socket, options.cache);
        worker.kustomize = options.kustomize;
        worker.helm = options.helm;
        worker.end_with_stdin = true;
        worker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_seconds_or_has_a_unit() {
        let seconds = |text| wait(text).map(|time| time.as_secs());
        assert_eq!(seconds("5"), Ok(5));
        assert_eq!(seconds("5s"), Ok(5));
        assert_eq!(seconds("2m"), Ok(120));
        for wrong in ["", "-1", "-5s", "soon", "18446744073709551615"] {
            assert!(wait(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_severity_is_taken_as_it_is_written_elsewhere() {
        for severity in ["Critical", "CRITICAL", "critical"] {
            let all = ["kubectl-driftline", "get", "--severity", severity];
            let Command::Get(get) = Cli::try_parse_from(all).expect("flags").command else {
                panic!("another command");
            };
            assert_eq!(get.severity, Some(SeverityName::Critical));
        }
    }
}
