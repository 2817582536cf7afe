//! The rungs of enforcement.

/// How far a policy goes against drift.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rung {
    /// It reports.
    #[default]
    Observe,
    /// It puts back.
    Revert,
}

impl Rung {
    /// The word used in policies and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "Observe",
            Self::Revert => "Revert",
        }
    }
}
