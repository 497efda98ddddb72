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

/// A rule that a caller has broken, as a sentence about the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is described by its own wire description below")]
pub enum Refusal {
    ParameterMissing,
    ParameterRepeated,
    RequestMalformed,
    GrantTypeUnsupported,
    GrantNotForThisClient,
    ClientAuthenticationMissing,
    ClientAuthenticationAmbiguous,
    ClientAssertionTypeUnsupported,
    ClientAssertionMalformed,
    ClientAssertionTypWrong,
    ClientUnknown,
    ClientKeysUnavailable,
    ClientAssertionIssuerNotSubject,
    ClientAssertionAudienceWrong,
    ClientAssertionExpired,
    ClientAssertionNotYetValid,
    ClientAssertionLivesTooLong,
    ClientAssertionReplayed,
    ClientIdMismatch,
    ClientSuspended,
    SvidMalformed,
    SvidTrustDomainUnknown,
    SvidSignatureWrong,
    SvidAudienceWrong,
    SvidExpired,
    SvidNotRegistered,
    TrustBundleUnavailable,
    ActorTokenWithoutType,
    ActorTokenNotAccepted,
    ActorTokenNotOfClient,
    SubjectTokenMissing,
    SubjectTokenTypeUnsupported,
    RequestedTokenTypeUnsupported,
    SubjectTokenMalformed,
    SubjectTokenOfWrongType,
    SubjectTokenIssuerUnknown,
    SubjectTokenSignatureWrong,
    SubjectTokenAudienceWrong,
    SubjectTokenExpired,
    SubjectTokenRevoked,
    SubjectTokenBoundWithoutProof,
    SubjectTokenAlreadyDelegated,
    SubjectTokenOfOtherTenant,
    SubjectKeysUnavailable,
    IdentityProviderDisabled,
    UserDisabled,
    ActorNotInMayAct,
    AgentMayNotActForSubject,
    AgentWithoutOwner,
    ConsentMissing,
    ConsentExpired,
    DelegationTooDeep,
    TargetMissing,
    TargetNotSingle,
    TargetMalformed,
    TargetUnknown,
    TargetDisabled,
    TargetNotInCeiling,
    TargetNotReachable,
    ScopeMalformed,
    ScopeUnknownToResource,
    ScopeExceedsSubjectToken,
    ScopeExceedsConsent,
    ScopeExceedsCeiling,
    ScopeExceedsDownstream,
    NothingToGrant,
    DetailsMalformed,
    DetailsNotAccepted,
    DetailsForOtherResource,
    DetailsExceedSubjectToken,
    DetailsExceedConsent,
    DetailsExceedCeiling,
    DetailsExceedDownstream,
    ToolDisabled,
    SenderConstraintRequired,
    PolicyDenied,
    PolicyNeedsApproval,
    TaskEnded,
    TaskDeadlinePassed,
    TaskLifetimeNotAllowed,
    TaskPurposeTooLong,
    RevokedWhileDeciding,
    AccessTokenMissing,
    AccessTokenNotAccepted,
    AccessTokenLacksScope,
    CallerNotEnforcer,
    TokenNotOfClient,
    TokenTypeNotRevocable,
    BootstrapTokenWrong,
    EntryUnknown,
    TooManyRequests,
    Overloaded,
    RevocationViewStale,
}

