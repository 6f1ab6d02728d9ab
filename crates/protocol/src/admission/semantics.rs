//! What a query means under the active semantic version (R018, R046-R050): every operand becomes a bound
//! comparison on a canonical attribute, or admission stops.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use symphony_types::catalogue::Code;
use symphony_types::id::{AttributeName, DomainName, RuleName};
use symphony_types::limits::OPERANDS_MAX;
use symphony_types::time::{DAY_MS, OrderedMillis, RecordMillis};

use crate::artifact::selection::{
    Qualification, Quantity, ResolvedMeasure, SELECTION_MEASURES_MAX, Selection,
};
use crate::artifact::{
    Argument, AudienceQuery, Operand, Predicate, PrivacyClass, ResolvedOperand, ResolvedQuery,
};
use crate::governance::Governance;
use crate::governance::semantics::normalise;
use crate::governance::semantics::{
    Attribute, AttributeLifecycle, CrossDomainPolicy, Queryability, Rule, RuleKind, Semantics, ValueType,
};

/// Resolves a query at an ordered time. **Errors**: `ADM-0008` unknown or inactive, `ADM-0009` across domains,
/// `ADM-0010` not queryable, `ADM-0014` a cap below the least that may be returned or above the most, `ADM-0001` an argument of the
/// wrong kind, `ADM-0027` a selection that is too large, nested too deeply or reads nothing, bounds that nothing meets, or a rule
/// that ranks nobody.
pub fn resolve(
    governance: &Governance,
    query: &AudienceQuery,
    at: OrderedMillis,
) -> Result<ResolvedQuery, Code> {
    let semantics = governance.semantics_at(at);
    let privacy = &governance.policy_at(at).privacy;
    let evaluated_at = query.evaluate_at.unwrap_or(at);
    if !(privacy.minimum_result_cardinality..=privacy.audience_cap_max).contains(&query.cap) {
        return Err(Code::CapExceeded);
    }
    let mut resolver = Resolver::new(semantics, evaluated_at);
    let who = resolver.selection(&query.who)?;
    let selection = match &query.rank_by {
        Some(rule) => who.ranking(rule).ok_or(Code::SettingOutOfRange)?,
        None => privacy.selection,
    };
    let output = resolver.delivered(&query.output)?;
    let class = resolver.finish()?;
    let resolved = ResolvedQuery {
        who,
        output: query.output.clone(),
        combined_privacy_class: class.max(output.privacy_class),
        minimum_result_cardinality: privacy.minimum_result_cardinality,
        cap: query.cap,
        selection,
        evaluated_at,
    };
    let read = resolved.inquiry().attributes().len();
    if (1..=OPERANDS_MAX).contains(&read) { Ok(resolved) } else { Err(Code::SettingOutOfRange) }
}

/// Binds the operands of one task, and watches what they read together.
pub(super) struct Resolver<'a> {
    semantics: &'a Semantics,
    evaluated_at: OrderedMillis,
    domains: BTreeSet<&'a DomainName>,
    class: PrivacyClass,
    within_domain: bool,
}

impl<'a> Resolver<'a> {
    /// Time is measured from `evaluated_at`.
    pub(super) fn new(semantics: &'a Semantics, evaluated_at: OrderedMillis) -> Self {
        let (domains, class) = (BTreeSet::new(), PrivacyClass::Public);
        Self { semantics, evaluated_at, domains, class, within_domain: false }
    }

    /// Binds a selection. **Errors**: `ADM-0027` for one that is too large or nested too deeply, `ADM-0001` for a condition without
    /// operands, and those of each operand.
    pub(super) fn selection(
        &mut self,
        who: &Selection<Vec<Operand>>,
    ) -> Result<Selection<Qualification>, Code> {
        if !who.fits() {
            return Err(Code::SettingOutOfRange);
        }
        let who = who.bound(&mut |operands: &Vec<Operand>| self.qualification(operands))?;
        if who.measures().len() > SELECTION_MEASURES_MAX {
            return Err(Code::SettingOutOfRange);
        }
        Ok(who)
    }

    fn qualification(&mut self, asked: &[Operand]) -> Result<Qualification, Code> {
        if asked.is_empty() {
            return Err(Code::Malformed);
        }
        let (mut operands, mut measures) = (Vec::new(), Vec::new());
        for operand in asked {
            match self.operand(operand)? {
                Bound::Record(operand) => operands.push(operand),
                Bound::Measure(measure) => measures.push(measure),
            }
        }
        Ok(Qualification { operands, measures })
    }

    /// Binds operands that one record answers. **Errors**: `ADM-0008`, `ADM-0010`, `ADM-0001`, also for a rule that measures several.
    pub(super) fn operands(&mut self, operands: &[Operand]) -> Result<Vec<ResolvedOperand>, Code> {
        let one = |operand| match self.operand(operand)? {
            Bound::Record(operand) => Ok(operand),
            Bound::Measure(_) => Err(Code::Malformed),
        };
        operands.iter().map(one).collect()
    }

