//! In place of the machine that plays trusted hardware, in builds that lack it: nothing can be made (R130).

use symphony_protocol::governance::approval::Machine;
use symphony_protocol::governance::hardware::HardwareRules;
use symphony_types::id::Measurement;
use symphony_types::time::OrderedMillis;

use crate::machine::{MachineError, VendorMachine};

/// The keys of a new vendor. **Errors**: always.
pub fn found(_: OrderedMillis, _: OrderedMillis) -> Result<Vec<u8>, MachineError> {
    absent()
}

/// Rules that admit a vendor's machines. **Errors**: always.
pub fn rules(_: &[u8], _: &str) -> Result<HardwareRules, MachineError> {
    absent()
}

/// What governance knows a machine and a program on it by. **Errors**: always.
pub fn known(_: &str, _: &[u8; 32], _: Measurement) -> Result<(Machine, Measurement), MachineError> {
    absent()
}

/// A machine of a class. **Errors**: always.
pub fn machine(_: &[u8], _: &str, _: &[u8; 32], _: Measurement) -> Result<VendorMachine, MachineError> {
    absent()
}

fn absent<T>() -> Result<T, MachineError> {
    Err(MachineError::Development("this build has no development vendor".to_owned()))
}
