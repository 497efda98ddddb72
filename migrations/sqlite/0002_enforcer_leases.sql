-- What each node knows of its enforcers, for the other nodes: by it they tell when a revocation is in force everywhere.

CREATE TABLE nodes (
    tenant TEXT NOT NULL,
    node TEXT NOT NULL,
    beat INTEGER NOT NULL,
    generation TEXT NOT NULL,
    seq INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, node)
) STRICT;

CREATE TABLE leases (
    tenant TEXT NOT NULL,
    enforcer TEXT NOT NULL,
    instance TEXT NOT NULL,
    node TEXT NOT NULL,
    version TEXT NOT NULL,
    generation TEXT NOT NULL,
    applied_seq INTEGER NOT NULL,
    pending_head INTEGER,
    lease_seconds INTEGER NOT NULL,
    renewed_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, enforcer, instance, node)
) STRICT;
