-- People: what they are asked, how they are known to a browser, and what they have given. Handles, codes, cookies and refresh
-- tokens are stored as hashes.

-- What a client has asked a person for: pushed (RFC 9126), or opened in a browser and waiting for the person's answer.
CREATE TABLE authorization_requests (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    body TEXT NOT NULL,
    browser TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;

CREATE INDEX authorization_requests_expiry ON authorization_requests (expires_at);

-- A browser that was sent to an identity provider, until it comes back.
CREATE TABLE upstream_logins (
    tenant TEXT NOT NULL,
    state TEXT NOT NULL,
    idp TEXT NOT NULL,
    request TEXT,
    browser TEXT NOT NULL,
    nonce TEXT NOT NULL,
    verifier TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    redeemed_at INTEGER,
    PRIMARY KEY (tenant, state)
) STRICT;

CREATE INDEX upstream_logins_expiry ON upstream_logins (expires_at);

CREATE TABLE sessions (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    secret TEXT NOT NULL,
    user_id TEXT NOT NULL,
    idp TEXT NOT NULL,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    upstream_sid TEXT,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    groups TEXT NOT NULL,
    signed_in_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER,
    PRIMARY KEY (tenant, id)
) STRICT;

CREATE UNIQUE INDEX sessions_secret ON sessions (tenant, secret);
CREATE INDEX sessions_user ON sessions (tenant, user_id);
CREATE INDEX sessions_upstream ON sessions (tenant, upstream_sid);

-- What people have said yes to; an administrator's consents stand in the registry.
CREATE TABLE consents (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    client_name TEXT NOT NULL,
    agent TEXT NOT NULL,
    resource TEXT NOT NULL,
    scope TEXT NOT NULL,
    authorization_details TEXT NOT NULL,
    given_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    withdrawn_at INTEGER,
    PRIMARY KEY (tenant, id)
) STRICT;

CREATE INDEX consents_user ON consents (tenant, user_id);

CREATE TABLE authorization_codes (
    tenant TEXT NOT NULL,
    hash TEXT NOT NULL,
    body TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    redeemed_at INTEGER,
    PRIMARY KEY (tenant, hash)
) STRICT;

CREATE INDEX authorization_codes_expiry ON authorization_codes (expires_at);

-- What a code has bought: one task, with the refresh tokens that keep it going.
CREATE TABLE grants (
    tenant TEXT NOT NULL,
    task TEXT NOT NULL,
    client_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    sid TEXT NOT NULL,
    consent TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, task)
) STRICT;

CREATE INDEX grants_user ON grants (tenant, user_id);

CREATE TABLE refresh_tokens (
    tenant TEXT NOT NULL,
    hash TEXT NOT NULL,
    task TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    successor TEXT,
    PRIMARY KEY (tenant, hash)
) STRICT;

CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

-- Clients that have registered themselves (RFC 7591).
CREATE TABLE registered_clients (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;

CREATE INDEX tasks_sub ON tasks (tenant, sub) WHERE ended_at IS NULL;
