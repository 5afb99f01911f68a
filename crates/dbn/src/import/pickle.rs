//! The values of a pickle, read without running it.
//!
//! A pickle is a program for a machine with a stack and a memo. `torch.save` writes it in protocol 2 with few of its operations,
//! and others are refused. Values are numbers into one list: what is taken from the memo a billion times stands there once, and
//! what is nested a million times deep is never walked. Classes are names, and calls are pairs of a name and arguments.

use std::collections::BTreeMap;
use std::result::Result;

/// A state dict has about 30 operations a tensor.
const MOST_OPERATIONS: usize = 1 << 20;

/// A value's place among [`PickleValues::all`].
pub type Id = u32;

#[derive(Debug, PartialEq)]
pub enum PickleValue<'a> {
    Text(&'a str),
    Int(i64),
    /// Module and name, a line each.
    Class(&'a str),
    Tuple(Vec<Id>),
    /// In the order of the file.
    Dict(Vec<(Id, Id)>),
    /// The call of a class or function with a tuple of arguments; it is not made.
    Call(Id, Id),
    /// What lies outside of the pickle, by its name.
    Outside(Id),
    /// Anything else: none, a truth value, a float, a list.
    Other,
}

/// All values of a pickle; the last that was left on the stack is the one that was saved.
#[derive(Debug)]
pub struct PickleValues<'a> {
    all: Vec<PickleValue<'a>>,
    saved: Id,
}

impl<'a> PickleValues<'a> {
    /// Reads `bytes`.
    ///
    /// # Errors
    ///
    /// The error is what was found at which byte.
    pub fn of(bytes: &'a [u8]) -> Result<Self, String> {
        let mut machine = PickleMachine {
            bytes,
            at: 0,
            all: vec![PickleValue::Other],
            stack: Vec::new(),
            marks: Vec::new(),
            memo: BTreeMap::new(),
        };
        for _ in 0..MOST_OPERATIONS {
            let at = machine.at;
            let is_end = machine.step().map_err(|found| format!("{found} at byte {at}"))?;
            if is_end {
                let saved = machine.pop().map_err(|found| format!("{found} at byte {at}"))?;
                return Ok(Self { all: machine.all, saved });
            }
        }
        Err(format!("more than {MOST_OPERATIONS} operations"))
    }

    pub fn saved(&self) -> &PickleValue<'a> {
        self.get(self.saved)
    }

    pub fn get(&self, id: Id) -> &PickleValue<'a> {
        self.all.get(id as usize).unwrap_or(&PickleValue::Other)
    }
}

struct PickleMachine<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The first is one for all that are [`PickleValue::Other`].
    all: Vec<PickleValue<'a>>,
    stack: Vec<Id>,
    /// How long the stack was at each mark.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Id>,
}

const OTHER: Id = 0;

