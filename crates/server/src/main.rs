//! `muster`: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser as _;
use muster_server::cli::{self, Cli};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli::run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
