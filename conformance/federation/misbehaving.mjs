// Identity providers that do one thing wrong each. One server; the first segment of the path is the provider's name, and its
// address with that segment is the issuer.

import { createHash, createHmac, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import https from "node:https";

const newKey = (kid) => {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    return {
        kid,
        privateKey,
        publicKey,
        jwk: { ...publicKey.export({ format: "jwk" }), kid, alg: "ES256", use: "sig" },
    };
};

const encode = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

/** A JWS by ES256, whatever is in it. */
export function signed(key, claims, header = {}) {
    const input = `${encode({ alg: "ES256", typ: "JWT", kid: key.kid, ...header })}.${encode(claims)}`;
    return `${input}.${sign("sha256", Buffer.from(input), { key: key.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

const KEY = newKey("published");
const OTHER_KEY = newKey("unpublished");
const now = () => Math.floor(Date.now() / 1000);

function signedWithPublicKey(claims) {
    const input = `${encode({ alg: "HS256", typ: "JWT", kid: KEY.kid })}.${encode(claims)}`;
    const secret = KEY.publicKey.export({ format: "pem", type: "spki" });
    return `${input}.${createHmac("sha256", secret).update(input).digest("base64url")}`;
}

/** What each provider does with the ID token that an honest one would give. `null` leaves a claim out. */
const ID_TOKENS = {
    honest: (claims) => signed(KEY, claims),
    twin: (claims) => signed(KEY, claims),
    "wrong-issuer": (claims, { base }) => signed(KEY, { ...claims, iss: `${base}/honest` }),
    "issuer-with-slash": (claims) => signed(KEY, { ...claims, iss: `${claims.iss}/` }),
    "no-issuer": (claims) => signed(KEY, { ...claims, iss: undefined }),
    "wrong-audience": (claims) => signed(KEY, { ...claims, aud: "somebody-else" }),
    "no-audience": (claims) => signed(KEY, { ...claims, aud: undefined }),
    "another-audience-too": (claims) => signed(KEY, { ...claims, aud: [claims.aud, "somebody-else"] }),
    "wrong-azp": (claims) => signed(KEY, { ...claims, azp: "somebody-else" }),
    "two-audiences-wrong-azp": (claims) =>
        signed(KEY, { ...claims, aud: [claims.aud, "somebody-else"], azp: "somebody-else" }),
    "wrong-nonce": (claims) => signed(KEY, { ...claims, nonce: randomUUID() }),
    "no-nonce": (claims) => signed(KEY, { ...claims, nonce: undefined }),
    "unknown-key": (claims) => signed(OTHER_KEY, claims),
    "known-id-of-another-key": (claims) => signed({ ...OTHER_KEY, kid: KEY.kid }, claims),
    "key-in-the-header": (claims) => signed(OTHER_KEY, claims, { jwk: OTHER_KEY.jwk }),
    expired: (claims) => signed(KEY, { ...claims, iat: now() - 3600, exp: now() - 60 }),
    "no-expiry": (claims) => signed(KEY, { ...claims, exp: undefined }),
    "expiry-as-text": (claims) => signed(KEY, { ...claims, exp: String(claims.exp) }),
    "from-tomorrow": (claims) => signed(KEY, { ...claims, iat: now() + 86_400, exp: now() + 90_000 }),
    "no-subject": (claims) => signed(KEY, { ...claims, sub: undefined }),
    "empty-subject": (claims) => signed(KEY, { ...claims, sub: "" }),
    "number-as-subject": (claims) => signed(KEY, { ...claims, sub: 1000 }),
    unsigned: (claims) => `${encode({ alg: "none", typ: "JWT" })}.${encode(claims)}.`,
    "signed-with-the-public-key": signedWithPublicKey,
    "changed-after-signing": (claims) => {
        const [header, , signature] = signed(KEY, claims).split(".");
        return `${header}.${encode({ ...claims, sub: "root" })}.${signature}`;
    },
    "access-token-as-id-token": (claims) => signed(KEY, claims, { typ: "at+jwt" }),
    "logout-token-as-id-token": (claims) => signed(KEY, claims, { typ: "logout+jwt" }),
    "no-id-token": () => undefined,
};

/** What each provider does with its authorization response. */
const RESPONSES = {
    "mixed-up": (answer, { base }) => ({ ...answer, iss: `${base}/honest` }),
    "iss-missing": (answer) => ({ ...answer, iss: undefined }),
    "iss-twice": (answer) => ({ ...answer, iss: [answer.iss, answer.iss] }),
    "state-changed": (answer) => ({ ...answer, state: `${answer.state}x` }),
    "state-missing": (answer) => ({ ...answer, state: undefined }),
    "code-missing": (answer) => ({ ...answer, code: undefined }),
    "code-twice": (answer) => ({ ...answer, code: [answer.code, answer.code] }),
    refuses: ({ state, iss }) => ({ error: "access_denied", error_description: "<b>no</b>", state, iss }),
};

/** What each provider does with its discovery document. */
const DOCUMENTS = {
    "document-of-another": (document, { base }) => ({ ...document, issuer: `${base}/honest` }),
    "plain-http": (document) => ({ ...document, token_endpoint: document.token_endpoint.replace("https:", "http:") }),
    "no-token-endpoint": (document) => ({ ...document, token_endpoint: undefined }),
};

/** What each provider does with the token request, instead of answering it. */
const TOKEN_ANSWERS = {
    "code-refused": (response) => json(response, 400, { error: "invalid_grant" }),
    "token-elsewhere": (response, { base }) => response.writeHead(307, { location: `${base}/honest/token` }).end(),
    "token-as-text": (response) => response.writeHead(200, { "content-type": "text/plain" }).end("hello"),
    "token-breaks-off": (response) => response.destroy(),
};

/** Every provider that does something wrong, and what is wrong about it. */
export const WRONG_TOKENS = Object.keys(ID_TOKENS).filter((name) => !["honest", "twin"].includes(name));
export const WRONG_RESPONSES = Object.keys(RESPONSES);
export const WRONG_DOCUMENTS = Object.keys(DOCUMENTS);
export const WRONG_TOKEN_ANSWERS = Object.keys(TOKEN_ANSWERS);
export const ALL = [...Object.keys(ID_TOKENS), ...WRONG_RESPONSES, ...WRONG_DOCUMENTS, ...WRONG_TOKEN_ANSWERS];

function json(response, status, value) {
    response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
    response.end(JSON.stringify(value));
}

async function formOf(request) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    return new URLSearchParams(Buffer.concat(chunks).toString());
}

export class Misbehaving {
    constructor(base, clientId) {
        Object.assign(this, { base, clientId, key: KEY, otherKey: OTHER_KEY });
        /** How often each provider was asked, by `name endpoint`. */
        this.asked = {};
        this.codes = new Map();
        /** What a logout names: the one browser session that each provider has. */
        this.sids = Object.fromEntries(ALL.map((name) => [name, randomUUID()]));
        this.subject = "alice";
    }

    async start(port, tls) {
        const server = https.createServer(tls, (request, response) => {
            this.serve(request, response).catch((error) => {
                console.error(error);
                response.destroy();
            });
        });
        await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
        this.close = () => server.close();
    }

    times(name, endpoint) {
        return this.asked[`${name} ${endpoint}`] ?? 0;
    }

    async serve(request, response) {
        const url = new URL(request.url, this.base);
        const [, name, ...rest] = url.pathname.split("/");
        const endpoint = rest.join("/");
        this.asked[`${name} ${endpoint}`] = this.times(name, endpoint) + 1;
        const issuer = `${this.base}/${name}`;
        if (!ALL.includes(name)) return json(response, 404, {});
        if (endpoint === ".well-known/openid-configuration") return json(response, 200, this.document(name, issuer));
        if (endpoint === "jwks") return json(response, 200, { keys: [KEY.jwk] });
        if (endpoint === "authorize") return this.authorize(name, issuer, url.searchParams, response);
        if (endpoint === "token") return this.token(name, issuer, await formOf(request), response);
        return json(response, 404, {});
    }

    document(name, issuer) {
        const honest = {
            issuer,
            authorization_endpoint: `${issuer}/authorize`,
            token_endpoint: `${issuer}/token`,
            jwks_uri: `${issuer}/jwks`,
            response_types_supported: ["code"],
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: ["ES256"],
            token_endpoint_auth_methods_supported: ["none"],
            code_challenge_methods_supported: ["S256"],
            authorization_response_iss_parameter_supported: true,
        };
        return DOCUMENTS[name]?.(honest, this) ?? honest;
    }

    /** Whoever comes is signed in already, and has consented. */
    authorize(name, issuer, asked, response) {
        const code = randomUUID();
        this.codes.set(code, { nonce: asked.get("nonce"), challenge: asked.get("code_challenge") });
        const honest = { code, state: asked.get("state"), iss: issuer };
        const answer = RESPONSES[name]?.(honest, this) ?? honest;
        const back = new URL(asked.get("redirect_uri"));
        for (const [parameter, value] of Object.entries(answer)) {
            for (const one of [value].flat()) if (one !== undefined) back.searchParams.append(parameter, one);
        }
        response.writeHead(303, { location: back.href }).end();
    }

    token(name, issuer, form, response) {
        if (TOKEN_ANSWERS[name]) return TOKEN_ANSWERS[name](response, this);
        const kept = this.codes.get(form.get("code"));
        this.codes.delete(form.get("code"));
        const challenge = createHash("sha256")
            .update(form.get("code_verifier") ?? "")
            .digest("base64url");
        if (kept === undefined || kept.challenge !== challenge) return json(response, 400, { error: "invalid_grant" });
        const honest = {
            iss: issuer,
            sub: this.subject,
            aud: this.clientId,
            iat: now(),
            exp: now() + 300,
            nonce: kept.nonce ?? undefined,
            sid: this.sids[name],
            name: "Alice Example",
            email: "alice@example.com",
            email_verified: true,
        };
        const idToken = (ID_TOKENS[name] ?? ID_TOKENS.honest)(honest, this);
        return json(response, 200, {
            access_token: randomUUID(),
            token_type: "Bearer",
            expires_in: 300,
            id_token: idToken,
        });
    }
}

/** Logout tokens (OpenID Connect Back-Channel Logout 1.0 §2.4): the good one, and what is wrong with the others. */
export const EVENT = "http://schemas.openid.net/event/backchannel-logout";
export const WRONG_LOGOUTS = {
    of_another_issuer: (claims, { base }) => signed(KEY, { ...claims, iss: `${base}/twin` }, { typ: "logout+jwt" }),
    for_another_client: (claims) => signed(KEY, { ...claims, aud: "somebody-else" }, { typ: "logout+jwt" }),
    with_a_nonce: (claims) => signed(KEY, { ...claims, nonce: "n" }, { typ: "logout+jwt" }),
    without_events: (claims) => signed(KEY, { ...claims, events: undefined }, { typ: "logout+jwt" }),
    with_another_event: (claims) =>
        signed(KEY, { ...claims, events: { "http://example.com/event": {} } }, { typ: "logout+jwt" }),
    without_a_jti: (claims) => signed(KEY, { ...claims, jti: undefined }, { typ: "logout+jwt" }),
    without_anybody: (claims) => signed(KEY, { ...claims, sub: undefined, sid: undefined }, { typ: "logout+jwt" }),
    that_is_expired: (claims) => signed(KEY, { ...claims, iat: now() - 3600, exp: now() - 60 }, { typ: "logout+jwt" }),
    that_is_unsigned: (claims) => `${encode({ alg: "none", typ: "logout+jwt" })}.${encode(claims)}.`,
    by_an_unknown_key: (claims) => signed(OTHER_KEY, claims, { typ: "logout+jwt" }),
    that_is_an_access_token: (claims) => signed(KEY, claims, { typ: "at+jwt" }),
    that_is_an_id_token: (claims) => signed(KEY, { ...claims, events: undefined, nonce: "n" }),
};

export function logoutToken(
    { clientId, sid, subject },
    issuer,
    change = (claims) => signed(KEY, claims, { typ: "logout+jwt" }),
    context = undefined,
) {
    const claims = {
        iss: issuer,
        sub: subject,
        aud: clientId,
        iat: now(),
        exp: now() + 120,
        jti: randomUUID(),
        sid,
        events: { [EVENT]: {} },
    };
    return change(claims, context);
}
