//! A machine that plays trusted hardware, for tests and development: real formats under roots of our own making, and no hardware
//! at all (R130). Everything that comes of it is of class `development`, and policy that refuses software refuses it.

use symphony_attest::claims::{self, Class};
use symphony_attest::collateral::Collateral;
use symphony_attest::development::{
    DevelopmentVendor, DocumentSpec, DomainSpec, QuoteSpec, ReportSpec, VendorError,
};
use symphony_protocol::governance::approval::Machine;
use symphony_protocol::governance::hardware::{DevelopmentRoots, HardwareRules, LevelRules, VersionFloor};
use symphony_types::digest::Digest;
use symphony_types::id::Measurement;
use symphony_types::time::OrderedMillis;

use crate::machine::{MachineError, VendorMachine, WordSource, clock};
use crate::voucher::VendorWord;

/// The keys of a new vendor, for a file. **Errors**: they cannot be made.
pub fn found(from: OrderedMillis, until: OrderedMillis) -> Result<Vec<u8>, MachineError> {
    Ok(DevelopmentVendor::new(from, until).map_err(failed)?.to_file())
}

/// Rules that admit this vendor's machines of one class and nothing else. **Errors**: no such class, or no vendor's file.
pub fn rules(file: &[u8], class: &str) -> Result<HardwareRules, MachineError> {
    let (vendor, class) = (vendor(file)?, class_of(class)?);
    let roots = vendor.certificates();
    let floor = VersionFloor { versions: ReportSpec::default().floor(), ..VersionFloor::default() };
    Ok(HardwareRules {
        classes: [class.as_str().to_owned()].into(),
        revocation_required: true,
        levels: LevelRules { statuses: ["UpToDate".to_owned()].into(), ..LevelRules::default() },
        floors: [(roots.generation.clone(), floor)].into(),
        development: Some(DevelopmentRoots {
            intel: roots.intel,
            amd: vec![(roots.generation, roots.amd_root, roots.amd_issuer)],
            aws: roots.aws,
        }),
        ..HardwareRules::default()
    })
}

/// What governance knows a machine and a program on it by. **Errors**: no such class.
pub fn known(
    class: &str,
    chip: &[u8; 32],
    program: Measurement,
) -> Result<(Machine, Measurement), MachineError> {
    let class = class_of(class)?;
    let (raw, launch) = (raw(class, chip), launch(class, program));
    let platform = claims::platform_id(class, &raw).ok_or(MachineError::Masked)?;
    let machine = Machine::Hardware { class: class.as_str().to_owned(), platform };
    Ok((machine, claims::measurement(class, &launch)))
}

/// A machine of a class with a number of its own, on which a program is launched. **Errors**: no such class, or no vendor's
/// file.
pub fn machine(
    file: &[u8],
    class: &str,
    chip: &[u8; 32],
    program: Measurement,
) -> Result<VendorMachine, MachineError> {
    let (vendor, class) = (vendor(file)?, class_of(class)?);
    let roots = vendor.roots();
    Ok(VendorMachine::new(Box::new(Played { vendor, class, chip: *chip, program }), roots))
}

struct Played {
    vendor: DevelopmentVendor,
    class: Class,
    chip: [u8; 32],
    program: Measurement,
}

impl WordSource for Played {
    fn word(&self, report_data: &[u8; 64]) -> Result<VendorWord, MachineError> {
        let (raw, launch) = (raw(self.class, &self.chip), launch(self.class, self.program));
        let report_data = *report_data;
        let (evidence, collateral) = match self.class {
            Class::IntelSgx => self.vendor.quote(&QuoteSpec {
                report_data,
                measurement: array(&launch),
                ppid: array(&raw),
                ..QuoteSpec::default()
            }),
            Class::IntelTdx => self.vendor.domain(&DomainSpec {
                report_data,
                measurement: array(&launch),
                ppid: array(&raw),
                ..DomainSpec::default()
            }),
            Class::AmdSevSnp => self.vendor.report(&ReportSpec {
                report_data,
                measurement: array(&launch),
                chip_id: array(&raw),
                ..ReportSpec::default()
            }),
            Class::AwsNitro => {
                let document = DocumentSpec {
                    pcr0: array(&launch),
                    module_id: format!("{}-enc1", String::from_utf8_lossy(&raw)),
                    user_data: Some(report_data.to_vec()),
                    ..DocumentSpec::at(clock())
                };
                self.vendor.document(&document).map(|evidence| (evidence, Collateral::None))
            }
        }
        .map_err(failed)?;
        Ok(VendorWord { evidence, collateral })
    }
}

/// What the vendor's format tells a machine apart by.
fn raw(class: Class, chip: &[u8; 32]) -> Vec<u8> {
    match class {
        Class::IntelSgx | Class::IntelTdx => chip[..16].to_vec(),
        Class::AmdSevSnp => [*chip, *chip].concat(),
        Class::AwsNitro => format!("i-{}", Digest(*chip).to_hex()).into_bytes(),
    }
}

/// What is launched: the program's measurement, in the length of the format.
fn launch(class: Class, program: Measurement) -> Vec<u8> {
    let program = program.0.0;
    match class {
        Class::IntelSgx => program.to_vec(),
        Class::IntelTdx | Class::AmdSevSnp | Class::AwsNitro => [&program[..], &program[..16]].concat(),
    }
}

/// Lengths are those of [`raw`] and [`launch`]; what is missing is zero.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    array
}

fn vendor(file: &[u8]) -> Result<DevelopmentVendor, MachineError> {
    DevelopmentVendor::from_file(file).map_err(failed)
}

fn class_of(word: &str) -> Result<Class, MachineError> {
    Class::of_word(word).ok_or_else(|| MachineError::Unknown(word.to_owned()))
}

fn failed(error: VendorError) -> MachineError {
    MachineError::Development(error.to_string())
}
