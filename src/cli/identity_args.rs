//! The flags that say which server, and as whom.

use std::path::PathBuf;

use super::error::CliError;
use crate::agent::{Client, Identity, KeyFile};

/// Which server, and as whom. Shared by the commands that an agent runs.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Server and identity")]
pub struct IdentityArgs {
    /// The server's issuer URL, as the server writes it; taken from the key file where that has it
    #[arg(long, env = "TASKPASS_ISSUER", value_name = "URL")]
    pub issuer: Option<String>,
    /// Authenticate with this private key file (mode 0600): {"issuer", "client_id", "private_jwk"}
    #[arg(long, env = "TASKPASS_KEY_FILE", value_name = "FILE", group = "identity")]
    pub key_file: Option<PathBuf>,
    /// Authenticate with the JWT-SVID in this file, whose audience is the issuer; read again for each request
    #[arg(long, env = "TASKPASS_SVID_FILE", value_name = "FILE", group = "identity")]
    pub svid_file: Option<PathBuf>,
    /// Authenticate with a JWT-SVID from this SPIFFE Workload API, such as unix:///run/spire/agent.sock; the default
    /// is SPIFFE_ENDPOINT_SOCKET
    #[arg(long, env = "TASKPASS_SPIFFE_SOCKET", value_name = "URL", group = "identity")]
    pub spiffe_socket: Option<String>,
    /// The workload's ambient socket: counts only where nothing was chosen, so it is outside the group.
    #[arg(long, env = "SPIFFE_ENDPOINT_SOCKET", hide = true)]
    pub spiffe_endpoint_socket: Option<String>,
    /// Speak to the server in the clear even if it is on another machine
    #[arg(long, env = "TASKPASS_ALLOW_HTTP")]
    pub allow_http: bool,
}

impl IdentityArgs {
    /// The client that these flags describe. Reads the key file; sends nothing.
    pub fn client(&self) -> Result<Client, CliError> {
        let identity = self.identity()?;
        let own = match &identity {
            Identity::KeyFile(file) => file.issuer().map(str::to_owned),
            _ => None,
        };
        let issuer = self.issuer.clone().or(own).ok_or_else(|| {
            CliError::new("which server?").hint("Give its issuer URL with --issuer.").exit_code(2)
        })?;
        Ok(Client::builder(issuer, identity).allow_http(self.allow_http).build()?)
    }

    fn identity(&self) -> Result<Identity, CliError> {
        if let Some(path) = &self.key_file {
            return Ok(Identity::KeyFile(KeyFile::read(path)?));
        }
        if let Some(path) = &self.svid_file {
            return Ok(Identity::JwtSvidFile(path.clone()));
        }
        let socket = self.spiffe_socket.as_ref().or(self.spiffe_endpoint_socket.as_ref());
        socket.cloned().map(Identity::WorkloadApi).ok_or_else(|| {
            CliError::new("as whom?")
                .hint("Give one of --key-file, --svid-file and --spiffe-socket.")
                .exit_code(2)
        })
    }
}