impl Refusal {
    /// Every refusal, for documentation and tests.
    pub const ALL: &[Self] = &[
        Self::ParameterMissing,
        Self::ParameterRepeated,
        Self::RequestMalformed,
        Self::GrantTypeUnsupported,
        Self::GrantNotForThisClient,
        Self::ClientAuthenticationMissing,
        Self::ClientAuthenticationAmbiguous,
        Self::ClientAssertionTypeUnsupported,
        Self::ClientAssertionMalformed,
        Self::ClientAssertionTypWrong,
        Self::ClientUnknown,
        Self::ClientKeysUnavailable,
        Self::ClientAssertionIssuerNotSubject,
        Self::ClientAssertionAudienceWrong,
        Self::ClientAssertionExpired,
        Self::ClientAssertionNotYetValid,
        Self::ClientAssertionLivesTooLong,
        Self::ClientAssertionReplayed,
        Self::ClientIdMismatch,
        Self::ClientSuspended,
        Self::SvidMalformed,
        Self::SvidTrustDomainUnknown,
        Self::SvidSignatureWrong,
        Self::SvidAudienceWrong,
        Self::SvidExpired,
        Self::SvidNotRegistered,
        Self::TrustBundleUnavailable,
        Self::ActorTokenWithoutType,
        Self::ActorTokenNotAccepted,
        Self::ActorTokenNotOfClient,
        Self::SubjectTokenMissing,
        Self::SubjectTokenTypeUnsupported,
        Self::RequestedTokenTypeUnsupported,
        Self::SubjectTokenMalformed,
        Self::SubjectTokenOfWrongType,
        Self::SubjectTokenIssuerUnknown,
        Self::SubjectTokenSignatureWrong,
        Self::SubjectTokenAudienceWrong,
        Self::SubjectTokenExpired,
        Self::SubjectTokenRevoked,
        Self::SubjectTokenBoundWithoutProof,
        Self::SubjectTokenAlreadyDelegated,
        Self::SubjectTokenOfOtherTenant,
        Self::SubjectKeysUnavailable,
        Self::IdentityProviderDisabled,
        Self::UserDisabled,
        Self::ActorNotInMayAct,
        Self::AgentMayNotActForSubject,
        Self::AgentWithoutOwner,
        Self::ConsentMissing,
        Self::ConsentExpired,
        Self::DelegationTooDeep,
        Self::TargetMissing,
        Self::TargetNotSingle,
        Self::TargetMalformed,
        Self::TargetUnknown,
        Self::TargetDisabled,
        Self::TargetNotInCeiling,
        Self::TargetNotReachable,
        Self::ScopeMalformed,
        Self::ScopeUnknownToResource,
        Self::ScopeExceedsSubjectToken,
        Self::ScopeExceedsConsent,
        Self::ScopeExceedsCeiling,
        Self::ScopeExceedsDownstream,
        Self::NothingToGrant,
        Self::DetailsMalformed,
        Self::DetailsNotAccepted,
        Self::DetailsForOtherResource,
        Self::DetailsExceedSubjectToken,
        Self::DetailsExceedConsent,
        Self::DetailsExceedCeiling,
        Self::DetailsExceedDownstream,
        Self::ToolDisabled,
        Self::SenderConstraintRequired,
        Self::PolicyDenied,
        Self::PolicyNeedsApproval,
        Self::TaskEnded,
        Self::TaskDeadlinePassed,
        Self::TaskLifetimeNotAllowed,
        Self::TaskPurposeTooLong,
        Self::RevokedWhileDeciding,
        Self::AccessTokenMissing,
        Self::AccessTokenNotAccepted,
        Self::AccessTokenLacksScope,
        Self::CallerNotEnforcer,
        Self::TokenNotOfClient,
        Self::TokenTypeNotRevocable,
        Self::BootstrapTokenWrong,
        Self::EntryUnknown,
        Self::TooManyRequests,
        Self::Overloaded,
        Self::RevocationViewStale,
    ];

