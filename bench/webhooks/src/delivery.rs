use anyhow::Result;
use crate::Figure;
pub async fn measure() -> Result<Vec<Figure>> { Ok(Vec::new()) }
