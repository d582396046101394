//! Sounds become Opus packets once, before the call: nothing is coded while people listen.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use muster_audio::codec::{Encoder, Tuning};
use muster_audio::{FRAME, RATE, level, resample, tone, wav};

use crate::scenario::validate::{MAX_SOUND_MS, Problems};
use crate::scenario::{Invalid, Scenario, Sound};

/// Bytes of a file that a scenario names.
const MAX_FILE: u64 = 128 * 1024 * 1024;
/// Sample rates that are taken: outside of these a file is broken or meant to be a burden.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;

/// 20 ms of Opus.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) data: Arc<[u8]>,
    /// dBov for the audio level header extension: 0 is full scale, -127 is silence.
    pub(crate) level: i8,
}

impl Packet {
    /// What is sent while nobody speaks, so that tracks stay alive.
    pub(crate) fn silence() -> Self {
        Self { data: Arc::from(&muster_audio::codec::SILENCE[..]), level: -127 }
    }
}

/// A sound, ready to send.
#[derive(Debug)]
pub(crate) struct Speech {
    pub(crate) packets: Vec<Packet>,
    /// Packets without the last one, which may be there only to flush the encoder: what follows may replace it.
    pub(crate) body: usize,
    /// Length of the sound.
    pub(crate) ms: u64,
    /// For the log: what the scenario called it.
    pub(crate) label: String,
}

/// A valid scenario with its sounds.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) scenario: Scenario,
    /// By participant and item.
    spoken: HashMap<(usize, usize), Arc<Speech>>,
    /// By index in the timeline.
    acted: HashMap<usize, Arc<Speech>>,
}

impl Script {
    /// Validates a scenario and makes its sounds. Blocks: reads files and encodes.
    pub(crate) fn prepare(scenario: Scenario, dir: Option<&Path>) -> Result<Self, Invalid> {
        scenario.validate()?;
        let mut problems = Problems::default();
        let mut script = Self::default();
        for (index, participant) in scenario.participants.iter().enumerate() {
            for (item, speech) in participant.speaks.iter().enumerate() {
                match render(&speech.sound(), dir) {
                    Ok(speech) => drop(script.spoken.insert((index, item), Arc::new(speech))),
                    Err(bad) => {
                        problems.add(format!("participants[{index}].speaks[{item}].{}", bad.field), bad.message)
                    }
                }
            }
        }
        for (index, sound) in
            scenario.timeline.iter().enumerate().filter_map(|(index, timed)| Some((index, timed.action.sound()?)))
        {
            match render(&sound, dir) {
                Ok(speech) => drop(script.acted.insert(index, Arc::new(speech))),
                Err(bad) => problems.add(format!("timeline[{index}].{}", bad.field), bad.message),
            }
        }
        script.check_overlaps(&scenario, &mut problems);
        problems.result()?;
        script.scenario = scenario;
        Ok(script)
    }

    pub(crate) fn spoken(&self, participant: usize, item: usize) -> Option<Arc<Speech>> {
        self.spoken.get(&(participant, item)).cloned()
    }

    pub(crate) fn acted(&self, index: usize) -> Option<Arc<Speech>> {
        self.acted.get(&index).cloned()
    }

    /// A participant has one mouth: what would start late because of that is a mistake in the scenario.
    fn check_overlaps(&self, scenario: &Scenario, problems: &mut Problems) {
        let seconds = |participant, item| self.spoken(participant, item).map_or(0.0, |s| s.ms as f64 / 1_000.0);
        for (index, participant) in scenario.participants.iter().enumerate() {
            let mut order: Vec<usize> = (0..participant.speaks.len()).collect();
            order.sort_by(|a, b| participant.speaks[*a].at.total_cmp(&participant.speaks[*b].at));
            for pair in order.windows(2) {
                let [before, item] = [pair[0], pair[1]];
                if participant.speaks[before].at + seconds(index, before) > participant.speaks[item].at + 0.001 {
                    let field = format!("participants[{index}].speaks[{item}].at");
                    problems.add(field, format!("the participant is still saying speaks[{before}]"));
                }
            }
            for (item, speech) in participant.speaks.iter().enumerate() {
                if speech.every.is_some_and(|every| every + 0.001 < seconds(index, item)) {
                    problems.add(format!("participants[{index}].speaks[{item}].every"), "is shorter than the sound");
                }
            }
        }
    }
}

