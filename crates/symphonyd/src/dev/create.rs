//! Makes a development network in a folder: keys, certificates, addresses, governance, client profiles.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use symphony_protocol::artifact::training::Environment;
use symphony_protocol::governance::approval::Machine;
use symphony_protocol::governance::candidate::CandidatePolicy;
use symphony_protocol::governance::hardware::HardwareRules;
use symphony_protocol::governance::policy::Policy;
use symphony_tee::keys::PlatformSeed;
use symphony_tee::{development, measure};
use symphony_types::id::{AccountId, ActorId, Measurement, NodeId, UsageScope, VaultId};
use symphony_types::key::{Governance as CouncilKey, PrivateKey, Treasury, Wallet};
use symphony_types::time::{DAY_MS, OrderedMillis};
use symphony_vault::custody::passphrase::Passphrase;
use symphony_vault::keys::VaultKeys;
use symphony_wire::documents::encode;
use symphony_wire::tls::authority::{Authority, write_secret};
use symphony_wire::tls::{NodeRole, Peer};

use super::{Money, committee, devchain};
use crate::certificates;
use crate::config::{NodeConfig, PlatformConfig, SponsorConfig, beside};
use crate::genesis::{self, Parties, Profile};
use crate::keys::seed;
use crate::network::{Chain, Network};
use crate::{roles, token};

/// The network file in the network's folder.
pub(super) const NETWORK_FILE: &str = "network.bcs";
/// The first governance alone, in the same folder.
const GOVERNANCE_FILE: &str = "governance.bcs";
/// The network's name.
const NAME: &str = "symphony-dev";
/// The chain's name.
const CHAIN: &str = "symphony-dev-ledger";
/// Submitters that a development network knows.
const SUBMITTERS: [&str; 2] = ["luckin", "brand-b"];
/// The council, each with a client profile and a key in it.
const COUNCIL: [&str; 3] = ["council-1", "council-2", "council-3"];
/// A council member's key, in the folder of its profile.
const COUNCIL_KEY: &str = "council.key";
/// What a reader of the folder sees first.
const README_FILE: &str = "README.md";
/// How long tokens in the client profiles last. **Units**: seconds.
const TOKEN_S: u64 = 30 * 86_400;

