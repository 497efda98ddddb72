//! The story, step by step. Each checks what it expects of the answers, and tells what they said.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::authority::{Answer, Authority, Exchange};
use super::mcp_client::{McpClient, Outcome};
use super::mcp_server::{self, CALL_NOT_GRANTED, McpServer};
use super::narrator::{Failure, Seen, expect, line};
use super::registry::{self, ADMINISTRATOR, AGENT, ENFORCER, SUB_AGENT};
use super::server::{self, Folder, Server};
use super::trust_domain::{IdentityProvider, TrustDomain};
use crate::enforcer::{Config, Credentials, Enforcer, Following};
use crate::jose::{Algorithm, PrivateJwk, SigningKey, Unverified};
use crate::protocol::resource::ResourceUri;
use crate::protocol::token_type::TokenType;
use crate::time::Clock;

/// What is on the stage before the first step, and never changes.
pub(super) struct Stage {
    folder: Folder,
    domain: TrustDomain,
    provider: IdentityProvider,
    administrator: SigningKey,
    enforcer: SigningKey,
    client: reqwest::Client,
}

/// The servers, once they run.
pub(super) struct Running {
    server: Server,
    authority: Authority,
    resource: String,
    _mcp_server: McpServer,
    _following: Following,
}

/// The tokens in hand, and the connections that use them.
pub(super) struct Hand {
    token: Answer,
    mcp: McpClient,
}

impl Stage {
    /// Makes keys and a folder.
    pub(super) fn set(keep: bool) -> Result<Self, Failure> {
        let key = || PrivateJwk::generate(Algorithm::ES256)?.signing_key();
        Ok(Self {
            folder: Folder::create(keep, Clock::System.now())?,
            domain: TrustDomain::new(registry::TRUST_DOMAIN)?,
            provider: IdentityProvider::new()?,
            administrator: key()?,
            enforcer: key()?,
            client: Authority::client()?,
        })
    }

