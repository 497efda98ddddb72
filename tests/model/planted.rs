//! Bugs that can be planted into the models: what the checker must find, if it is worth anything.

/// What is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    /// Nothing: the protocol as it is meant.
    Nothing,
    /// An enforcer decides however old its view is.
    IgnoreLease,
    /// An enforcer tests one of a token's scopes.
    OneScopeOnly,
    /// Freshness counts from when the answer came.
    FreshFromReceipt,
    /// An answer to an older request passes for the answer to the newest.
    IgnoreNonce,
    /// The enforcer's clock stands still while its machine sleeps.
    ClockStopsInSleep,
    /// A buffered response is released without looking again.
    NoSecondLook,
    /// A node answers a lease from a view that lags behind the log.
    LaggingNodeHead,
    /// A token that shows the enforcer to be behind is decided without catching up.
    NoCatchUp,
    /// A restored log keeps its old name.
    ReuseGenAfterRestore,
    /// A restored log gets its new name only when an enforcer shows the server how far the log had come.
    RestoreNoticedLate,
    /// A snapshot leaves forgotten entries out and doesn't say so.
    SnapshotWithoutFloor,
    /// The bound is stated as min(lifetime, S) + 1 s, though enforcers allow leeway after `exp`.
    LeewayNotCounted,
    /// A restarted server calls a cutoff effective by the leases that it still knows.
    EffectiveForgetsLeasesAtRestart,
    /// The leases of other nodes don't count.
    EffectiveForgetsOtherNodes,
    /// A lease is taken to have run out after S on the server's clock, as if clocks ran alike.
    EffectiveWithoutSlack,
    /// A renewal answered after the cutoff hides the lease from before it.
    EffectiveByAnswer,
    /// The head is read before the lease is noted.
    HeadBeforeNote,
    /// An enforcer that starts over still takes the answers to what it asked before.
    StartOverKeepsAsking,
    /// `rev` is taken when the token is signed.
    RevAtSigning,
    /// `rev` is read from the database, the checks from a view that may lag.
    RevAheadOfChecks,
    /// A kept introspection answer outweighs the view, however long ago it was asked for.
    CachedIntrospectionOvertakes,
    /// An introspection answer counts from when it came.
    IntrospectionFreshFromReceipt,
    /// A node introspects from a view that may be as old as a lease, and the enforcer may wait as long again.
    IntrospectionLeasesAddUp,
    /// A code is read, decided on, and then marked.
    ReadThenWrite,
    /// Which codes were redeemed is kept in memory.
    RedeemedInMemory,
}