impl<'a> PickleMachine<'a> {
    /// Does one operation; whether it was the last.
    fn step(&mut self) -> Result<bool, String> {
        let [operation] = self.take()?;
        match operation {
            // PROTO
            0x80 => {
                let [version] = self.take()?;
                if version != 2 {
                    return Err(format!("protocol {version}, where torch.save has 2,"));
                }
            }
            // GLOBAL: two lines
            b'c' => {
                let rest = &self.bytes[self.at..];
                let mut ends = rest.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
                let (_, end) = (ends.next(), ends.next());
                let (end, _) = end.ok_or("a name without end")?;
                let class = self.text(end)?;
                self.at += 1;
                self.push(PickleValue::Class(class));
            }
            // NONE, NEWTRUE, NEWFALSE, EMPTY_LIST
            b'N' | 0x88 | 0x89 | b']' => self.stack.push(OTHER),
            // BINFLOAT
            b'G' => {
                let _: [u8; 8] = self.take()?;
                self.stack.push(OTHER);
            }
            // BININT1, BININT2, BININT, LONG1
            b'K' => {
                let [number] = self.take()?;
                self.push(PickleValue::Int(number.into()));
            }
            b'M' => {
                let number = u16::from_le_bytes(self.take()?);
                self.push(PickleValue::Int(number.into()));
            }
            b'J' => {
                let number = i32::from_le_bytes(self.take()?);
                self.push(PickleValue::Int(number.into()));
            }
            0x8a => {
                let [length] = self.take()?;
                let bytes = self.slice(length.into())?;
                let value = match bytes.len() {
                    0 => PickleValue::Int(0),
                    // Filled up with its sign.
                    length @ 1..=8 => {
                        let sign = if bytes[length - 1] >= 0x80 { 0xff } else { 0 };
                        let mut number = [sign; 8];
                        number[..length].copy_from_slice(bytes);
                        PickleValue::Int(i64::from_le_bytes(number))
                    }
                    _ => PickleValue::Other,
                };
                self.push(value);
            }
            // BINUNICODE
            b'X' => {
                let length = u32::from_le_bytes(self.take()?);
                let text = self.text(length as usize)?;
                self.push(PickleValue::Text(text));
            }
            // EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, MARK, TUPLE
            b')' => self.push(PickleValue::Tuple(Vec::new())),
            0x85..=0x87 => {
                let mut items = Vec::new();
                for _ in 0x85..=operation {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.push(PickleValue::Tuple(items));
            }
            b'(' => self.marks.push(self.stack.len()),
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(PickleValue::Tuple(items));
            }
            // APPEND, APPENDS: what stands in a list is not needed.
            b'a' => {
                self.pop()?;
            }
            b'e' => {
                self.pop_to_mark()?;
            }
            // EMPTY_DICT, SETITEM, SETITEMS
            b'}' => self.push(PickleValue::Dict(Vec::new())),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set(&items)?;
            }
            // BINPUT, LONG_BINPUT, BINGET, LONG_BINGET
            b'q' => {
                let [name] = self.take()?;
                self.put(name.into())?;
            }
            b'r' => {
                let name = u32::from_le_bytes(self.take()?);
                self.put(name)?;
            }
            b'h' => {
                let [name] = self.take()?;
                self.recall(name.into())?;
            }
            b'j' => {
                let name = u32::from_le_bytes(self.take()?);
                self.recall(name)?;
            }
            // REDUCE, NEWOBJ
            b'R' | 0x81 => {
                let (arguments, class) = (self.pop()?, self.pop()?);
                let is_dict = matches!(
                    self.all[class as usize],
                    PickleValue::Class("collections\nOrderedDict" | "collections\ndefaultdict")
                );
                let value = if is_dict {
                    PickleValue::Dict(Vec::new())
                } else {
                    PickleValue::Call(class, arguments)
                };
                self.push(value);
            }
            // BUILD: attributes of an object.
            b'b' => {
                self.pop()?;
                self.top()?;
            }
            // BINPERSID
            b'Q' => {
                let name = self.pop()?;
                self.push(PickleValue::Outside(name));
            }
            // STOP
            b'.' => return Ok(true),
            _ => {
                return Err(format!(
                    "operation {operation:#04x}, which torch.save does not write,"
                ));
            }
        }
        Ok(false)
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.at..];
        let slice = rest.get(..length);
        self.at += slice.map_or(0, <[u8]>::len);
        slice.ok_or_else(|| format!("{length} bytes of {}", rest.len()))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.slice(N)?);
        Ok(bytes)
    }

    fn text(&mut self, length: usize) -> Result<&'a str, String> {
        std::str::from_utf8(self.slice(length)?).map_err(|e| e.to_string())
    }

    fn push(&mut self, value: PickleValue<'a>) {
        // There are no more values than operations.
        self.stack.push(self.all.len() as Id);
        self.all.push(value);
    }

    /// The top of the stack, above the last mark.
    fn top(&self) -> Result<Id, String> {
        let above = &self.stack[self.marks.last().copied().unwrap_or(0)..];
        above.last().copied().ok_or_else(|| "nothing on the stack".into())
    }

    fn pop(&mut self) -> Result<Id, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("no mark on the stack")?;
        Ok(self.stack.split_off(mark))
    }

    /// Adds keys and values in turn to the dictionary on the top.
    fn set(&mut self, items: &[Id]) -> Result<(), String> {
        let top = self.top()?;
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err("a key without a value".into());
        };
        // Something else is an object that takes items; nothing is asked of it.
        if let PickleValue::Dict(all) = &mut self.all[top as usize] {
            all.extend(pairs.iter().map(|[key, value]| (*key, *value)));
        }
        Ok(())
    }

    fn put(&mut self, name: u32) -> Result<(), String> {
        let top = self.top()?;
        self.memo.insert(name, top);
        Ok(())
    }

    fn recall(&mut self, name: u32) -> Result<(), String> {
        let id = self.memo.get(&name).ok_or_else(|| format!("nothing in the memo at {name}"))?;
        self.stack.push(*id);
        Ok(())
    }
}