    /// The folder with the database, the registry and the server's log.
    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Starts the MCP server and the authorization server, which is told about it.
    pub(super) async fn start(&self, running: &mut Option<Running>) -> Result<Seen, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let resource = mcp_server::resource(listener.local_addr()?);
        let keys = registry::Keys { administrator: &self.administrator, enforcer: &self.enforcer };
        let now = Clock::System.now();
        registry::write(self.folder.path(), &resource, &self.provider, &self.domain, &keys, now)?;
        let mut server = Server::start(self.folder.path())?;
        server.ready(&self.client, self.folder.path()).await?;
        let issuer = server.url().to_owned();
        let uri = ResourceUri::parse(&resource).map_err(|error| Failure(error.to_string()))?;
        let config = Config::new(&issuer, uri)
            .name("Tickets")
            .scopes(&[registry::SCOPE])
            .follow(Credentials::new(&issuer, ENFORCER, self.enforcer.clone()));
        let enforcer = Enforcer::new(config).map_err(|error| Failure(error.to_string()))?;
        let following = enforcer.start();
        enforcer.ready().await;
        let mcp_server = mcp_server::serve(listener, &enforcer);
        let metadata = self.metadata(&enforcer).await?;
        let seen = vec![
            line("issuer", format!("{issuer} answers /readyz (SQLite)")),
            line("MCP server", &resource),
            line(
                "its metadata",
                format!("names {} as the issuer to ask", metadata["authorization_servers"][0]),
            ),
        ];
        let authority = Authority::new(self.client.clone(), &issuer);
        *running =
            Some(Running { server, authority, resource, _mcp_server: mcp_server, _following: following });
        Ok(seen)
    }

    /// Asks the MCP server without a token, and follows the challenge to its metadata, as MCP clients do.
    async fn metadata(&self, enforcer: &Arc<Enforcer>) -> Result<Value, Failure> {
        let answer = self.client.post(enforcer.resource().as_str()).send().await?;
        let challenge = answer.headers().get("www-authenticate").and_then(|value| value.to_str().ok());
        let url = challenge.and_then(|text| text.split("resource_metadata=\"").nth(1)?.split('"').next());
        let url =
            url.ok_or_else(|| Failure(format!("no challenge without a token, but {}", answer.status())))?;
        let body = self.client.get(url).send().await?.bytes().await?;
        serde_json::from_slice(&body).map_err(|error| Failure(error.to_string()))
    }

    fn svid(&self, agent: &str, running: &Running) -> Result<String, Failure> {
        self.domain.svid(agent, running.authority.issuer(), Clock::System.now())
    }

    async fn ask(
        &self,
        running: &Running,
        agent: &str,
        subject: &str,
        details: &Value,
    ) -> Result<Answer, Failure> {
        let exchange = Exchange {
            svid: &self.svid(agent, running)?,
            subject_token: subject,
            subject_token_type: TokenType::AccessToken,
            resource: &running.resource,
            details,
        };
        running.authority.exchange(&exchange).await
    }

    async fn connect(&self, running: &Running, token: Answer) -> Result<Hand, Failure> {
        let mcp =
            McpClient::connect(self.client.clone(), &running.resource, token.text("access_token")).await?;
        Ok(Hand { token, mcp })
    }

    /// The agent proves who it is and exchanges the person's ID token for a token of this task.
    pub(super) async fn exchange(&self, running: &Running, hand: &mut Option<Hand>) -> Result<Seen, Failure> {
        let details = registry::task_details(&running.resource);
        let exchange = Exchange {
            svid: &self.svid(AGENT, running)?,
            subject_token: &self.provider.id_token(AGENT, Clock::System.now())?,
            subject_token_type: TokenType::IdToken,
            resource: &running.resource,
            details: &details,
        };
        let answer = running.authority.exchange(&exchange).await?.expect(StatusCode::OK)?;
        let claims = answer.claims()?;
        expect(claims.get("authorization_details") == Some(&details), || {
            "other details than asked for".into()
        })?;
        expect(claims["act"]["sub"] == AGENT, || format!("the actor is {}", claims["act"]))?;
        let seen = vec![
            line("person", format!("{} (signed in at {})", claims["sub"], IdentityProvider::ISSUER)),
            line("agent", format!("{} (proved by {})", claims["act"]["sub"], self.domain.spiffe_id(AGENT))),
            line("task", format!("{}, until {}", answer.text("task"), answer.body["task_deadline"])),
            line("token", format!("lives {} s, only for {}", answer.body["expires_in"], claims["aud"])),
            line("may", tools(&claims["authorization_details"])),
        ];
        *hand = Some(self.connect(running, answer).await?);
        Ok(seen)
    }

    /// The sub-agent exchanges the agent's token for one that may less.
    pub(super) async fn delegate(
        &self,
        running: &Running,
        agent: &Hand,
        hand: &mut Option<Hand>,
    ) -> Result<Seen, Failure> {
        let details = registry::sub_task_details(&running.resource);
        let answer = self.ask(running, SUB_AGENT, agent.token.text("access_token"), &details).await?;
        let answer = answer.expect(StatusCode::OK)?;
        let (claims, parent) = (answer.claims()?, agent.token.claims()?);
        let chain = json!({ "sub": SUB_AGENT, "act": { "sub": AGENT } });
        expect(claims.get("act") == Some(&chain), || format!("the actors are {:?}", claims.get("act")))?;
        expect(claims.get("sub") == parent.get("sub"), || "another person".into())?;
        let above = claims.get("task_ancestors").cloned().unwrap_or_default();
        expect(above == json!([parent["task"]]), || format!("the tasks above are {above}"))?;
        let child = self.connect(running, answer).await?;
        let shown = child.mcp.tools().await?;
        expect(shown == ["get_ticket_by_id"], || format!("its tool list shows {shown:?}"))?;
        let seen = vec![
            line("actors", format!("{SUB_AGENT}, for {AGENT}, for {}", claims["sub"])),
            line("task", format!("{} below {}", child.token.text("task"), agent.token.text("task"))),
            line("may", tools(&claims["authorization_details"])),
            line("tool list", shown.join(", ")),
            line("reads 101", answered(child.mcp.call("get_ticket_by_id", json!({ "id": 101 })).await?)?),
        ];
        *hand = Some(child);
        Ok(seen)
    }

    /// The sub-agent tries to widen what it has.
    pub(super) async fn widen(&self, running: &Running, child: &Hand) -> Result<Seen, Failure> {
        let wider = registry::task_details(&running.resource);
        let answer = self.ask(running, SUB_AGENT, child.token.text("access_token"), &wider).await?;
        expect(answer.status == StatusCode::BAD_REQUEST, || format!("not refused: {}", answer.status))?;
        let code = answer.text("error");
        expect(code == "invalid_authorization_details", || {
            format!("refused for another reason: {}", answer.body)
        })?;
        let seen = vec![
            line("asked for", tools(&wider)),
            line("refused", answer.refusal()),
            line("because", answer.text("error_description")),
        ];
        Ok(seen)
    }

    /// The agent exchanges its own token for a fresh one of the same task.
    pub(super) async fn renew(&self, running: &Running, hand: &mut Hand) -> Result<Seen, Failure> {
        let details = registry::task_details(&running.resource);
        let answer = self.ask(running, AGENT, hand.token.text("access_token"), &details).await?;
        let answer = answer.expect(StatusCode::OK)?;
        let (claims, before) = (answer.claims()?, hand.token.claims()?);
        expect(claims["jti"] != before["jti"], || "the same token".into())?;
        expect(claims["task"] == before["task"], || format!("another task: {}", claims["task"]))?;
        expect(claims["act"] == before["act"], || format!("other actors: {}", claims["act"]))?;
        *hand = self.connect(running, answer).await?;
        let arguments = json!({ "query": "vpn", "limit": 10 });
        let seen = vec![
            line("task", format!("{}, the same", hand.token.text("task"))),
            line("token", format!("{} follows {}", claims["jti"], before["jti"])),
            line("search", answered(hand.mcp.call("search_tickets", arguments).await?)?),
        ];
        Ok(seen)
    }

    /// The administrator takes the agent back.
    pub(super) async fn revoke(
        &self,
        running: &Running,
        bearer: &mut Option<String>,
    ) -> Result<Seen, Failure> {
        let token = running.authority.administrator(ADMINISTRATOR, &self.administrator).await?;
        let token = token.expect(StatusCode::OK)?;
        let cutoff =
            json!({ "scope_kind": "agent", "scope_id": AGENT, "reason": "demo: the agent misbehaves" });
        let path = "revocations?wait=effective";
        let answer = running.authority.post(path, token.text("access_token"), &cutoff).await?;
        let answer = answer.expect(StatusCode::CREATED)?;
        let body = &answer.body;
        let receipt = Unverified::parse_document(answer.text("receipt")).ok().and_then(|jws| jws.peek());
        let receipt = Value::from(receipt.ok_or_else(|| Failure::new("no receipt"))?);
        let seen = vec![
            line("cut", format!("{} {}: {}", answer.text("scope_kind"), body["scope_id"], body["reason"])),
            line("entry", format!("{} of log {}, durable", body["seq"], answer.text("gen"))),
            line(
                "in force",
                format!(
                    "{} ms later at {} of {} enforcers, says a signed receipt",
                    receipt["effective_after_ms"],
                    receipt["acknowledged"],
                    receipt["acknowledged"].as_u64().unwrap_or(0)
                        + receipt["leases_expired"].as_u64().unwrap_or(0)
                ),
            ),
        ];
        *bearer = Some(token.text("access_token").to_owned());
        Ok(seen)
    }

    /// No new token for the agent either.
    pub(super) async fn exchange_after_revocation(&self, running: &Running) -> Result<Seen, Failure> {
        let exchange = Exchange {
            svid: &self.svid(AGENT, running)?,
            subject_token: &self.provider.id_token(AGENT, Clock::System.now())?,
            subject_token_type: TokenType::IdToken,
            resource: &running.resource,
            details: &registry::task_details(&running.resource),
        };
        let answer = running.authority.exchange(&exchange).await?;
        expect(answer.status.is_client_error(), || format!("not refused: {}", answer.status))?;
        Ok(vec![line("refused", answer.refusal()), line("because", answer.text("error_description"))])
    }

    /// Another process checks the chain of the audit trail.
    pub(super) async fn verify_audit(&self) -> Result<Seen, Failure> {
        let output = server::audit_verify(self.folder.path()).await?;
        let text =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        let lines: Vec<String> = text.iter().flat_map(|text| text.lines()).map(str::to_owned).collect();
        if output.status.success() && !lines.is_empty() {
            return Ok(lines);
        }
        Err(Failure(format!("`taskpass audit verify` ended with {}:\n{}", output.status, lines.join("\n"))))
    }
}

