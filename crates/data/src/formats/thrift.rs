//! Thrift's compact form, in which Parquet says what a file holds: walked once before anything is allocated by it.

/// How deep structures may lie in each other. Those of Parquet are less than ten deep.
const DEEPEST: usize = 32;

/// What a file holds has the elements of its schema in this field.
const SCHEMA: u64 = 2;
/// Each of those has the number of its children in this field.
const CHILDREN: u64 = 5;

/// The kinds of the fields of a structure `depth` deep within the outermost field `within`, from field 1 on, as Parquet's standard has
/// them. The `parquet` crate takes them for granted: with others it reads something else than stands there.
fn kinds(within: u64, depth: usize) -> &'static [u8] {
    match (within, depth) {
        // What a file holds.
        (_, 0) => &[5, 9, 6, 9, 9, 8, 9],
        // An element of the schema; a group of rows; a key and its value.
        (2, 2) => &[5, 5, 5, 8, 5, 5, 5, 5, 5, 12],
        (4, 2) => &[9, 6, 6, 9, 6, 6, 4],
        (5, 2) => &[8, 8],
        // A column of a group, and its description.
        (4, 4) => &[8, 6, 12, 6, 5, 6, 5, 12, 8],
        (4, 5) => &[5, 9, 9, 5, 6, 6, 6, 9, 6, 6, 6, 12, 9, 6, 5],
        _ => &[],
    }
}

/// Checks that `bytes` begin with what a Parquet file says it holds, whole, and that no list, text or number of children in it claims
/// more than there are bytes. The error is what was found.
pub(crate) fn check_structure(bytes: &[u8]) -> Result<(), String> {
    ThriftWalk { rest: bytes, within: 0 }.structure(0)
}

/// The sizes with which the header of a page begins: its bytes, and its compressed bytes. None where it begins with something else than
/// its kind and both of them, numbers of 32 bits.
pub(crate) fn page_sizes(header: &[u8]) -> Option<(i64, i64)> {
    let mut walk = ThriftWalk { rest: header, within: 0 };
    let mut number = || -> Option<i64> {
        // The next field, a number of 32 bits.
        (walk.byte().ok()? == 0x15).then_some(())?;
        let bits = walk.number().ok().filter(|bits| *bits <= u64::from(u32::MAX))?;
        Some((bits >> 1) as i64 ^ -((bits & 1) as i64))
    };
    let (_kind, bytes, compressed) = (number()?, number()?, number()?);
    Some((bytes, compressed))
}

struct ThriftWalk<'a> {
    /// What is left of the bytes.
    rest: &'a [u8],
    /// The field of the outermost structure.
    within: u64,
}

