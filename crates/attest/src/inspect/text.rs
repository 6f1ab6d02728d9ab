//! How an explanation reads on a terminal. Its form is pinned by snapshots.

use std::fmt;

use crate::claims::{Claims, Class, Hex};
use crate::inspect::{Inspection, Verdict};
use crate::moment;

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = if self.forms.is_empty() {
            "as it is".to_owned()
        } else {
            format!("out of {}", self.forms.join(", "))
        };
        writeln!(f, "{} ({} bytes, {form})", self.kind, self.bytes)?;
        writeln!(f)?;
        line(f, "verdict", format_args!("{} as of {}", self.verdict.as_str(), self.at))?;
        if let Some(fault) = &self.fault {
            line(f, "because", format_args!("{} ({})", fault.detail, fault.code))?;
        }
        if let Some(window) = &self.would_hold {
            line(f, "would hold", format_args!("from {} to {}; see --at", window.from, window.until))?;
        }
        for concern in &self.concerns {
            line(f, "concern", format_args!("{} ({})", concern.detail, concern.code))?;
        }
        for held in &self.checked {
            line(f, "checked", format_args!("{held}"))?;
        }
        for open in &self.unchecked {
            line(f, "unchecked", format_args!("{open}"))?;
        }
        if let Some(claims) = &self.claims {
            let held = self.verdict == Verdict::Genuine || self.would_hold.is_some();
            writeln!(f, "\n{}", if held { "what it says" } else { "what it says, not proven" })?;
            describe(f, claims)?;
        }
        writeln!(f, "\nhow decisions name it")?;
        line(f, "evidence", format_args!("{}", self.evidence))?;
        line(f, "collateral", format_args!("{}", self.collateral))
    }
}

fn describe(f: &mut fmt::Formatter<'_>, claims: &Claims) -> fmt::Result {
    line(f, "class", format_args!("{}", claims.class_label()))?;
    line(f, launch_name(claims.class), format_args!("{}", hex::encode(&claims.launch)))?;
    line(f, "measurement", format_args!("{} (the project's form)", claims.measurement.0))?;
    for register in &claims.registers {
        if register.value.iter().any(|byte| *byte != 0) {
            line(f, &register.name, format_args!("{}", hex::encode(&register.value)))?;
        }
    }
    let zero: Vec<&str> = claims
        .registers
        .iter()
        .filter(|register| register.value.iter().all(|byte| *byte == 0))
        .map(|register| register.name.as_str())
        .collect();
    if !zero.is_empty() {
        line(f, "zero", format_args!("{}", zero.join(", ")))?;
    }
    line(f, "report data", format_args!("{}", bytes(&claims.report_data)))?;
    for (name, value) in [("nonce", &claims.nonce), ("public key", &claims.public_key)] {
        if let Some(Hex(value)) = value {
            line(f, name, format_args!("{}", bytes(value)))?;
        }
    }
    machine(f, claims)?;
    firmware(f, claims)?;
    for (index, signer) in claims.signers.iter().enumerate() {
        let name = if index == 0 { "signed by" } else { "made by" };
        let dates = format!("{} to {}", moment::text(signer.not_before), moment::text(signer.not_after));
        line(f, name, format_args!("{}", signer.subject))?;
        line(f, "", format_args!("{dates}"))?;
    }
    if claims.valid_until.0 > 0 {
        let (from, until) = (moment::text(claims.valid_from), moment::text(claims.valid_until));
        line(f, "holds", format_args!("from {from} to {until}"))?;
    }
    Ok(())
}

fn machine(f: &mut fmt::Formatter<'_>, claims: &Claims) -> fmt::Result {
    let platform = &claims.platform;
    if !platform.model.is_empty() {
        let name = match claims.class {
            Class::IntelSgx | Class::IntelTdx => "FMSPC",
            Class::AmdSevSnp => "generation",
            Class::AwsNitro => "module",
        };
        line(f, name, format_args!("{}", platform.model))?;
    }
    if let Some(id) = platform.id {
        let name = match claims.class {
            Class::IntelSgx | Class::IntelTdx => "PPID",
            Class::AmdSevSnp => "chip",
            Class::AwsNitro => "machine",
        };
        let raw = match claims.class {
            Class::AwsNitro => String::from_utf8_lossy(&platform.raw).into_owned(),
            Class::IntelSgx | Class::IntelTdx | Class::AmdSevSnp => hex::encode(&platform.raw),
        };
        line(f, name, format_args!("{raw}"))?;
        line(f, "platform", format_args!("{} (the project's form)", id.0))?;
    }
    let traits = &claims.traits;
    line(f, "debug", format_args!("{}", if traits.debug { "ON" } else { "off" }))?;
    for (name, value) in [
        ("shared cores", traits.smt),
        ("may grow", traits.dynamic_platform),
        ("cached keys", traits.cached_keys),
    ] {
        if let Some(value) = value {
            line(f, name, format_args!("{}", if value { "yes" } else { "no" }))?;
        }
    }
    match traits.vmpl {
        Some(level) => line(f, "asked from", format_args!("privilege level {level}")),
        None => Ok(()),
    }
}

fn firmware(f: &mut fmt::Formatter<'_>, claims: &Claims) -> fmt::Result {
    let tcb = &claims.tcb;
    if let Some(status) = tcb.status {
        line(f, "firmware", format_args!("{}", status.as_str()))?;
    }
    if !tcb.advisories.is_empty() {
        line(f, "advisories", format_args!("{}", tcb.advisories.join(", ")))?;
    }
    if let Some(number) = tcb.eval_number {
        line(f, "levels", format_args!("collection {number} of the vendor"))?;
    }
    for level in &tcb.versions {
        match (claims.class, level.value.as_slice()) {
            (Class::AmdSevSnp, [bootloader, tee, snp, microcode, fmc]) => line(
                f,
                &format!("tcb {}", level.name),
                format_args!(
                    "bootloader {bootloader}, tee {tee}, snp {snp}, microcode {microcode}, fmc {fmc}"
                ),
            )?,
            (_, value) => line(f, &level.name, format_args!("{}", hex::encode(value)))?,
        }
    }
    Ok(())
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, text: fmt::Arguments<'_>) -> fmt::Result {
    // What a certificate or document says is another's text: it reaches the terminal without control characters.
    let text: String =
        text.to_string().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    writeln!(f, "  {name:<17}  {text}")
}

fn bytes(bytes: &[u8]) -> String {
    match bytes {
        [] => "none".to_owned(),
        bytes if bytes.iter().all(|byte| *byte == 0) => format!("{} bytes of zero", bytes.len()),
        bytes => hex::encode(bytes),
    }
}

const fn launch_name(class: Class) -> &'static str {
    match class {
        Class::IntelSgx => "MRENCLAVE",
        Class::IntelTdx => "MRTD",
        Class::AmdSevSnp => "MEASUREMENT",
        Class::AwsNitro => "PCR0",
    }
}
