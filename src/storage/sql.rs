//! Every statement, in one list, so that a test can prepare each of them on both engines.

/// One statement. Where the engines need different words, both are written.
#[derive(Clone, Copy, Debug)]
pub struct Sql {
    /// For SQLite.
    pub sqlite: &'static str,
    /// For PostgreSQL.
    pub postgres: &'static str,
}

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sqlite:literal $(, postgres $postgres:literal)?;)*) => {
        $($(#[$doc])* pub(super) const $name: Sql = statements!(@one $sqlite $(, $postgres)?);)*
        /// Every statement with its name.
        pub const ALL: &[(&str, Sql)] = &[$((stringify!($name), $name)),*];
    };
    (@one $both:literal) => { Sql { sqlite: $both, postgres: $both } };
    (@one $sqlite:literal, $postgres:literal) => { Sql { sqlite: $sqlite, postgres: $postgres } };
}

statements! {
    TENANT_CREATE = "INSERT INTO tenants (tenant, generation, head_seq, registry_version, audit_seq, audit_hash, created_at)
        VALUES ($1, $2, 0, 0, 0, $3, $4) ON CONFLICT DO NOTHING";
    TENANTS = "SELECT tenant, generation, head_seq, registry_version, audit_seq, audit_hash FROM tenants ORDER BY tenant";
    /// Locks the tenant: SQLite has one writer already.
    TENANT_LOCK = "SELECT tenant, generation, head_seq, registry_version, audit_seq, audit_hash FROM tenants WHERE tenant = $1",
        postgres "SELECT tenant, generation, head_seq, registry_version, audit_seq, audit_hash FROM tenants WHERE tenant = $1
        FOR UPDATE";
    TENANT_SAVE = "UPDATE tenants SET generation = $2, head_seq = $3, registry_version = $4, audit_seq = $5, audit_hash = $6
        WHERE tenant = $1";

    REGISTRY_ENTRIES = "SELECT kind, id, body FROM registry WHERE tenant = $1 ORDER BY kind, id";
    REGISTRY_PUT = "INSERT INTO registry (tenant, kind, id, body, updated_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (tenant, kind, id) DO UPDATE SET body = excluded.body, updated_at = excluded.updated_at";
    SUSPENSIONS = "SELECT scope_kind, scope_id, at FROM suspensions WHERE tenant = $1";
    SUSPEND = "INSERT INTO suspensions (tenant, scope_kind, scope_id, seq, at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (tenant, scope_kind, scope_id) DO UPDATE SET seq = excluded.seq, at = excluded.at";
    /// What a session has left behind; nothing valid can name it any more.
    SUSPENSIONS_PRUNE = "DELETE FROM suspensions WHERE tenant = $1 AND scope_kind = 'session' AND at < $2";
    REINSTATE = "DELETE FROM suspensions WHERE tenant = $1 AND scope_kind = $2 AND scope_id = $3";

    KEYS = "SELECT kid, alg, state, public_jwk, wrapped, created_at, activates_at, retires_at FROM signing_keys
        WHERE tenant = $1 ORDER BY created_at, kid";
    KEY_INSERT = "INSERT INTO signing_keys (tenant, kid, alg, state, public_jwk, wrapped, created_at, activates_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    KEY_STATE = "UPDATE signing_keys SET state = $3, retires_at = $4, wrapped = $5 WHERE tenant = $1 AND kid = $2";

    CUTOFF_INSERT = "INSERT INTO cutoffs (tenant, generation, seq, at, scope_kind, scope_id, reason, actor, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    CUTOFFS_AFTER = "SELECT seq, at, scope_kind, scope_id, reason, actor, expires_at FROM cutoffs
        WHERE tenant = $1 AND generation = $2 AND seq > $3 ORDER BY seq LIMIT $4";
    /// From the first entry that can still hit a token: nothing after it is left out, whatever clock wrote its expiry.
    CUTOFFS_LIVE = "SELECT seq, at, scope_kind, scope_id, reason, actor, expires_at FROM cutoffs
        WHERE tenant = $1 AND generation = $2 AND seq >=
            (SELECT MIN(seq) FROM cutoffs WHERE tenant = $1 AND generation = $2 AND expires_at > $3)
        ORDER BY seq";
    ANNOUNCE = "SELECT $1", postgres "SELECT pg_notify('taskpass_news', $1)";

    GENERATION_PUT = "INSERT INTO generations (tenant, generation, replaced_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    GENERATIONS = "SELECT generation FROM generations WHERE tenant = $1";
    NODE_PUT = "INSERT INTO nodes (tenant, node, beat, generation, seq, seen_at) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (tenant, node) DO UPDATE SET beat = excluded.beat, generation = excluded.generation, seq = excluded.seq,
        seen_at = excluded.seen_at";
    NODES = "SELECT node, beat, generation, seq FROM nodes WHERE tenant = $1";
    NODES_PRUNE = "DELETE FROM nodes WHERE tenant = $1 AND seen_at < $2";
    LEASES_PUT = "INSERT INTO leases (tenant, enforcer, instance, node, version, generation, applied_seq, pending_head,
        lease_seconds, renewed_at) SELECT $1, value->>'enforcer', value->>'instance', value->>'node', value->>'version',
        value->>'generation', value->>'applied_seq', value->>'pending_head', value->>'lease_seconds', value->>'renewed_at'
        FROM json_each($2) WHERE true
        ON CONFLICT (tenant, enforcer, instance, node) DO UPDATE SET version = excluded.version,
        generation = excluded.generation, applied_seq = excluded.applied_seq, pending_head = excluded.pending_head,
        lease_seconds = excluded.lease_seconds, renewed_at = excluded.renewed_at",
        postgres "INSERT INTO leases (tenant, enforcer, instance, node, version, generation, applied_seq, pending_head,
        lease_seconds, renewed_at) SELECT $1, enforcer, instance, node, version, generation, applied_seq, pending_head,
        lease_seconds, renewed_at
        FROM jsonb_to_recordset($2::jsonb) AS row(enforcer TEXT, instance TEXT, node TEXT, version TEXT, generation TEXT,
        applied_seq BIGINT, pending_head BIGINT, lease_seconds BIGINT, renewed_at BIGINT)
        ON CONFLICT (tenant, enforcer, instance, node) DO UPDATE SET version = excluded.version,
        generation = excluded.generation, applied_seq = excluded.applied_seq, pending_head = excluded.pending_head,
        lease_seconds = excluded.lease_seconds, renewed_at = excluded.renewed_at";
    LEASES = "SELECT enforcer, instance, node, version, generation, applied_seq, pending_head, lease_seconds, renewed_at
        FROM leases WHERE tenant = $1 AND node <> $2 ORDER BY enforcer, instance, renewed_at";
    LEASES_PRUNE = "DELETE FROM leases WHERE tenant = $1 AND renewed_at < $2";
    TASK = "SELECT id, ancestors, agent, sub, purpose, opened_at, deadline, ended_at FROM tasks WHERE tenant = $1 AND id = $2";
    TASKS_OPENED_BY = "SELECT id FROM tasks WHERE tenant = $1 AND opened_by = $2 AND ended_at IS NULL";
    TASK_END = "UPDATE tasks SET ended_at = $3 WHERE tenant = $1 AND id = $2 AND ended_at IS NULL";
    TASKS_INSERT = "INSERT INTO tasks (tenant, id, ancestors, agent, sub, purpose, opened_by, opened_at, deadline)
        SELECT $1, value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7 FROM json_each($2)",
        postgres "INSERT INTO tasks (tenant, id, ancestors, agent, sub, purpose, opened_by, opened_at, deadline)
        SELECT $1, value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, (value->>6)::bigint, (value->>7)::bigint
        FROM jsonb_array_elements($2::jsonb)";

    TOKEN = "SELECT jti, task, client_id, sub, exp, claims FROM tokens WHERE tenant = $1 AND jti = $2";
    TOKEN_BY_HASH = "SELECT jti, task, client_id, sub, exp, claims FROM tokens WHERE tenant = $1 AND hash = $2";
    TOKENS_OF_CLIENT = "SELECT jti, task, client_id, sub, exp, claims FROM tokens
        WHERE tenant = $1 AND client_id = $2 AND exp > $3 ORDER BY jti DESC LIMIT $4";
    TOKENS_INSERT = "INSERT INTO tokens (tenant, jti, hash, task, client_id, sub, resource, iat, exp, claims)
        SELECT $1, value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8
        FROM json_each($2)",
        postgres "INSERT INTO tokens (tenant, jti, hash, task, client_id, sub, resource, iat, exp, claims)
        SELECT $1, value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, (value->>6)::bigint, (value->>7)::bigint,
        value->>8 FROM jsonb_array_elements($2::jsonb)";
    TOKENS_PRUNE = "DELETE FROM tokens WHERE tenant = $1 AND jti < $2";

    USERS_INSERT = "INSERT INTO users (tenant, id, issuer, subject, first_seen_at)
        SELECT $1, value->>0, value->>1, value->>2, value->>3 FROM json_each($2) WHERE true ON CONFLICT DO NOTHING",
        postgres "INSERT INTO users (tenant, id, issuer, subject, first_seen_at)
        SELECT $1, value->>0, value->>1, value->>2, (value->>3)::bigint FROM jsonb_array_elements($2::jsonb) ON CONFLICT DO NOTHING";

    MARKS_INSERT = "INSERT INTO single_use (tenant, kind, mark, expires_at)
        SELECT $1, value->>0, value->>1, value->>2 FROM json_each($2) WHERE true ON CONFLICT DO NOTHING RETURNING mark",
        postgres "INSERT INTO single_use (tenant, kind, mark, expires_at)
        SELECT $1, value->>0, value->>1, (value->>2)::bigint FROM jsonb_array_elements($2::jsonb)
        ON CONFLICT DO NOTHING RETURNING mark";
    MARKS_PRUNE = "DELETE FROM single_use WHERE expires_at < $1";

    REQUEST_INSERT = "INSERT INTO authorization_requests (tenant, id, client_id, body, browser, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    REQUEST = "SELECT client_id, body, browser, expires_at FROM authorization_requests WHERE tenant = $1 AND id = $2";
    REQUEST_UPDATE = "UPDATE authorization_requests SET body = $3 WHERE tenant = $1 AND id = $2";
    REQUEST_DELETE = "DELETE FROM authorization_requests WHERE tenant = $1 AND id = $2";
    REQUESTS_PRUNE = "DELETE FROM authorization_requests WHERE expires_at < $1";

    LOGIN_INSERT = "INSERT INTO upstream_logins (tenant, state, idp, request, browser, nonce, verifier, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    LOGIN_WAITS = "SELECT 1 FROM upstream_logins WHERE tenant = $1 AND state = $2 AND redeemed_at IS NULL AND expires_at > $3
        AND browser = $4";
    LOGIN_REDEEM = "UPDATE upstream_logins SET redeemed_at = $3 WHERE tenant = $1 AND state = $2 AND redeemed_at IS NULL
        AND expires_at > $3 AND browser = $4 RETURNING idp, request, nonce, verifier";
    LOGINS_PRUNE = "DELETE FROM upstream_logins WHERE expires_at < $1";

    SESSION_INSERT = "INSERT INTO sessions (tenant, id, secret, user_id, idp, issuer, subject, upstream_sid, name, email, groups,
        signed_in_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    SESSION_BY_SECRET = "SELECT id, user_id, idp, issuer, subject, upstream_sid, name, email, groups, signed_in_at, expires_at,
        ended_at FROM sessions WHERE tenant = $1 AND secret = $2";
    SESSION = "SELECT id, user_id, idp, issuer, subject, upstream_sid, name, email, groups, signed_in_at, expires_at,
        ended_at FROM sessions WHERE tenant = $1 AND id = $2";
    SESSIONS_OF_UPSTREAM = "SELECT id, user_id, idp, issuer, subject, upstream_sid, name, email, groups, signed_in_at, expires_at,
        ended_at FROM sessions WHERE tenant = $1 AND upstream_sid = $2 AND ended_at IS NULL ORDER BY id";
    SESSIONS_OF_USER = "SELECT id, user_id, idp, issuer, subject, upstream_sid, name, email, groups, signed_in_at, expires_at,
        ended_at FROM sessions WHERE tenant = $1 AND user_id = $2 AND ended_at IS NULL ORDER BY id";
    SESSIONS_END_OF_IDP = "UPDATE sessions SET ended_at = $3 WHERE tenant = $1 AND idp = $2 AND ended_at IS NULL";
    SESSIONS_END_OF_USER = "UPDATE sessions SET ended_at = $3 WHERE tenant = $1 AND user_id = $2 AND ended_at IS NULL";
    SESSION_LEAVE = "UPDATE sessions SET expires_at = $3 WHERE tenant = $1 AND id = $2 AND ended_at IS NULL AND expires_at > $3";
    SESSION_END = "UPDATE sessions SET ended_at = $3 WHERE tenant = $1 AND id = $2 AND ended_at IS NULL";
    SESSIONS_PRUNE = "DELETE FROM sessions WHERE tenant = $1 AND expires_at < $2 AND NOT EXISTS
        (SELECT 1 FROM grants WHERE grants.tenant = sessions.tenant AND grants.sid = sessions.id)";

    CONSENT_INSERT = "INSERT INTO consents (tenant, id, user_id, client_id, client_name, agent, resource, scope,
        authorization_details, given_at, changed_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11)";
    CONSENT_WIDEN = "UPDATE consents SET scope = $3, authorization_details = $4, changed_at = $5, expires_at = $6
        WHERE tenant = $1 AND id = $2 AND withdrawn_at IS NULL";
    CONSENT = "SELECT id, user_id, client_id, client_name, agent, resource, scope, authorization_details, given_at, changed_at, expires_at,
        withdrawn_at FROM consents WHERE tenant = $1 AND id = $2";
    CONSENTS_OF_USER = "SELECT id, user_id, client_id, client_name, agent, resource, scope, authorization_details, given_at, changed_at,
        expires_at, withdrawn_at FROM consents WHERE tenant = $1 AND user_id = $2 AND withdrawn_at IS NULL AND expires_at > $3
        ORDER BY id LIMIT 1000";
    CONSENT_WITHDRAW = "UPDATE consents SET withdrawn_at = $3 WHERE tenant = $1 AND id = $2 AND withdrawn_at IS NULL";

    CONSENTS_PRUNE = "DELETE FROM consents WHERE tenant = $1 AND (expires_at < $2 OR withdrawn_at < $2)";

    CODE_INSERT = "INSERT INTO authorization_codes (tenant, hash, body, expires_at) VALUES ($1, $2, $3, $4)";
    CODE = "SELECT body, expires_at, redeemed_at FROM authorization_codes WHERE tenant = $1 AND hash = $2";
    CODE_REDEEM = "UPDATE authorization_codes SET redeemed_at = $3
        WHERE tenant = $1 AND hash = $2 AND redeemed_at IS NULL AND expires_at > $3";
    CODES_PRUNE = "DELETE FROM authorization_codes WHERE expires_at < $1";

    GRANT_INSERT = "INSERT INTO grants (tenant, task, client_id, user_id, sid, consent, body, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    GRANT = "SELECT body FROM grants WHERE tenant = $1 AND task = $2";
    GRANTS_PRUNE = "DELETE FROM grants WHERE tenant = $1 AND expires_at < $2";
    REFRESH_INSERT = "INSERT INTO refresh_tokens (tenant, hash, task, issued_at, expires_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT DO NOTHING";
    REFRESH = "SELECT task, expires_at, used_at FROM refresh_tokens WHERE tenant = $1 AND hash = $2";
    /// A second use within the window finds the one successor, as long as nobody has used that.
    REFRESH_ROTATE = "UPDATE refresh_tokens SET used_at = COALESCE(used_at, $3), successor = $4
        WHERE tenant = $1 AND hash = $2 AND expires_at > $3 AND (used_at IS NULL OR (used_at >= $5 AND successor = $4
        AND NOT EXISTS (SELECT 1 FROM refresh_tokens AS next
            WHERE next.tenant = $1 AND next.hash = $4 AND next.used_at IS NOT NULL)))";
    REFRESH_USE = "UPDATE refresh_tokens SET used_at = $3 WHERE tenant = $1 AND hash = $2 AND expires_at > $3";
    REFRESH_PRUNE = "DELETE FROM refresh_tokens WHERE expires_at < $1";

    TASKS_OF_SUB = "SELECT id, ancestors, agent, sub, purpose, opened_at, deadline, ended_at FROM tasks
        WHERE tenant = $1 AND sub = $2 AND ended_at IS NULL AND deadline > $3 ORDER BY id LIMIT 1000";
    TASKS_END_OF_CONSENT = "UPDATE tasks SET ended_at = $3 WHERE tenant = $1 AND ended_at IS NULL AND id IN
        (SELECT task FROM grants WHERE tenant = $1 AND consent = $2)";
    USERS_OF_ISSUER = "SELECT DISTINCT users.id FROM users JOIN tokens ON tokens.tenant = users.tenant AND tokens.sub = users.id
        WHERE users.tenant = $1 AND users.issuer = $2 AND tokens.exp > $3 ORDER BY users.id";

    REGISTERED_CLIENT_INSERT = "INSERT INTO registered_clients (tenant, id, body, created_at) VALUES ($1, $2, $3, $4)";
    REGISTERED_CLIENT = "SELECT body, created_at FROM registered_clients WHERE tenant = $1 AND id = $2";
    REGISTERED_CLIENTS = "SELECT count(*) FROM registered_clients WHERE tenant = $1";
    REGISTERED_CLIENTS_PRUNE = "DELETE FROM registered_clients WHERE tenant = $1 AND created_at < $2
        AND id NOT IN (SELECT client_id FROM consents WHERE tenant = $1 AND withdrawn_at IS NULL AND expires_at >= $2)";

    AUDIT_INSERT = "INSERT INTO audit (tenant, seq, at, body, hash)
        SELECT $1, value->>0, value->>1, value->>2, value->>3 FROM json_each($2)",
        postgres "INSERT INTO audit (tenant, seq, at, body, hash)
        SELECT $1, (value->>0)::bigint, (value->>1)::bigint, value->>2, value->>3 FROM jsonb_array_elements($2::jsonb)";
    AUDIT_AFTER = "SELECT seq, at, body, hash FROM audit WHERE tenant = $1 AND seq > $2 ORDER BY seq LIMIT $3";
    CHECKPOINT_INSERT = "INSERT INTO audit_checkpoints (tenant, seq, at, statement) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING";
    CHECKPOINT_LAST = "SELECT COALESCE(MAX(seq), 0) FROM audit_checkpoints WHERE tenant = $1";
    CHECKPOINTS = "SELECT seq, at, statement FROM audit_checkpoints WHERE tenant = $1 ORDER BY seq";

    BOOTSTRAP_INSERT = "INSERT INTO bootstrap_tokens (tenant, hash, expires_at) VALUES ($1, $2, $3)";
    BOOTSTRAP_REDEEM = "UPDATE bootstrap_tokens SET redeemed_at = $3
        WHERE tenant = $1 AND hash = $2 AND redeemed_at IS NULL AND expires_at > $3";
}
