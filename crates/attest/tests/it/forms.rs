//! Forms in which people keep evidence: all of them end in the same evidence.

use symphony_attest::fault::FaultCode;
use symphony_attest::inspect::{Verdict, inspect};

use crate::samples::{
    AZURE_SNP, JANUARY_2025, NITRO, SNP, SNP_CHAIN, SNP_KEY, SUMMER_2025, TDX, TDX_COLLATERAL,
};
use crate::verified::table;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64(bytes: &[u8], alphabet: &str) -> String {
    let letters = alphabet.as_bytes();
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let word =
            three.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..=three.len() {
            text.push(char::from(letters[(word >> (18 - 6 * place) & 63) as usize]));
        }
    }
    text
}

fn padded64(bytes: &[u8]) -> String {
    let text = base64(bytes, STANDARD);
    let padding = (4 - text.len() % 4) % 4;
    text + &"="[..1].repeat(padding)
}

const STANDARD: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[test]
fn every_form_gives_the_same_evidence() {
    let plain = inspect(TDX, &[], SUMMER_2025).unwrap();
    let text = base64(TDX, STANDARD);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    let bytes: Vec<String> = TDX.iter().map(u8::to_string).collect();
    let forms = [
        (hex(TDX), "hexadecimal"),
        (format!("0x{}\n", hex(TDX).to_uppercase()), "hexadecimal"),
        (text.clone(), "base64"),
        (format!("{text}=\n"), "base64"),
        (lines.join("\r\n"), "base64"),
        (base64(TDX, URL), "base64"),
        (format!("-----BEGIN QUOTE-----\n{}\n-----END QUOTE-----\n", lines.join("\n")), "PEM"),
        (format!("{{\"vendor\":\"x\",\"data\":{{\"quote\":\"{text}\"}}}}"), "JSON"),
        (format!("{{\"quote\":\"0x{}\",\"vm_config\":\"\"}}", hex(TDX)), "JSON"),
        (format!("[{}]", bytes.join(",")), "JSON"),
        (format!("\"{text}\""), "JSON"),
    ];
    for (file, form) in forms {
        let read = inspect(file.as_bytes(), &[], SUMMER_2025).unwrap();
        assert_eq!(read.evidence, plain.evidence, "{form}");
        assert_eq!(read.forms, [form]);
    }
    let twice = inspect(hex(text.as_bytes()).as_bytes(), &[], SUMMER_2025).unwrap();
    assert_eq!(twice.forms, ["hexadecimal", "base64"]);
}

#[test]
fn responses_and_wrappers_of_a_report_are_unpacked() {
    let plain = inspect(SNP, &[], SUMMER_2025).unwrap();
    let mut response = vec![0; 32];
    response[4..8].copy_from_slice(&1184_u32.to_le_bytes());
    response.extend(SNP);
    response.resize(4000, 0);
    for file in [response, [SNP, &[0; 2816]].concat(), [SNP, &[7; 40]].concat()] {
        assert_eq!(inspect(&file, &[], SUMMER_2025).unwrap().evidence, plain.evidence);
    }
    assert_eq!(inspect(AZURE_SNP, &[], SUMMER_2025).unwrap().forms, ["Azure HCL report"]);
}

#[test]
fn collateral_comes_as_der_pem_hex_table_or_json() {
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", padded64(SNP_KEY));
    let hex = hex(SNP_KEY);
    let cloud = format!("{{\"vcekCert\":\"{}\",\"tcbm\":\"00\"}}", pem.replace('\n', "\\n"));
    let table = table(&[SNP_KEY]);
    let padded = [SNP, &table].concat();
    for collateral in [
        &[SNP_KEY][..],
        &[SNP_CHAIN, SNP_KEY],
        &[pem.as_bytes()],
        &[hex.as_bytes()],
        &[cloud.as_bytes()],
        &[&table],
    ] {
        assert!(inspect(SNP, collateral, SUMMER_2025).unwrap().is_good());
    }
    assert!(inspect(&padded, &[], SUMMER_2025).unwrap().is_good());
    assert_eq!(inspect(TDX, &[TDX_COLLATERAL], SUMMER_2025).unwrap().verdict, Verdict::Genuine);
}

#[test]
fn files_that_are_neither_are_refused_with_a_code() {
    let code = |file: &[u8], collateral: &[&[u8]]| inspect(file, collateral, JANUARY_2025).unwrap_err().code;
    assert_eq!(code(b"", &[]), FaultCode::Unrecognised);
    assert_eq!(code(b"hello", &[]), FaultCode::Unrecognised);
    assert_eq!(code(&[0xff; 5000], &[]), FaultCode::Unrecognised);
    assert_eq!(code(&vec![b'a'; 600 << 10], &[]), FaultCode::TooLarge);
    assert_eq!(code(NITRO, &[b"{}"]), FaultCode::CollateralMalformed);
    assert_eq!(code(NITRO, &[SNP_KEY]), FaultCode::CollateralDiffers);
    assert_eq!(code(SNP, &[TDX_COLLATERAL]), FaultCode::CollateralDiffers);
    assert_eq!(code(SNP, &[b"\x30\x03abc"]), FaultCode::CollateralMalformed);
}
