// What a server is asked that it must refuse: per row a name, what is changed of a good request, and the answer that is
// wanted (one of several where the specifications leave a choice).

import { createHash } from "node:crypto";

export const REDIRECT = "http://127.0.0.1:49152/callback";
const VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123456789";
const CHALLENGE = createHash("sha256").update(VERIFIER).digest("base64url");
const SERVICE = "https://service.example.com/callback";

/** The answer is a page, and the browser goes nowhere. */
export const PAGE = "page";

/** An authorization request that every server takes, and the redemption of what comes of it. */
export const goodRequest = (resource) => ({
    client_id: "editor",
    response_type: "code",
    redirect_uri: REDIRECT,
    state: "s-t-a-t-e",
    code_challenge: CHALLENGE,
    code_challenge_method: "S256",
    resource,
    scope: "tickets.read",
});
export const CODE_GRANT = {
    client_id: "editor",
    grant_type: "authorization_code",
    code: "unknown",
    redirect_uri: REDIRECT,
    code_verifier: VERIFIER,
};

/** The same with changes, as a form: `undefined` leaves a parameter out, a list repeats it. */
export function changed(base, changes) {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries({ ...base, ...changes })) {
        for (const one of [value].flat()) if (one !== undefined) parameters.append(name, one);
    }
    return parameters;
}

const details = (value) => ({ authorization_details: JSON.stringify(value) });
const toolCall = (location, more) =>
    details([{ type: "mcp_tool_call", locations: [location], tools: [{ name: "search_tickets" }], ...more }]);
const without = (...names) => Object.fromEntries(names.map((name) => [name, undefined]));
const redirect = (redirect_uri) => ({ redirect_uri });

/** At the authorization endpoint. */
export const authorization = (resource, other) => [
    ["an_unknown_client", { client_id: "nobody" }, PAGE],
    ["no_client", without("client_id"), PAGE],
    ["an_agent_as_client", { client_id: "triage" }, PAGE],
    ["two_clients", { client_id: ["editor", "viewer"] }, PAGE],
    ["another_redirect_uri", redirect("http://127.0.0.1:49152/other"), PAGE],
    ["a_redirect_uri_with_a_query", redirect(`${REDIRECT}?x=1`), PAGE],
    ["a_redirect_uri_with_a_fragment", redirect(`${REDIRECT}#x`), PAGE],
    ["a_redirect_uri_with_a_dot_segment", redirect("http://127.0.0.1:49152/x/../callback"), PAGE],
    ["a_redirect_uri_with_credentials", redirect("http://a@127.0.0.1:49152/callback"), PAGE],
    ["a_redirect_uri_in_other_case", redirect("http://127.0.0.1:49152/Callback"), PAGE],
    ["a_redirect_uri_at_localhost", redirect("http://localhost:49152/callback"), PAGE],
    ["a_redirect_uri_over_https", redirect("https://127.0.0.1:49152/callback"), PAGE],
    ["another_host_that_begins_like_it", redirect("http://127.0.0.1.example.com/callback"), PAGE],
    ["two_redirect_uris", redirect([REDIRECT, REDIRECT]), PAGE],
    ["no_response_type", without("response_type"), "invalid_request"],
    ["the_implicit_grant", { response_type: "token" }, "unsupported_response_type"],
    ["a_hybrid_flow", { response_type: "code token" }, "unsupported_response_type"],
    ["no_code_challenge", without("code_challenge", "code_challenge_method"), "invalid_request"],
    ["a_plain_code_challenge", { code_challenge_method: "plain" }, "invalid_request"],
    ["no_code_challenge_method", without("code_challenge_method"), "invalid_request"],
    ["a_short_code_challenge", { code_challenge: "short" }, "invalid_request"],
    ["an_answer_in_the_fragment", { response_mode: "fragment" }, "invalid_request"],
    ["a_repeated_state", { state: ["a", "b"] }, [PAGE, "invalid_request"]],
    ["a_repeated_scope", { scope: ["tickets.read", "tickets.read"] }, [PAGE, "invalid_request"]],
    ["nobody_signed_in_where_nobody_may_be_asked", { prompt: "none" }, "login_required"],
    ["prompts_that_contradict_each_other", { prompt: "none login" }, "invalid_request"],
    ["an_unknown_scope", { scope: "tickets.read tickets.admin" }, "invalid_scope"],
    ["an_unknown_resource", { resource: "https://nowhere.example.com/mcp" }, "invalid_target"],
    ["a_relative_resource", { resource: "/mcp" }, "invalid_target"],
    ["a_resource_with_a_fragment", { resource: `${resource}#x` }, "invalid_target"],
    ["two_resources", { resource: [resource, other] }, "invalid_target"],
    ["details_that_are_no_json", { authorization_details: "[{" }, "invalid_authorization_details"],
    ["details_that_are_no_list", details({ type: "mcp_tool_call" }), "invalid_authorization_details"],
    ["details_without_a_type", details([{ locations: [resource] }]), "invalid_authorization_details"],
    ["details_of_an_unknown_type", details([{ type: "payment" }]), "invalid_authorization_details"],
    ["details_with_an_unknown_member", toolCall(resource, { all: true }), "invalid_authorization_details"],
    ["details_at_another_place", toolCall(other), "invalid_authorization_details"],
    ["a_request_object", { request: "e30.e30." }, "request_not_supported"],
    ["a_request_uri_of_elsewhere", { request_uri: "https://elsewhere.example.com/x" }, [PAGE, "request_uri_not_supported"]],
    ["an_unknown_request_uri", { request_uri: "urn:ietf:params:oauth:request_uri:unknown" }, [PAGE, "invalid_request_uri"]],
];

