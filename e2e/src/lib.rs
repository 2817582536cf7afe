//! The surroundings of end-to-end tests, of the demo and of the benchmarks: a
//! real control plane, the real tools, a real Git server and a real SSH server.
//!
//! Everything runs on the loopback interface, on free ports and in directories
//! of its own, so that any number of tests can run side by side; and nothing
//! outlives the process that started it, however that one ends.
//!
//! ```no_run
//! # async fn example() -> driftline_e2e::Result<()> {
//! use driftline_e2e::{ControlPlane, Tools};
//!
//! let cluster = ControlPlane::shared().await?;
//! let tools = Tools::ensure().await?;
//! let pods = tools
//!     .kubectl(cluster.kubeconfig_path())
//!     .args(["get", "pods", "-A"])
//!     .run()
//!     .await?;
//! # Ok(())
//! # }
//! ```

pub mod browser;
pub mod cache;
mod control_plane;
mod credentials;
pub mod demo;
mod detached;
pub mod differential;
mod error;
pub mod git;
mod leash;
pub mod operator;
pub mod peers;
pub mod pod;
mod ports;
mod processes;
mod progress;
mod proxy;
pub mod published;
pub mod ssh;
mod supervisor;
mod tls;
mod tools;
mod webhook;

pub use control_plane::{Component, ControlPlane, Options};
pub use detached::{Cluster, Status};
pub use error::{Error, Result};
pub use leash::Leash;
pub use operator::{Operator, OperatorOptions};
pub use pod::RunningPod;
pub use proxy::{Proxy, Trouble};
pub use tools::{Invocation, Tools};
pub use webhook::Webhook;