/// Makes the network. **Errors**: those of the file system, or names that are not valid.
pub(super) fn network(
    dir: &Path,
    (masters, vaults): (u8, u8),
    (profile, overrides): (Profile, &[String]),
    hosts: &BTreeMap<NodeId, IpAddr>,
    hardware: Option<&str>,
    (money, inflation_ms): (Money, u64),
) -> Result<()> {
    fs::create_dir_all(dir)?;
    let masters: Vec<NodeId> =
        (1..=masters).map(|number| NodeId::new(&format!("master-{number}"))).collect::<Result<_, _>>()?;
    let vaults: Vec<VaultId> = (b'a'..)
        .take(usize::from(vaults))
        .map(|letter| VaultId::new(&format!("vault-{}", char::from(letter))))
        .collect::<Result<_, _>>()?;
    let nodes = nodes(&masters, &vaults)?;
    let authority = Authority::open(&dir.join(certificates::AUTHORITY))?;
    // Held until all are known, so that no two nodes get the same port.
    let mut listeners = Vec::new();
    let mut addresses = BTreeMap::new();
    for (node, role) in &nodes {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut address = listener.local_addr()?;
        address.set_ip(hosts.get(node).copied().unwrap_or(address.ip()));
        addresses.insert(node.clone(), address.to_string());
        listeners.push(listener);
        let peer = Peer { role: *role, node: node.clone() };
        authority.issue(&peer, &certificates::ALSO, &dir.join(node.as_str()).join("tls"))?;
    }
    let chain_listener = TcpListener::bind("127.0.0.1:0")?;
    let full_node = (money == Money::Move).then(|| chain_listener.local_addr()).transpose()?;
    drop((listeners, chain_listener, authority));
    token::create_issuer(dir)?;
    fs::copy(dir.join("issuer/jwks.json"), dir.join("gateway/jwks.json"))?;
    let played = hardware.map(|class| Played::found(dir, class)).transpose()?;
    // A production policy refuses bare secrets; here the passphrase lies beside them all the same.
    let passphrase = (profile == Profile::Production).then_some(PASSPHRASE);
    let parties = parties(dir, &masters, &vaults, (played.as_ref(), passphrase))?;
    let mut policy = genesis::policy(profile)?;
    overrides.iter().try_for_each(|text| override_policy(&mut policy, text))?;
    let stakes = policy.stakes;
    let governance = genesis::governance(&parties, policy)?;
    governance.check().map_err(|fault| anyhow::anyhow!("the policy is not sound: {fault}"))?;
    let first = genesis::chain(&parties, CHAIN, (inflation_ms, stakes))?;
    let network = Network {
        name: NAME.to_owned(),
        governance,
        chain: match money {
            Money::Ledger => Chain::Ledger(Box::new(first)),
            Money::Move => {
                seed(&dir.join("ledger/keys").join(roles::SPONSOR_SEED))?;
                Chain::Contracts(devchain::found(dir, &first)?)
            }
        },
        nodes: addresses,
        vaults: vaults.iter().map(|vault| Ok((vault.clone(), enterprise(vault)?))).collect::<Result<_>>()?,
        masters,
        verifier: NodeId::new("verifier")?,
        payout: NodeId::new("payout")?,
        ledger: NodeId::new("ledger")?,
        issuer: token::ISSUER.to_owned(),
        audience: token::AUDIENCE.to_owned(),
    };
    let guarded = committee::found(dir, &network)?;
    for (node, role) in &nodes {
        let votes = guarded && *role == NodeRole::Master;
        let config = NodeConfig {
            node: node.clone(),
            network: Path::new("..").join(NETWORK_FILE),
            folder: ".".into(),
            listen: network.place(node)?.1,
            vault: vaults.iter().find(|vault| enterprise(vault).is_ok_and(|name| name == *node)).cloned(),
            governance_log: None,
            enclave: None,
            reader: None,
            committee: votes.then(|| Path::new("..").join(committee::COMMITTEE_FILE)),
            guard: votes.then(|| committee::GUARD_SOCKET.into()),
            protocol_max: None,
            metrics: None,
            passphrase_file: passphrase.filter(|_| *role == NodeRole::Enterprise).map(Into::into),
            passphrase_env: None,
            standby: None,
            segments_store: None,
            executors: 1,
            retention: None,
            withheld_columns: BTreeSet::new(),
            full_node: full_node.filter(|_| *role == NodeRole::Chain).map(|at| format!("http://{at}/v1")),
            sponsor: (money == Money::Move && *role == NodeRole::Chain).then_some(SPONSOR),
            records_max: 20_000_000,
            documents_max: 2_000,
            document_bytes_max: 1 << 30,
            segment_rows: 1 << 12,
            requests_per_second: 2_000,
            wiretap: None,
            platform: played.as_ref().map(Played::config),
        };
        fs::write(dir.join(node.as_str()).join("node.toml"), toml::to_string(&config)?)?;
    }
    clients(dir, &network, &vaults)?;
    // What a client checks signatures of Vaults by.
    fs::write(dir.join(GOVERNANCE_FILE), encode(&network.governance))?;
    fs::write(dir.join(README_FILE), README)?;
    // Last, so that a half-made network is made again and not started.
    network.store(&dir.join(NETWORK_FILE))
}

/// What the sponsor of a network with contracts pays for.
const SPONSOR: SponsorConfig = SponsorConfig { per_account: 100, per_day: 10_000 };
/// The passphrase of each Vault under a production policy, in its node's folder.
const PASSPHRASE: &str = "keys/vault.passphrase";
/// What lies where in the folder.
const README: &str = "\
# A development network

Made by `symphonyd dev`. Everything here is for development: enclaves are of class software, keys lie in files.

| where | what |
|---|---|
| `network.bcs` | addresses, chain, and what the network was founded with |
| `governance.bcs` | the founding governance alone; clients check logs, evidence and erasures against it |
| `clients/<name>` | a profile for `symphony --profile`: token, keys, addresses |
| `clients/council-1` to `council-3` | the council: `council.key` is the member's key for proposals and votes |
| `<node>/keys`, `<node>/tls`, `<node>/data` | a node's keys, certificate and data |
| `<node>/node.toml` | a node's configuration; `enclave` names another enclave program |
| `treasury` | the keys that release from the treasury, two of three |
| `devchain` | with `--chain move`: what the contracts start with, and the chain's journal; `ledger/keys` has the sponsor's key |
| `council` | the key of the account that records votes on the chain |
| `authority`, `issuer` | who issues certificates and tokens |
| `logs`, `run` | logs and process ids |