/// Why a sound cannot be made, and which field of it says so.
#[derive(Debug)]
pub(crate) struct BadSound {
    pub(crate) field: &'static str,
    pub(crate) message: String,
}

/// Makes one sound. Blocks.
pub(crate) fn render(sound: &Sound, dir: Option<&Path>) -> Result<Speech, BadSound> {
    let bad = |field, message: String| BadSound { field, message };
    if let Some(file) = &sound.file {
        let bytes = read_file(file, dir).map_err(|message| bad("file", message))?;
        let pcm = samples(&bytes).map_err(|message| bad("file", message))?;
        return encode(&pcm, file.clone()).map_err(|message| bad("file", message));
    }
    if let Some(text) = &sound.wav_base64 {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(text.trim())
            .map_err(|error| bad("wav_base64", format!("is not base64: {error}")))?;
        let pcm = samples(&bytes).map_err(|message| bad("wav_base64", message))?;
        return encode(&pcm, "wav".to_owned()).map_err(|message| bad("wav_base64", message));
    }
    let hz = sound.tone_hz.unwrap_or(440.0);
    #[expect(clippy::cast_possible_truncation, reason = "both are validated to small ranges")]
    let pcm = tone::sine(hz as f32, sound.ms.unwrap_or(1_000), sound.level.unwrap_or(0.5) as f32, RATE);
    encode(&pcm, format!("tone {hz} Hz")).map_err(|message| bad("tone_hz", message))
}

/// Reads a file below `dir`, whatever links and dots the name has.
fn read_file(name: &str, dir: Option<&Path>) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let dir = dir.ok_or("no scenario directory is configured")?;
    if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
        return Err("must be a plain path below the scenario directory".to_owned());
    }
    let inside = |path: PathBuf| -> std::io::Result<Option<PathBuf>> {
        let path = path.canonicalize()?;
        Ok(path.starts_with(dir.canonicalize()?).then_some(path))
    };
    let path = inside(dir.join(name)).map_err(|error| format!("cannot be read: {error}"))?;
    let path = path.ok_or("must be a plain path below the scenario directory")?;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    if !file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MAX_FILE) {
        return Err(format!("must be a file of at most {MAX_FILE} bytes"));
    }
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    Ok(bytes)
}

/// The samples of a WAV file at 48 kHz mono.
fn samples(bytes: &[u8]) -> Result<Vec<i16>, String> {
    let wav = wav::read(bytes).map_err(|error| error.to_string())?;
    if !RATES.contains(&wav.rate) {
        return Err(format!("has a rate of {} Hz; {} to {} can be used", wav.rate, RATES.start(), RATES.end()));
    }
    let pcm = wav.to_mono();
    if pcm.len() as u64 * 1_000 > u64::from(wav.rate) * u64::from(MAX_SOUND_MS) {
        return Err(format!("is longer than {MAX_SOUND_MS} ms"));
    }
    if pcm.is_empty() {
        return Err("has no samples".to_owned());
    }
    Ok(resample::to_48k(&pcm, wav.rate))
}

