//! Upgrades in the VM (R180): only for an accepted proposal that names the code, and only compatible ones.

use symphony_devchain::development;
use symphony_devchain::genesis::{self, Artifacts};
use symphony_devchain::host::Host;
use symphony_devchain::vm::{Address, Event, Failure};
use symphony_types::digest::Digest;

use crate::tool::artifacts;

const GAS: u64 = 1 << 40;

struct Chain {
    host: Host,
    sent: u64,
}

impl Chain {
    fn new(artifacts: &Artifacts) -> Self {
        Self { host: Host::new(artifacts, 1_000_000_000, &development::start(0)).unwrap(), sent: 0 }
    }

    fn call(
        &mut self,
        sender: Address,
        module: &str,
        function: &str,
        args: Vec<Vec<u8>>,
    ) -> Result<Vec<Event>, Failure> {
        self.sent += 1;
        let call = genesis::call((genesis::address(), module), function, args);
        let hash = Digest::of("upgrade", &self.sent).0;
        self.host.execute(sender, &call, hash, GAS).unwrap().result
    }

    fn accept(&mut self, proposal: Digest, payload: &str) {
        let payload = hex::decode(payload.trim_start_matches("0x")).unwrap();
        let mut args = vec![bcs::to_bytes(&proposal).unwrap(), bcs::to_bytes(&2u8).unwrap(), payload];
        args.extend([6u64, 0, 10].map(|votes| bcs::to_bytes(&votes).unwrap()));
        self.call(development::account(development::COUNCIL).0.0, "governance", "record", args).unwrap();
    }
}

/// R180
#[test]
#[ignore = "needs the Move VM: cargo xtask move test"]
fn governance_alone_upgrades_the_contracts() {
    let artifacts = artifacts();
    let mut chain = Chain::new(&artifacts);
    let (metadata, code) = genesis::package(&artifacts).unwrap();
    let anybody = development::account(7).0.0;
    let proposal = Digest::of_bytes(b"proposal");
    let args = |code: &Vec<Vec<u8>>| {
        vec![
            bcs::to_bytes(&proposal).unwrap(),
            bcs::to_bytes(&metadata).unwrap(),
            bcs::to_bytes(code).unwrap(),
        ]
    };
    let refused = chain.call(anybody, "authority", "upgrade", args(&code)).unwrap_err();
    assert!(matches!(refused, Failure::Abort { code: 0x60028, .. }), "{refused:?}");
    // The deployer has no power any more, and nobody signs for the package's own account.
    let publish = genesis::call(
        ([&[0; 31][..], &[1]].concat().try_into().unwrap(), "code"),
        "publish_package_txn",
        args(&code)[1..].to_vec(),
    );
    let published = chain.host.execute(genesis::DEPLOYER, &publish, [7; 32], GAS).unwrap();
    assert!(published.result.is_err(), "the deployer publishes at the contracts' address");
    let payload = chain.host.look("authority", "upgrade_payload", args(&code)[1..].to_vec()).unwrap();
    chain.accept(proposal, payload.as_str().unwrap());
    let fewer = code[1..].to_vec();
    let changed = chain.call(anybody, "authority", "upgrade", args(&fewer)).unwrap_err();
    assert!(matches!(changed, Failure::Abort { code: 0x10029, .. }), "{changed:?}");
    let events = chain.call(anybody, "authority", "upgrade", args(&code)).unwrap();
    assert!(events.iter().any(|event| event.tag.ends_with("::authority::Upgraded")));
    let again = chain.call(anybody, "authority", "upgrade", args(&code)).unwrap_err();
    assert!(matches!(again, Failure::Abort { code: 0x80025, .. }), "{again:?}");
}
