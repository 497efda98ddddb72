-- Every table carries its tenant, and every query binds it. Hashes are base64url text; times are seconds since 1970.

CREATE TABLE tenants (
    tenant TEXT NOT NULL PRIMARY KEY,
    generation TEXT NOT NULL,
    head_seq BIGINT NOT NULL,
    registry_version BIGINT NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE registry (
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, kind, id)
);

-- What a revocation has switched off. Applying a registry never lifts it; a reinstatement does.
CREATE TABLE suspensions (
    tenant TEXT NOT NULL,
    scope_kind TEXT NOT NULL,
    scope_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (tenant, scope_kind, scope_id)
);

CREATE TABLE users (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE signing_keys (
    tenant TEXT NOT NULL,
    kid TEXT NOT NULL,
    alg TEXT NOT NULL,
    state TEXT NOT NULL,
    public_jwk TEXT NOT NULL,
    wrapped TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    activates_at BIGINT NOT NULL,
    retires_at BIGINT,
    PRIMARY KEY (tenant, kid)
);

CREATE TABLE cutoffs (
    tenant TEXT NOT NULL,
    generation TEXT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    scope_kind TEXT NOT NULL,
    scope_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, generation, seq)
);

CREATE TABLE tasks (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    ancestors TEXT NOT NULL,
    agent TEXT NOT NULL,
    sub TEXT NOT NULL,
    purpose TEXT NOT NULL,
    opened_by TEXT,
    opened_at BIGINT NOT NULL,
    deadline BIGINT NOT NULL,
    ended_at BIGINT,
    PRIMARY KEY (tenant, id)
);

CREATE INDEX tasks_opened_by ON tasks (tenant, opened_by) WHERE opened_by IS NOT NULL;

CREATE TABLE tokens (
    tenant TEXT NOT NULL,
    jti TEXT NOT NULL,
    hash TEXT,
    task TEXT,
    client_id TEXT NOT NULL,
    sub TEXT NOT NULL,
    resource TEXT NOT NULL,
    iat BIGINT NOT NULL,
    exp BIGINT NOT NULL,
    claims TEXT,
    PRIMARY KEY (tenant, jti)
);

CREATE UNIQUE INDEX tokens_hash ON tokens (tenant, hash) WHERE hash IS NOT NULL;

-- Typed, so that a value of one kind can't be spent as another.
CREATE TABLE single_use (
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    mark TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, kind, mark)
);

CREATE INDEX single_use_expiry ON single_use (expires_at);

CREATE TABLE audit (
    tenant TEXT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    body TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (tenant, seq)
);

CREATE TABLE audit_checkpoints (
    tenant TEXT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    statement TEXT NOT NULL,
    PRIMARY KEY (tenant, seq)
);

CREATE TABLE bootstrap_tokens (
    tenant TEXT NOT NULL,
    hash TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    redeemed_at BIGINT,
    PRIMARY KEY (tenant, hash)
);
