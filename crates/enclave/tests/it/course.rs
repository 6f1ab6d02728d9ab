//! A training driven round by round, as masters and Vaults drive it: a host that carries what it cannot read.

use std::collections::BTreeMap;

use symphony_compute::material::{self, MaterialBuilder};
use symphony_protocol::artifact::training::{
    EVERYBODY, EndorsedRoundOrder, Environment, Family, Feature, Label, ModelKind, PrivacyTerms, RoundOrder,
    Scale, Settings, StepTranscript, TrainedModel, Training, TrainingPlan,
};
use symphony_protocol::artifact::{
    AggregationMethod, Outcome, Plan, Predicate, PrivacyClass, ResolvedOperand, SignedAggregate, TaskEnvelope,
};
use symphony_protocol::governance::semantics::ValueType;
use symphony_protocol::lifecycle::training::Position;
use symphony_protocol::vault::record::Value;
use symphony_types::digest::Digest;
use symphony_types::id::{Commitment, RuleName, VaultId};
use symphony_types::subjects::SubjectIndex;
use symphony_types::time::{OrderedMillis, RecordMillis};
use symphony_wire::documents::{decode, encode};
use symphony_wire::enclave::{Answer, Call, Gathered, Helped, SealedLearner, purpose};
use symphony_wire::sealed::seal;

use crate::stage::{Stage, attribute, name_of, vault};

const DAY: u64 = 86_400_000;

/// The records of a Vault.
pub(crate) struct Records {
    pub(crate) plain: Vec<u8>,
    pub(crate) root: Digest,
}

/// A training on its way.
pub(crate) struct Course {
    pub(crate) stage: Stage,
    pub(crate) envelope: TaskEnvelope,
    pub(crate) records: BTreeMap<VaultId, Records>,
    /// The learner that the next round begins with, sealed.
    pub(crate) learner: Option<Vec<u8>>,
    /// Its key, sealed to each Vault's enclave.
    pub(crate) keys: BTreeMap<VaultId, Vec<u8>>,
    pub(crate) position: Position,
    pub(crate) attempt: u32,
}

/// What a round has left.
pub(crate) struct Left {
    pub(crate) header: SignedAggregate,
    pub(crate) sealed: Vec<u8>,
    pub(crate) report: Vec<u8>,
    pub(crate) parts: Vec<(VaultId, MadePart)>,
    /// What the second aggregator gave, where there are two.
    pub(crate) helped: Option<Helped>,
}

/// What a Vault's enclave made for a round.
#[derive(Clone)]
pub(crate) struct MadePart {
    pub(crate) bundle: Vec<u8>,
    pub(crate) pieces: Vec<Vec<u8>>,
    pub(crate) report: Vec<u8>,
}

/// Who has bought toys buys toys; three rounds, evaluated before the first, the third and in the last.
pub(crate) fn plan() -> TrainingPlan {
    let toys = ResolvedOperand {
        rule: RuleName::new("any.rule").unwrap(),
        attribute: attribute("commerce.category"),
        predicate: Predicate::TextEquals("toys".into()),
    };
    let scale = Scale { logarithm: false, centre: 4_000_000, spread: 2_000_000, bound: 4_000 };
    let feature = |family, filter| Feature { family, filter, days: 30, scale };
    let training = Training {
        model: ModelKind::Logistic,
        time: attribute("commerce.purchase_date"),
        cohort: Vec::new(),
        features: vec![
            feature(Family::Frequency, vec![toys.clone()]),
            feature(Family::Sum(attribute("commerce.amount")), vec![]),
        ],
        label: Some(Label { condition: vec![toys], days: 10 }),
        settings: Settings { momentum: 300, ..Settings::PLAIN },
        privacy: PrivacyTerms { noise: 500, sampling: EVERYBODY / 2, evaluation_noise: 500, delta: 1 },
        rounds: 3,
        evaluate_every: 2,
        patience: 0,
        held_out: 300,
        accept_from: 600_000,
    };
    let combined_privacy_class = PrivacyClass::Sensitive;
    let evaluated_at = OrderedMillis(100 * DAY);
    let environment = Environment::Tee;
    TrainingPlan { training, evaluated_at, combined_privacy_class, minimum_cohort: 100, environment }
}

/// The same on shares.
pub(crate) fn shared_plan() -> TrainingPlan {
    TrainingPlan { environment: Environment::Mpc, ..plan() }
}

