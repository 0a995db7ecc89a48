//! Bytes as tokens.

/// The bytes that occur in some text, numbered in ascending order: a network has no weights for others.
pub(crate) struct Vocabulary {
    n_tokens: i16,
    /// For each byte the number of smaller ones that occur.
    tokens: [i16; 256],
}

impl Vocabulary {
    pub(crate) fn of<'a>(text: impl IntoIterator<Item = &'a u8>) -> Self {
        let mut occurs = [false; 256];
        text.into_iter().for_each(|&byte| occurs[usize::from(byte)] = true);
        let mut n_tokens = 0;
        let tokens = occurs.map(|occurs| {
            let token = n_tokens;
            n_tokens += i16::from(occurs);
            token
        });
        Self { n_tokens, tokens }
    }

    pub(crate) fn len(&self) -> i64 {
        self.n_tokens.into()
    }

    /// The tokens of text whose bytes all occur.
    pub(crate) fn encode(&self, text: &[u8]) -> impl Iterator<Item = i16> {
        text.iter().map(|&byte| self.tokens[usize::from(byte)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_numbered_without_gaps() {
        let vocabulary = Vocabulary::of(b"banana\xff");
        assert_eq!(vocabulary.len(), 4);
        assert_eq!(vocabulary.encode(b"nab\xff").collect::<Vec<_>>(), [2, 0, 1, 3]);
        let all: Vec<u8> = (0..=255).collect();
        assert!(Vocabulary::of(&all).encode(&all).eq(0..256));
    }
}
