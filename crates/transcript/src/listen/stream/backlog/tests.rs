use proptest::prelude::*;

use super::*;

fn frame(at_ms: u64) -> Frame {
    // Each sample says when it is.
    Frame { at_ms, pcm16k: vec![i16::try_from(at_ms / 20).unwrap(); 320], speech: true }
}

fn word(word: &str, start_ms: u64, end_ms: u64) -> Word {
    Word { word: word.into(), start_ms, end_ms, confidence: 1.0 }
}

fn last(words: &[(&str, u64, u64)], until_ms: u64) -> Final {
    let words: Vec<Word> = words.iter().map(|&(text, start, end)| word(text, start, end)).collect();
    Final { text: joined(&words), words, until_ms, ..Final::default() }
}

fn times(phrase: Option<Phrase>) -> Vec<(String, u64, u64)> {
    let Some(phrase) = phrase else { return Vec::new() };
    let at = phrase.start_ms;
    phrase.words.into_iter().map(|word| (word.word, at + word.start_ms, at + word.end_ms)).collect()
}

/// Two stretches of 200 ms: at 1 s and at 5 s.
fn two_stretches() -> Backlog {
    let mut backlog = Backlog::default();
    for at_ms in (1_000..1_200).chain(5_000..5_200).step_by(20) {
        backlog.push(frame(at_ms));
    }
    backlog
}

#[test]
fn times_of_the_stream_become_times_of_the_call() {
    let mut backlog = two_stretches();
    assert_eq!(backlog.take(400 * SAMPLES_PER_MS).len(), 400 * SAMPLES_PER_MS);
    let (phrase, freed) = backlog.accept("v", last(&[("a", 20, 200), ("b", 200, 390)], 400));
    assert_eq!(times(phrase), [("a".into(), 1_020, 1_200), ("b".into(), 5_000, 5_190)]);
    assert_eq!(freed, 400 * SAMPLES_PER_MS);
    assert!(!backlog.has_speech() && !backlog.owes());
}

#[test]
fn what_is_not_final_is_sent_again_and_nothing_else() {
    let mut backlog = two_stretches();
    backlog.take(300 * SAMPLES_PER_MS);
    // The result ends within a frame.
    let (phrase, freed) = backlog.accept("v", last(&[("a", 0, 90)], 110));
    assert_eq!((times(phrase), freed), (vec![("a".into(), 1_000, 1_090)], 110 * SAMPLES_PER_MS));
    backlog.restart();
    let again = backlog.take(usize::MAX / 4);
    assert_eq!(again.len(), 290 * SAMPLES_PER_MS);
    assert_eq!((again[0], again[10 * SAMPLES_PER_MS]), (55, 56), "from 1110 ms on");
    // The new stream begins at zero.
    let (phrase, _) = backlog.accept("v", last(&[("b", 0, 80), ("c", 90, 280)], 290));
    assert_eq!(times(phrase), [("b".into(), 1_110, 1_190), ("c".into(), 5_000, 5_190)]);
    assert_eq!(backlog.speech_ms(), 0);
}

#[test]
fn words_that_were_said_are_not_said_again() {
    let mut backlog = two_stretches();
    backlog.take(400 * SAMPLES_PER_MS);
    backlog.accept("v", last(&[("a", 0, 90)], 100));
    let (phrase, _) = backlog.accept("v", last(&[("a", 0, 90), ("b", 100, 150)], 200));
    let phrase = phrase.unwrap();
    assert_eq!((phrase.text.as_str(), phrase.words.len()), ("b", 1));
    assert_eq!(backlog.accept("v", last(&[("b", 100, 150)], 200)).0, None);
}

#[test]
fn a_short_rest_is_padded_and_padding_is_no_time() {
    let mut backlog = Backlog::default();
    backlog.push(frame(1_000));
    assert_eq!(backlog.take(1_600).len(), MIN_MESSAGE);
    backlog.push(frame(3_000));
    backlog.take(1_600);
    let (phrase, freed) = backlog.accept("v", last(&[("a", 0, 45), ("b", 50, 70)], 100));
    assert_eq!(times(phrase), [("a".into(), 1_000, 1_020), ("b".into(), 3_000, 3_020)]);
    assert_eq!(freed, 640);
    assert_eq!(backlog.unsent(), 0);
}

#[test]
fn what_was_not_sent_is_not_settled() {
    let mut backlog = two_stretches();
    backlog.take(100 * SAMPLES_PER_MS);
    assert!(backlog.owes());
    assert_eq!(backlog.settle_sent(), 100 * SAMPLES_PER_MS);
    assert!(!backlog.owes() && backlog.has_speech());
    assert_eq!(backlog.accept("v", last(&[], u64::MAX / 16)).1, 0);
    assert_eq!(backlog.clear(), 300 * SAMPLES_PER_MS);
}

proptest! {
    /// A recogniser says one word for each frame, named by its time; connections break and results come at any time.
    #[test]
    fn every_frame_is_said_once_in_order_at_its_time(
        gaps in prop::collection::vec(prop::sample::select(vec![0u64, 0, 0, 0, 2_000]), 5..60),
        steps in prop::collection::vec((0u8..4, 1usize..12), 1..80),
    ) {
        let mut at_ms = 0;
        let mut frames = gaps.into_iter().map(|gap| { at_ms += gap + 20; frame(at_ms) }).collect::<VecDeque<_>>();
        let want: Vec<u64> = frames.iter().map(|frame| frame.at_ms).collect();
        let mut backlog = Backlog::default();
        let mut heard: Vec<(u64, i16)> = Vec::new();
        let mut said = Vec::new();
        let (mut kept, mut answered) = (0, 0);
        let ending = [(0, usize::MAX), (3, 0), (1, usize::MAX), (2, usize::MAX)];
        for (step, amount) in steps.into_iter().chain(ending) {
            match step {
                0 => for frame in frames.drain(..amount.min(frames.len())) {
                    kept += frame.pcm16k.len();
                    backlog.push(frame);
                },
                1 if backlog.unsent() > 0 => {
                    let base = backlog.streamed / 16;
                    let wanted = amount.min(10_000) * 320;
                    let message = backlog.take(wanted);
                    heard.extend((0..).zip(message.chunks(320)).filter(|(_, chunk)| chunk[0] != 0).map(|(index, chunk)| (base + index * 20, chunk[0])));
                }
                2 => {
                    let until = heard.len().min(answered + amount.min(10_000));
                    let words: Vec<Word> = heard[answered..until].iter().map(|(at, name)| word(&name.to_string(), *at, at + 20)).collect();
                    let Some(until_ms) = words.last().map(|word| word.end_ms) else { continue };
                    answered = until;
                    let (phrase, freed) = backlog.accept("v", Final { text: joined(&words), words, until_ms, ..Final::default() });
                    kept -= freed;
                    said.extend(times(phrase));
                }
                3 => {
                    backlog.restart();
                    heard.clear();
                    answered = 0;
                }
                _ => {}
            }
        }
        let want: Vec<(String, u64, u64)> = want.into_iter().map(|at| ((at / 20).to_string(), at, at + 20)).collect();
        prop_assert_eq!(said, want);
        prop_assert_eq!(kept, 0);
    }
}
