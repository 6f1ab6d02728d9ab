//! Canonical bytes: a BCS encoder over `alloc` (D15). Equal to the `bcs` crate, which needs `std`, by property
//! tests; decoding happens outside the core.
//!
//! Rules of the format: little-endian fixed-width integers, ULEB128 lengths and variant indices, `Option` as a
//! tag byte, maps sorted by the bytes of their keys, structs and tuples without any framing. Floats, `char` and
//! self-describing input do not exist.

use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;
use serde::ser::{
    self, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};

/// The canonical bytes of a value.
///
/// Every type that the protocol hashes is built of what the format has, so this cannot fail on them; a type
/// with a float or a sequence of unknown length is a bug and stops the node.
pub fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut encoder = Encoder { out: Vec::new() };
    match value.serialize(&mut encoder) {
        Ok(()) => encoder.out,
        Err(error) => panic!("canonical encoding: {error}"),
    }
}

/// The value holds something that has no canonical form.
#[derive(Debug)]
struct Unsupported(&'static str);

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has no canonical form", self.0)
    }
}

impl core::error::Error for Unsupported {}

impl ser::Error for Unsupported {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self("a value whose serializer failed")
    }
}

struct Encoder {
    out: Vec<u8>,
}

impl Encoder {
    #[inline]
    fn length(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}

macro_rules! integers {
    ($($method:ident($int:ty);)*) => {$(
        #[inline]
        fn $method(self, value: $int) -> Result<(), Unsupported> {
            self.out.extend_from_slice(&value.to_le_bytes());
            Ok(())
        }
    )*};
}

impl<'a> ser::Serializer for &'a mut Encoder {
    type Ok = ();
    type Error = Unsupported;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Map<'a>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    integers! {
        serialize_u8(u8); serialize_u16(u16); serialize_u32(u32); serialize_u64(u64); serialize_u128(u128);
        serialize_i8(i8); serialize_i16(i16); serialize_i32(i32); serialize_i64(i64); serialize_i128(i128);
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), Unsupported> {
        self.out.push(u8::from(value));
        Ok(())
    }

    fn serialize_f32(self, _value: f32) -> Result<(), Unsupported> {
        Err(Unsupported("a float"))
    }

    fn serialize_f64(self, _value: f64) -> Result<(), Unsupported> {
        Err(Unsupported("a float"))
    }

    fn serialize_char(self, _value: char) -> Result<(), Unsupported> {
        Err(Unsupported("a character"))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), Unsupported> {
        self.serialize_bytes(value.as_bytes())
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<(), Unsupported> {
        self.length(value.len() as u64);
        self.out.extend_from_slice(value);
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Result<(), Unsupported> {
        self.out.push(0);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unsupported> {
        self.out.push(1);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unsupported> {
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Unsupported> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<(), Unsupported> {
        self.length(u64::from(index));
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Unsupported> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        value: &T,
    ) -> Result<(), Unsupported> {
        self.length(u64::from(index));
        value.serialize(self)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self, Unsupported> {
        let len = len.ok_or(Unsupported("a sequence of unknown length"))?;
        self.length(len as u64);
        Ok(self)
    }

    #[inline]
    fn serialize_tuple(self, _len: usize) -> Result<Self, Unsupported> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<Self, Unsupported> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self, Unsupported> {
        self.length(u64::from(index));
        Ok(self)
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Map<'a>, Unsupported> {
        let start = self.out.len();
        Ok(Map { encoder: self, start, entries: Vec::new() })
    }

    #[inline]
    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Self, Unsupported> {
        Ok(self)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self, Unsupported> {
        self.length(u64::from(index));
        Ok(self)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! elements {
    ($($ser:ident::$method:ident;)*) => {$(
        impl $ser for &mut Encoder {
            type Ok = ();
            type Error = Unsupported;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unsupported> {
                value.serialize(&mut **self)
            }

            #[inline]
            fn end(self) -> Result<(), Unsupported> {
                Ok(())
            }
        }
    )*};
}

elements! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

macro_rules! fields {
    ($($ser:ident;)*) => {$(
        impl $ser for &mut Encoder {
            type Ok = ();
            type Error = Unsupported;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                _name: &'static str,
                value: &T,
            ) -> Result<(), Unsupported> {
                value.serialize(&mut **self)
            }

            #[inline]
            fn end(self) -> Result<(), Unsupported> {
                Ok(())
            }
        }
    )*};
}

fields! { SerializeStruct; SerializeStructVariant; }

/// A map on its way: its entries are written behind each other, and put in the order of the bytes of their keys at the
/// end. Most maps are in that order already.
struct Map<'a> {
    encoder: &'a mut Encoder,
    /// Where the first entry begins.
    start: usize,
    /// Where each key begins, and its value.
    entries: Vec<(usize, usize)>,
}

impl SerializeMap for Map<'_> {
    type Ok = ();
    type Error = Unsupported;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unsupported> {
        let start = self.encoder.out.len();
        key.serialize(&mut *self.encoder)?;
        self.entries.push((start, self.encoder.out.len()));
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unsupported> {
        value.serialize(&mut *self.encoder)
    }

    fn end(self) -> Result<(), Unsupported> {
        let Self { encoder, start, entries } = self;
        let written = encoder.out.split_off(start);
        let ends = entries.iter().skip(1).map(|(next, _)| *next).chain([start + written.len()]);
        let mut parts: Vec<_> = entries
            .iter()
            .zip(ends)
            .map(|((key, value), end)| {
                (&written[key - start..value - start], &written[value - start..end - start])
            })
            .collect();
        if !parts.is_sorted_by(|one, next| one.0 < next.0) {
            parts.sort_unstable();
            parts.dedup_by(|later, earlier| later.0 == earlier.0);
        }
        encoder.length(parts.len() as u64);
        for (key, value) in parts {
            encoder.out.extend_from_slice(key);
            encoder.out.extend_from_slice(value);
        }
        Ok(())
    }
}
