//! Refusals: one variant for each rule that a caller can break, mapped to the wire in this one file.

use crate::protocol::error_code::ErrorCode;

/// What a refusal looks like on the wire and in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// The rule's name: the `rule` member of the answer, the label of the metric, the word in the audit row.
    pub rule: &'static str,
    /// The standard's error code.
    pub code: ErrorCode,
    /// The document and section that the rule comes from.
    pub section: &'static str,
    /// The fixed `error_description`: never an echo of input.
    pub description: &'static str,
}

/// One table: the variant, its name, its code, its source, its description. From it come the enum, the list of all, and
/// the exhaustive match to the wire, so that none can lack what the others have.
macro_rules! refusals {
    ($($variant:ident $rule:literal $code:ident $section:literal $description:literal;)*) => {
        /// A rule that a caller has broken, as a sentence about the caller.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Refusal {
            $(#[doc = $description] $variant,)*
        }

        impl Refusal {
            /// Every refusal, for documentation and tests.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// How it is told to the caller and written down.
            pub const fn wire(self) -> Wire {
                match self {
                    $(Self::$variant => Wire {
                        rule: $rule,
                        code: ErrorCode::$code,
                        section: $section,
                        description: $description,
                    },)*
                }
            }
        }
    };
}

refusals! {
    ParameterMissing "parameter_missing" InvalidRequest "RFC 6749 section 5.2"
        "A required parameter is missing.";
    ParameterRepeated "parameter_repeated" InvalidRequest "RFC 6749 section 3.2"
        "A parameter that may come once came more than once.";
    RequestMalformed "request_malformed" InvalidRequest "RFC 6749 section 5.2"
        "The request is not a well-formed form or JSON document.";
    GrantTypeUnsupported "grant_type_unsupported" UnsupportedGrantType "RFC 6749 section 5.2"
        "The grant type is not one of those in the server's metadata.";
    GrantNotForThisClient "grant_not_for_this_client" UnauthorizedClient "RFC 6749 section 5.2"
        "This client may not use this grant: agents exchange tokens, enforcers introspect, administrators administer.";
    ClientAuthenticationMissing "client_authentication_missing" InvalidClient "RFC 6749 section 3.2.1"
        "The request has no client_assertion; authenticate with private_key_jwt or a JWT-SVID.";
    ClientAuthenticationAmbiguous "client_authentication_ambiguous" InvalidClient "RFC 6749 section 2.3"
        "The request uses more than one way to authenticate the client.";
    ClientAssertionTypeUnsupported "client_assertion_type_unsupported" InvalidClient "RFC 7521 section 4.2"
        "The client_assertion_type is not jwt-bearer or jwt-spiffe.";
    ClientAssertionMalformed "client_assertion_malformed" InvalidClient "RFC 7523 section 3"
        "The client assertion is not a well-formed JWT with iss, sub, aud, exp and jti.";
    ClientAssertionTypWrong "client_assertion_typ_wrong" InvalidClient "RFC 10070"
        "The client assertion has the typ of another kind of token.";
    ClientUnknown "client_unknown" InvalidClient "RFC 6749 section 5.2"
        "The client is unknown, or the assertion is not signed by one of its keys.";
    ClientKeysUnavailable "client_keys_unavailable" TemporarilyUnavailable "RFC 7517"
        "The client's keys cannot be fetched right now.";
    ClientAssertionIssuerNotSubject "client_assertion_issuer_not_subject" InvalidClient "RFC 7523 section 3"
        "The client assertion's iss and sub are not both the client_id.";
    ClientAssertionAudienceWrong "client_assertion_audience_wrong" InvalidClient "RFC 10070"
        "The client assertion's aud is not this server's issuer, as its sole value.";
    ClientAssertionExpired "client_assertion_expired" InvalidClient "RFC 7523 section 3"
        "The client assertion has expired.";
    ClientAssertionNotYetValid "client_assertion_not_yet_valid" InvalidClient "RFC 7523 section 3"
        "The client assertion is not valid yet.";
    ClientAssertionLivesTooLong "client_assertion_lives_too_long" InvalidClient "RFC 7523 section 3"
        "The client assertion expires too far in the future; 300 seconds are allowed.";
    ClientAssertionReplayed "client_assertion_replayed" InvalidClient "RFC 7523 section 3"
        "The client assertion has been used before; each may be used once.";
    ClientIdMismatch "client_id_mismatch" InvalidClient "RFC 7523 section 3"
        "The client_id parameter names another client than the assertion.";
    ClientSuspended "client_suspended" InvalidClient "Taskpass"
        "The client is suspended or retired.";
    SvidMalformed "svid_malformed" InvalidClient "JWT-SVID section 2 and 3"
        "The JWT-SVID is not well formed: header of alg, kid, typ; claims sub, aud, exp.";
    SvidTrustDomainUnknown "svid_trust_domain_unknown" InvalidClient "JWT-SVID section 5"
        "The JWT-SVID's trust domain is not trusted here.";
    SvidSignatureWrong "svid_signature_wrong" InvalidClient "JWT-SVID section 5"
        "No key of the trust domain's bundle signed this JWT-SVID.";
    SvidAudienceWrong "svid_audience_wrong" InvalidClient "JWT-SVID section 4"
        "The JWT-SVID's audience is not this server's issuer, as its sole value.";
    SvidExpired "svid_expired" InvalidClient "JWT-SVID section 4"
        "The JWT-SVID has expired.";
    SvidNotRegistered "svid_not_registered" InvalidClient "draft-ietf-oauth-spiffe-client-auth-02"
        "No agent is registered with this SPIFFE ID.";
    TrustBundleUnavailable "trust_bundle_unavailable" TemporarilyUnavailable "SPIFFE Trust Domain and Bundle section 5"
        "The trust domain's bundle cannot be read right now, and the last good one is too old.";
    ActorTokenWithoutType "actor_token_without_type" InvalidRequest "RFC 8693 section 2.1"
        "actor_token and actor_token_type come together or not at all.";
    ActorTokenNotAccepted "actor_token_not_accepted" InvalidRequest "RFC 8693 section 2.2.2"
        "The actor token is invalid or of a type that is not accepted.";
    ActorTokenNotOfClient "actor_token_not_of_client" InvalidRequest "RFC 8693 section 2.1"
        "The actor token proves another agent than the one that authenticated.";
    SubjectTokenMissing "subject_token_missing" InvalidRequest "RFC 8693 section 2.1"
        "subject_token and subject_token_type are required.";
    SubjectTokenTypeUnsupported "subject_token_type_unsupported" InvalidRequest "RFC 8693 section 2.1"
        "The subject_token_type is not access_token, id_token or jwt.";
    RequestedTokenTypeUnsupported "requested_token_type_unsupported" InvalidRequest "RFC 8693 section 2.1"
        "The requested_token_type is not access_token.";
    SubjectTokenMalformed "subject_token_malformed" InvalidRequest "RFC 8693 section 2.2.2"
        "The subject token is not well formed.";
    SubjectTokenOfWrongType "subject_token_of_wrong_type" InvalidRequest "RFC 8725 section 3.11"
        "The subject token is another kind of token than it is declared to be.";
    SubjectTokenIssuerUnknown "subject_token_issuer_unknown" InvalidRequest "RFC 8693 section 2.2.2"
        "The subject token's issuer is not trusted here.";
    SubjectTokenSignatureWrong "subject_token_signature_wrong" InvalidRequest "RFC 8693 section 2.2.2"
        "The subject token is not signed by its issuer.";
    SubjectTokenAudienceWrong "subject_token_audience_wrong" InvalidRequest "RFC 8693 section 2.2.2"
        "The subject token is not meant for this client.";
    SubjectTokenExpired "subject_token_expired" InvalidRequest "RFC 8693 section 2.2.2"
        "The subject token has expired or is not valid yet.";
    SubjectTokenRevoked "subject_token_revoked" InvalidRequest "RFC 8693 section 2.2.2"
        "The subject token has been revoked.";
    SubjectTokenBoundWithoutProof "subject_token_bound_without_proof" InvalidDpopProof "RFC 9449 section 5"
        "The subject token is bound to a key, and the request does not prove possession of it.";
    SubjectTokenAlreadyDelegated "subject_token_already_delegated" InvalidRequest "RFC 8693 section 4.1"
        "The upstream token carries an actor of its own, which cannot be verified here.";
    SubjectTokenOfOtherTenant "subject_token_of_other_tenant" InvalidRequest "RFC 8693 section 2.2.2"
        "The subject token is of another tenant.";
    SubjectKeysUnavailable "subject_keys_unavailable" TemporarilyUnavailable "RFC 7517"
        "The keys of the subject token's issuer cannot be fetched right now.";
    IdentityProviderDisabled "identity_provider_disabled" InvalidRequest "RFC 8693 section 2.2.2"
        "The identity provider is disabled.";
    UserDisabled "user_disabled" InvalidRequest "RFC 8693 section 2.2.2"
        "The person is disabled.";
    ActorNotInMayAct "actor_not_in_may_act" InvalidRequest "RFC 8693 section 4.4"
        "The subject token's may_act names another agent.";
    AgentMayNotActForSubject "agent_may_not_act_for_subject" InvalidRequest "RFC 8693 section 2.2.2"
        "The subject token was not issued to this agent, and neither may_act, may_delegate_to nor its audience lets this agent exchange it.";
    AgentWithoutOwner "agent_without_owner" InvalidRequest "Taskpass"
        "The agent has no accountable owner and therefore mints nothing.";
    ConsentMissing "consent_missing" InvalidRequest "Taskpass"
        "Nobody has consented to this agent acting for this person at this resource.";
    ConsentExpired "consent_expired" InvalidRequest "Taskpass"
        "The consent for this agent has expired.";
    DelegationTooDeep "delegation_too_deep" InvalidRequest "RFC 8693 section 4.1"
        "The actor chain would be longer than is allowed.";
    TargetMissing "target_missing" InvalidTarget "RFC 8707 section 2"
        "resource is required: the canonical URI of one resource.";
    TargetNotSingle "target_not_single" InvalidTarget "RFC 8707 section 2"
        "More than one resource or audience was named; a token is for exactly one.";
    TargetMalformed "target_malformed" InvalidTarget "RFC 8707 section 2"
        "The resource is not an absolute URI in canonical form without fragment.";
    TargetUnknown "target_unknown" InvalidTarget "RFC 8707 section 2"
        "The resource is not registered.";
    TargetDisabled "target_disabled" InvalidTarget "RFC 8707 section 2"
        "The resource is switched off.";
    TargetNotInCeiling "target_not_in_ceiling" InvalidTarget "RFC 8707 section 2"
        "The resource is not in the agent's ceiling.";
    TargetNotReachable "target_not_reachable" InvalidTarget "RFC 8707 section 2"
        "The subject token's audience does not lead to this resource.";
    ScopeMalformed "scope_malformed" InvalidScope "RFC 6749 section 3.3"
        "The scope is malformed.";
    ScopeUnknownToResource "scope_unknown_to_resource" InvalidScope "RFC 6749 section 3.3"
        "The resource does not know one of the scopes.";
    ScopeExceedsSubjectToken "scope_exceeds_subject_token" InvalidScope "RFC 8693 section 2.1"
        "The scope exceeds the subject token's.";
    ScopeExceedsConsent "scope_exceeds_consent" InvalidScope "RFC 6749 section 3.3"
        "The scope exceeds the consent.";
    ScopeExceedsCeiling "scope_exceeds_ceiling" InvalidScope "RFC 6749 section 3.3"
        "The scope exceeds the agent's ceiling.";
    ScopeExceedsDownstream "scope_exceeds_downstream" InvalidScope "RFC 6749 section 3.3"
        "The scope exceeds what the tools of the subject token lead to.";
    NothingToGrant "nothing_to_grant" InvalidScope "RFC 6749 section 3.3"
        "Nothing is common to what all bounds allow; a token would grant nothing.";
    DetailsMalformed "details_malformed" InvalidAuthorizationDetails "RFC 9396 section 5"
        "authorization_details is not a well-formed list of typed objects.";
    DetailsNotAccepted "details_not_accepted" InvalidAuthorizationDetails "RFC 9396 section 5"
        "A detail's type is unknown to the resource, or it does not conform to its type.";
    DetailsForOtherResource "details_for_other_resource" InvalidAuthorizationDetails "RFC 9396 section 3"
        "A detail's locations name another resource than the requested one.";
    DetailsExceedSubjectToken "details_exceed_subject_token" InvalidAuthorizationDetails "RFC 9396 section 6"
        "The details exceed the subject token's.";
    DetailsExceedConsent "details_exceed_consent" InvalidAuthorizationDetails "RFC 9396 section 6"
        "The details exceed the consent.";
    DetailsExceedCeiling "details_exceed_ceiling" InvalidAuthorizationDetails "RFC 9396 section 6"
        "The details exceed the agent's ceiling.";
    DetailsExceedDownstream "details_exceed_downstream" InvalidAuthorizationDetails "RFC 9396 section 6"
        "The details exceed what the tools of the subject token lead to.";
    ToolDisabled "tool_disabled" InvalidAuthorizationDetails "Taskpass"
        "One of the tools is switched off.";
    SenderConstraintRequired "sender_constraint_required" InvalidDpopProof "RFC 9449 section 5"
        "The resource accepts only tokens that are bound to a key.";
    PolicyDenied "policy_denied" AccessDenied "Taskpass"
        "Policy denies this request.";
    PolicyNeedsApproval "policy_needs_approval" AccessDenied "Taskpass"
        "Policy asks for a person's approval of this request.";
    TaskEnded "task_ended" InvalidRequest "Taskpass"
        "The task has ended.";
    TaskDeadlinePassed "task_deadline_passed" InvalidRequest "Taskpass"
        "The task's deadline has passed.";
    TaskLifetimeNotAllowed "task_lifetime_not_allowed" InvalidRequest "Taskpass"
        "task_lifetime is not a number of seconds within what policy allows.";
    TaskPurposeTooLong "task_purpose_too_long" InvalidRequest "Taskpass"
        "task_purpose is longer than 500 characters, or has control characters.";
    RevokedWhileDeciding "revoked_while_deciding" InvalidRequest "Taskpass"
        "Something that this request rests on was revoked while it was being decided.";
    AuthorizationClientUnknown "authorization_client_unknown" InvalidClient "RFC 6749 section 4.1.2.1"
        "The client is unknown, switched off, or may not ask people for anything.";
    ClientIdUrlUnfit "client_id_url_unfit" InvalidClient "draft-ietf-oauth-client-id-metadata-document-02 section 3"
        "The client_id is not an https URL with a path, or has user information, a fragment, dot segments or another spelling.";
    ClientMetadataHostNotAllowed "client_metadata_host_not_allowed" InvalidClient "Taskpass"
        "Clients from this host are not accepted here.";
    ClientMetadataNotFetched "client_metadata_not_fetched" InvalidClient "draft-ietf-oauth-client-id-metadata-document-02 section 5"
        "The client's metadata document cannot be had: 200, JSON, at most 5 KB, no redirect, from a public address.";
    ClientMetadataDocumentUnfit "client_metadata_document_unfit" InvalidClient "draft-ietf-oauth-client-id-metadata-document-02 section 4"
        "The client's metadata document is about another URL, or describes a client that cannot be served.";
    RegistrationClosed "registration_closed" NotFound "Taskpass"
        "Clients do not register themselves here; use a Client ID Metadata Document or ask the administrator.";
    RegistrationFull "registration_full" TemporarilyUnavailable "Taskpass"
        "So many clients have registered themselves that there is no room for another.";
    ClientMetadataUnfit "client_metadata_unfit" InvalidClientMetadata "RFC 7591 section 3.2.2"
        "The client metadata cannot be taken: a public client, or private_key_jwt with jwks; code; a plain name; no secrets.";
    RedirectUriUnfit "redirect_uri_unfit" InvalidRedirectUri "RFC 7591 section 3.2.2"
        "A redirect URI is missing or cannot be taken: https, http on loopback, or a scheme made of a domain name.";
    RedirectUriNotRegistered "redirect_uri_not_registered" InvalidRequest "RFC 9700 section 2.1"
        "The redirect_uri is missing or is not one that is registered for the client, to the byte.";
    ResponseTypeUnsupported "response_type_unsupported" UnsupportedResponseType "RFC 6749 section 3.1.1"
        "response_type must be code.";
    ResponseModeUnsupported "response_mode_unsupported" InvalidRequest "OAuth 2.0 Multiple Response Types section 2.1"
        "response_mode must be query or absent.";
    CodeChallengeMissing "code_challenge_missing" InvalidRequest "RFC 7636 section 4.4.1"
        "code_challenge is required, with code_challenge_method S256.";
    CodeChallengeMethodUnsupported "code_challenge_method_unsupported" InvalidRequest "RFC 7636 section 4.4.1"
        "code_challenge_method must be S256; plain proves nothing to whoever saw the request.";
    RequestObjectUnsupported "request_object_unsupported" RequestNotSupported "OpenID Connect Core section 3.1.2.6"
        "Request objects are not accepted; push the request instead.";
    RequestUriUnknown "request_uri_unknown" InvalidRequest "RFC 9126 section 4"
        "The request_uri is unknown, expired, or was pushed by another client.";
    RequestUriNotAccepted "request_uri_not_accepted" InvalidRequest "RFC 9126 section 2.1"
        "A pushed request must not itself contain a request_uri.";
    ClientNotForResource "client_not_for_resource" InvalidTarget "RFC 8707 section 2"
        "The client is not registered for this resource.";
    ActorUnknown "actor_unknown" InvalidRequest "Taskpass"
        "requested_actor is not an active agent whose ceiling has this resource.";
    LoginRequired "login_required" LoginRequired "OpenID Connect Core section 3.1.2.6"
        "Nobody is signed in, and prompt=none asks that nobody be asked.";
    ConsentRequired "consent_required" ConsentRequired "OpenID Connect Core section 3.1.2.6"
        "The person has not agreed to this, and prompt=none asks that nobody be asked.";
    ConsentDenied "consent_denied" AccessDenied "RFC 6749 section 4.1.2.1"
        "The person said no.";
    AuthorizationRequestGone "authorization_request_gone" InvalidRequest "Taskpass"
        "This request has been answered or has expired, or was opened in another browser.";
    FormForged "form_forged" InvalidRequest "RFC 9700 section 4.7"
        "The form was not sent from a page of this server in this browser.";
    SessionMissing "session_missing" LoginRequired "Taskpass"
        "Nobody is signed in in this browser, or the session has ended.";
    SignInStateUnknown "sign_in_state_unknown" InvalidRequest "RFC 6749 section 10.12"
        "The identity provider sent back a browser that was not sent to it, or sent it back twice or too late.";
    SignInIssuerMixedUp "sign_in_issuer_mixed_up" InvalidRequest "RFC 9207 section 2.4"
        "The answer comes from another identity provider than the one that was asked.";
    SignInRefused "sign_in_refused" AccessDenied "RFC 6749 section 4.1.2.1"
        "The identity provider did not let the person sign in.";
    SignInFailed "sign_in_failed" TemporarilyUnavailable "OpenID Connect Core section 3.1.3"
        "The identity provider could not be asked, or its answer was not a token response.";
    IdTokenNotAccepted "id_token_not_accepted" InvalidRequest "OpenID Connect Core section 3.1.3.7"
        "The identity provider's ID token is not a proof that this person signed in here.";
    LogoutTokenNotAccepted "logout_token_not_accepted" InvalidRequest "OpenID Connect Back-Channel Logout section 2.6"
        "The logout token is not a proof that the identity provider has logged somebody out.";
    LogoutTokenReplayed "logout_token_replayed" InvalidRequest "OpenID Connect Back-Channel Logout section 2.6"
        "The logout token has been used before; each may be used once.";
    AuthorizationCodeUnknown "authorization_code_unknown" InvalidGrant "RFC 6749 section 5.2"
        "The authorization code is unknown or has expired.";
    AuthorizationCodeAlreadyRedeemed "authorization_code_already_redeemed" InvalidGrant "RFC 6749 section 4.1.2"
        "The authorization code was used before; what it had bought has been revoked.";
    AuthorizationCodeOfOtherClient "authorization_code_of_other_client" InvalidGrant "RFC 6749 section 5.2"
        "The authorization code was issued to another client.";
    RedirectUriMismatch "redirect_uri_mismatch" InvalidGrant "RFC 6749 section 4.1.3"
        "redirect_uri is not the one of the authorization request.";
    CodeVerifierMissing "code_verifier_missing" InvalidRequest "RFC 7636 section 4.5"
        "code_verifier is required: 43 to 128 unreserved characters.";
    CodeVerifierWrong "code_verifier_wrong" InvalidGrant "RFC 7636 section 4.6"
        "The code_verifier does not belong to the code_challenge of the authorization request.";
    RefreshTokenUnknown "refresh_token_unknown" InvalidGrant "RFC 6749 section 5.2"
        "The refresh token is unknown, expired or revoked.";
    RefreshTokenOfOtherClient "refresh_token_of_other_client" InvalidGrant "RFC 6749 section 5.2"
        "The refresh token was issued to another client.";
    RefreshTokenReplayed "refresh_token_replayed" InvalidGrant "RFC 9700 section 4.14.2"
        "The refresh token was used before; everything that came of it has been revoked.";
    ScopeExceedsGrant "scope_exceeds_grant" InvalidScope "RFC 6749 section 6"
        "The scope exceeds what the person has agreed to.";
    DetailsExceedGrant "details_exceed_grant" InvalidAuthorizationDetails "RFC 9396 section 6"
        "The details exceed what the person has agreed to.";
    TargetNotOfGrant "target_not_of_grant" InvalidTarget "RFC 8707 section 2.2"
        "The resource is not the one that the person has agreed to.";
    SessionEnded "session_ended" InvalidGrant "Taskpass"
        "The person's session, the person or the identity provider has been switched off.";
    AssertionMissing "assertion_missing" InvalidRequest "RFC 7523 section 2.1"
        "assertion is required: one identity assertion grant (ID-JAG).";
    IdJagFromPublicClient "id_jag_from_public_client" UnauthorizedClient "draft-ietf-oauth-identity-assertion-authz-grant-04 section 8.1"
        "An ID-JAG is taken only from a client that proves who it is; without keys, send the person to the authorization endpoint.";
    IdJagMalformed "id_jag_malformed" InvalidGrant "draft-ietf-oauth-identity-assertion-authz-grant-04 section 3.1"
        "The ID-JAG is not a well-formed JWT with iss, sub, aud, client_id, jti, exp and iat.";
    IdJagOfWrongType "id_jag_of_wrong_type" InvalidGrant "draft-ietf-oauth-identity-assertion-authz-grant-04 section 4.4.1"
        "The assertion's typ is not oauth-id-jag+jwt.";
    IdJagIssuerNotTrusted "id_jag_issuer_not_trusted" InvalidGrant "RFC 7523 section 3"
        "The ID-JAG's issuer is not an identity provider whose ID-JAGs are accepted here.";
    IdJagKeysUnavailable "id_jag_keys_unavailable" TemporarilyUnavailable "RFC 7517"
        "The keys of the ID-JAG's issuer cannot be fetched right now.";
    IdJagSignatureWrong "id_jag_signature_wrong" InvalidGrant "MCP enterprise-managed authorization section 7.4.1"
        "No key of its issuer signed this ID-JAG.";
    IdJagAudienceWrong "id_jag_audience_wrong" InvalidGrant "draft-ietf-oauth-identity-assertion-authz-grant-04 section 4.4.1"
        "The ID-JAG's aud is not this server's issuer, as its sole value.";
    IdJagOfOtherClient "id_jag_of_other_client" InvalidGrant "draft-ietf-oauth-identity-assertion-authz-grant-04 section 4.4.1"
        "The ID-JAG was issued to another client than the one that authenticated.";
    IdJagExpired "id_jag_expired" InvalidGrant "RFC 7523 section 3"
        "The ID-JAG has expired.";
    IdJagNotYetValid "id_jag_not_yet_valid" InvalidGrant "RFC 7523 section 3"
        "The ID-JAG is not valid yet.";
    IdJagLivesTooLong "id_jag_lives_too_long" InvalidGrant "MCP enterprise-managed authorization section 7.4.2"
        "The ID-JAG is valid for more than an hour.";
    IdJagReplayed "id_jag_replayed" InvalidGrant "MCP enterprise-managed authorization section 7.4.2"
        "The ID-JAG has been used before; each may be used once.";
    IdJagOfATenant "id_jag_of_a_tenant" InvalidGrant "draft-ietf-oauth-identity-assertion-authz-grant-04 section 6.3"
        "The ID-JAG has a tenant; people are known by issuer and subject here, and could be confused.";
    IdJagAlreadyDelegated "id_jag_already_delegated" InvalidGrant "draft-ietf-oauth-identity-assertion-authz-grant-04 section 8.5"
        "The ID-JAG names an actor, which cannot be verified here.";
    IdJagBoundWithoutProof "id_jag_bound_without_proof" InvalidGrant "draft-ietf-oauth-identity-assertion-authz-grant-04 section 8.6.1.2.2"
        "The ID-JAG is bound to a key, and no proof of possession is accepted with it.";
    IdJagResourceMissing "id_jag_resource_missing" InvalidGrant "MCP enterprise-managed authorization section 7.6.2"
        "The ID-JAG names no resource, and would open every one.";
    IdJagResourceNotSingle "id_jag_resource_not_single" InvalidGrant "MCP enterprise-managed authorization section 5.1"
        "The ID-JAG names more than one resource; a token is for exactly one.";
    IdJagResourceUnknown "id_jag_resource_unknown" InvalidGrant "MCP enterprise-managed authorization section 7.6.2"
        "The ID-JAG's resource is not registered here.";
    TargetNotOfIdJag "target_not_of_id_jag" InvalidTarget "RFC 8707 section 2.2"
        "The resource is not the one that the ID-JAG is for.";
    IdJagScopeUnknownToResource "id_jag_scope_unknown_to_resource" InvalidGrant "MCP enterprise-managed authorization section 7.6.2"
        "The resource does not know one of the ID-JAG's scopes.";
    IdJagExceedsRequest "id_jag_exceeds_request" InvalidGrant "MCP enterprise-managed authorization section 7.2.1"
        "The ID-JAG has a scope that the request does not ask for.";
    IdJagDetailsNotAccepted "id_jag_details_not_accepted" InvalidGrant "draft-ietf-oauth-identity-assertion-authz-grant-04 section 4.4.1"
        "The ID-JAG's authorization_details are malformed, of a type that the resource does not know, or for another resource.";
    DetailsExceedIdJag "details_exceed_id_jag" InvalidAuthorizationDetails "draft-ietf-oauth-identity-assertion-authz-grant-04 section 4.4.1"
        "The details exceed what the ID-JAG says.";
    AccessTokenMissing "access_token_missing" InvalidToken "RFC 6750 section 3"
        "This endpoint needs an access token.";
    AccessTokenNotAccepted "access_token_not_accepted" InvalidToken "RFC 6750 section 3.1"
        "The access token is invalid, expired, revoked or for another audience.";
    AccessTokenLacksScope "access_token_lacks_scope" InsufficientScope "RFC 6750 section 3.1"
        "The access token lacks the scope that this operation needs.";
    CallerNotEnforcer "caller_not_enforcer" UnauthorizedClient "RFC 7662 section 2.1"
        "Only registered enforcers may introspect.";
    TokenNotOfClient "token_not_of_client" InvalidRequest "RFC 7009 section 2.1"
        "The token was not issued to this client.";
    TokenTypeNotRevocable "token_type_not_revocable" UnsupportedTokenType "RFC 7009 section 2.2.1"
        "This is not a token that can be revoked here.";
    BootstrapTokenWrong "bootstrap_token_wrong" InvalidToken "Taskpass"
        "The bootstrap token is wrong, used or expired.";
    EntryUnknown "entry_unknown" NotFound "Taskpass"
        "There is no such entry.";
    DecisionOfOtherResource "decision_of_other_resource" InvalidRequest "Taskpass"
        "An enforcer records decisions about its own resources only.";
    ResourceOfOtherEnforcer "resource_of_other_enforcer" InvalidRequest "Taskpass"
        "The enforcer is not registered for the resource that it follows the log for.";
    LogReplaced "log_replaced" Gone "Taskpass"
        "The revocation log has another name now, or no longer goes back that far; start over from a snapshot.";
    LogSetBack "log_set_back" Conflict "Taskpass"
        "The caller has applied more of the revocation log than this server has; its database may have been set back.";
    LeaseTooLong "lease_too_long" InvalidRequest "Taskpass"
        "lease_seconds is 1 to 120.";
    TooManyRequests "too_many_requests" SlowDown "RFC 6585 section 4"
        "Too many requests; wait as long as Retry-After says.";
    Overloaded "overloaded" TemporarilyUnavailable "RFC 9110 section 15.6.4"
        "The server is overloaded; try again.";
    DiskNearlyFull "disk_nearly_full" TemporarilyUnavailable "Taskpass"
        "The server's disk is nearly full: what room is left is for revocations and their record.";
    RevocationViewStale "revocation_view_stale" TemporarilyUnavailable "Taskpass"
        "This node cannot tell what is revoked right now; try again.";
}

impl Refusal {
    /// The rule's name.
    pub const fn rule(self) -> &'static str {
        self.wire().rule
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.wire().description)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// RFC 6749 §5.2: "Values for the `error_description` parameter MUST NOT include characters outside the set
    /// %x20-21 / %x23-5B / %x5D-7E."
    #[test]
    fn descriptions_use_the_characters_of_rfc_6749() {
        for refusal in Refusal::ALL {
            let description = refusal.wire().description;
            assert!(
                description.bytes().all(|byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e)),
                "{description}"
            );
        }
    }

    #[test]
    fn names_are_unique() {
        let names: HashSet<_> = Refusal::ALL.iter().map(|refusal| refusal.rule()).collect();
        assert_eq!(names.len(), Refusal::ALL.len());
    }
}