impl Running {
    /// Stops the server.
    pub(super) async fn stop(self) -> std::io::Result<()> {
        self.server.stop().await
    }

    /// The audit trail: who did what for whom.
    pub(super) async fn audit(&self, bearer: &str, hands: &[&Hand]) -> Result<Seen, Failure> {
        let answer = self.authority.get("audit?after=0&limit=500", bearer).await?.expect(StatusCode::OK)?;
        let rows = answer.body["rows"].as_array().ok_or_else(|| Failure::new("no rows in the answer"))?;
        let text = answer.body.to_string();
        for name in [AGENT, SUB_AGENT, ADMINISTRATOR, ENFORCER] {
            expect(text.contains(name), || format!("nothing about {name} in {} rows", rows.len()))?;
        }
        let leaked = hands.iter().any(|hand| text.contains(hand.token.text("access_token")));
        expect(!leaked, || "a token stands in the audit trail".into())?;
        let mut seen = vec![line("rows", format!("{}, none of them with a token in it", rows.len()))];
        seen.extend(super::audit_rows::summarize(rows));
        Ok(seen)
    }
}

impl Hand {
    /// A call within what was granted.
    pub(super) async fn allowed_call(&self) -> Result<Seen, Failure> {
        let shown = self.mcp.tools().await?;
        expect(shown == ["get_ticket_by_id", "search_tickets"], || format!("the tool list shows {shown:?}"))?;
        let outcome = self.mcp.call("search_tickets", json!({ "query": "printer", "limit": 50 })).await?;
        Ok(vec![line("tool list", shown.join(", ")), line("search", answered(outcome)?)])
    }