impl ThriftWalk<'_> {
    fn skip(&mut self, count: u64) -> Result<(), String> {
        let rest = usize::try_from(count).ok().and_then(|count| self.rest.get(count..));
        let found =
            || format!("{count} bytes or elements where {} bytes are left", self.rest.len());
        self.rest = rest.ok_or_else(found)?;
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, String> {
        let byte = self.rest.first().copied();
        self.skip(1)?;
        byte.ok_or_else(|| "nothing".into())
    }

    /// A number of seven bits a byte.
    fn number(&mut self) -> Result<u64, String> {
        let mut bits = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            bits |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok(bits);
            }
        }
        Err("a number of more than 64 bits".into())
    }

    /// A number of elements, each of which takes at least a byte.
    fn count(&mut self) -> Result<u64, String> {
        let count = self.number()?;
        let left = self.rest.len();
        match count <= left as u64 {
            true => Ok(count),
            false => Err(format!("{count} elements in {left} bytes")),
        }
    }

    fn structure(&mut self, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(format!("structures more than {DEEPEST} deep"));
        }
        let mut field = 0u64;
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Ok(());
            }
            field = match header >> 4 {
                // The field's own number, twice as large as it is not negative.
                0 => self.number()? >> 1,
                further => field.saturating_add(u64::from(further)),
            };
            if depth == 0 {
                self.within = field;
            }
            let kind = header & 0x0f;
            let at = usize::try_from(field.wrapping_sub(1)).ok();
            let standard = at.and_then(|at| kinds(self.within, depth).get(at));
            if let Some(standard) = standard.filter(|standard| **standard != kind) {
                return Err(format!("field {field} of kind {kind}, where kind {standard} belongs"));
            }
            match kind {
                // A truth stands in its header.
                1 | 2 => {}
                // An element of the list is two steps below what holds the list.
                5 if (self.within, depth, field) == (SCHEMA, 2, CHILDREN) => {
                    let (children, left) = (self.number()? >> 1, self.rest.len());
                    if children > left as u64 {
                        return Err(format!("{children} columns in {left} bytes"));
                    }
                }
                kind => self.value(kind, depth)?,
            }
        }
    }

    /// A value of this kind, as in a list or a map.
    fn value(&mut self, kind: u8, depth: usize) -> Result<(), String> {
        match kind {
            1..=3 => self.skip(1),
            4..=6 => self.number().map(drop),
            7 => self.skip(8),
            8 => {
                let length = self.count()?;
                self.skip(length)
            }
            9 | 10 => {
                let header = self.byte()?;
                let count = match header >> 4 {
                    15 => self.count()?,
                    short => u64::from(short),
                };
                (0..count).try_for_each(|_| self.nested(header & 0x0f, depth))
            }
            11 => {
                let count = self.count()?;
                let kinds = if count > 0 { self.byte()? } else { 0 };
                (0..count).try_for_each(|_| {
                    self.nested(kinds >> 4, depth)?;
                    self.nested(kinds & 0x0f, depth)
                })
            }
            12 => self.structure(depth + 1),
            kind => Err(format!("a value of kind {kind}")),
        }
    }

    /// An element, which may be a list itself.
    fn nested(&mut self, kind: u8, depth: usize) -> Result<(), String> {
        match depth > DEEPEST {
            true => Err(format!("lists more than {DEEPEST} deep")),
            false => self.value(kind, depth + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check_structure;

    #[test]
    fn what_claims_more_than_there_is_is_refused() {
        // Fields from 15 on, which the standard does not know: a number, true, "ab", two numbers, a structure; the end.
        let whole =
            [0xf5, 0x90, 0x01, 0x11, 0x18, 2, b'a', b'b', 0x19, 0x25, 2, 4, 0x1c, 0x13, 7, 0, 0];
        assert_eq!(check_structure(&whole), Ok(()));
        for length in 0..whole.len() {
            assert!(check_structure(&whole[..length]).is_err(), "{length}");
        }
        assert_eq!(check_structure(&[0x29, 0x1c, 0x55, 0x04, 0, 0]), Ok(()));
        for (bytes, found) in [
            (&[0xf9, 0xfc, 0xff, 0xff, 0xff, 0x0f, 0][..], "33554431 elements in 1 bytes"),
            (&[0xf8, 0x80, 0x80, 0x04, b'a'], "65536 elements in 1 bytes"),
            (&[0xfb, 0x7f, 0x55], "127 elements in 1 bytes"),
            (&[0x17, 0, 0, 0, 0, 0, 0, 0, 0, 0], "field 1 of kind 7, where kind 5 belongs"),
            // The second field is a list of a structure, whose fifth is a number.
            (&[0x29, 0x1c, 0x55, 0xfe, 0xff, 0x01, 0, 0], "16383 columns in 2 bytes"),
            (&[0xfe, 0], "a value of kind 14"),
            (
                &[0xf5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
                "a number of more",
            ),
            (&[0xfc; 100], "more than 32 deep"),
            (&[&[0xf9][..], &[0x19; 100]].concat()[..], "more than 32 deep"),
        ] {
            let message = check_structure(bytes).expect_err("accepted");
            assert!(message.contains(found), "{message}");
        }
    }
}
