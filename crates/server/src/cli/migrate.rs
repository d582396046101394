//! `muster migrate`: makes what has to be there before the first start.

use std::process::ExitCode;

use clap::Args;

use super::ConfigOptions;
use crate::backends::{self, Complaint, Part};
use crate::config::Config;

/// Arguments of `muster migrate`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  muster migrate --check --config shared.toml   what would be done; 1 if there is something\n  muster migrate --config shared.toml           do it\n\nOn Amazon it makes the queues with their dead letters (SQS), and the table with its indexes and time to live (DynamoDB), or sets right what differs. Messages and items are not touched, and a second run has nothing to do. Embedded backends and Redis are only looked at: they make what they need as they go."
)]
pub struct MigrateArgs {
    #[command(flatten)]
    config: ConfigOptions,
    /// Only say what would be done. Exit code 1 if there is something.
    #[arg(long)]
    check: bool,
}

/// Prepares queue and store; 1 if one of them failed, or if a check found something to do.
///
/// # Errors
///
/// A configuration that cannot be used. What is wrong with a backend is printed.
pub async fn run(args: MigrateArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.config.sources()?)?;
    let (mut steps, mut failed) = (0_u32, false);
    for part in [Part::Queue, Part::Store] {
        println!("{}", backends::name(&config, part));
        let before = steps;
        let mut tell = |step: String| {
            steps += 1;
            println!("  {step}");
        };
        match backends::migrate(&config, part, args.check, &mut tell).await {
            Ok(()) if steps == before => println!("  nothing to do"),
            Ok(()) => {}
            Err(Complaint { error, fix }) => {
                failed = true;
                eprintln!("error: {error}\n  fix: {fix}");
            }
        }
    }
    match (failed, args.check) {
        (true, _) => {}
        (false, true) if steps > 0 => println!("{steps} step(s) to do: `muster migrate` does them."),
        (false, _) => println!("{}", if steps > 0 { "Done." } else { "Nothing to do." }),
    }
    let unready = failed || (args.check && steps > 0);
    Ok(if unready { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