/** At the endpoint for pushed requests. */
export const PUSHED = [
    ["a_good_request", {}, 201],
    ["an_unknown_client", { client_id: "nobody" }, "401 invalid_client"],
    ["a_client_that_does_not_authenticate", { client_id: "service", ...redirect(SERVICE) }, "401 invalid_client"],
    ["another_redirect_uri", redirect("http://127.0.0.1:49152/other"), "400 invalid_request"],
    ["a_request_uri", { request_uri: "urn:ietf:params:oauth:request_uri:x" }, "400 invalid_request"],
    ["no_code_challenge", without("code_challenge", "code_challenge_method"), "400 invalid_request"],
    ["a_plain_code_challenge", { code_challenge_method: "plain" }, "400 invalid_request"],
    ["the_implicit_grant", { response_type: "token" }, "400 unsupported_response_type"],
    ["an_unknown_scope", { scope: "tickets.admin" }, "400 invalid_scope"],
    ["an_unknown_resource", { resource: "https://nowhere.example.com/mcp" }, "400 invalid_target"],
    ["details_of_an_unknown_type", details([{ type: "payment" }]), "400 invalid_authorization_details"],
    ["a_repeated_parameter", { state: ["a", "b"] }, "400 invalid_request"],
];

const REFRESH = { client_id: "editor", grant_type: "refresh_token", refresh_token: "unknown" };

/** At the token endpoint, where nothing is known yet. */
export const TOKEN = [
    ["no_grant_type", { client_id: "editor" }, "400 invalid_request"],
    ["an_unknown_grant_type", { client_id: "editor", grant_type: "urn:example:more" }, "400 unsupported_grant_type"],
    ["a_password", { client_id: "editor", grant_type: "password", username: "alice" }, "400 unsupported_grant_type"],
    ["no_code", { ...CODE_GRANT, code: undefined }, "400 invalid_request"],
    ["an_unknown_code", CODE_GRANT, "400 invalid_grant"],
    ["a_repeated_code", { ...CODE_GRANT, code: ["a", "b"] }, "400 invalid_request"],
    ["no_refresh_token", { ...REFRESH, refresh_token: undefined }, "400 invalid_request"],
    ["an_unknown_refresh_token", REFRESH, "400 invalid_grant"],
    ["an_unknown_client", { ...CODE_GRANT, client_id: "nobody" }, "401 invalid_client"],
    ["no_client", { ...CODE_GRANT, client_id: undefined }, ["401 invalid_client", "400 invalid_request"]],
    ["a_client_that_does_not_authenticate", { ...CODE_GRANT, client_id: "service" }, "401 invalid_client"],
    ["an_invented_secret", { ...CODE_GRANT, client_secret: "secret" }, "401 invalid_client"],
];

/** What is wrong with how a real code is redeemed. */
export const redemption = (other) => [
    ["another_verifier", { code_verifier: `${VERIFIER}x` }, "400 invalid_grant"],
    ["no_verifier", without("code_verifier"), ["400 invalid_grant", "400 invalid_request"]],
    ["the_challenge_as_verifier", { code_verifier: CHALLENGE }, "400 invalid_grant"],
    ["another_redirect_uri", redirect("http://127.0.0.1:49153/callback"), "400 invalid_grant"],
    ["another_client", { client_id: "viewer" }, "400 invalid_grant"],
    ["another_resource", { resource: other }, "400 invalid_target"],
];

/** Where `oidc-provider` answers otherwise, and why ours is right. */
export const DIFFERENCES = {
    authorization_refuses_two_redirect_uris: "it goes to the one that both name; two are none",
    authorization_refuses_an_answer_in_the_fragment: "it can do that; OAuth 2.1 has no more use for it",
    authorization_refuses_an_unknown_scope: "it leaves out what it doesn't know; we never narrow silently",
    authorization_refuses_two_resources: "it lets a code serve several resources; a token of ours has one",
    par_refuses_an_unknown_scope: "it leaves out what it doesn't know; we never narrow silently",
    par_refuses_a_request_uri: "it says request_uri_not_supported; RFC 9126 §2.1 names no code",
};
