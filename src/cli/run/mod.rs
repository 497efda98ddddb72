//! `taskpass run`: a command with a task of its own.
//!
//! The task is opened before the command starts and handed back when it ends. In between its token lies in a private
//! file and behind a loopback endpoint, always fresh; the command never sees a credential that outlives the task.

mod endpoint;
mod keeper;
mod signals;
mod token_file;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::error::CliError;
use super::identity_args::IdentityArgs;
use super::moment;
use super::task_args::{SUBJECT_TOKEN_VARIABLE, TaskArgs};
use crate::agent::{Client, Token};
use crate::time::Clock;
use endpoint::Endpoint;
use keeper::Held;
use signals::Signals;
use token_file::TokenFile;

/// Run a command with a token that is fresh while it runs and handed back when it ends
///
/// The command finds the token in the file named by TASKPASS_TOKEN_FILE, and at TASKPASS_TOKEN_URL when it sends
/// TASKPASS_TOKEN_URL_AUTHORIZATION as its Authorization header: 200 {"access_token", "expires_at"}, 410 once the task
/// is over. TASKPASS_TASK and TASKPASS_TASK_DEADLINE (Unix seconds) say which task it is and when it ends. The
/// exit code is the command's (128 + the signal that ended it), or 3 when the server refused the task.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    task: TaskArgs,
    /// Keep the token in this file; without it, in a private folder that is removed at the end
    #[arg(long, value_name = "PATH", help_heading = "This run")]
    token_file: Option<PathBuf>,
    /// Don't serve the token on a loopback endpoint
    #[arg(long, help_heading = "This run")]
    no_endpoint: bool,
    /// Send the command SIGTERM when its task is taken back or its deadline has passed
    #[arg(long, help_heading = "This run")]
    kill_on_revoke: bool,
    /// How long the command may go on after a SIGTERM or SIGHUP before it is killed, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20, help_heading = "This run")]
    grace: u64,
    /// Where private folders that don't touch the disk are made.
    #[arg(long, env = "XDG_RUNTIME_DIR", hide = true)]
    runtime_dir: Option<PathBuf>,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

const EXAMPLES: &str = r#"Examples:
  taskpass run --key-file triage.json --resource https://tickets.example.com/mcp -- ./triage-agent

  On behalf of a person, for one tool, ten minutes at most:
    taskpass run --issuer https://id.example.com --svid-file /run/spiffe/jwt.token \
      --resource https://tickets.example.com/mcp --details @details.json \
      --subject-token-file id_token.jwt --subject-token-type id_token \
      --task-lifetime 600 --kill-on-revoke -- ./triage-agent --queue support

  In the command, before each use:
    curl -H "Authorization: Bearer $(cat "$TASKPASS_TOKEN_FILE")" $MCP_SERVER …
    curl -H "Authorization: $TASKPASS_TOKEN_URL_AUTHORIZATION" "$TASKPASS_TOKEN_URL""#;

/// How long the hand-back may take in all before the run ends without it.
const HAND_BACK: Duration = Duration::from_secs(10);

/// Runs the command, and leaves the process with the command's exit code.
pub async fn run(args: Args) -> Result<(), CliError> {
    match supervise(args).await? {
        0 => Ok(()),
        code => std::process::exit(code),
    }
}

/// The whole run; returns the exit code. Everything that it made is gone when it returns.
async fn supervise(args: Args) -> Result<i32, CliError> {
    // Before the task exists: a signal that comes while it is being opened must not leave it open.
    let mut signals = Signals::catch()?;
    let (client, request) = (args.identity.client()?, args.task.request()?);
    let file = match &args.token_file {
        Some(path) => TokenFile::at(path.clone()),
        None => TokenFile::in_new_folder(&args.runtime_dir.clone().unwrap_or_else(std::env::temp_dir)),
    };
    let file = file.map_err(|error| CliError::new(format!("no place for the token file: {error}")))?;
    let token = client.request(&request).await?;
    let (publish, held) = watch::channel(Held::Token(Box::new(token.clone())));
    let ended = match signals.pending().await {
        Some(signal) => Ok(128 + signal.as_raw()),
        None => {
            with_command(&args, Run { client: &client, file: &file, publish: &publish, token }, signals).await
        }
    };
    drop(file);
    hand_back(&client, &held).await;
    ended
}

