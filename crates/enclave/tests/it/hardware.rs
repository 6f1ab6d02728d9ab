//! The real program on machines that play trusted hardware: a whole query through locked-down processes that evidence vouches
//! for, and their memory after it (R117, R120-R122, R126, R127, R130).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use symphony_attest::claims::Class;
use symphony_protocol::artifact::{Outcome, TaskEnvelope};
use symphony_tee::boot::{Boot, Identity};
use symphony_tee::development;
use symphony_tee::host::EnclaveProcess;
use symphony_tee::machine::EnclaveMachine;
use symphony_tee::measure;
use symphony_tee::report::{EnclaveRole, PlatformClass};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, GovernanceSequence, NodeId};
use symphony_types::time::{DAY_MS, OrderedMillis};
use symphony_wire::enclave::Answer;

use crate::stage::{Enclave, Person, Stage, name_of, vault};

const PROGRAM: &str = env!("CARGO_BIN_EXE_symphony-enclave");
/// Stands in every handle, which only enclaves see; nowhere in this program's requests in clear.
const PLANTED: &str = "zq7planted4handle";
/// Stands in the boot report that every enclave keeps: found wherever the search works.
const KEPT: &str = "node-of-the-search";

/// A network of enclave processes on machines of a class of their own each.
struct Hosted {
    stage: Stage,
    processes: Vec<Rc<EnclaveProcess>>,
    at: OrderedMillis,
    _folder: tempfile::TempDir,
}

impl Hosted {
    fn on(aggregator: &str, slices: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let at = OrderedMillis(u64::try_from(at).unwrap());
        let file = development::found(OrderedMillis(at.0 - DAY_MS), at.plus(DAY_MS)).unwrap();
        let program = measure::program(Path::new(PROGRAM)).unwrap();
        let mut stage = Stage::new();
        let mut rules = development::rules(&file, slices).unwrap();
        rules.classes.insert(aggregator.to_owned());
        stage.policy.measurements.clear();
        stage.policy.platforms = BTreeMap::new();
        stage.policy.hardware.rules = [(GovernanceSequence(0), rules)].into();
        let mut processes = Vec::new();
        let mut start = |number: u8, class: &str, role, actor: &str| {
            let chip = [number + 1; 32];
            let (machine, measurement) = development::known(class, &chip, program).unwrap();
            stage.policy.measurements.insert(measurement);
            stage.policy.hardware.machines.insert(machine.platform(), class.to_owned());
            let machine = development::machine(&file, class, &chip, program).unwrap();
            let boot = Boot {
                identity: Identity {
                    chain: "test".into(),
                    node: NodeId::new(KEPT).unwrap(),
                    actor: ActorId::new(actor).unwrap(),
                    role,
                },
                machine: EnclaveMachine::Vendor(Arc::new(machine)),
                nonce: Digest([number; 32]),
                sealed_keys: None,
                ready: vec![],
            };
            let log = folder.path().join(actor);
            let process = Rc::new(EnclaveProcess::spawn(Path::new(PROGRAM), boot, &log).unwrap());
            processes.push(process.clone());
            Enclave::new(process.boot(), move |request| process.call(request).unwrap())
        };
        let aggregating = start(0, aggregator, EnclaveRole::Aggregator, "aggregator");
        let slicing = [1, 2, 3]
            .map(|number| (number, start(number, slices, EnclaveRole::Slice, &format!("operator-{number}"))));
        stage.aggregator = aggregating;
        stage.slices = slicing.map(|(number, enclave)| (vault(number), enclave)).into();
        Self { stage, processes, at, _folder: folder }
    }

    fn envelope(&self) -> TaskEnvelope {
        let mut envelope = self.stage.envelope(1, 100);
        envelope.admitted_at = self.at;
        envelope.coordination.measurements = self.stage.policy.measurements.iter().copied().collect();
        envelope
    }
}

fn people() -> [Vec<Person>; 3] {
    const HANDLES: [&str; 4] = [
        "zq7planted4handle-1@x.org",
        "zq7planted4handle-2@x.org",
        "zq7planted4handle-3@x.org",
        "zq7planted4handle-4@x.org",
    ];
    assert!(HANDLES.iter().all(|handle| handle.starts_with(PLANTED)));
    [
        vec![(0, HANDLES[0], vec![("cafe", 200)]), (1, HANDLES[1], vec![("cafe", 300)])],
        vec![(0, HANDLES[2], vec![("cafe", 400)])],
        vec![(7, HANDLES[3], vec![("cafe", 500)]), (8, HANDLES[0], vec![("bar", 500)])],
    ]
}

/// R116, R120, R121, R122, R126, R130: two vendors' formats beside each other, a query from keys to result.
#[test]
fn a_query_runs_in_processes_that_evidence_vouches_for() {
    let classes = Class::ALL.map(Class::as_str);
    for (aggregator, slices) in [(classes[2], classes[1]), (classes[3], classes[2]), (classes[0], classes[3])]
    {
        let hosted = Hosted::on(aggregator, slices);
        let result = hosted.stage.run(hosted.envelope(), &people());
        assert_eq!(result.outcome, Outcome::Audience { returned: 4 });
        for enclave in hosted.stage.slices.values() {
            let PlatformClass::Development(class) = enclave.boot.body.class else { panic!("not marked") };
            assert_eq!(class.as_str(), slices);
        }
    }
}

