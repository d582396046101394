//! Word error rate.

const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// Word error rate of `hypothesis` against `reference`: substituted, missing and extra words over the words of the
/// reference. 0 is perfect; above 1 is possible. An empty reference gives 0 for an empty hypothesis and 1 otherwise.
///
/// Case, punctuation and whether a number from 0 to 99 is written in digits or words do not count.
#[must_use]
pub fn wer(reference: &str, hypothesis: &str) -> f64 {
    let (reference, hypothesis) = (normalise(reference), normalise(hypothesis));
    if reference.is_empty() {
        return if hypothesis.is_empty() { 0.0 } else { 1.0 };
    }
    distance(&reference, &hypothesis) as f64 / reference.len() as f64
}

/// The words that count: lower case, without punctuation, small numbers as words.
#[must_use]
pub fn normalise(text: &str) -> Vec<String> {
    let text: String = text
        .to_lowercase()
        .chars()
        .filter(|c| !matches!(c, '\'' | '’'))
        .map(|c| if c.is_alphanumeric() { c } else { ' ' })
        .collect();
    text.split_whitespace().flat_map(spell_out).collect()
}

fn spell_out(word: &str) -> Vec<String> {
    match word.parse::<usize>() {
        Ok(number @ 0..20) => vec![SMALL[number].to_owned()],
        Ok(number @ 20..100) if number % 10 == 0 => vec![TENS[number / 10].to_owned()],
        Ok(number @ 20..100) => vec![TENS[number / 10].to_owned(), SMALL[number % 10].to_owned()],
        _ => vec![word.to_owned()],
    }
}

/// Levenshtein distance over words.
fn distance(a: &[String], b: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spelling_that_cannot_be_heard_does_not_count() {
        for (reference, hypothesis) in [
            ("Hello, World!", "hello world"),
            ("I'll take 3 of the 21", "ill take three of the twenty-one"),
            ("0 20 99", "zero twenty ninety nine"),
            ("Let’s go", "lets go"),
            ("", "..."),
        ] {
            assert!(wer(reference, hypothesis).abs() < 1e-9, "{reference:?} {hypothesis:?}");
        }
    }

    #[test]
    fn errors_are_counted_per_word_of_the_reference() {
        let close = |got: f64, want: f64| assert!((got - want).abs() < 1e-9, "{got} {want}");
        close(wer("a b c d", "a x c d"), 0.25);
        close(wer("a b c d", "a c d"), 0.25);
        close(wer("a b c d", "a b b c d"), 0.25);
        close(wer("a b", ""), 1.0);
        close(wer("", "a"), 1.0);
        close(wer("a", "b c d"), 3.0);
    }

    proptest! {
        #[test]
        fn it_is_a_distance(a in "[a-c ]{0,12}", b in "[a-c ]{0,12}", c in "[a-c ]{0,12}") {
            let (a, b, c) = (normalise(&a), normalise(&b), normalise(&c));
            prop_assert_eq!(distance(&a, &a), 0);
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
            prop_assert!(distance(&a, &c) <= distance(&a, &b) + distance(&b, &c));
        }
    }
}
