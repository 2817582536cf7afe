//! The operator from end to end: the chart by helm, the program with the rights of its account, real Git, real edits.

mod after_revert;
mod baselines;
mod blame;
mod cases;
mod counts;
mod deployers;
mod detection;
mod expected;
mod faults;
mod healed;
mod kinds;
mod limits;
mod objects;
mod preview;
mod refusals;
mod releases;
mod rendering;
mod revert;
mod revert_faults;
mod rules;
mod security;
mod sources;
mod stamps;
mod status;
pub(crate) mod support;
mod undeclared;