    /// A call of a tool that exists and was not granted.
    pub(super) async fn tool_not_granted(&self) -> Result<Seen, Failure> {
        not_granted(self.mcp.call("close_ticket", json!({ "id": 101 })).await?, "tool_not_granted")
    }

    /// A call of a granted tool with more than was granted.
    pub(super) async fn argument_beyond_limit(&self) -> Result<Seen, Failure> {
        let arguments = json!({ "query": "", "limit": 500 });
        not_granted(self.mcp.call("search_tickets", arguments).await?, "argument_refused")
    }

    /// A call that worked a moment ago, with the same connection and token.
    pub(super) async fn call_after_revocation(&self) -> Result<Seen, Failure> {
        match self.mcp.call("get_ticket_by_id", json!({ "id": 101 })).await? {
            Outcome::Challenged(challenge) => {
                expect(challenge.starts_with("401 ") && challenge.contains("invalid_token"), || {
                    challenge.clone()
                })?;
                let error = challenge.split("error=").nth(1).unwrap_or_default();
                Ok(vec![line("answer", format!("401 error={error}"))])
            }
            other => Err(Failure(format!("the call was not refused as revoked: {other:?}"))),
        }
    }
}

fn answered(outcome: Outcome) -> Result<String, Failure> {
    match outcome {
        Outcome::Answered(text) => Ok(text),
        other => Err(Failure(format!("the call was not allowed: {other:?}"))),
    }
}

fn not_granted(outcome: Outcome, rule: &str) -> Result<Seen, Failure> {
    match outcome {
        Outcome::NotGranted { code: CALL_NOT_GRANTED, message, data } if data["rule"] == rule => {
            let at = data["at"].as_str().map(|at| format!(" at {at}")).unwrap_or_default();
            Ok(vec![line("refused", format!("rule {rule}{at}")), line("because", message)])
        }
        other => Err(Failure(format!("the call was not refused by {rule}: {other:?}"))),
    }
}

/// The tools of `authorization_details` in one line, with the bounds of their arguments.
fn tools(details: &Value) -> String {
    let tools =
        details.as_array().into_iter().flatten().filter_map(|detail| detail["tools"].as_array()).flatten();
    let one = |tool: &Value| {
        let name = tool["name"].as_str().unwrap_or_default();
        match tool["arguments"].as_object() {
            Some(arguments) => {
                let bounds =
                    arguments.iter().map(|(at, bound)| format!("{} {bound}", at.trim_start_matches('/')));
                format!("{name} ({})", bounds.collect::<Vec<_>>().join(", "))
            }
            None => name.to_owned(),
        }
    };
    tools.map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
