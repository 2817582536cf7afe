//! The operator from end to end: the chart by helm, the program with the rights of its account, real Git, real edits.

mod detection;
mod support;