A change of what governs takes two of the three members:

    symphony --profile clients/council-1 governance propose --summary why register MEASUREMENT --recipe DIGEST
    symphony --profile clients/council-1 governance vote PROPOSAL
    symphony --profile clients/council-2 governance vote PROPOSAL
    symphony --profile clients/council-1 governance log
";

/// Whether the enclave program is still the one that governance approved. **Errors**: it is another.
pub(super) fn check_enclave(network: &Network, dir: &Path) -> Result<()> {
    let class = network.governance.registry.platforms.values().find_map(|platform| match &platform.machine {
        Machine::Software { .. } => None,
        Machine::Hardware { class, .. } => Some(class.as_str()),
    });
    let measurement = measured(measure::program(&beside("symphony-enclave")?)?, class)?;
    if !network.governance.registry.measurements.contains_key(&measurement) {
        bail!(
            "the enclave program changed since {} was made and governance has not approved it: start with --fresh",
            dir.display()
        );
    }
    Ok(())
}

/// What governance knows a program by, on machines of a class.
fn measured(program: Measurement, class: Option<&str>) -> Result<Measurement> {
    match class {
        None => Ok(program),
        Some(class) => Ok(development::known(class, &[1; 32], program)?.1),
    }
}

/// Trusted hardware that all machines of the network play.
struct Played {
    class: String,
    rules: HardwareRules,
}

impl Played {
    /// Makes the vendor. **Errors**: no such class, or this build has no development vendor.
    fn found(dir: &Path, class: &str) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let now = OrderedMillis(u64::try_from(now)?);
        let file = development::found(OrderedMillis(now.0.saturating_sub(DAY_MS)), now.plus(VENDOR_MS))?;
        // Its keys are worth nothing: what they sign is marked.
        fs::write(dir.join(VENDOR_FILE), &file)?;
        Ok(Self { class: class.to_owned(), rules: development::rules(&file, class)? })
    }

    fn config(&self) -> PlatformConfig {
        PlatformConfig {
            source: roles::DEVELOPMENT.to_owned(),
            collateral: Vec::new(),
            vendor: Some(Path::new("..").join(VENDOR_FILE)),
            class: Some(self.class.clone()),
        }
    }
}

/// The vendor that plays hardware, in the network's folder.
const VENDOR_FILE: &str = "development-vendor.bin";
/// How long its certificates hold.
const VENDOR_MS: u64 = 365 * DAY_MS;

fn enterprise(vault: &VaultId) -> Result<NodeId> {
    Ok(NodeId::new(&format!("enterprise-{vault}"))?)
}

fn nodes(masters: &[NodeId], vaults: &[VaultId]) -> Result<Vec<(NodeId, NodeRole)>> {
    let mut nodes = vec![
        (NodeId::new("ledger")?, NodeRole::Chain),
        (NodeId::new("verifier")?, NodeRole::Verifier),
        (NodeId::new("payout")?, NodeRole::Payout),
        (NodeId::new("gateway")?, NodeRole::Gateway),
    ];
    nodes.extend(masters.iter().map(|master| (master.clone(), NodeRole::Master)));
    for vault in vaults {
        nodes.push((enterprise(vault)?, NodeRole::Enterprise));
    }
    Ok(nodes)
}

