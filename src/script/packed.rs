//! A `this` in a small form, for a connection that nobody speaks with.
//!
//! Rhai's map takes half a kilobyte for its first property, since it has room for eleven. Here it
//! is as many bytes as its keys and values have. Only plain values are packed, and they come back
//! exactly as they were; a map with anything else in it stays as it is.

use rhai::{Array, Blob, Dynamic, Map};

/// Bytes of the small form at the most: what is longer would gain little.
const LONGEST: usize = 1024;
/// Levels of arrays and maps in each other at the most: both ways recurse.
const DEEPEST: usize = 16;

/// What a value begins with.
mod kind {
    pub const UNIT: u8 = 0;
    pub const FALSE: u8 = 1;
    pub const TRUE: u8 = 2;
    pub const INT: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const CHAR: u8 = 5;
    pub const STRING: u8 = 6;
    pub const BLOB: u8 = 7;
    pub const ARRAY: u8 = 8;
    pub const MAP: u8 = 9;
}

/// Packs a map with plain values.
pub fn pack(map: &Map) -> Option<Blob> {
    let mut bytes = Vec::new();
    put_map(&mut bytes, map, DEEPEST)?;
    // It is kept for long.
    bytes.shrink_to_fit();
    Some(bytes)
}

/// Returns the map that was packed.
pub fn unpack(mut bytes: &[u8]) -> Option<Map> {
    take_map(&mut bytes)
}

fn put_map(bytes: &mut Blob, map: &Map, depth: usize) -> Option<()> {
    put_number(bytes, map.len() as u64);
    for (key, value) in map {
        put_bytes(bytes, key.as_bytes())?;
        put(bytes, value, depth)?;
    }
    Some(())
}

fn put(bytes: &mut Blob, value: &Dynamic, depth: usize) -> Option<()> {
    // What is shared is the same in two places, and a constant stays one.
    if value.is_shared() || value.is_read_only() || value.tag() != 0 {
        return None;
    }
    if value.is_unit() {
        bytes.push(kind::UNIT);
    } else if let Ok(value) = value.as_bool() {
        bytes.push(if value { kind::TRUE } else { kind::FALSE });
    } else if let Ok(value) = value.as_int() {
        bytes.push(kind::INT);
        // Small ones of either sign become small ones without.
        put_number(bytes, (value << 1 ^ value >> 63) as u64);
    } else if let Ok(value) = value.as_float() {
        bytes.push(kind::FLOAT);
        bytes.extend(value.to_le_bytes());
    } else if let Ok(value) = value.as_char() {
        bytes.push(kind::CHAR);
        put_number(bytes, u32::from(value).into());
    } else if let Ok(value) = value.as_immutable_string_ref() {
        bytes.push(kind::STRING);
        put_bytes(bytes, value.as_bytes())?;
    } else if let Ok(value) = value.as_blob_ref() {
        bytes.push(kind::BLOB);
        put_bytes(bytes, &value)?;
    } else if let Ok(value) = value.as_array_ref() {
        bytes.push(kind::ARRAY);
        put_number(bytes, value.len() as u64);
        let depth = depth.checked_sub(1)?;
        for inside in value.iter() {
            put(bytes, inside, depth)?;
        }
    } else if let Ok(value) = value.as_map_ref() {
        bytes.push(kind::MAP);
        put_map(bytes, &value, depth.checked_sub(1)?)?;
    } else {
        return None;
    }
    (bytes.len() <= LONGEST).then_some(())
}

fn put_bytes(bytes: &mut Blob, more: &[u8]) -> Option<()> {
    put_number(bytes, more.len() as u64);
    if bytes.len() + more.len() > LONGEST {
        return None;
    }
    bytes.extend_from_slice(more);
    Some(())
}