/// Invented people of a Vault.
pub(crate) fn records(number: u8, people: u32) -> Records {
    let types = [
        (attribute("commerce.purchase_date"), ValueType::Time),
        (attribute("commerce.amount"), ValueType::Cents),
        (attribute("commerce.category"), ValueType::Text),
    ];
    let mut builder = MaterialBuilder::new(&types.into()).unwrap();
    for who in 0..people {
        builder.person(SubjectIndex(who), &format!("{number}-{who}@x.org")).unwrap();
        for purchase in 0..10_u32 {
            let draw = Digest::of("test/draw", &(number, who, purchase));
            let toys = draw.0[0] % 10 < if who % 2 == 0 { 8 } else { 1 };
            let day = 90 + u64::from(draw.0[1]) % 15;
            let values = BTreeMap::from([
                (attribute("commerce.purchase_date"), Value::Time(RecordMillis(day * DAY))),
                (attribute("commerce.amount"), Value::Cents(u64::from(draw.0[2]))),
                (attribute("commerce.category"), Value::Text(if toys { "toys" } else { "food" }.into())),
            ]);
            builder.push(SubjectIndex(who), &Commitment(draw), &values).unwrap();
        }
    }
    let plain = builder.finish().unwrap().to_vec();
    let root = material::read(plain.clone()).unwrap().root();
    Records { plain, root }
}

impl Course {
    pub(crate) fn new(plan: TrainingPlan) -> Self {
        let stage = Stage::new();
        let mut envelope = stage.envelope(1, 1);
        envelope.plan = Plan::Training(plan);
        envelope.coordination.aggregation_method = AggregationMethod::FederatedAverage;
        let records = [1, 2, 3].map(|number| (vault(number), records(number, 150))).into();
        let position = Position::FIRST;
        Self { stage, envelope, records, learner: None, keys: BTreeMap::new(), position, attempt: 0 }
    }

    pub(crate) fn plan(&mut self) -> &mut TrainingPlan {
        let Plan::Training(plan) = &mut self.envelope.plan else { panic!("a query") };
        plan
    }

    pub(crate) fn vaults(&self) -> Vec<VaultId> {
        self.records.keys().cloned().collect()
    }

    /// The order of the round that is due.
    pub(crate) fn order(&self, vaults: &[VaultId]) -> RoundOrder {
        RoundOrder {
            envelope: self.envelope.clone(),
            round: self.position.round,
            last: self.position.last,
            attempt: self.attempt,
            state: self.position.state,
            vaults: vaults.to_vec(),
            subjects: vec![150; vaults.len()],
            aggregator_boot: encode(&self.stage.aggregator.boot),
            helper_boot: self.shared().then(|| encode(&self.stage.helper.boot)),
        }
    }

    fn shared(&self) -> bool {
        self.envelope.plan.training().is_some_and(|plan| plan.environment == Environment::Mpc)
    }

    pub(crate) fn material(&self, vault: &VaultId) -> Vec<u8> {
        let records = &self.records[vault];
        let aad = encode(&(self.envelope.task, vault, self.envelope.execute_by, records.root));
        let key = self.stage.slices[vault].boot.body.hpke_key;
        seal(&key, purpose::TRAINING, &aad, &records.plain).unwrap()
    }

    pub(crate) fn contribute_call(
        &self,
        order: &EndorsedRoundOrder,
        vault: &VaultId,
        material: Option<Vec<u8>>,
    ) -> Call {
        Call::Contribute {
            order: order.clone(),
            vault: vault.clone(),
            learner: self
                .keys
                .get(vault)
                .zip(self.learner.as_ref())
                .map(|(key, sealed)| SealedLearner { key: key.clone(), sealed: sealed.clone() }),
            input_root: self.records[vault].root,
            material,
            policy: encode(&self.stage.policy),
            masters: self.stage.masters(),
        }
    }

    /// A Vault's part; the records go along when the enclave wants them.
    pub(crate) fn part(&self, order: &EndorsedRoundOrder, vault: &VaultId) -> MadePart {
        let slice = &self.stage.slices[vault];
        let mut answer = slice.call(&self.contribute_call(order, vault, None));
        if matches!(answer, Answer::RecordsWanted) {
            answer = slice.call(&self.contribute_call(order, vault, Some(self.material(vault))));
        }
        match answer {
            Answer::Contributed { bundle, pieces, report } => MadePart { bundle, pieces, report },
            other => panic!("{}", name_of(&other)),
        }
    }

    pub(crate) fn parts(&self, order: &EndorsedRoundOrder) -> Vec<(VaultId, MadePart)> {
        order.body.vaults.iter().map(|vault| (vault.clone(), self.part(order, vault))).collect()
    }

