//! The sandbox alone, for work on its page: `cargo run -p muster-sandbox --example sandbox [ADDRESS]`.

use muster_sandbox::{Sandbox, SandboxConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".to_owned());
    let sandbox = Sandbox::start(SandboxConfig::default()).await?;
    let listener = tokio::net::TcpListener::bind(&addr).await?;
    println!("http://{}/sandbox", listener.local_addr()?);
    axum::serve(listener, sandbox.router()).await?;
    Ok(())
}
