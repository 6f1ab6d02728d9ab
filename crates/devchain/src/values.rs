//! Move values between JSON as the REST API shows them and canonical bytes, for the types that functions of the contracts and of
//! the framework take and give.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// A type, as the ABI writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Type {
    Bool,
    Number(usize),
    Address,
    Text,
    List(Box<Type>),
}

impl Type {
    fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let inner = |prefix: &str| text.strip_prefix(prefix)?.strip_suffix('>');
        Ok(match text {
            "bool" => Self::Bool,
            "u8" => Self::Number(1),
            "u16" => Self::Number(2),
            "u32" => Self::Number(4),
            "u64" => Self::Number(8),
            "u128" => Self::Number(16),
            "u256" => Self::Number(32),
            "address" => Self::Address,
            "0x1::string::String" => Self::Text,
            // An object is its address; its type is not in its bytes.
            _ if text.starts_with("0x1::object::Object<") => Self::Address,
            _ => {
                let element = inner("vector<").or_else(|| inner("0x1::option::Option<"));
                Self::List(Box::new(Self::parse(element.with_context(|| format!("the type {text}"))?)?))
            }
        })
    }
}

/// Canonical bytes of a JSON value of a type.
///
/// **Errors**: when the value is not of the type, or the type is not one of those above.
pub fn encode(of: &str, value: &Value) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    put(&Type::parse(of)?, value, &mut out)?;
    Ok(out)
}

/// The JSON value in canonical bytes of a type.
///
/// **Errors**: as [`encode`]; also bytes that are left over.
pub fn decode(of: &str, bytes: &[u8]) -> Result<Value> {
    let mut rest = bytes;
    let value = take(&Type::parse(of)?, &mut rest)?;
    ensure!(rest.is_empty(), "bytes are left over");
    Ok(value)
}

fn put(of: &Type, value: &Value, out: &mut Vec<u8>) -> Result<()> {
    match of {
        Type::Bool => out.push(u8::from(value.as_bool().context("a bool")?)),
        Type::Number(width) => out.extend(number(*width, value)?),
        Type::Address => {
            // An object may come as itself.
            let text = value.get("inner").unwrap_or(value).as_str().context("an address")?;
            out.extend(address(text)?);
        }
        Type::Text => {
            let text = value.as_str().context("a text")?;
            length(text.len(), out);
            out.extend(text.as_bytes());
        }
        Type::List(element) if **element == Type::Number(1) && value.is_string() => {
            let text = value.as_str().unwrap_or_default();
            let bytes = hex::decode(text.trim_start_matches("0x")).context("bytes in hexadecimal")?;
            length(bytes.len(), out);
            out.extend(bytes);
        }
        Type::List(element) => {
            // An option shows itself as a list named `vec`.
            let values = value.get("vec").unwrap_or(value).as_array().context("a list")?;
            length(values.len(), out);
            for value in values {
                put(element, value, out)?;
            }
        }
    }
    Ok(())
}

fn take(of: &Type, rest: &mut &[u8]) -> Result<Value> {
    Ok(match of {
        Type::Bool => match first(rest, 1)? {
            [0] => false.into(),
            [1] => true.into(),
            _ => bail!("a bool is zero or one"),
        },
        Type::Number(width) => {
            let bytes = first(rest, *width)?;
            let mut whole = [0; 16];
            if *width > 16 {
                ensure!(bytes[16..].iter().all(|byte| *byte == 0), "a number this large");
            }
            let kept = (*width).min(16);
            whole[..kept].copy_from_slice(&bytes[..kept]);
            let number = u128::from_le_bytes(whole);
            // As the API: numbers of up to four bytes are numbers, wider ones are texts.
            if *width <= 4 { Value::from(number as u64) } else { number.to_string().into() }
        }
        Type::Address => format!("0x{}", hex::encode(first(rest, 32)?)).into(),
        Type::Text => {
            let count = count(rest)?;
            std::str::from_utf8(first(rest, count)?).context("a text in UTF-8")?.into()
        }
        Type::List(element) => {
            let count = count(rest)?;
            if **element == Type::Number(1) {
                return Ok(format!("0x{}", hex::encode(first(rest, count)?)).into());
            }
            ensure!(count <= rest.len(), "a list longer than its bytes");
            let values: Result<Vec<Value>> = (0..count).map(|_| take(element, rest)).collect();
            values?.into()
        }
    })
}

fn number(width: usize, value: &Value) -> Result<Vec<u8>> {
    let number = match value {
        Value::String(text) => text.parse::<u128>().context("a number")?,
        Value::Number(number) => number.as_u64().context("a whole number")?.into(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => bail!("a number"),
    };
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(32, 0);
    ensure!(bytes[width..].iter().all(|byte| *byte == 0), "a number of {width} bytes");
    bytes.truncate(width);
    Ok(bytes)
}

/// An address in hexadecimal; leading zeros may be left out.
pub fn address(text: &str) -> Result<[u8; 32]> {
    let digits = text.trim_start_matches("0x");
    ensure!(!digits.is_empty() && digits.len() <= 64, "an address");
    let bytes = hex::decode(format!("{digits:0>64}")).context("an address")?;
    bytes.try_into().ok().context("an address")
}

fn first<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8]> {
    ensure!(rest.len() >= count, "too few bytes");
    let (bytes, after) = rest.split_at(count);
    *rest = after;
    Ok(bytes)
}

fn length(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn count(rest: &mut &[u8]) -> Result<usize> {
    let mut value = 0;
    for shift in [0, 7, 14, 21, 28] {
        let [byte] = first(rest, 1)? else { bail!("too few bytes") };
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    bail!("a length this large")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_come_back_as_they_were() {
        let address = format!("0x{:0>64}", "a1");
        for (of, value) in [
            ("bool", json!(true)),
            ("u8", json!(7)),
            ("u64", json!("18446744073709551615")),
            ("u256", json!("300")),
            ("address", json!(address)),
            ("0x1::string::String", json!("north")),
            ("vector<u8>", json!("0x0102")),
            ("vector<vector<u8>>", json!(["0x", "0x03"])),
            ("vector<0x1::string::String>", json!(["a", "b"])),
            ("0x1::option::Option<u64>", json!(["5"])),
        ] {
            assert_eq!(decode(of, &encode(of, &value).unwrap()).unwrap(), value, "{of}");
        }
    }

    #[test]
    fn what_is_not_of_the_type_is_refused() {
        for (of, value) in [
            ("u8", json!(256)),
            ("u64", json!("-1")),
            ("address", json!("0xxyz")),
            ("bool", json!("true")),
            ("vector<u64>", json!(["1", "x"])),
            ("0x1::table::Table<u64, u64>", json!({})),
        ] {
            assert!(encode(of, &value).is_err(), "{of} {value}");
        }
        assert!(decode("u64", &[1; 9]).is_err());
        assert!(decode("vector<u64>", &[0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
    }
}