    pub(crate) fn piece_call(
        &self,
        order: &EndorsedRoundOrder,
        (vault, part): (&VaultId, &MadePart),
        piece: usize,
    ) -> Call {
        Call::Piece {
            order: order.clone(),
            vault: vault.clone(),
            boot: encode(&self.stage.slices[vault].boot),
            bundle: part.bundle.clone(),
            piece: part.pieces[piece].clone(),
            policy: encode(&self.stage.policy),
            masters: self.stage.masters(),
        }
    }

    /// Hands over all pieces, then has the round combined; the first refusal ends it.
    pub(crate) fn combine(&self, order: &EndorsedRoundOrder, parts: &[(VaultId, MadePart)]) -> Answer {
        for (vault, part) in parts {
            for piece in 0..part.pieces.len() {
                let answer = self.stage.aggregator.call(&self.piece_call(order, (vault, part), piece));
                if !matches!(answer, Answer::Added) {
                    return answer;
                }
            }
        }
        let bundles = parts.iter().map(|(vault, part)| (vault.clone(), part.bundle.clone()));
        self.stage.aggregator.call(&self.combine_call(order, bundles.collect()))
    }

    pub(crate) fn gathered(
        &self,
        order: &EndorsedRoundOrder,
        bundles: Vec<(VaultId, Vec<u8>)>,
        halves: Vec<Vec<u8>>,
    ) -> Gathered {
        let slices = self.stage.slices.iter().map(|(vault, slice)| (vault.clone(), encode(&slice.boot)));
        Gathered {
            order: order.clone(),
            bundles,
            halves,
            learner: self.learner.clone(),
            slices: slices.collect(),
            policy: encode(&self.stage.policy),
            masters: self.stage.masters(),
        }
    }

    pub(crate) fn combine_call(&self, order: &EndorsedRoundOrder, bundles: Vec<(VaultId, Vec<u8>)>) -> Call {
        Call::Combine { round: self.gathered(order, bundles, vec![]), helped: None }
    }

    /// What the second aggregator gives to a round on shares, and what the first makes of it.
    fn combine_shares(&self, order: &EndorsedRoundOrder, parts: &[(VaultId, MadePart)]) -> (Helped, Answer) {
        let bundles = || parts.iter().map(|(vault, part)| (vault.clone(), part.bundle.clone())).collect();
        let of = |role: usize| {
            let halves = parts.iter().map(|(_, part)| part.pieces[role].clone());
            self.gathered(order, bundles(), halves.collect())
        };
        let answer = self.stage.aggregator.call(&Call::Ask { round: of(0) });
        let Answer::Asked { message: asked } = answer else { panic!("{}", name_of(&answer)) };
        let answer = self.stage.helper.call(&Call::Help { round: of(1), asked });
        let Answer::Helped(helped) = answer else { panic!("{}", name_of(&answer)) };
        let call = Call::Combine { round: of(0), helped: Some(helped.clone()) };
        (helped, self.stage.aggregator.call(&call))
    }

    /// One round of these Vaults; then the next is due.
    pub(crate) fn round(&mut self, vaults: &[VaultId]) -> Left {
        let order = self.stage.master.endorsed(self.order(vaults));
        let parts = self.parts(&order);
        let (helped, answer) = if self.shared() {
            let (helped, answer) = self.combine_shares(&order, &parts);
            (Some(helped), answer)
        } else {
            (None, self.combine(&order, &parts))
        };
        let Answer::Combined { header, sealed, learner, keys, report } = answer else {
            panic!("{}", name_of(&answer))
        };
        (self.learner, self.keys) = (learner, keys.into_iter().collect());
        let training = self.plan().training.clone();
        if let Some(next) = self.position.next(&training, &header.body.outcome) {
            self.position = next;
        }
        Left { header, sealed, report, parts, helped }
    }

    /// All rounds that are due.
    pub(crate) fn rest(&mut self) -> Vec<Left> {
        let mut all = Vec::new();
        loop {
            let left = self.round(&self.vaults());
            let goes_on = matches!(left.header.body.outcome, Outcome::Step { .. });
            all.push(left);
            if !goes_on {
                return all;
            }
        }
    }

    pub(crate) fn transcript(&self, round: u32, left: &Left) -> StepTranscript {
        let aad = encode(&(self.envelope.task, round));
        decode(&self.stage.submitter.open(purpose::STEP, &aad, &left.sealed).unwrap()).unwrap()
    }

    pub(crate) fn model(&self, left: &Left) -> TrainedModel {
        let aad = encode(&self.envelope.task);
        decode(&self.stage.submitter.open(purpose::RESULT, &aad, &left.sealed).unwrap()).unwrap()
    }
}
