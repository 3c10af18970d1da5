//! `pack` and `unpack`: values to binary data and back, by a format as Python's `struct` has it.

use rhai::{Array, Blob, Dynamic, EvalAltResult};

use super::bounded::bounds::over;
use crate::machine::error::throw;
use crate::machine::types;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// Bytes of a format, which a script writes down.
const LONGEST: usize = 1024;

/// A format: the order of bytes, and what follows each other.
struct Format {
    big: bool,
    fields: Vec<(usize, char)>,
}

impl Format {
    fn parse(text: &str) -> Result<Self> {
        if text.len() > LONGEST {
            return throw("pack", format!("a format has at most {LONGEST} bytes"));
        }
        let mut letters = text.chars();
        let big = match letters.next() {
            Some('>' | '!') => true,
            Some('<') => false,
            _ => {
                return throw("pack", "a format begins with the order of bytes: >, ! or <");
            }
        };
        let mut fields = Vec::new();
        let mut digits = String::new();
        for letter in letters {
            if letter.is_ascii_digit() {
                digits.push(letter);
            } else if size(letter).is_some() {
                let count = match digits.as_str() {
                    "" => 1,
                    digits => digits.parse().unwrap_or(usize::MAX),
                };
                fields.push((count, letter));
                digits.clear();
            } else if letter != ' ' {
                return throw("pack", format!("{letter:?} is no letter of a format"));
            }
        }
        if !digits.is_empty() {
            return throw("pack", "a count stands at the end, with nothing to count");
        }
        Ok(Self { big, fields })
    }

    /// Returns the number of bytes that the format takes.
    fn length(&self) -> usize {
        self.fields
            .iter()
            .fold(0, |length: usize, (count, letter)| {
                let size = size(*letter).unwrap_or(0);
                length.saturating_add(count.saturating_mul(size))
            })
    }

    /// Returns the number of values that the format takes.
    fn values(&self) -> usize {
        self.fields
            .iter()
            .fold(0, |values: usize, (count, letter)| {
                values.saturating_add(if *letter == 's' { 1 } else { *count })
            })
    }
}

/// The bytes of one value; of one of its bytes, for `s`.
fn size(letter: char) -> Option<usize> {
    Some(match letter {
        'b' | 'B' | 's' => 1,
        'h' | 'H' => 2,
        'i' | 'I' | 'f' => 4,
        'q' | 'Q' | 'd' => 8,
        _ => return None,
    })
}

/// `pack(format, values)`: at most `most` bytes.
pub fn pack(format: &str, values: &Array, most: usize) -> Result<Blob> {
    let format = Format::parse(format)?;
    if format.length() > most {
        return over("pack", most, "bytes");
    }
    if format.values() != values.len() {
        let wanted = format.values();
        return throw(
            "pack",
            format!("the format has {wanted} values, here are {}", values.len()),
        );
    }
    let mut data = Blob::with_capacity(format.length());
    let mut values = values.iter();
    for (count, letter) in format.fields {
        let own = if letter == 's' { 1 } else { count };
        for value in values.by_ref().take(own) {
            match letter {
                's' => pack_bytes(&mut data, count, value)?,
                'f' => push(&mut data, format.big, (float(value)? as f32).to_be_bytes()),
                'd' => push(&mut data, format.big, float(value)?.to_be_bytes()),
                _ => pack_int(&mut data, format.big, letter, value)?,
            }
        }
    }
    Ok(data)
}

fn push<const N: usize>(data: &mut Blob, big: bool, mut bytes: [u8; N]) {
    if !big {
        bytes.reverse();
    }
    data.extend(bytes);
}

fn pack_int(data: &mut Blob, big: bool, letter: char, value: &Dynamic) -> Result<()> {
    let Ok(number) = value.as_int() else {
        return throw(
            "pack",
            format!("{letter} takes an int, not {}", types::name_of(value)),
        );
    };
    let [.., a, b, c, d] = number.to_be_bytes();
    let fits = match letter {
        'b' => i8::try_from(number).is_ok(),
        'B' => u8::try_from(number).is_ok(),
        'h' => i16::try_from(number).is_ok(),
        'H' => u16::try_from(number).is_ok(),
        'i' => i32::try_from(number).is_ok(),
        'I' => u32::try_from(number).is_ok(),
        'q' => true,
        _ => number >= 0,
    };
    if !fits {
        return throw("pack", format!("{number} does not fit {letter}"));
    }
    match letter {
        'b' | 'B' => push(data, big, [d]),
        'h' | 'H' => push(data, big, [c, d]),
        'i' | 'I' => push(data, big, [a, b, c, d]),
        _ => push(data, big, number.to_be_bytes()),
    }
    Ok(())
}

fn float(value: &Dynamic) -> Result<f64> {
    match (value.as_float(), value.as_int()) {
        (Ok(number), _) => Ok(number),
        (_, Ok(number)) => Ok(number as f64),
        _ => {
            let other = types::name_of(value);
            throw("pack", format!("f and d take numbers, not {other}"))
        }
    }
}