    /// How it is told to the caller and written down.
    #[expect(clippy::too_many_lines, reason = "the one table of refusals")]
    pub const fn wire(self) -> Wire {
        const fn wire(
            rule: &'static str,
            code: ErrorCode,
            section: &'static str,
            description: &'static str,
        ) -> Wire {
            Wire { rule, code, section, description }
        }
        use ErrorCode as E;
        match self {
            Self::ParameterMissing => wire(
                "parameter_missing",
                E::InvalidRequest,
                "RFC 6749 section 5.2",
                "A required parameter is missing.",
            ),
            Self::ParameterRepeated => wire(
                "parameter_repeated",
                E::InvalidRequest,
                "RFC 6749 section 3.2",
                "A parameter that may come once came more than once.",
            ),
            Self::RequestMalformed => wire(
                "request_malformed",
                E::InvalidRequest,
                "RFC 6749 section 5.2",
                "The request is not a well-formed form or JSON document.",
            ),
            Self::GrantTypeUnsupported => wire(
                "grant_type_unsupported",
                E::UnsupportedGrantType,
                "RFC 6749 section 5.2",
                "The grant type is not one of those in the server's metadata.",
            ),
            Self::GrantNotForThisClient => wire(
                "grant_not_for_this_client",
                E::UnauthorizedClient,
                "RFC 6749 section 5.2",
                "This client may not use this grant: agents exchange tokens, enforcers introspect, administrators administer.",
            ),
            Self::ClientAuthenticationMissing => wire(
                "client_authentication_missing",
                E::InvalidClient,
                "RFC 6749 section 3.2.1",
                "The request has no client_assertion; authenticate with private_key_jwt or a JWT-SVID.",
            ),
            Self::ClientAuthenticationAmbiguous => wire(
                "client_authentication_ambiguous",
                E::InvalidClient,
                "RFC 6749 section 2.3",
                "The request uses more than one way to authenticate the client.",
            ),
            Self::ClientAssertionTypeUnsupported => wire(
                "client_assertion_type_unsupported",
                E::InvalidClient,
                "RFC 7521 section 4.2",
                "The client_assertion_type is not jwt-bearer or jwt-spiffe.",
            ),
            Self::ClientAssertionMalformed => wire(
                "client_assertion_malformed",
                E::InvalidClient,
                "RFC 7523 section 3",
                "The client assertion is not a well-formed JWT with iss, sub, aud, exp and jti.",
            ),
            Self::ClientAssertionTypWrong => wire(
                "client_assertion_typ_wrong",
                E::InvalidClient,
                "RFC 10070",
                "The client assertion has the typ of another kind of token.",
            ),
            Self::ClientUnknown => wire(
                "client_unknown",
                E::InvalidClient,
                "RFC 6749 section 5.2",
                "The client is unknown, or the assertion is not signed by one of its keys.",
            ),
            Self::ClientKeysUnavailable => wire(
                "client_keys_unavailable",
                E::TemporarilyUnavailable,
                "RFC 7517",
                "The client's keys cannot be fetched right now.",
            ),
            Self::ClientAssertionIssuerNotSubject => wire(
                "client_assertion_issuer_not_subject",
                E::InvalidClient,
                "RFC 7523 section 3",
                "The client assertion's iss and sub are not both the client_id.",
            ),
            Self::ClientAssertionAudienceWrong => wire(
                "client_assertion_audience_wrong",
                E::InvalidClient,
                "RFC 10070",
                "The client assertion's aud is not this server's issuer, as its sole value.",
            ),
            Self::ClientAssertionExpired => wire(
                "client_assertion_expired",
                E::InvalidClient,
                "RFC 7523 section 3",
                "The client assertion has expired.",
            ),
            Self::ClientAssertionNotYetValid => wire(
                "client_assertion_not_yet_valid",
                E::InvalidClient,
                "RFC 7523 section 3",
                "The client assertion is not valid yet.",
            ),
            Self::ClientAssertionLivesTooLong => wire(
                "client_assertion_lives_too_long",
                E::InvalidClient,
                "RFC 7523 section 3",
                "The client assertion expires too far in the future; 300 seconds are allowed.",
            ),
            Self::ClientAssertionReplayed => wire(
                "client_assertion_replayed",
                E::InvalidClient,
                "RFC 7523 section 3",
                "The client assertion has been used before; each may be used once.",
            ),
            Self::ClientIdMismatch => wire(
                "client_id_mismatch",
                E::InvalidClient,
                "RFC 7523 section 3",
                "The client_id parameter names another client than the assertion.",
            ),
            Self::ClientSuspended => {
                wire("client_suspended", E::InvalidClient, "Taskpass", "The client is suspended or retired.")
            }
            Self::SvidMalformed => wire(
                "svid_malformed",
                E::InvalidClient,
                "JWT-SVID section 2 and 3",
                "The JWT-SVID is not well formed: header of alg, kid, typ; claims sub, aud, exp.",
            ),
            Self::SvidTrustDomainUnknown => wire(
                "svid_trust_domain_unknown",
                E::InvalidClient,
                "JWT-SVID section 5",
                "The JWT-SVID's trust domain is not trusted here.",
            ),
            Self::SvidSignatureWrong => wire(
                "svid_signature_wrong",
                E::InvalidClient,
                "JWT-SVID section 5",
                "No key of the trust domain's bundle signed this JWT-SVID.",
            ),
            Self::SvidAudienceWrong => wire(
                "svid_audience_wrong",
                E::InvalidClient,
                "JWT-SVID section 4",
                "The JWT-SVID's audience is not this server's issuer, as its sole value.",
            ),
            Self::SvidExpired => {
                wire("svid_expired", E::InvalidClient, "JWT-SVID section 4", "The JWT-SVID has expired.")
            }
            Self::SvidNotRegistered => wire(
                "svid_not_registered",
                E::InvalidClient,
                "draft-ietf-oauth-spiffe-client-auth-02",
                "No agent is registered with this SPIFFE ID.",
            ),
            Self::TrustBundleUnavailable => wire(
                "trust_bundle_unavailable",
                E::TemporarilyUnavailable,
                "SPIFFE Trust Domain and Bundle section 5",
                "The trust domain's bundle cannot be read right now, and the last good one is too old.",
            ),
            Self::ActorTokenWithoutType => wire(
                "actor_token_without_type",
                E::InvalidRequest,
                "RFC 8693 section 2.1",
                "actor_token and actor_token_type come together or not at all.",
            ),
            Self::ActorTokenNotAccepted => wire(
                "actor_token_not_accepted",
                E::InvalidRequest,
                "RFC 8693 section 2.2.2",
                "The actor token is invalid or of a type that is not accepted.",
            ),
            Self::ActorTokenNotOfClient => wire(
                "actor_token_not_of_client",
                E::InvalidRequest,
                "RFC 8693 section 2.1",
                "The actor token proves another agent than the one that authenticated.",
            ),
            Self::SubjectTokenMissing => wire(
                "subject_token_missing",
                E::InvalidRequest,
                "RFC 8693 section 2.1",
                "subject_token and subject_token_type are required.",
            ),
            Self::SubjectTokenTypeUnsupported => wire(
                "subject_token_type_unsupported",
                E::InvalidRequest,
                "RFC 8693 section 2.1",
                "The subject_token_type is not access_token, id_token or jwt.",
            ),
            Self::RequestedTokenTypeUnsupported => wire(
                "requested_token_type_unsupported",
                E::InvalidRequest,
                "RFC 8693 section 2.1",
                "The requested_token_type is not access_token.",
            ),
            Self::SubjectTokenMalformed => wire(
                "subject_token_malformed",
                E::InvalidRequest,
                "RFC 8693 section 2.2.2",
                "The subject token is not well formed.",
            ),
            Self::SubjectTokenOfWrongType => wire(
                "subject_token_of_wrong_type",
                E::InvalidRequest,
                "RFC 8725 section 3.11",
                "The subject token is another kind of token than it is declared to be.",
            ),
            Self::SubjectTokenIssuerUnknown => wire(
                "subject_token_issuer_unknown",
                E::InvalidRequest,
                "RFC 8693 section 2.2.2",
                "The subject token's issuer is not trusted here.",
            ),
            Self::SubjectTokenSignatureWrong => wire(
                "subject_token_signature_wrong",
                E::InvalidRequest,
                "RFC 8693 section 2.2.2",
                "The subject token is not signed by its issuer.",
            ),
            Self::SubjectTokenAudienceWrong => wire(
                "subject_token_audience_wrong",
                E::InvalidRequest,
                "RFC 8693 section 2.2.2",
                "The subject token is not meant for this client.",
            ),
            Self::SubjectTokenExpired => wire(
                "subject_token_expired",
                E::InvalidRequest,
                "RFC 8693 section 2.2.2",
                "The subject token has expired or is not valid yet.",
            ),
            Self::SubjectTokenRevoked => wire(
                "subject_token_revoked",
                E::InvalidRequest,
                "RFC 8693 section 2.2.2",
                "The subject token has been revoked.",
            ),
            Self::SubjectTokenBoundWithoutProof => wire(
                "subject_token_bound_without_proof",
                E::InvalidDpopProof,
                "RFC 9449 section 5",
                "The subject token is bound to a key, and the request does not prove possession of it.",
            ),
            Self::SubjectTokenAlreadyDelegated => wire(
                "subject_token_already_delegated",
                E::InvalidRequest,
                "RFC 8693 section 4.1",
                "The upstream token carries an actor of its own, which cannot be verified here.",
            ),
            Self::SubjectTokenOfOtherTenant => wire(
                "subject_token_of_other_tenant",
                E::InvalidRequest,
                "RFC 8693 section 2.2.2",
                "The subject token is of another tenant.",
            ),
            Self::SubjectKeysUnavailable => wire(
                "subject_keys_unavailable",
                E::TemporarilyUnavailable,
                "RFC 7517",
                "The keys of the subject token's issuer cannot be fetched right now.",
            ),
            Self::IdentityProviderDisabled => wire(
                "identity_provider_disabled",
                E::InvalidRequest,
                "RFC 8693 section 2.2.2",
                "The identity provider is disabled.",
            ),
            Self::UserDisabled => {
                wire("user_disabled", E::InvalidRequest, "RFC 8693 section 2.2.2", "The person is disabled.")
            }
            Self::ActorNotInMayAct => wire(
                "actor_not_in_may_act",
                E::InvalidRequest,
                "RFC 8693 section 4.4",
                "The subject token's may_act names another agent.",
            ),
            Self::AgentMayNotActForSubject => wire(
                "agent_may_not_act_for_subject",
                E::InvalidRequest,
                "RFC 8693 section 2.2.2",
                "The subject token was not issued to this agent, and neither may_act, may_delegate_to nor its audience lets this agent exchange it.",
            ),
            Self::AgentWithoutOwner => wire(
                "agent_without_owner",
                E::InvalidRequest,
                "Taskpass",
                "The agent has no accountable owner and therefore mints nothing.",
            ),
            Self::ConsentMissing => wire(
                "consent_missing",
                E::InvalidRequest,
                "Taskpass",
                "Nobody has consented to this agent acting for this person at this resource.",
            ),
            Self::ConsentExpired => wire(
                "consent_expired",
                E::InvalidRequest,
                "Taskpass",
                "The consent for this agent has expired.",
            ),
            Self::DelegationTooDeep => wire(
                "delegation_too_deep",
                E::InvalidRequest,
                "RFC 8693 section 4.1",
                "The actor chain would be longer than is allowed.",
            ),
            Self::TargetMissing => wire(
                "target_missing",
                E::InvalidTarget,
                "RFC 8707 section 2",
                "resource is required: the canonical URI of one resource.",
            ),
            Self::TargetNotSingle => wire(
                "target_not_single",
                E::InvalidTarget,
                "RFC 8707 section 2",
                "More than one resource or audience was named; a token is for exactly one.",
            ),
            Self::TargetMalformed => wire(
                "target_malformed",
                E::InvalidTarget,
                "RFC 8707 section 2",
                "The resource is not an absolute URI in canonical form without fragment.",
            ),
            Self::TargetUnknown => wire(
                "target_unknown",
                E::InvalidTarget,
                "RFC 8707 section 2",
                "The resource is not registered.",
            ),
            Self::TargetDisabled => wire(
                "target_disabled",
                E::InvalidTarget,
                "RFC 8707 section 2",
                "The resource is switched off.",
            ),
            Self::TargetNotInCeiling => wire(
                "target_not_in_ceiling",
                E::InvalidTarget,
                "RFC 8707 section 2",
                "The resource is not in the agent's ceiling.",
            ),
            Self::TargetNotReachable => wire(
                "target_not_reachable",
                E::InvalidTarget,
                "RFC 8707 section 2",
                "The subject token's audience does not lead to this resource.",
            ),
            Self::ScopeMalformed => {
                wire("scope_malformed", E::InvalidScope, "RFC 6749 section 3.3", "The scope is malformed.")
            }
            Self::ScopeUnknownToResource => wire(
                "scope_unknown_to_resource",
                E::InvalidScope,
                "RFC 6749 section 3.3",
                "The resource does not know one of the scopes.",
            ),
            Self::ScopeExceedsSubjectToken => wire(
                "scope_exceeds_subject_token",
                E::InvalidScope,
                "RFC 8693 section 2.1",
                "The scope exceeds the subject token's.",
            ),
            Self::ScopeExceedsConsent => wire(
                "scope_exceeds_consent",
                E::InvalidScope,
                "RFC 6749 section 3.3",
                "The scope exceeds the consent.",
            ),
            Self::ScopeExceedsCeiling => wire(
                "scope_exceeds_ceiling",
                E::InvalidScope,
                "RFC 6749 section 3.3",
                "The scope exceeds the agent's ceiling.",
            ),
            Self::ScopeExceedsDownstream => wire(
                "scope_exceeds_downstream",
                E::InvalidScope,
                "RFC 6749 section 3.3",
                "The scope exceeds what the tools of the subject token lead to.",
            ),
            Self::NothingToGrant => wire(
                "nothing_to_grant",
                E::InvalidScope,
                "RFC 6749 section 3.3",
                "Nothing is common to what all bounds allow; a token would grant nothing.",
            ),
            Self::DetailsMalformed => wire(
                "details_malformed",
                E::InvalidAuthorizationDetails,
                "RFC 9396 section 5",
                "authorization_details is not a well-formed list of typed objects.",
            ),
            Self::DetailsNotAccepted => wire(
                "details_not_accepted",
                E::InvalidAuthorizationDetails,
                "RFC 9396 section 5",
                "A detail's type is unknown to the resource, or it does not conform to its type.",
            ),
            Self::DetailsForOtherResource => wire(
                "details_for_other_resource",
                E::InvalidAuthorizationDetails,
                "RFC 9396 section 3",
                "A detail's locations name another resource than the requested one.",
            ),
            Self::DetailsExceedSubjectToken => wire(
                "details_exceed_subject_token",
                E::InvalidAuthorizationDetails,
                "RFC 9396 section 6",
                "The details exceed the subject token's.",
            ),
            Self::DetailsExceedConsent => wire(
                "details_exceed_consent",
                E::InvalidAuthorizationDetails,
                "RFC 9396 section 6",
                "The details exceed the consent.",
            ),
            Self::DetailsExceedCeiling => wire(
                "details_exceed_ceiling",
                E::InvalidAuthorizationDetails,
                "RFC 9396 section 6",
                "The details exceed the agent's ceiling.",
            ),
            Self::DetailsExceedDownstream => wire(
                "details_exceed_downstream",
                E::InvalidAuthorizationDetails,
                "RFC 9396 section 6",
                "The details exceed what the tools of the subject token lead to.",
            ),
            Self::ToolDisabled => wire(
                "tool_disabled",
                E::InvalidAuthorizationDetails,
                "Taskpass",
                "One of the tools is switched off.",
            ),
            Self::SenderConstraintRequired => wire(
                "sender_constraint_required",
                E::InvalidDpopProof,
                "RFC 9449 section 5",
                "The resource accepts only tokens that are bound to a key.",
            ),
            Self::PolicyDenied => {
                wire("policy_denied", E::AccessDenied, "Taskpass", "Policy denies this request.")
            }
            Self::PolicyNeedsApproval => wire(
                "policy_needs_approval",
                E::AccessDenied,
                "Taskpass",
                "Policy asks for a person's approval of this request.",
            ),
            Self::TaskEnded => wire("task_ended", E::InvalidRequest, "Taskpass", "The task has ended."),
            Self::TaskDeadlinePassed => {
                wire("task_deadline_passed", E::InvalidRequest, "Taskpass", "The task's deadline has passed.")
            }
            Self::TaskLifetimeNotAllowed => wire(
                "task_lifetime_not_allowed",
                E::InvalidRequest,
                "Taskpass",
                "task_lifetime is not a number of seconds within what policy allows.",
            ),
            Self::TaskPurposeTooLong => wire(
                "task_purpose_too_long",
                E::InvalidRequest,
                "Taskpass",
                "task_purpose is longer than 500 characters, or has control characters.",
            ),
            Self::RevokedWhileDeciding => wire(
                "revoked_while_deciding",
                E::InvalidRequest,
                "Taskpass",
                "Something that this request rests on was revoked while it was being decided.",
            ),
            Self::AccessTokenMissing => wire(
                "access_token_missing",
                E::InvalidToken,
                "RFC 6750 section 3",
                "This endpoint needs an access token.",
            ),
            Self::AccessTokenNotAccepted => wire(
                "access_token_not_accepted",
                E::InvalidToken,
                "RFC 6750 section 3.1",
                "The access token is invalid, expired, revoked or for another audience.",
            ),
            Self::AccessTokenLacksScope => wire(
                "access_token_lacks_scope",
                E::InsufficientScope,
                "RFC 6750 section 3.1",
                "The access token lacks the scope that this operation needs.",
            ),
            Self::CallerNotEnforcer => wire(
                "caller_not_enforcer",
                E::UnauthorizedClient,
                "RFC 7662 section 2.1",
                "Only registered enforcers may introspect.",
            ),
            Self::TokenNotOfClient => wire(
                "token_not_of_client",
                E::InvalidRequest,
                "RFC 7009 section 2.1",
                "The token was not issued to this client.",
            ),
            Self::TokenTypeNotRevocable => wire(
                "token_type_not_revocable",
                E::UnsupportedTokenType,
                "RFC 7009 section 2.2.1",
                "This is not a token that can be revoked here.",
            ),
            Self::BootstrapTokenWrong => wire(
                "bootstrap_token_wrong",
                E::InvalidToken,
                "Taskpass",
                "The bootstrap token is wrong, used or expired.",
            ),
            Self::EntryUnknown => wire("entry_unknown", E::NotFound, "Taskpass", "There is no such entry."),
            Self::TooManyRequests => wire(
                "too_many_requests",
                E::SlowDown,
                "RFC 6585 section 4",
                "Too many requests; wait as long as Retry-After says.",
            ),
            Self::Overloaded => wire(
                "overloaded",
                E::TemporarilyUnavailable,
                "RFC 9110 section 15.6.4",
                "The server is overloaded; try again.",
            ),
            Self::RevocationViewStale => wire(
                "revocation_view_stale",
                E::TemporarilyUnavailable,
                "Taskpass",
                "This node cannot tell what is revoked right now; try again.",
            ),
        }
    }

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
