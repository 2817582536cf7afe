//! Where rooms meet: what the operator and the command line both do between `declared`, `cluster`, the core and the API types. Renderings
//! are taken into the index here, and reports told in the words of the API, so that both compare and say the same.

pub mod autoscalers;
pub mod by;
pub mod content;
pub mod evidence;
pub mod intake;
pub mod release;
pub mod written;