fn pack_bytes(data: &mut Blob, count: usize, value: &Dynamic) -> Result<()> {
    let end = data.len() + count;
    if let Ok(text) = value.as_immutable_string_ref() {
        data.extend(text.as_bytes());
    } else if let Ok(blob) = value.as_blob_ref() {
        data.extend(&*blob);
    } else {
        let other = types::name_of(value);
        return throw("pack", format!("s takes a string or a blob, not {other}"));
    }
    if data.len() > end {
        let length = data.len() + count - end;
        return throw("pack", format!("{length} bytes do not fit {count}s"));
    }
    data.resize(end, 0);
    Ok(())
}

/// `unpack(format, data)`: at most `most` values.
pub fn unpack(format: &str, data: &[u8], most: usize) -> Result<Array> {
    let format = Format::parse(format)?;
    if format.values() > most {
        return over("unpack", most, "values");
    }
    if format.length() != data.len() {
        let wanted = format.length();
        return throw(
            "pack",
            format!("the format has {wanted} bytes, here are {}", data.len()),
        );
    }
    let mut values = Array::with_capacity(format.values());
    let mut rest = data;
    for (count, letter) in format.fields {
        let (times, length) = match letter {
            's' => (1, count),
            _ => (count, size(letter).unwrap_or(0)),
        };
        for _ in 0..times {
            let (bytes, behind) = rest.split_at(length);
            rest = behind;
            values.push(unpack_value(format.big, letter, bytes)?);
        }
    }
    Ok(values)
}

fn unpack_value(big: bool, letter: char, bytes: &[u8]) -> Result<Dynamic> {
    if letter == 's' {
        return Ok(Dynamic::from_blob(bytes.to_vec()));
    }
    let unsigned = bytes.iter().enumerate().fold(0, |number: u64, (at, byte)| {
        let place = if big { bytes.len() - 1 - at } else { at };
        number | u64::from(*byte) << (8 * place)
    });
    Ok(match letter {
        'f' => Dynamic::from_float(f32::from_bits(unsigned as u32).into()),
        'd' => Dynamic::from_float(f64::from_bits(unsigned)),
        'b' => i64::from(unsigned as i8).into(),
        'h' => i64::from(unsigned as i16).into(),
        'i' => i64::from(unsigned as i32).into(),
        'q' => (unsigned as i64).into(),
        _ => match i64::try_from(unsigned) {
            Ok(number) => number.into(),
            Err(_) => {
                let text = format!("{unsigned} is more than an int can be: unpack it with q");
                return throw("pack", text);
            }
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(format: &str, values: Array) -> String {
        pack(format, &values, 100).map_or_else(
            |error| error.to_string(),
            |data| data.iter().map(|byte| format!("{byte:02x}")).collect(),
        )
    }

    /// Results of Python's `struct.pack`.
    #[test]
    fn as_python_packs() {
        let numbers = || Array::from([(-2_i64).into(), 254_i64.into()]);
        for (format, bytes) in [
            (">bB", "fefe"),
            ("!hH", "fffe00fe"),
            ("<hH", "fefffe00"),
            (">iI", "fffffffe000000fe"),
            ("<iI", "fefffffffe000000"),
            (">qQ", "fffffffffffffffe00000000000000fe"),
            ("<qQ", "fefffffffffffffffe00000000000000"),
            (">2h", "fffe00fe"),
            (">2f", "c0000000437e0000"),
            ("<d h", "00000000000000c0fe00"),
        ] {
            assert_eq!(packed(format, numbers()), bytes, "{format}");
        }
        let texts = || Array::from(["ab".into(), Dynamic::from_blob(vec![1, 2, 3])]);
        assert_eq!(packed(">3s3s", texts()), "616200010203");
        assert_eq!(packed("<2s4s0h", texts()), "616201020300");
    }

    #[test]
    fn what_was_packed_comes_out() {
        for big in [">", "<"] {
            let format = format!("{big}b2Hi q2s0sQd");
            let data: Vec<u8> = (100..100 + 1 + 4 + 4 + 8 + 2 + 8 + 8).collect();
            let values = unpack(&format, &data, 10).unwrap();
            assert_eq!(values.len(), 9);
            assert_eq!(pack(&format, &values, 100).unwrap(), data);
        }
        let lowest = unpack(
            ">bhiq",
            &[0x80, 0x80, 0, 0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0],
            4,
        );
        let lowest: Vec<_> = lowest
            .unwrap()
            .iter()
            .map(|value| value.as_int().unwrap())
            .collect();
        assert_eq!(lowest, [-128, -32_768, -2_147_483_648, i64::MIN]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (format, value) in [
            (">b", 128),
            (">b", -129),
            (">B", 256),
            (">B", -1),
            (">H", 65_536),
            (">i", 1 << 31),
            (">I", -1),
            (">Q", -1),
            (">s", 1),
            ("b", 1),
            ("", 1),
            (">", 1),
            (">bb", 1),
            (">x", 1),
            (">1", 1),
            (">101b", 1),
            (">99999999999999999999b", 1),
        ] {
            assert!(
                pack(format, &Array::from([value.into()]), 100).is_err(),
                "{format}"
            );
        }
        assert!(pack(">1s", &Array::from(["ab".into()]), 100).is_err());
        assert!(pack(">f", &Array::from(["1".into()]), 100).is_err());
        assert!(unpack(">h", &[0], 1).is_err());
        assert!(unpack(">2b", &[0, 0], 1).is_err());
        assert!(unpack(">Q", &[0xff; 8], 1).is_err());
        assert!(unpack(&">b".repeat(LONGEST), &[], 1).is_err());
    }
}
