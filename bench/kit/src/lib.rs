//! What the benchmarks of Muster's processes are made with. Their last lines are the figures: `bench NAME VALUE`.

mod process;
mod server;

use anyhow::{Context, Result, bail};
pub use process::{Process, ready};
pub use server::{KEY, Redis, free_port, muster};

/// One line of the result.
#[derive(Debug)]
pub struct Figure {
    /// What was measured, with its unit.
    pub name: &'static str,
    /// How much it was.
    pub value: f64,
}

/// The parts of a benchmark that were named, in the order of `parts`; if none was, those that say so.
pub fn chosen(parts: &[(&'static str, bool)], named: &[&str]) -> Result<Vec<&'static str>> {
    if let Some(unknown) = named.iter().find(|named| parts.iter().all(|(part, _)| part != *named)) {
        let known: Vec<_> = parts.iter().map(|(part, _)| *part).collect();
        bail!("no such part: {unknown}; there are {}", known.join(", "));
    }
    let is_chosen = |(part, always): &&(&'static str, bool)| (named.is_empty() && *always) || named.contains(part);
    Ok(parts.iter().filter(is_chosen).map(|(part, _)| *part).collect())
}

/// Prints what was measured.
pub fn print(figures: &[Figure]) {
    println!();
    for Figure { name, value } in figures {
        println!("bench {name} {value:.4}");
    }
}

/// Waits for what has to be awaited.
pub fn wait<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Runtime::new().context("the async runtime")?.block_on(work)
}
