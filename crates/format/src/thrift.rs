//! Thrift's compact protocol, followed along a grammar.
//!
//! Parquet says in this protocol what a file holds. The Parquet library takes it for granted there that fields have the types
//! they should have, reserves what counts ask for, and recurses as deep as the input goes. Here every field must be one of the
//! grammar's, with its type, so whoever reads the same bytes afterwards sees the same; depth is the grammar's; nothing is
//! allocated for what is declared, and every element that is counted takes a byte at least.

/// What a value may be.
pub(crate) enum Grammar {
    /// A field's truth value, which is in the field's type.
    Bool,
    /// One byte.
    Byte,
    /// An integer of so many bits.
    Int(u32),
    /// Text or bytes.
    Binary,
    /// Values of one kind.
    List(&'static Grammar),
    /// Fields by number, any of them absent; also a union.
    Struct(&'static [(u8, Grammar)]),
}

impl Grammar {
    /// Whether a value of this kind goes by such a type.
    fn has_type(&self, code: u8) -> bool {
        match self {
            Self::Bool => matches!(code, 1 | 2),
            Self::Byte => code == 3,
            Self::Int(16) => code == 4,
            Self::Int(32) => code == 5,
            Self::Int(_) => code == 6,
            Self::Binary => code == 8,
            Self::List(_) => code == 9,
            Self::Struct(_) => code == 12,
        }
    }
}

/// Why bytes are not what the grammar says.
pub(crate) type Malformed = &'static str;

/// Follows one value from the start of `bytes` and gives what comes after it.
///
/// `visit` is told every integer, and every list's length, with the numbers of the fields that lead there.
///
/// # Errors
/// The first thing that is not in the grammar.
pub(crate) fn follow<'a>(
    bytes: &'a [u8],
    grammar: &Grammar,
    visit: impl FnMut(&[u8], i64),
) -> Result<&'a [u8], Malformed> {
    let mut follower = Follower { rest: bytes, path: Vec::new(), visit };
    follower.value(grammar)?;
    Ok(follower.rest)
}

struct Follower<'a, V> {
    rest: &'a [u8],
    path: Vec<u8>,
    visit: V,
}

impl<V: FnMut(&[u8], i64)> Follower<'_, V> {
    fn value(&mut self, grammar: &Grammar) -> Result<(), Malformed> {
        match grammar {
            Grammar::Bool => Ok(()),
            Grammar::Byte => self.byte().map(|_| ()),
            Grammar::Int(bits) => {
                let value = self.integer(*bits)?;
                (self.visit)(&self.path, value);
                Ok(())
            }
            Grammar::Binary => {
                let len = self.count()?;
                self.rest = &self.rest[len..];
                Ok(())
            }
            Grammar::List(element) => self.list(element),
            Grammar::Struct(fields) => self.fields(fields),
        }
    }

    /// Fields come in ascending order, each with its distance from the one before.
    fn fields(&mut self, fields: &[(u8, Grammar)]) -> Result<(), Malformed> {
        let mut fields = fields.iter();
        let mut before = 0;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(());
            }
            let (number, code) = (before + (head >> 4), head & 0xf);
            let known = fields.find(|(known, grammar)| *known == number && grammar.has_type(code));
            let (_, grammar) = known.ok_or("a field that no part has")?;
            self.path.push(number);
            self.value(grammar)?;
            self.path.pop();
            before = number;
        }
    }

    fn list(&mut self, element: &Grammar) -> Result<(), Malformed> {
        let head = self.byte()?;
        if !element.has_type(head & 0xf) {
            return Err("a list of a type that no part has");
        }
        let count = match head >> 4 {
            15 => self.count()?,
            short => usize::from(short),
        };
        (self.visit)(&self.path, count as i64);
        (0..count).try_for_each(|_| self.value(element))
    }

    /// A number of bytes or elements, which cannot be more than there are bytes left.
    fn count(&mut self) -> Result<usize, Malformed> {
        let count = self.varint()?;
        usize::try_from(count).ok().filter(|&count| count <= self.rest.len()).ok_or("a length beyond its end")
    }

    fn integer(&mut self, bits: u32) -> Result<i64, Malformed> {
        let zigzag = self.varint()?;
        let value = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
        if zigzag >> (bits - 1) >> 1 == 0 { Ok(value) } else { Err("a number beyond its type") }
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        varint(&mut self.rest)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        byte(&mut self.rest)
    }
}

/// Takes a number from the start of `bytes`: seven bits a byte, the lowest first.
///
/// # Errors
/// If they end before it does, or it takes more than 64 bits.
pub(crate) fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = byte(bytes)?;
        let bits = u64::from(byte & 0x7f);
        value |= bits << shift;
        if byte < 0x80 && bits << shift >> shift == bits {
            return Ok(value);
        }
    }
    Err("a number beyond its type")
}

fn byte(bytes: &mut &[u8]) -> Result<u8, Malformed> {
    bytes.split_off_first().copied().ok_or("an early end")
}
