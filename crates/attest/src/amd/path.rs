//! The path of certificates of an AMD report: the chip's key, its issuer, AMD's root of the generation; what each was
//! made for, and whether it was revoked.

use symphony_types::time::OrderedMillis;
use x509_parser::certificate::X509Certificate;

use crate::amd::report::{Report, SigningKey};
use crate::certificate::{self, holds_at, is_authority, made_by, parse, parse_list, signer};
use crate::claims::Signer;
use crate::fault::{Fault, FaultCode};
use crate::roots::Roots;

/// Three certificates whose names fit together; nothing is verified yet.
pub struct Path<'a> {
    key: Certificate<'a>,
    issuer: Certificate<'a>,
    root: Certificate<'a>,
    generation: &'a str,
}

struct Certificate<'a> {
    der: &'a [u8],
    parsed: X509Certificate<'a>,
}

impl<'a> Path<'a> {
    /// Finds the path of `report` among what was given and what is built in.
    ///
    /// **Errors**: `collateral-missing`, `root-unknown`, or `collateral-malformed`.
    pub(crate) fn find(given: &[&'a [u8]], report: &Report, roots: &'a Roots) -> Result<Self, Fault> {
        let read = |der: &'a [u8]| Ok(Certificate { der, parsed: parse(der)? });
        let given: Vec<Certificate<'a>> = given.iter().map(|der| read(der)).collect::<Result<_, Fault>>()?;
        let (issuers, keys): (Vec<_>, Vec<_>) =
            given.into_iter().partition(|certificate| is_authority(&certificate.parsed));
        let wanted = name_of(report.signing_key);
        let matching =
            keys.into_iter().filter(|key| common_name(&key.parsed).starts_with(wanted)).collect::<Vec<_>>();
        // Of several, the one that was made for this chip and firmware.
        let fits = matching.iter().position(|key| endorses(&key.parsed, report).is_ok()).unwrap_or(0);
        let Some(key) = matching.into_iter().nth(fits) else {
            let detail = format!("no certificate {wanted} of the key that signed the report was given");
            return Err(Fault::new(FaultCode::CollateralMissing, detail));
        };
        let built_in = roots.amd.iter().map(|root| read(&root.issuer)).collect::<Result<Vec<_>, Fault>>()?;
        let mut makers: Vec<Certificate<'a>> = issuers
            .into_iter()
            .chain(built_in)
            .filter(|issuer| issuer.parsed.subject().as_raw() == key.parsed.issuer().as_raw())
            .collect();
        makers.dedup_by(|one, other| one.der == other.der);
        // Of several with one name, the one that made the key.
        let made =
            |issuer: &Certificate<'_>| makers.len() == 1 || made_by(&key.parsed, &issuer.parsed).is_ok();
        let maker = makers.iter().position(made).unwrap_or(0);
        let issuer = makers.into_iter().nth(maker);
        let Some(issuer) = issuer else {
            let detail = format!("the certificate of {} was not given", key.parsed.issuer());
            return Err(Fault::new(FaultCode::CollateralMissing, detail));
        };
        for root in &roots.amd {
            let candidate = read(&root.root)?;
            if candidate.parsed.subject().as_raw() == issuer.parsed.issuer().as_raw() {
                return Ok(Self { key, issuer, root: candidate, generation: &root.generation });
            }
        }
        let detail = format!("{} is no root that is believed", issuer.parsed.issuer());
        Err(Fault::new(FaultCode::RootUnknown, detail))
    }

    /// Checks signatures, dates and the lists of revoked certificates that were given.
    ///
    /// **Errors**: `chain-invalid`, `not-valid-at-time`, `certificate-revoked` or `collateral-malformed`.
    pub(crate) fn verify(&self, revocations: &[Vec<u8>], at: OrderedMillis) -> Result<(), Fault> {
        made_by(&self.issuer.parsed, &self.root.parsed)?;
        made_by(&self.key.parsed, &self.issuer.parsed)?;
        if is_authority(&self.key.parsed) {
            return Err(Fault::new(FaultCode::ChainInvalid, "the chip's key may make certificates"));
        }
        for signer in self.signers() {
            holds_at(&signer, at)?;
        }
        for der in revocations {
            let list = parse_list(der)?;
            for (child, issuer) in [(&self.issuer, &self.root), (&self.key, &self.issuer)] {
                if list.issuer().as_raw() == issuer.parsed.subject().as_raw()
                    && certificate::revokes(&list, &issuer.parsed, &child.parsed, at)?
                {
                    let detail = format!("the certificate of {} was revoked", child.parsed.subject());
                    return Err(Fault::new(FaultCode::Revoked, detail));
                }
            }
        }
        Ok(())
    }

    /// Checks that the key was certified for the report's chip, firmware and generation.
    ///
    /// **Errors**: `endorsement-differs`, or `collateral-malformed` when the certificate does not say.
    pub(crate) fn endorses(&self, report: &Report) -> Result<(), Fault> {
        if report.generation.is_some_and(|generation| generation != self.generation) {
            let detail = format!("the report is not of the generation {}", self.generation);
            return Err(Fault::new(FaultCode::EndorsementDiffers, detail));
        }
        endorses(&self.key.parsed, report)
    }

    /// The point of the signing key.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key.parsed.public_key().subject_public_key.data
    }