    fn operand(&mut self, operand: &Operand) -> Result<Bound, Code> {
        let (known, attribute) = self.rule(&operand.rule)?;
        let (rule, name) = (operand.rule.clone(), known.attribute.clone());
        let measure = |quantity, at_least| {
            let measure = ResolvedMeasure { rule: rule.clone(), attribute: name.clone(), quantity, at_least };
            // Nothing is what everybody has.
            if at_least > 0 { Ok(Bound::Measure(measure)) } else { Err(Code::SettingOutOfRange) }
        };
        match (known.kind, attribute.value, &operand.argument) {
            (RuleKind::Count, _, Argument::AtLeast(records)) => measure(Quantity::Records, *records),
            (RuleKind::Sum, ValueType::Cents, Argument::AtLeast(sum)) => measure(Quantity::Sum, *sum),
            (RuleKind::Count | RuleKind::Sum, ..) => Err(Code::Malformed),
            (kind, value, argument) => {
                let predicate = bind(kind, value, argument, self.evaluated_at)?;
                Ok(Bound::Record(ResolvedOperand { rule, attribute: name, predicate }))
            }
        }
    }

    /// A rule and the attribute that it reads. **Errors**: `ADM-0008` for what is not there or not active, `ADM-0010` when it does not
    /// coarsen what is only read so, or what no task may read.
    pub(super) fn rule(&mut self, name: &RuleName) -> Result<(&'a Rule, &'a Attribute), Code> {
        let rule = self.semantics.rules.get(name).ok_or(Code::AttributeUnknown)?;
        let attribute = self.compared(&rule.attribute, rule.kind.coarsens())?;
        self.within_domain |= matches!(rule.cross_domain_policy, CrossDomainPolicy::Denied);
        Ok((rule, attribute))
    }

    /// Takes an attribute that is only read in a form that coarsens it. **Errors**: `ADM-0008` for one that is not
    /// active or of another type, `ADM-0010` for one that no task may read.
    pub(super) fn attribute(
        &mut self,
        name: &AttributeName,
        value: ValueType,
    ) -> Result<&'a Attribute, Code> {
        let attribute = self.compared(name, true)?;
        if attribute.value == value { Ok(attribute) } else { Err(Code::AttributeUnknown) }
    }

    /// Takes an attribute that is delivered: it is compared with nothing, and belongs to no composition. **Errors**: `ADM-0008`, `ADM-0010`.
    pub(super) fn delivered(&self, name: &AttributeName) -> Result<&'a Attribute, Code> {
        let attribute = self.active(name)?;
        match attribute.queryability {
            Queryability::DeliverableOnly => Ok(attribute),
            Queryability::DirectlyQueryable | Queryability::DerivedOnly | Queryability::LocalOnly => {
                Err(Code::NotQueryable)
            }
        }
    }

    /// The highest class of what was read. **Errors**: `ADM-0009` across domains.
    pub(super) fn finish(self) -> Result<PrivacyClass, Code> {
        if self.domains.len() > 1 && self.within_domain { Err(Code::CrossDomain) } else { Ok(self.class) }
    }

    fn active(&self, name: &AttributeName) -> Result<&'a Attribute, Code> {
        let attribute = self.semantics.attributes.get(name);
        attribute.filter(|known| known.lifecycle == AttributeLifecycle::Active).ok_or(Code::AttributeUnknown)
    }

    fn compared(&mut self, name: &AttributeName, derived: bool) -> Result<&'a Attribute, Code> {
        let attribute = self.active(name)?;
        let queryable = match attribute.queryability {
            Queryability::DirectlyQueryable => true,
            Queryability::DerivedOnly => derived,
            Queryability::DeliverableOnly | Queryability::LocalOnly => false,
        };
        if !queryable {
            return Err(Code::NotQueryable);
        }
        self.domains.extend(self.semantics.outermost(&attribute.domain));
        self.class = self.class.max(attribute.privacy_class);
        Ok(attribute)
    }
}

/// What an operand asks of a person's records.
enum Bound {
    /// Of one of them.
    Record(ResolvedOperand),
    /// Of several together.
    Measure(ResolvedMeasure),
}

fn bind(
    kind: RuleKind,
    value: ValueType,
    argument: &Argument,
    evaluated_at: OrderedMillis,
) -> Result<Predicate, Code> {
    let before = |days: u64| RecordMillis(evaluated_at.minus(days.saturating_mul(DAY_MS)).0);
    match (kind, value, argument) {
        (RuleKind::Equality, ValueType::Text, Argument::Text(text)) => {
            Ok(Predicate::TextEquals(normalise(text)))
        }
        (RuleKind::SetMembership, ValueType::Text, Argument::Texts(texts)) => {
            let texts: BTreeSet<_> = texts.iter().map(|text| normalise(text)).collect();
            Ok(Predicate::TextIn(texts.into_iter().collect()))
        }
        (RuleKind::Threshold, ValueType::Time, Argument::Days(days)) => {
            Ok(Predicate::Between { since: before(u64::from(*days)), until: before(0) })
        }
        (RuleKind::Threshold, ValueType::Cents, Argument::AtLeast(bound)) => Ok(Predicate::AtLeast(*bound)),
        (RuleKind::Range, _, Argument::Range { least, most }) if least > most => Err(Code::SettingOutOfRange),
        (RuleKind::Range, ValueType::Time, Argument::Range { least, most }) => {
            Ok(Predicate::Between { since: before(*most), until: before(*least) })
        }
        (RuleKind::Range, ValueType::Cents, Argument::Range { least, most }) => {
            Ok(Predicate::Within { least: *least, most: *most })
        }
        (
            RuleKind::Equality
            | RuleKind::SetMembership
            | RuleKind::Threshold
            | RuleKind::Range
            | RuleKind::Count
            | RuleKind::Sum,
            ..,
        ) => Err(Code::Malformed),
    }
}