fn parties(
    dir: &Path,
    masters: &[NodeId],
    vaults: &[VaultId],
    (played, passphrase): (Option<&Played>, Option<&str>),
) -> Result<Parties> {
    let node_seed = |node: &str, key: &str| seed(&dir.join(node).join("keys").join(key));
    let account = |node: &str, key: &str| -> Result<AccountId> {
        Ok(PrivateKey::<Wallet>::from_seed(&node_seed(node, key)?).public().account())
    };
    let program = measure::program(&beside("symphony-enclave")?)?;
    let mut platforms = BTreeMap::new();
    let mut vault_keys = Vec::new();
    let mut accounts = BTreeMap::new();
    let mut hosts: Vec<String> = masters.iter().map(ToString::to_string).collect();
    for vault in vaults {
        let node = enterprise(vault)?.to_string();
        let folder = dir.join(&node).join("data");
        let keys = match passphrase {
            None => VaultKeys::open(&folder)?,
            Some(file) => {
                // A seed is a file of 64 random digits, made on first use.
                let file = dir.join(&node).join(file);
                seed(&file)?;
                let custody =
                    Passphrase::open(folder.as_path(), fs::read_to_string(&file)?.trim().as_bytes())?;
                VaultKeys::kept(folder.as_path(), Arc::new(custody))?
            }
        };
        vault_keys.push((vault.clone(), keys.signing.public(), keys.sealing.public()));
        accounts.insert(genesis::operator(vault), account(&node, "operator-wallet.seed")?);
        accounts.insert(genesis::executor(vault), account(&node, "executor-wallet.seed")?);
        hosts.push(node);
    }
    for host in &hosts {
        let seed = node_seed(host, "platform.seed")?;
        let machine = match played {
            None => Machine::Software { key: PlatformSeed::new(seed).public() },
            Some(played) => development::known(&played.class, &seed, program)?.0,
        };
        platforms.insert(machine.platform(), machine);
    }
    accounts.insert(genesis::AGGREGATOR.to_owned(), account("master-1", "aggregator-wallet.seed")?);
    accounts.insert(genesis::VERIFIER.to_owned(), account("verifier", "wallet.seed")?);
    let treasury = (1..=3)
        .map(|signer| Ok(PrivateKey::from_seed(&seed(&dir.join(format!("treasury/signer-{signer}.seed")))?)))
        .collect::<Result<Vec<PrivateKey<Treasury>>>>()?;
    let treasury_wallet = PrivateKey::<Wallet>::from_seed(&seed(&dir.join("treasury/account.seed"))?);
    accounts.insert(genesis::TREASURY.to_owned(), treasury_wallet.public().account());
    let recorder = PrivateKey::<Wallet>::from_seed(&seed(&dir.join("council/recorder-wallet.seed"))?);
    let client = |name: &str| -> Result<AccountId> {
        Ok(PrivateKey::<Wallet>::from_seed(&seed(&client_folder(dir, name).join("wallet.key"))?)
            .public()
            .account())
    };
    let submitters =
        SUBMITTERS.iter().map(|name| Ok(((*name).to_owned(), client(name)?))).collect::<Result<_>>()?;
    let council = COUNCIL.iter().map(|name| {
        let secret = seed(&client_folder(dir, name).join(COUNCIL_KEY))?;
        Ok((ActorId::new(name)?, PrivateKey::<CouncilKey>::from_seed(&secret).public()))
    });
    Ok(Parties {
        council: council.collect::<Result<_>>()?,
        vaults: vault_keys,
        masters: masters
            .iter()
            .map(|node| {
                let key = PrivateKey::from_seed(&node_seed(node.as_str(), "master.seed")?).public();
                Ok((node.clone(), key))
            })
            .collect::<Result<_>>()?,
        verifier: PrivateKey::from_seed(&node_seed("verifier", "verifier.seed")?).public(),
        gateway: PrivateKey::from_seed(&node_seed("gateway", "gateway.seed")?).public(),
        payout: PrivateKey::from_seed(&node_seed("payout", "payout.seed")?).public(),
        payout_account: account("payout", "wallet.seed")?,
        slasher_account: account("payout", "slasher-wallet.seed")?,
        recorder_account: recorder.public().account(),
        treasury: treasury.iter().map(PrivateKey::public).collect(),
        measurement: measured(program, played.map(|played| played.class.as_str()))?,
        platforms,
        hardware: played.map(|played| played.rules.clone()),
        accounts,
        submitters,
        funded: vec![client(PRODUCER)?],
    })
}

/// A data producer with a profile, for trying uploads and dividends by hand.
const PRODUCER: &str = "producer-1";

fn client_folder(dir: &Path, name: &str) -> std::path::PathBuf {
    dir.join("clients").join(name.replace(':', "-"))
}