/// What a run consists of, once its task is open.
struct Run<'a> {
    client: &'a Client,
    file: &'a TokenFile,
    publish: &'a watch::Sender<Held>,
    token: Token,
}

async fn with_command(args: &Args, run: Run<'_>, signals: Signals) -> Result<i32, CliError> {
    run.file
        .write(&run.token.access_token)
        .map_err(|error| CliError::new(format!("the token file can't be written: {error}")))?;
    let endpoint = if args.no_endpoint {
        None
    } else {
        Some(Endpoint::start(run.publish.subscribe(), Clock::default()).await?)
    };
    let mut child = spawn(args, &run, endpoint.as_ref())?;
    let held = run.publish.subscribe();
    let supervised = wait(&mut child, signals, held, args);
    let kept = keeper::keep(run.client.clone(), run.file, run.publish, run.token);
    let status = tokio::select! {
        // A renewal that is under way when the command ends is dropped: handing the task back cuts its token too.
        status = supervised => status,
        status = async { kept.await; std::future::pending().await } => status,
    };
    Ok(exit_code(status?))
}

fn spawn(args: &Args, run: &Run<'_>, endpoint: Option<&Endpoint>) -> Result<Child, CliError> {
    let [program, arguments @ ..] = args.command.as_slice() else {
        return Err(CliError::new("which command?").exit_code(2));
    };
    let mut command = Command::new(program);
    command.args(arguments).kill_on_drop(true);
    // The person's token opens more than this task.
    command.env_remove(SUBJECT_TOKEN_VARIABLE);
    for inherited in
        ["TASKPASS_TOKEN_URL", "TASKPASS_TOKEN_URL_AUTHORIZATION", "TASKPASS_TASK", "TASKPASS_TASK_DEADLINE"]
    {
        command.env_remove(inherited);
    }
    command.env("TASKPASS_TOKEN_FILE", run.file.path());
    if let Some(endpoint) = endpoint {
        command.env("TASKPASS_TOKEN_URL", &endpoint.url);
        command.env("TASKPASS_TOKEN_URL_AUTHORIZATION", endpoint.authorization.expose());
    }
    if let Some(task) = &run.token.task {
        command.env("TASKPASS_TASK", task);
    }
    if let Some(deadline) = run.token.task_deadline {
        command.env("TASKPASS_TASK_DEADLINE", deadline.to_string());
    }
    command.spawn().map_err(|error| {
        let code = if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
        CliError::new(format!("{}: {error}", program.display())).exit_code(code)
    })
}

/// Waits for the command, passing on what comes for it. After SIGTERM or SIGHUP it has its grace to finish; Ctrl-C is
/// a request that programs may answer as they like.
async fn wait(
    child: &mut Child,
    mut signals: Signals,
    mut held: watch::Receiver<Held>,
    args: &Args,
) -> std::io::Result<ExitStatus> {
    let grace = Duration::from_secs(args.grace);
    let mut patience = None;
    let mut watching = args.kill_on_revoke;
    loop {
        let signal = tokio::select! {
            status = child.wait() => return status,
            signal = signals.next() => signal,
            () = expiry(patience) => {
                patience = None;
                Signal::KILL
            }
            _ = held.wait_for(|held| !matches!(held, Held::Token(_))), if watching => {
                watching = false;
                Signal::TERM
            }
        };
        if (signal == Signal::TERM || signal == Signal::HUP) && patience.is_none() {
            patience = Some(tokio::time::Instant::from_std(crate::time::monotonic() + grace));
        }
        if !signals::came_from_the_terminal(signal) {
            signals::send(child, signal);
        }
    }
}

async fn expiry(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

/// Ends the task, unless it is over already.
async fn hand_back(client: &Client, held: &watch::Receiver<Held>) {
    let Held::Token(token) = held.borrow().clone() else {
        return;
    };
    let attempts = async {
        loop {
            match client.hand_back(&token).await {
                Err(error) if error.is_temporary() && token.is_alive(client.now()) => {
                    eprintln!("taskpass: handing the task back failed, trying again: {error}");
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
                done => return done,
            }
        }
    };
    let why = match tokio::time::timeout(HAND_BACK, attempts).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".into(),
    };
    let until = moment::utc(token.expires_at);
    let task = token.task.as_deref().unwrap_or("the task");
    eprintln!("taskpass: {task} could not be handed back; its token stays valid until {until}: {why}");
}
