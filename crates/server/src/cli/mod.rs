//! The command line.

pub mod bots;
pub mod capacity;
pub mod dlq;
pub mod doctor;
pub mod fleet;
pub mod keys;
mod log;
pub mod migrate;
pub mod webhooks;
pub mod workers;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Sources};
use crate::roles::Role;

/// A self-hosted fleet of meeting bots.
#[derive(Debug, Parser)]
#[command(
    name = "muster",
    version,
    about,
    after_help = "Examples:\n  muster serve                                  run everything on this machine\n  muster doctor                                 what is missing, and how to get it\n  muster bots create LINK --transcribe --watch  send a bot into a meeting and watch it\n\nEvery configuration key can be set by environment: [worker] lease is MUSTER_WORKER__LEASE."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    #[command(
        after_help = "Examples:\n  muster serve\n  muster serve --listen 0.0.0.0:8080 --data-dir /var/lib/muster\n  MUSTER_API_KEY=secret-key-of-mine muster serve --config muster.toml\n  muster serve worker --config shared.toml"
    )]
    Serve(ServeArgs),
    /// Create, list, show, watch and remove bots on a running server.
    Bots(bots::BotsArgs),
    /// Where webhooks go, what became of them, sending them again, and those that came in.
    Webhooks(webhooks::WebhooksArgs),
    /// List, create and delete API keys: a tenant is made by making a key of it.
    Keys(keys::KeysArgs),
    /// List the workers of a running fleet, and make one take no more bots.
    Workers(workers::WorkersArgs),
    /// How many workers there are and should be, and why; who has how many bots, and who waits in line.
    Fleet(fleet::FleetArgs),
    /// List jobs that were set aside, and try one again.
    Dlq(dlq::DlqArgs),
    /// How many machines a number of bots, or a week of meetings, takes, and what they cost.
    Plan(capacity::plan::PlanArgs),
    /// What becomes of meetings under each scaling policy, in virtual time.
    Simulate(capacity::simulate::SimulateArgs),
    /// Make the queues and the table that the configuration names, before the first start.
    Migrate(migrate::MigrateArgs),
    /// Check this machine, its queue and its store, and say how to fix what is missing.
    Doctor(DoctorArgs),
    /// Show the configuration.
    Config(ConfigArgs),
    /// One bot, started by a worker. Not for people.
    #[command(hide = true)]
    RunBot,
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// What this process does. Parts need a store and a queue that processes can share.
    #[arg(value_enum, default_value = "all")]
    role: Role,
    #[command(flatten)]
    config: ConfigOptions,
}

/// Where the configuration comes from.
#[derive(Debug, Args)]
pub struct ConfigOptions {
    /// Configuration file (TOML). `muster config default` prints one with every key.
    #[arg(long, env = "MUSTER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port of the HTTP API [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Directory for everything that must survive a restart [default: muster-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
}

#[derive(Debug, Args)]
struct DoctorArgs {
    #[command(flatten)]
    config: ConfigOptions,
    /// Machine-readable output.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ConfigArgs {
    #[command(subcommand)]
    what: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// The effective configuration, secrets redacted, and where each value came from.
    Print(ConfigOptions),
    /// A file with every key, its description and its default.
    Default,
}

impl ConfigOptions {
    fn sources(&self) -> anyhow::Result<Sources> {
        let mut flags = Vec::new();
        flags.extend(self.listen.iter().map(|value| ("listen".to_owned(), value.clone())));
        flags.extend(self.data_dir.iter().map(|value| ("data_dir".to_owned(), value.clone())));
        Ok(Sources { flags, ..sources(self.config.as_deref())? })
    }
}

/// A file and the environment.
fn sources(file: Option<&Path>) -> anyhow::Result<Sources> {
    let file = match file {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("the configuration file {} cannot be read", path.display()))?;
            Some((path.to_owned(), text))
        }
    };
    let env = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    Ok(Sources { file, env, flags: Vec::new() })
}

/// Runs the command and answers the exit code.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(args) => {
            let config = Config::load_as(&args.config.sources()?, Some(args.role))?;
            log::init();
            let key = std::env::var_os("MUSTER_API_KEY");
            let runtime = runtime()?;
            let served = runtime.block_on(crate::serve::serve(config, args.role, key));
            // Not waiting for what hangs in a file system that is away.
            runtime.shutdown_background();
            served.map(|()| ExitCode::SUCCESS)
        }
        Command::Bots(args) => runtime()?.block_on(bots::run(args)),
        Command::Webhooks(args) => runtime()?.block_on(webhooks::run(args)),
        Command::Keys(args) => runtime()?.block_on(keys::run(args)),
        Command::Workers(args) => runtime()?.block_on(workers::run(args)),
        Command::Fleet(args) => runtime()?.block_on(fleet::run(args)),
        Command::Dlq(args) => runtime()?.block_on(dlq::run(args)),
        Command::Plan(args) => capacity::plan::run(&args),
        Command::Simulate(args) => capacity::simulate::run(&args),
        Command::Migrate(args) => runtime()?.block_on(migrate::run(args)),
        Command::Doctor(args) => {
            let config = Config::load(&args.config.sources()?)?;
            runtime()?.block_on(doctor::run(&config, args.json))
        }
        Command::Config(ConfigArgs { what: ConfigCommand::Default }) => {
            print!("{}", Config::default_file());
            Ok(ExitCode::SUCCESS)
        }
        Command::Config(ConfigArgs { what: ConfigCommand::Print(options) }) => {
            print!("{}", Config::print(&options.sources()?)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::RunBot => {
            log::init_bot();
            Ok(runtime()?.block_on(muster_bot::run_from_stdio()))
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the async runtime")
}
