//! `muster fleet`: the size of a running fleet, and the line for places in it.

mod line;
mod status;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;

use super::bots::Connection;
use super::bots::text::print_line;

/// Changes that are shown unless more are asked for.
const SHOWN: usize = 10;

/// Arguments of `muster fleet`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  muster fleet status\n  muster fleet status --changes 100\n  muster fleet line\n\nThe API key is read from MUSTER_API_KEY; it has to be one of the tenant `default`."
)]
pub struct FleetArgs {
    #[command(flatten)]
    to: Connection,
    #[command(subcommand)]
    command: FleetCommand,
}

#[derive(Debug, Subcommand)]
enum FleetCommand {
    /// Workers, slots and bots that run, wait or are due; how many workers there should be and why; and what changed.
    Status {
        /// How many of the last changes to show.
        #[arg(long, value_name = "N", default_value_t = SHOWN)]
        changes: usize,
    },
    /// How many bots the fleet can have, which tenant has how many, and how many wait in line.
    Line,
}

/// Runs a command and answers the exit code.
///
/// # Errors
///
/// Whatever kept the server from doing it, with the way to mend it.
pub async fn run(args: FleetArgs) -> anyhow::Result<ExitCode> {
    let json = args.to.json;
    let client = args.to.client()?;
    let path = match args.command {
        FleetCommand::Status { .. } => "fleet/scaling",
        FleetCommand::Line => "fleet/line",
    };
    let (_, answer) = client.get(path, &[]).await?;
    let lines = match args.command {
        _ if json => vec![answer.to_string()],
        FleetCommand::Status { changes } => status::lines(&answer, changes, &TimeZone::system()),
        FleetCommand::Line => line::lines(&answer),
    };
    lines.iter().for_each(|line| print_line(line));
    Ok(ExitCode::SUCCESS)
}
