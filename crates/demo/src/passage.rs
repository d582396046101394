//! What is said in the meeting, by whom and when.

use std::time::Duration;

/// A virtual participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Speaker {
    /// In the scenario.
    pub(crate) id: &'static str,
    /// In the room.
    pub(crate) name: &'static str,
    /// For espeak-ng.
    pub(crate) voice: &'static str,
}

pub(crate) const ADA: Speaker = Speaker { id: "ada", name: "Ada", voice: "en-us+f3" };
pub(crate) const BEN: Speaker = Speaker { id: "ben", name: "Ben", voice: "en-us" };
pub(crate) const SPEAKERS: [Speaker; 2] = [ADA, BEN];

/// The passage: short sentences of everyday words, so that an error is a fault of the way and not of the recogniser.
pub(crate) const LINES: [(Speaker, &str); 8] = [
    (ADA, "Good morning everyone, and welcome to the weekly meeting."),
    (BEN, "Good morning. The new billing page is ready for the first customers."),
    (ADA, "That is great news. How many people have tried it so far?"),
    (BEN, "About twenty people, and most of them finished in three minutes."),
    (ADA, "What still has to be done before we can open it to the public?"),
    (BEN, "The mobile team needs two more days for testing on older phones."),
    (ADA, "Then we will start the release on Friday morning, before lunch."),
    (BEN, "I will write the notes tonight and send them to all of you."),
];

/// After the bot is let in: its page has to connect to everybody first.
pub(crate) const FIRST_WORD: Duration = Duration::from_secs(4);
/// Between two sentences.
const PAUSE: Duration = Duration::from_millis(600);
/// From the last word to the end of the meeting.
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// When each line begins and when the meeting ends, counted from the bot's admission, for lines of these lengths.
pub(crate) fn schedule(lengths: &[Duration]) -> (Vec<Duration>, Duration) {
    let mut at = FIRST_WORD;
    let starts = lengths
        .iter()
        .map(|length| {
            let start = at;
            at += *length + PAUSE;
            start
        })
        .collect();
    (starts, at + LAST_PAUSE)
}

/// What a speaker says in all, or everybody.
pub(crate) fn text(of: Option<Speaker>) -> String {
    let lines = LINES.iter().filter(|(speaker, _)| of.is_none_or(|of| of == *speaker));
    lines.map(|(_, line)| *line).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_follow_each_other_without_overlap() {
        let lengths = [Duration::from_secs(3), Duration::from_secs(2)];
        let (starts, end) = schedule(&lengths);
        assert_eq!(starts, [FIRST_WORD, FIRST_WORD + lengths[0] + PAUSE]);
        assert_eq!(end, starts[1] + lengths[1] + PAUSE + LAST_PAUSE);
    }

    #[test]
    fn the_passage_is_a_dialogue_with_enough_words_to_measure() {
        assert!(LINES.windows(2).all(|pair| pair[0].0 != pair[1].0));
        for speaker in SPEAKERS {
            assert!(text(Some(speaker)).split_whitespace().count() >= 35, "{}", speaker.name);
        }
        assert!(text(None).starts_with(LINES[0].1) && text(None).ends_with(LINES[7].1));
    }
}
