//! Starts of programs on machines that play hardware, of any class in the same words: what a development network and tests of
//! other crates make evidence by, without knowing a vendor's format.

use symphony_types::digest::Digest;
use symphony_types::id::{Measurement, PlatformId};
use symphony_types::time::OrderedMillis;

use crate::claims::{self, Class};
use crate::collateral::Collateral;
use crate::development::authority::VendorError;
use crate::development::{DevelopmentVendor, DocumentSpec, DomainSpec, QuoteSpec, ReportSpec};
use crate::evidence::Evidence;

/// One start. What a class cannot say is left out.
#[derive(Clone, Debug)]
pub struct StartSpec {
    /// The class that is played.
    pub class: Class,
    /// What tells the machine from others; all zero hides it.
    pub chip: [u8; 32],
    /// What is launched.
    pub program: Digest,
    /// What the program bound.
    pub report_data: [u8; 64],
    /// When the machine signs.
    pub at: OrderedMillis,
    /// Debugging is on.
    pub debug: bool,
    /// The program may be moved.
    pub migratable: bool,
    /// Two threads may share a core.
    pub smt: bool,
    /// The privilege level that asked.
    pub privilege: u32,
    /// The firmware is older than it should be: for classes that name versions [`OLD_VERSIONS`], for those that the vendor judges
    /// `OutOfDate`.
    pub outdated: bool,
    /// The signing key is on its issuer's list.
    pub revoked: bool,
}

impl StartSpec {
    /// A start that nothing speaks against.
    pub fn good(class: Class, chip: [u8; 32], program: Digest, at: OrderedMillis) -> Self {
        Self {
            class,
            chip,
            program,
            report_data: [0; 64],
            at,
            debug: false,
            migratable: false,
            smt: false,
            privilege: 0,
            outdated: false,
            revoked: false,
        }
    }

    /// The program as a policy names it.
    pub fn measurement(&self) -> Measurement {
        claims::measurement(self.class, &self.launch())
    }

    /// The machine as a policy names it; none when it hides itself.
    pub fn platform(&self) -> Option<PlatformId> {
        claims::platform_id(self.class, &self.raw())
    }

    /// What the vendor's format tells a machine apart by.
    fn raw(&self) -> Vec<u8> {
        match self.class {
            Class::IntelSgx | Class::IntelTdx => self.chip[..16].to_vec(),
            Class::AmdSevSnp => [self.chip, self.chip].concat(),
            Class::AwsNitro => format!("i-{}", hex::encode(self.chip)).into_bytes(),
        }
    }

    /// What is launched, in the length of the format. Documents tell debugging by zeros.
    fn launch(&self) -> Vec<u8> {
        let program = self.program.0;
        match self.class {
            Class::IntelSgx => program.to_vec(),
            Class::AwsNitro if self.debug => vec![0; 48],
            Class::IntelTdx | Class::AmdSevSnp | Class::AwsNitro => [&program[..], &program[..16]].concat(),
        }
    }
}

impl DevelopmentVendor {
    /// Evidence of a start, with its collateral.
    ///
    /// **Errors**: [`VendorError`].
    pub fn start(&self, spec: &StartSpec) -> Result<(Evidence, Collateral), VendorError> {
        let (raw, launch) = (spec.raw(), spec.launch());
        let StartSpec { report_data, debug, migratable, smt, privilege, outdated, revoked, at, .. } = *spec;
        let svn_wanted = QuoteSpec::default().svn_wanted;
        let svn = if outdated { svn_wanted - 1 } else { svn_wanted };
        match spec.class {
            Class::IntelSgx => self.quote(&QuoteSpec {
                report_data,
                measurement: array(&launch),
                ppid: array(&raw),
                svn,
                debug,
                revoked,
                ..QuoteSpec::default()
            }),
            Class::IntelTdx => self.domain(&DomainSpec {
                report_data,
                measurement: array(&launch),
                ppid: array(&raw),
                svn,
                debug,
                revoked,
                ..DomainSpec::default()
            }),
            Class::AmdSevSnp => {
                let versions = if outdated { OLD_VERSIONS } else { VERSIONS };
                self.report(&ReportSpec {
                    report_data,
                    measurement: array(&launch),
                    chip_id: array(&raw),
                    tcb: array(&versions),
                    debug,
                    migratable,
                    smt,
                    vmpl: privilege,
                    revoked,
                    ..ReportSpec::default()
                })
            }
            Class::AwsNitro => {
                let document = DocumentSpec {
                    pcr0: array(&launch),
                    module_id: format!("{}-enc1", String::from_utf8_lossy(&raw)),
                    user_data: Some(report_data.to_vec()),
                    ..DocumentSpec::at(at)
                };
                Ok((self.document(&document)?, Collateral::None))
            }
        }
    }
}

/// Lengths are those of the format; what is missing is zero.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    array
}

/// The firmware of a good start, for classes that name versions.
pub const VERSIONS: [u8; 5] = [4, 0, 23, 213, 0];
/// The firmware of an outdated one.
pub const OLD_VERSIONS: [u8; 5] = [3, 0, 20, 206, 0];
/// How a vendor that judges firmware calls a good start, and an outdated one.
pub const STATUSES: [&str; 2] = ["UpToDate", "OutOfDate"];
