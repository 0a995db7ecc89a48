//! The wire format of protocol buffers, as far as event files use it: fields by number, read where they lie.
//!
//! ```text
//! field = key varint (number · 8 + type) · varint | 8 bytes | length varint, bytes | 4 bytes      by type 0, 1, 2, 5
//! ```

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoMessage;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

impl<'a> Field<'a> {
    /// Of a field of type double.
    pub(crate) fn double(self) -> Result<f64, NoMessage> {
        if let Self::Fixed64(bits) = self { Ok(f64::from_bits(bits)) } else { Err(NoMessage) }
    }

    /// Of a field of an integer type.
    pub(crate) fn integer(self) -> Result<i64, NoMessage> {
        if let Self::Varint(value) = self { Ok(value as i64) } else { Err(NoMessage) }
    }

    /// Of a message within the message, or of any text or bytes.
    pub(crate) fn bytes(self) -> Result<&'a [u8], NoMessage> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(NoMessage) }
    }

    pub(crate) fn text(self) -> Result<&'a str, NoMessage> {
        str::from_utf8(self.bytes()?).map_err(|_bytes| NoMessage)
    }

    /// Appends those of a repeated field of type double, which come one by one or packed.
    pub(crate) fn extend_doubles(self, doubles: &mut Vec<f64>) -> Result<(), NoMessage> {
        let Self::Bytes(packed) = self else {
            doubles.push(self.double()?);
            return Ok(());
        };
        let (each, rest) = packed.as_chunks();
        doubles.extend(each.iter().map(|&bytes| f64::from_le_bytes(bytes)));
        if rest.is_empty() { Ok(()) } else { Err(NoMessage) }
    }
}

/// The fields of a message in their order, each with its number.
pub(crate) fn fields(mut message: &[u8]) -> impl Iterator<Item = Result<(u64, Field<'_>), NoMessage>> {
    std::iter::from_fn(move || {
        if message.is_empty() {
            return None;
        }
        let field = field(&mut message);
        if field.is_err() {
            message = &[];
        }
        Some(field)
    })
}

fn field<'a>(rest: &mut &'a [u8]) -> Result<(u64, Field<'a>), NoMessage> {
    let key = varint(rest)?;
    let value = match key & 7 {
        0 => Field::Varint(varint(rest)?),
        1 => Field::Fixed64(u64::from_le_bytes(take(rest, 8)?.try_into().map_err(|_short| NoMessage)?)),
        2 => {
            let len = usize::try_from(varint(rest)?).map_err(|_huge| NoMessage)?;
            Field::Bytes(take(rest, len)?)
        }
        5 => {
            take(rest, 4)?;
            Field::Fixed32
        }
        _ => return Err(NoMessage),
    };
    Ok((key >> 3, value))
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], NoMessage> {
    let (taken, after) = rest.split_at_checked(len).ok_or(NoMessage)?;
    *rest = after;
    Ok(taken)
}

fn varint(rest: &mut &[u8]) -> Result<u64, NoMessage> {
    let mut value = 0;
    for index in 0..10 {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(NoMessage)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A field of bytes.
    pub(crate) fn bytes_field(number: u64, bytes: &[u8]) -> Vec<u8> {
        [varint_of(number << 3 | 2), varint_of(bytes.len() as u64), bytes.to_vec()].concat()
    }

    pub(crate) fn double_field(number: u64, value: f64) -> Vec<u8> {
        [varint_of(number << 3 | 1), value.to_le_bytes().to_vec()].concat()
    }

    pub(crate) fn integer_field(number: u64, value: i64) -> Vec<u8> {
        [varint_of(number << 3), varint_of(value as u64)].concat()
    }

    fn varint_of(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while 0x80 <= value {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    #[test]
    fn fields_of_every_type_are_read_and_others_refused() {
        let message =
            [integer_field(2, -5), double_field(1, 0.5), bytes_field(300, b"tag"), vec![0x2d, 0, 0, 0, 0]].concat();
        let found: Vec<_> = fields(&message).map(Result::unwrap).collect();
        assert_eq!(found[0].1.integer(), Ok(-5));
        assert_eq!(found[1], (1, Field::Fixed64(0.5f64.to_bits())));
        assert_eq!((found[2].0, found[2].1.text()), (300, Ok("tag")));
        assert_eq!(found[3], (5, Field::Fixed32));
        for broken in [&[0x0b][..], &[0x08], &[0x12, 5, 1], &[0xff; 11], &[0x09, 0, 0]] {
            assert_eq!(fields(broken).last(), Some(Err(NoMessage)), "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn prop_any_bytes_come_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(fields(&bytes).count() <= bytes.len());
        }
    }
}
