//! Number words in English and German. The languages order and join them differently: twenty-one, einundzwanzig.

use std::collections::BTreeSet;

const N_PAIRS: usize = 12_000;
/// Numbers have as many digits at most.
const MAX_DIGITS: u64 = 6;

/// Pairs of different numbers below a million, the same ones in the same order each time. As many digits are as likely
/// as any other number of them, while there are numbers left.
pub(crate) fn corpus() -> Vec<(String, String)> {
    let (mut state, mut seen, mut pairs) = (0, BTreeSet::new(), Vec::with_capacity(N_PAIRS));
    while pairs.len() < N_PAIRS {
        let n_digits = 1 + random(&mut state) % MAX_DIGITS;
        let number = (random(&mut state) % 10_u64.pow(n_digits as u32)) as usize;
        if seen.insert(number) {
            pairs.push((english(number), german(number)));
        }
    }
    pairs
}

/// `SplitMix64` (Steele, Lea & Flood 2014).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

const ENGLISH: [&str; 20] = [
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
const ENGLISH_TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// As in American English, without `and`, of a number below a million.
fn english(number: usize) -> String {
    let followed = |words: String, rest| if rest == 0 { words } else { format!("{words} {}", english(rest)) };
    match number {
        0..20 => ENGLISH[number].to_owned(),
        20..100 if number.is_multiple_of(10) => ENGLISH_TENS[number / 10].to_owned(),
        20..100 => format!("{}-{}", ENGLISH_TENS[number / 10], ENGLISH[number % 10]),
        100..1000 => followed(format!("{} hundred", ENGLISH[number / 100]), number % 100),
        _ => followed(format!("{} thousand", english(number / 1000)), number % 1000),
    }
}

const GERMAN: [&str; 20] = [
    "null",
    "ein",
    "zwei",
    "drei",
    "vier",
    "fünf",
    "sechs",
    "sieben",
    "acht",
    "neun",
    "zehn",
    "elf",
    "zwölf",
    "dreizehn",
    "vierzehn",
    "fünfzehn",
    "sechzehn",
    "siebzehn",
    "achtzehn",
    "neunzehn",
];
const GERMAN_TENS: [&str; 10] =
    ["", "", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"];

/// One word, of a number below a million.
fn german(number: usize) -> String {
    if number % 100 == 1 { format!("{}s", german_stem(number)) } else { german_stem(number) }
}

/// The same as it stands in front of `tausend`: one is `ein`.
fn german_stem(number: usize) -> String {
    let followed = |word: String, rest| if rest == 0 { word } else { word + &german_stem(rest) };
    match number {
        0..20 => GERMAN[number].to_owned(),
        20..100 if number.is_multiple_of(10) => GERMAN_TENS[number / 10].to_owned(),
        20..100 => format!("{}und{}", GERMAN[number % 10], GERMAN_TENS[number / 10]),
        100..1000 => followed(format!("{}hundert", GERMAN[number / 100]), number % 100),
        _ => followed(format!("{}tausend", german_stem(number / 1000)), number % 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_words() {
        let known = [
            (0, "zero", "null"),
            (1, "one", "eins"),
            (7, "seven", "sieben"),
            (12, "twelve", "zwölf"),
            (16, "sixteen", "sechzehn"),
            (17, "seventeen", "siebzehn"),
            (21, "twenty-one", "einundzwanzig"),
            (30, "thirty", "dreißig"),
            (66, "sixty-six", "sechsundsechzig"),
            (77, "seventy-seven", "siebenundsiebzig"),
            (100, "one hundred", "einhundert"),
            (101, "one hundred one", "einhunderteins"),
            (111, "one hundred eleven", "einhundertelf"),
            (342, "three hundred forty-two", "dreihundertzweiundvierzig"),
            (1000, "one thousand", "eintausend"),
            (1001, "one thousand one", "eintausendeins"),
            (1984, "one thousand nine hundred eighty-four", "eintausendneunhundertvierundachtzig"),
            (21_000, "twenty-one thousand", "einundzwanzigtausend"),
            (101_000, "one hundred one thousand", "einhunderteintausend"),
            (201_101, "two hundred one thousand one hundred one", "zweihunderteintausendeinhunderteins"),
            (
                777_777,
                "seven hundred seventy-seven thousand seven hundred seventy-seven",
                "siebenhundertsiebenundsiebzigtausendsiebenhundertsiebenundsiebzig",
            ),
        ];
        for (number, in_english, in_german) in known {
            assert_eq!((english(number).as_str(), german(number).as_str()), (in_english, in_german), "{number}");
        }
    }

    #[test]
    fn no_two_numbers_have_the_same_words() {
        let words = |language: fn(usize) -> String| (0..200_000).map(language).collect::<BTreeSet<_>>().len();
        assert_eq!((words(english), words(german)), (200_000, 200_000));
    }

    #[test]
    fn the_corpus_is_the_same_each_time_and_of_different_numbers() {
        let pairs = corpus();
        assert!(pairs == corpus());
        assert_eq!(pairs.iter().collect::<BTreeSet<_>>().len(), N_PAIRS);
        // A thousand numbers in a million are below a thousand.
        let n_short = pairs.iter().filter(|(english, _)| !english.contains("thousand")).count();
        assert!((N_PAIRS / 20..=1000).contains(&n_short), "{n_short}");
    }
}
