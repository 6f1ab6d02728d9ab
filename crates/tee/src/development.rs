//! A machine that plays trusted hardware, for tests and development: real formats under roots of our own making, and no hardware
//! at all (R130). Everything that comes of it is of class `development`, and policy that refuses software refuses it.

use symphony_attest::claims::Class;
use symphony_attest::development::{DevelopmentVendor, STATUSES, StartSpec, VERSIONS, VendorError};
use symphony_protocol::governance::approval::Machine;
use symphony_protocol::governance::hardware::{DevelopmentRoots, HardwareRules, LevelRules, VersionFloor};
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
    let floor = VersionFloor { versions: VERSIONS, ..VersionFloor::default() };
    Ok(HardwareRules {
        classes: [class.as_str().to_owned()].into(),
        revocation_required: true,
        levels: LevelRules { statuses: [STATUSES[0].to_owned()].into(), ..LevelRules::default() },
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
    let start = StartSpec::good(class_of(class)?, *chip, program.0, OrderedMillis(0));
    let platform = start.platform().ok_or(MachineError::Masked)?;
    Ok((Machine::Hardware { class: class.to_owned(), platform }, start.measurement()))
}

/// A machine of a class with a number of its own, on which a program is launched. **Errors**: no such class, or no vendor's
/// file.
pub fn machine(
    file: &[u8],
    class: &str,
    chip: &[u8; 32],
    program: Measurement,
) -> Result<VendorMachine, MachineError> {
    let start = StartSpec::good(class_of(class)?, *chip, program.0, OrderedMillis(0));
    Ok(playing(vendor(file)?, start))
}

/// A machine whose evidence says what a start says.
pub fn playing(vendor: DevelopmentVendor, start: StartSpec) -> VendorMachine {
    let roots = vendor.roots();
    VendorMachine::new(Box::new(Played { vendor, start }), roots)
}

struct Played {
    vendor: DevelopmentVendor,
    start: StartSpec,
}

impl WordSource for Played {
    fn word(&self, report_data: &[u8; 64]) -> Result<VendorWord, MachineError> {
        let start = StartSpec { report_data: *report_data, at: clock(), ..self.start.clone() };
        let (evidence, collateral) = self.vendor.start(&start).map_err(failed)?;
        Ok(VendorWord { evidence, collateral })
    }
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