/// One folder a client: everything that the `symphony` command needs, under `--profile`.
fn clients(dir: &Path, network: &Network, vaults: &[VaultId]) -> Result<()> {
    let gateway = network.nodes.get(&NodeId::new("gateway")?).context("the network has no gateway")?;
    let mut clients: Vec<(String, &str)> = SUBMITTERS.map(|name| (name.to_owned(), "submitter")).into();
    clients.push((PRODUCER.to_owned(), "producer"));
    clients.extend(vaults.iter().map(|vault| (genesis::operator(vault), "operator")));
    clients.extend(COUNCIL.map(|name| (name.to_owned(), "council")));
    for (actor, role) in clients {
        let folder = client_folder(dir, &actor);
        fs::create_dir_all(&folder)?;
        write_secret(&folder.join("token"), &token::mint(dir, &actor, &[role.to_owned()], TOKEN_S)?)?;
        fs::copy(dir.join("gateway/tls/ca.pem"), folder.join("ca.pem"))?;
        // An operator stakes by the account that the registry names.
        let wallet = match vaults.iter().find(|vault| genesis::operator(vault) == actor) {
            Some(vault) => format!("../../{}/keys/operator-wallet.seed", enterprise(vault)?),
            None => "wallet.key".to_owned(),
        };
        seed(&folder.join(&wallet))?;
        seed(&folder.join("recipient.key"))?;
        let profile = format!(
            "gateway = \"https://{gateway}\"\nca = \"ca.pem\"\ntoken_file = \"token\"\nwallet = \"{wallet}\"\n\
             recipient = \"recipient.key\"\ntrust = \"../../{GOVERNANCE_FILE}\"\nactor = \"{actor}\"\nchain = \"{CHAIN}\"\n"
        );
        let council =
            if role == "council" { format!("council = \"{COUNCIL_KEY}\"\n") } else { String::new() };
        fs::write(folder.join("client.toml"), profile + &council)?;
    }
    Ok(())
}

fn candidates(policy: &mut Policy) -> Result<&mut CandidatePolicy> {
    policy.candidates.as_mut().context("the policy pools no candidates")
}

fn override_policy(policy: &mut Policy, text: &str) -> Result<()> {
    let (name, value) = text.split_once('=').context("a policy override is name=value")?;
    if name == "environment" {
        let named = |environment: &Environment| environment.name() == value;
        let environment = [Environment::Tee, Environment::Mpc].into_iter().find(named);
        policy.train.environment = environment.context("the environment is tee or mpc")?;
        return Ok(());
    }
    let value: u64 = value.parse().with_context(|| format!("policy override {name}"))?;
    if name == "minimum" {
        policy.privacy.minimum_result_cardinality =
            u32::try_from(value).context("policy override minimum")?;
        return Ok(());
    }
    if let "candidates_people" | "candidates_vaults" = name {
        let (value, candidates) = (u32::try_from(value).context("policy override")?, candidates(policy)?);
        let people = name == "candidates_people";
        *(if people { &mut candidates.people_min } else { &mut candidates.vaults_min }) = value;
        return Ok(());
    }
    let place = match name {
        "prepare" => &mut policy.deadlines.prepare_ms,
        "execute" => &mut policy.deadlines.execute_ms,
        "aggregate" => &mut policy.deadlines.aggregate_ms,
        "verify" => &mut policy.deadlines.verify_ms,
        "challenge" => &mut policy.deadlines.challenge_ms,
        "review" => &mut policy.deadlines.review_ms,
        "voting" => &mut policy.proposals.voting_ms,
        "timelock" => &mut policy.proposals.timelock_ms,
        "epoch" => &mut policy.epoch_ms,
        "node_pay" => &mut policy.node_pay.0,
        "bond" => &mut policy.challenges.bond.0,
        "enterprise_stake" => &mut policy.stakes.enterprise_min.0,
        "master_stake" => &mut policy.stakes.master_min.0,
        "subject_cap" => &mut policy.privacy.subject_cap.0,
        "candidates_epsilon" => &mut candidates(policy)?.epsilon.0,
        scope => {
            let scope = UsageScope::new(scope)?;
            let limit = policy.privacy.scope_limits.get_mut(&scope);
            &mut limit.with_context(|| format!("there is no policy override {name}"))?.0
        }
    };
    *place = value;
    Ok(())
}