    /// The name of the generation that the root belongs to.
    pub(crate) fn generation(&self) -> &'a str {
        self.generation
    }

    /// The path, from the signing key to the root.
    pub(crate) fn signers(&self) -> Vec<Signer> {
        [&self.key, &self.issuer, &self.root]
            .map(|certificate| signer(&certificate.parsed, certificate.der))
            .to_vec()
    }
}

fn endorses(key: &X509Certificate<'_>, report: &Report) -> Result<(), Fault> {
    let differs = |what: &str| {
        let detail = format!("the signing key was certified for another {what} than the report names");
        Fault::new(FaultCode::EndorsementDiffers, detail)
    };
    let reported = report.reported();
    let mut components = vec![
        ("1.3.6.1.4.1.3704.1.3.1", "boot loader", reported.bootloader),
        ("1.3.6.1.4.1.3704.1.3.2", "version of the secure processor", reported.tee),
        ("1.3.6.1.4.1.3704.1.3.3", "firmware", reported.snp),
        ("1.3.6.1.4.1.3704.1.3.8", "microcode", reported.microcode),
    ];
    if let Some(fmc) = reported.fmc {
        components.push(("1.3.6.1.4.1.3704.1.3.9", "first mutable code", fmc));
    }
    for (oid, what, value) in components {
        let certified = extension(key, oid)
            .and_then(small_integer)
            .ok_or_else(|| Fault::collateral(format!("the signing key's certificate names no {what}")))?;
        if certified != value {
            return Err(differs(what));
        }
    }
    let hidden = report.chip_id.iter().all(|byte| *byte == 0);
    match report.signing_key {
        SigningKey::Chip if !hidden => {
            let id = extension(key, CHIP_ID_OID)
                .ok_or_else(|| Fault::collateral("the signing key's certificate names no chip"))?;
            // Some certificates wrap the id in an octet string.
            let id = match id {
                [4, length, id @ ..] if usize::from(*length) == id.len() => id,
                id => id,
            };
            let rest = report.chip_id.get(id.len()..).unwrap_or(&[]);
            if ![8, 64].contains(&id.len())
                || !report.chip_id.starts_with(id)
                || rest.iter().any(|byte| *byte != 0)
            {
                return Err(differs("chip"));
            }
        }
        // A loaded key belongs to no chip, and a hidden chip is named nowhere.
        SigningKey::Chip | SigningKey::Loaded | SigningKey::None => {}
    }
    Ok(())
}

fn extension<'a>(certificate: &'a X509Certificate<'_>, oid: &str) -> Option<&'a [u8]> {
    let mut found = certificate.extensions().iter().filter(|extension| extension.oid.to_id_string() == oid);
    let extension = found.next()?;
    // Twice is as good as never.
    found.next().is_none().then_some(extension.value)
}

/// A DER integer of 0 to 255.
fn small_integer(der: &[u8]) -> Option<u8> {
    match der {
        [2, 1, value] if *value < 0x80 => Some(*value),
        [2, 2, 0, value] if *value >= 0x80 => Some(*value),
        _ => None,
    }
}

fn common_name(certificate: &X509Certificate<'_>) -> String {
    let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    name.unwrap_or_default().to_owned()
}

const fn name_of(key: SigningKey) -> &'static str {
    match key {
        SigningKey::Chip | SigningKey::None => "SEV-VCEK",
        SigningKey::Loaded => "SEV-VLEK",
    }
}

const CHIP_ID_OID: &str = "1.3.6.1.4.1.3704.1.4";
