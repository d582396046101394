//! Speech from espeak-ng.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use muster_audio::wav;

use crate::passage::{LINES, Speaker};

/// Words per minute: brisk, and still clear to a small recogniser.
const WORDS_PER_MINUTE: &str = "165";

/// A spoken line.
#[derive(Debug)]
pub(crate) struct Spoken {
    pub(crate) speaker: Speaker,
    /// A WAV file.
    pub(crate) wav: Vec<u8>,
    pub(crate) length: Duration,
}

/// Speaks the passage, line by line, and keeps the files in `dir`.
pub(crate) async fn passage(dir: &Path) -> anyhow::Result<Vec<Spoken>> {
    let mut spoken = Vec::new();
    for (index, (speaker, text)) in LINES.iter().enumerate() {
        let wav = say(*speaker, text).await?;
        let path = dir.join(format!("{}-{}.wav", index + 1, speaker.id));
        std::fs::write(&path, &wav).with_context(|| format!("writing {}", path.display()))?;
        spoken.push(Spoken { speaker: *speaker, length: length(&wav)?, wav });
    }
    Ok(spoken)
}

async fn say(speaker: Speaker, text: &str) -> anyhow::Result<Vec<u8>> {
    let output = tokio::process::Command::new("espeak-ng")
        .args(["--stdout", "-s", WORDS_PER_MINUTE, "-v", speaker.voice, text])
        .kill_on_drop(true)
        .output()
        .await;
    let output = match output {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("espeak-ng is not installed: apt-get install espeak-ng (`make demo` does it as root)")
        }
        output => output.context("starting espeak-ng")?,
    };
    if !output.status.success() {
        bail!("espeak-ng failed with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    // A program that writes to a pipe cannot know the length that belongs into the header: write it again.
    let sound = wav::read(&output.stdout).context("espeak-ng's answer")?;
    Ok(wav::write(sound.rate, sound.channels, &sound.samples))
}

fn length(file: &[u8]) -> anyhow::Result<Duration> {
    let sound = wav::read(file)?;
    let frames = sound.samples.len() / usize::from(sound.channels.max(1));
    Ok(Duration::from_secs_f64(frames as f64 / f64::from(sound.rate)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_counts_frames_and_not_samples() {
        assert_eq!(length(&wav::write(8_000, 2, &[0; 16_000])).unwrap(), Duration::from_secs(1));
    }

    #[tokio::test]
    async fn the_passage_takes_about_half_a_minute_in_two_voices() {
        let dir = tempfile::tempdir().unwrap();
        let spoken = passage(dir.path()).await.expect("espeak-ng is installed");
        let total: Duration = spoken.iter().map(|line| line.length).sum();
        assert!((20.0..36.0).contains(&total.as_secs_f64()), "{total:?}");
        assert!(spoken.iter().all(|line| line.length > Duration::from_secs(1)));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), LINES.len());
        // Requests to the sandbox carry all of it, in base64.
        assert!(spoken.iter().map(|line| line.wav.len() * 4 / 3).sum::<usize>() < 2_000_000);
    }
}