fn encode(pcm: &[i16], label: String) -> Result<Speech, String> {
    let failed = |error: muster_audio::Error| format!("cannot be encoded: {error}");
    let mut encoder = Encoder::new(Tuning::Voice, 40_000).map_err(failed)?;
    let mut packets = Vec::with_capacity(pcm.len() / FRAME + 2);
    // What the encoder holds back comes out with the frame after the last one.
    let body = pcm.len().div_ceil(FRAME);
    for index in 0..=body {
        let mut frame = [0; FRAME];
        let rest = pcm.get(index * FRAME..).unwrap_or_default();
        let length = rest.len().min(FRAME);
        frame[..length].copy_from_slice(&rest[..length]);
        let data = encoder.encode(&frame).map_err(failed)?.into();
        packets.push(Packet { data, level: dbov(level::rms_dbfs(&frame)) });
    }
    Ok(Speech { packets, body, ms: pcm.len() as u64 * 1_000 / u64::from(RATE), label })
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to the range of the header extension")]
fn dbov(dbfs: f32) -> i8 {
    if dbfs <= level::SILENCE_DBFS { -127 } else { dbfs.round().clamp(-127.0, 0.0) as i8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(rate: u32, channels: u16, ms: u32) -> Vec<u8> {
        let mono = tone::sine(500.0, ms, 0.5, rate);
        let samples: Vec<i16> = mono.iter().flat_map(|s| vec![*s; usize::from(channels)]).collect();
        wav::write(rate, channels, &samples)
    }

    fn decoded(speech: &Speech) -> Vec<i16> {
        let mut decoder = muster_audio::codec::Decoder::new().unwrap();
        speech.packets.iter().flat_map(|packet| decoder.decode(&packet.data).unwrap().to_vec()).collect()
    }

    #[test]
    fn a_wav_of_any_rate_is_heard_whole() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.wav"), wav(22_050, 2, 1_000)).unwrap();
        let sound = Sound { file: Some("a.wav".to_owned()), ..Sound::default() };
        let speech = render(&sound, Some(dir.path())).unwrap();
        let pcm = decoded(&speech);
        assert!((1_000..=1_001).contains(&speech.ms), "{} ms", speech.ms);
        // A sine of amplitude 0.5 has -9 dBFS.
        let middle = level::rms_dbfs(&pcm[9_600..38_400]);
        assert!((-11.0..-7.0).contains(&middle), "{middle} dBFS");
        assert!((-11..-7).contains(&speech.packets[20].level), "{}", speech.packets[20].level);
    }

    #[test]
    fn files_outside_of_the_directory_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("in"), dir.path().join("out.wav"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(&outside, wav(48_000, 1, 100)).unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link.wav")).unwrap();
        for name in ["../out.wav", outside.to_str().unwrap(), "link.wav", "./../out.wav", "missing.wav", "."] {
            let sound = Sound { file: Some(name.to_owned()), ..Sound::default() };
            assert_eq!(render(&sound, Some(&inside)).unwrap_err().field, "file", "{name}");
            assert!(render(&sound, None).is_err());
        }
    }

    #[test]
    fn a_burden_is_refused() {
        let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        for text in
            ["?".to_owned(), encode(b"RIFF"), encode(&wav::write(1, 1, &[0; 500])), encode(&wav::write(8_000, 1, &[]))]
        {
            let sound = Sound { wav_base64: Some(text), ..Sound::default() };
            assert_eq!(render(&sound, None).unwrap_err().field, "wav_base64");
        }
    }

    #[test]
    fn nobody_can_say_two_things_at_once() {
        let scenario = serde_json::from_value(serde_json::json!({"participants": [{"id": "a", "speaks": [
            {"at": 2.0, "tone_hz": 440, "ms": 500},
            {"at": 0.0, "tone_hz": 440, "ms": 1000},
            {"at": 0.9, "tone_hz": 440, "ms": 200, "every": 0.1},
        ]}]}));
        let invalid = Script::prepare(scenario.unwrap(), None).unwrap_err();
        let fields: Vec<&str> = invalid.0.iter().map(|p| p.field.as_str()).collect();
        assert_eq!(fields, ["participants[0].speaks[2].at", "participants[0].speaks[2].every"]);
    }
}
