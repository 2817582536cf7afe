//! The command line as a user runs it: the program itself, against a real API server, its output read as it is shown.

mod adopt;
mod audit;
mod doctor;
mod html;
mod operator;
mod refusals;
mod schema;
pub(crate) mod support;
mod tables;
