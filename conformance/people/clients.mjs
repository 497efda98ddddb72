// Two certified client libraries behind one face, so that each goes through the same tests.

import * as oauth from "oauth4webapi";
import * as openid from "openid-client";

const P256 = { name: "ECDSA", namedCurve: "P-256" };

/** The private half of a key file, as both libraries want it. */
async function signingKey({ private_jwk: { kty, crv, x, y, d, kid } }) {
    return { key: await crypto.subtle.importKey("jwk", { kty, crv, x, y, d }, P256, false, ["sign"]), kid };
}

/** oauth4webapi: every request and every check is called for by name. */
export class Oauth4webapi {
    static packageName = "oauth4webapi";
    static insecure = { [oauth.allowInsecureRequests]: true };

    /** Discovers the server, by RFC 8414 (`oauth2`) or OpenID Connect Discovery (`oidc`). */
    static async discover(issuer, algorithm = "oauth2") {
        const response = await oauth.discoveryRequest(new URL(issuer), { algorithm, ...this.insecure });
        return oauth.processDiscoveryResponse(new URL(issuer), response);
    }

    static async create(issuer, clientId, keyFile) {
        const made = new this();
        made.server = await this.discover(issuer);
        made.client = { client_id: clientId };
        made.authentication = keyFile === undefined ? oauth.None() : oauth.PrivateKeyJwt(await signingKey(keyFile));
        return made;
    }

    async push(parameters) {
        const response = await oauth.pushedAuthorizationRequest(
            this.server,
            this.client,
            this.authentication,
            new URLSearchParams(parameters),
            Oauth4webapi.insecure,
        );
        return oauth.processPushedAuthorizationResponse(this.server, this.client, response);
    }

    authorizationUrl(parameters) {
        const url = new URL(this.server.authorization_endpoint);
        url.search = new URLSearchParams({ client_id: this.client.client_id, ...parameters });
        return url;
    }

    /** Checks the authorization response, `iss` included (RFC 9207). */
    checkResponse(callback, state) {
        return oauth.validateAuthResponse(this.server, this.client, callback, state);
    }

    async redeem(callback, { state, verifier, redirectUri, parameters }) {
        const checked = this.checkResponse(callback, state);
        const options = { additionalParameters: parameters, ...Oauth4webapi.insecure };
        const response = await oauth.authorizationCodeGrantRequest(
            this.server,
            this.client,
            this.authentication,
            checked,
            redirectUri,
            verifier,
            options,
        );
        this.cacheControl = response.headers.get("cache-control");
        return oauth.processAuthorizationCodeResponse(this.server, this.client, response);
    }

    async refresh(token, parameters) {
        const options = { additionalParameters: parameters, ...Oauth4webapi.insecure };
        const response = await oauth.refreshTokenGrantRequest(
            this.server,
            this.client,
            this.authentication,
            token,
            options,
        );
        return oauth.processRefreshTokenResponse(this.server, this.client, response);
    }

    async revoke(token) {
        await oauth.processRevocationResponse(
            await oauth.revocationRequest(this.server, this.client, this.authentication, token, Oauth4webapi.insecure),
        );
    }

    async introspect(token) {
        const response = await oauth.introspectionRequest(
            this.server,
            this.client,
            this.authentication,
            token,
            Oauth4webapi.insecure,
        );
        return oauth.processIntrospectionResponse(this.server, this.client, response);
    }

    /** As a resource server would: RFC 9068, with the published keys. */
    async verify(token, resource) {
        const request = new Request(resource, { headers: { authorization: `Bearer ${token}` } });
        return oauth.validateJwtAccessToken(this.server, request, resource, {
            ...Oauth4webapi.insecure,
            signingAlgorithms: ["ES256"],
        });
    }
}

/** openid-client: the same author's higher level, which chooses for its callers. */
export class OpenidClient {
    static packageName = "openid-client";

    static async discover(issuer, algorithm = "oauth2") {
        const options = { algorithm, execute: [openid.allowInsecureRequests] };
        return (await openid.discovery(new URL(issuer), "nobody", undefined, openid.None(), options)).serverMetadata();
    }

    static async create(issuer, clientId, keyFile) {
        const made = new this();
        const authentication = keyFile === undefined ? openid.None() : openid.PrivateKeyJwt(await signingKey(keyFile));
        const options = { algorithm: "oauth2", execute: [openid.allowInsecureRequests] };
        made.config = await openid.discovery(new URL(issuer), clientId, undefined, authentication, options);
        return made;
    }

    async push(parameters) {
        const url = await openid.buildAuthorizationUrlWithPAR(this.config, parameters);
        return { request_uri: url.searchParams.get("request_uri"), expires_in: undefined };
    }

    authorizationUrl(parameters) {
        return openid.buildAuthorizationUrl(this.config, parameters);
    }

    async redeem(callback, { state, verifier, parameters }) {
        return openid.authorizationCodeGrant(
            this.config,
            callback,
            { pkceCodeVerifier: verifier, expectedState: state },
            parameters,
        );
    }

    refresh(token, parameters) {
        return openid.refreshTokenGrant(this.config, token, parameters);
    }

    revoke(token) {
        return openid.tokenRevocation(this.config, token);
    }

    introspect(token) {
        return openid.tokenIntrospection(this.config, token);
    }
}

export const newVerifier = oauth.generateRandomCodeVerifier;
export const challengeOf = oauth.calculatePKCECodeChallenge;
export const newState = oauth.generateRandomState;
