-- What each node knows of its enforcers, for the other nodes: by it they tell when a revocation is in force everywhere.

CREATE TABLE nodes (
    tenant TEXT NOT NULL,
    node TEXT NOT NULL,
    beat BIGINT NOT NULL,
    generation TEXT NOT NULL,
    seq BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, node)
);

CREATE TABLE leases (
    tenant TEXT NOT NULL,
    enforcer TEXT NOT NULL,
    instance TEXT NOT NULL,
    node TEXT NOT NULL,
    version TEXT NOT NULL,
    generation TEXT NOT NULL,
    applied_seq BIGINT NOT NULL,
    pending_head BIGINT,
    lease_seconds BIGINT NOT NULL,
    renewed_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, enforcer, instance, node)
);