/// Seven bits a byte, the lowest first; all but the last have the highest bit.
fn put_number(bytes: &mut Blob, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_map(bytes: &mut &[u8]) -> Option<Map> {
    let mut map = Map::new();
    for _ in 0..take_number(bytes)? {
        let key = std::str::from_utf8(take_bytes(bytes)?).ok()?;
        let value = take(bytes)?;
        map.insert(key.into(), value);
    }
    Some(map)
}

fn take(bytes: &mut &[u8]) -> Option<Dynamic> {
    let first = *bytes.split_off_first()?;
    Some(match first {
        kind::UNIT => Dynamic::UNIT,
        kind::FALSE => Dynamic::FALSE,
        kind::TRUE => Dynamic::TRUE,
        kind::INT => {
            let number = take_number(bytes)?;
            Dynamic::from_int((number >> 1) as i64 ^ -((number & 1) as i64))
        }
        kind::FLOAT => {
            let bits = bytes.split_off(..8)?.try_into().ok()?;
            Dynamic::from_float(f64::from_le_bytes(bits))
        }
        kind::CHAR => {
            let code = u32::try_from(take_number(bytes)?).ok()?;
            Dynamic::from_char(char::from_u32(code)?)
        }
        kind::STRING => std::str::from_utf8(take_bytes(bytes)?).ok()?.into(),
        kind::BLOB => Dynamic::from_blob(take_bytes(bytes)?.to_vec()),
        kind::ARRAY => {
            let mut array = Array::new();
            for _ in 0..take_number(bytes)? {
                array.push(take(bytes)?);
            }
            Dynamic::from_array(array)
        }
        kind::MAP => Dynamic::from_map(take_map(bytes)?),
        _ => return None,
    })
}

fn take_bytes<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(take_number(bytes)?).ok()?;
    bytes.split_off(..length)
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use rhai::FnPtr;

    use super::*;

    /// Whether both are the same to the bit, kinds and all.
    fn same(one: &Dynamic, other: &Dynamic) -> bool {
        if one.type_id() != other.type_id() {
            return false;
        }
        if let (Ok(one), Ok(other)) = (one.as_float(), other.as_float()) {
            return one.to_bits() == other.to_bits();
        }
        if let (Ok(one), Ok(other)) = (one.as_array_ref(), other.as_array_ref()) {
            return one.len() == other.len() && one.iter().zip(&*other).all(|(a, b)| same(a, b));
        }
        if let (Ok(one), Ok(other)) = (one.as_map_ref(), other.as_map_ref()) {
            return same_maps(&one, &other);
        }
        format!("{one:?}") == format!("{other:?}")
    }

    fn same_maps(one: &Map, other: &Map) -> bool {
        one.len() == other.len()
            && one
                .iter()
                .zip(other)
                .all(|((a, one), (b, other))| a == b && same(one, other))
    }

    fn text(random: &mut fastrand::Rng) -> String {
        (0..random.usize(0..40)).map(|_| random.char(..)).collect()
    }

    fn value(random: &mut fastrand::Rng, depth: usize) -> Dynamic {
        match random.u32(0..if depth == 0 { 9 } else { 11 }) {
            0 => Dynamic::UNIT,
            1 => random.bool().into(),
            2 => random.i64(..).into(),
            3 => random.i64(-100..100).into(),
            4 => f64::from_bits(random.u64(..)).into(),
            5 => Dynamic::from_float(*random.choice(&[0.0, -0.0, f64::NAN, 1.0]).unwrap()),
            6 => random.char(..).into(),
            7 => text(random).into(),
            8 => Dynamic::from_blob((0..random.usize(0..40)).map(|_| random.u8(..)).collect()),
            9 => {
                let inside = (0..random.usize(0..5)).map(|_| value(random, depth - 1));
                Dynamic::from_array(inside.collect())
            }
            _ => Dynamic::from_map(map(random, depth - 1)),
        }
    }

    fn map(random: &mut fastrand::Rng, depth: usize) -> Map {
        (0..random.usize(0..5))
            .map(|_| (text(random).into(), value(random, depth)))
            .collect()
    }

    #[test]
    fn plain_values_come_back_exactly() {
        let mut random = fastrand::Rng::with_seed(13);
        let mut packed = 0;
        for _ in 0..20_000 {
            let map = map(&mut random, 4);
            if let Some(bytes) = pack(&map) {
                packed += 1;
                assert!(bytes.len() <= LONGEST && bytes.capacity() == bytes.len());
                assert!(same_maps(&unpack(&bytes).unwrap(), &map), "{map:?}");
            }
        }
        assert!(packed > 15_000, "{packed}");
        for number in [0, -1, 63, 64, -64, -65, i64::MAX, i64::MIN] {
            let map = Map::from([("n".into(), number.into())]);
            assert!(same_maps(&unpack(&pack(&map).unwrap()).unwrap(), &map));
        }
    }

    #[test]
    fn a_number_takes_five_bytes() {
        let map = Map::from([("n".into(), 0_i64.into())]);
        assert_eq!(pack(&map).unwrap().len(), 5);
    }

    #[test]
    fn what_is_not_plain_stays() {
        let mut tagged = Dynamic::from(1_i64);
        tagged.set_tag(7);
        let nested = (0..=DEEPEST).fold(Dynamic::UNIT, |inside, _| {
            Dynamic::from_array(Array::from([inside]))
        });
        for value in [
            Dynamic::from(1_i64).into_shared(),
            Dynamic::from(FnPtr::new("f").unwrap()),
            Dynamic::from(std::time::Duration::ZERO),
            tagged,
            nested,
            "x".repeat(LONGEST).into(),
            Dynamic::from_array(vec![Dynamic::UNIT; LONGEST]),
        ] {
            let deeper = Dynamic::from_array(Array::from([value.clone()]));
            for value in [value, deeper] {
                assert_eq!(pack(&Map::from([("v".into(), value)])), None);
            }
        }
    }

    #[test]
    fn hostile_bytes_are_refused() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..20_000 {
            let bytes: Blob = (0..random.usize(0..30)).map(|_| random.u8(..12)).collect();
            let _ = unpack(&bytes);
        }
        assert!(unpack(&[1, 1, b'n', kind::INT]).is_none());
        assert!(unpack(&[1, 1, 0xff, kind::UNIT]).is_none());
    }
}
