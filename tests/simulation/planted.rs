//! Bugs that the simulation plants around the real code, to show that the checker finds each.

/// One planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    /// An enforcer decides by what it knows, however old that is.
    IgnoreLease,
    /// An enforcer looks for cutoffs of the token itself, and of nothing else.
    OneScopeOnly,
    /// `rev` is taken when the token is signed, and nothing is compared at the commit.
    RevAtSigning,
    /// An enforcer counts freshness from when an answer came.
    FreshFromReceipt,
    /// A restored log keeps its name, and nodes go back with it.
    ReuseGeneration,
    /// A mark is looked up when a request comes, and written when it is done.
    ReadThenWrite,
    /// An enforcer keeps an introspection answer, and asks nothing else.
    CachedIntrospection,
    /// A report counts from when it was written, and what is granted meanwhile is in no report.
    ReportFromCommit,
    /// A node answers leases from the view that it has.
    LaggingNode,
    /// Effective: a restarted node doesn't wait for the leases of its former self.
    ForgetFormerSelf,
    /// Effective: only the leases of the node that was asked count.
    AskedNodeOnly,
    /// What was decided before a buffered answer is released without another look.
    NoSecondCheck,
}

impl Planted {
    /// What the checker says of it.
    pub(crate) fn symptom(self) -> &'static str {
        match self {
            Self::IgnoreLease
            | Self::OneScopeOnly
            | Self::RevAtSigning
            | Self::FreshFromReceipt
            | Self::ReuseGeneration
            | Self::CachedIntrospection
            | Self::LaggingNode
            | Self::NoSecondCheck => "accepted after acknowledgement + B",
            Self::ForgetFormerSelf | Self::AskedNodeOnly | Self::ReportFromCommit => {
                "accepted after the receipt"
            }
            Self::ReadThenWrite => "was spent twice",
        }
    }
}