/// R121, R122, R125: nothing is sealed to an enclave on hardware that does not appraise, on either side, and each refusal tells why.
#[test]
fn nothing_is_sealed_to_an_enclave_whose_evidence_is_refused() {
    let mut hosted = Hosted::on(Class::ALL[2].as_str(), Class::ALL[1].as_str());
    let envelope = hosted.stage.master.endorsed(hosted.envelope());
    let refused =
        |hosted: &Hosted, envelope| match hosted.stage.aggregator.call(&hosted.stage.open_call(envelope)) {
            Answer::Refused { code: Code::AttestationFailed, detail } => detail,
            other => panic!("{}", name_of(&other)),
        };
    let slices = hosted.stage.slices[&vault(1)].boot.body.platform;
    hosted.stage.policy.revoked_platforms.insert(slices);
    assert!(refused(&hosted, &envelope).contains("platform-revoked"));
    hosted.stage.policy.revoked_platforms.clear();
    hosted.stage.policy.software_admitted = false;
    assert!(refused(&hosted, &envelope).contains("development-root-refused"));
    hosted.stage.policy.software_admitted = true;
    // An order of another time: the certificates did not hold then.
    let mut early = hosted.envelope();
    early.admitted_at = OrderedMillis(hosted.at.0 - 2 * DAY_MS);
    let early = hosted.stage.master.endorsed(early);
    assert!(refused(&hosted, &early).contains("not-valid-at-time"));
    assert!(matches!(
        hosted.stage.aggregator.call(&hosted.stage.open_call(&envelope)),
        Answer::Opened { .. }
    ));
}

/// R117, R127: after a slice run and an aggregation, no handle that was planted is in the memory of any enclave. Needs the right
/// to read another process's memory, which undumpable processes give to the administrator only.
#[test]
fn nothing_planted_is_in_memory_after_a_run() {
    let hosted = Hosted::on(Class::ALL[2].as_str(), Class::ALL[1].as_str());
    let envelope = hosted.stage.master.endorsed(hosted.envelope());
    let bundles = hosted.stage.bundles(&envelope, &people());
    let slices: Vec<_> = hosted.processes[1..].iter().map(|process| counted(process.pid())).collect();
    let answer = hosted.stage.aggregator.call(&hosted.stage.aggregate_call(&envelope, bundles));
    let Answer::Aggregated { sealed, .. } = answer else { panic!("{}", name_of(&answer)) };
    assert_eq!(hosted.stage.result(&envelope.body, &sealed).handles.len(), 4);
    for counted in slices.into_iter().chain([counted(hosted.processes[0].pid())]) {
        let Some([planted, kept]) = counted else {
            println!("skipped: the memory of enclaves may not be read here");
            return;
        };
        assert!(kept > 0, "the search finds what an enclave keeps");
        assert_eq!(planted, 0, "a planted handle is still in memory");
    }
}

/// How often each word is in the memory of a process: what was planted, and what is kept. `None` when it may not be read.
fn counted(pid: u32) -> Option<[usize; 2]> {
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let maps = BufReader::new(File::open(format!("/proc/{pid}/maps")).ok()?);
    let mut found = [0; 2];
    let mut read = 0;
    for line in maps.lines().map(Result::unwrap) {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        let (from, to) = range.split_once('-').unwrap();
        let place = |digits| u64::from_str_radix(digits, 16).unwrap();
        if !rights.starts_with('r') || line.ends_with("[vvar]") || line.ends_with("[vsyscall]") {
            continue;
        }
        let mut bytes = vec![0; usize::try_from(place(to) - place(from)).unwrap()];
        // Pages of the kernel's own cannot be read.
        let Ok(()) = memory.read_exact_at(&mut bytes, place(from)) else { continue };
        read += bytes.len();
        for (found, word) in found.iter_mut().zip([PLANTED, KEPT]) {
            *found += bytes.windows(word.len()).filter(|window| *window == word.as_bytes()).count();
        }
    }
    (read > 0).then_some(found)
}

/// R122: material is bound to task, Vault and end of its order: the same bytes do not open for another.
#[test]
fn material_is_bound_to_its_task_its_vault_and_the_end_of_its_order() {
    let stage = Stage::new();
    let envelope = stage.master.endorsed(stage.envelope(1, 100));
    let keys = stage.open(&envelope);
    let order = stage.assignment(&envelope.body, &vault(1), keys[&vault(1)].clone());
    let material = stage.material(&order, &people()[0]);
    let mut later = order.clone();
    later.envelope.execute_by = order.envelope.execute_by.plus(1);
    let mut elsewhere = order.clone();
    elsewhere.nonce = Digest([9; 32]);
    for other in [later, elsewhere] {
        let call = stage.evaluate_call(&stage.master.endorsed(other), material.clone());
        match stage.slices[&vault(1)].call(&call) {
            Answer::Refused { code, .. } => assert_eq!(code, Code::SealInvalid),
            other => panic!("{}", name_of(&other)),
        }
    }
    // Another task or Vault has other task keys, so that it is refused before the material is looked at.
    let mut task = order.clone();
    task.envelope.task = symphony_types::id::TaskId(Digest([2; 32]));
    let mut other_vault = order.clone();
    other_vault.vault = vault(2);
    for other in [task, other_vault] {
        let call = stage.evaluate_call(&stage.master.endorsed(other), material.clone());
        assert!(matches!(stage.slices[&vault(1)].call(&call), Answer::Refused { .. }));
    }
    let call = stage.evaluate_call(&stage.master.endorsed(order), material);
    assert!(matches!(stage.slices[&vault(1)].call(&call), Answer::Evaluated { .. }));
}
