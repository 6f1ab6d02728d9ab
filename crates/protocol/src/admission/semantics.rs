//! What a query means under the active semantic version (R018, R046-R050): every operand becomes a bound
//! comparison on a canonical attribute, or admission stops.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use symphony_types::catalogue::Code;
use symphony_types::id::AttributeName;
use symphony_types::time::{DAY_MS, OrderedMillis, RecordMillis};

use crate::artifact::{
    Argument, AudienceQuery, Operand, Predicate, PrivacyClass, ResolvedOperand, ResolvedQuery,
};
use crate::governance::Governance;
use crate::governance::semantics::normalise;
use crate::governance::semantics::{
    Attribute, AttributeLifecycle, CrossDomainPolicy, Queryability, Rule, RuleKind, Semantics, ValueType,
};

/// Resolves a query at an ordered time. **Errors**: `ADM-0008` unknown or inactive, `ADM-0009` across domains,
/// `ADM-0010` not queryable, `ADM-0014` cap out of range, `ADM-0001` an argument of the wrong kind.
pub fn resolve(
    governance: &Governance,
    query: &AudienceQuery,
    at: OrderedMillis,
) -> Result<ResolvedQuery, Code> {
    let semantics = &governance.semantics;
    let privacy = &governance.policy().privacy;
    let evaluated_at = query.evaluate_at.unwrap_or(at);
    if query.cap == 0 || query.cap > privacy.audience_cap_max {
        return Err(Code::CapExceeded);
    }
    if query.operands.is_empty() {
        return Err(Code::Malformed);
    }
    let mut resolver = Resolver::new(semantics, evaluated_at);
    let operands = resolver.operands(&query.operands)?;
    let class = resolver.finish()?;
    let output = semantics.attributes.get(&query.output).ok_or(Code::AttributeUnknown)?;
    if output.lifecycle != AttributeLifecycle::Active {
        return Err(Code::AttributeUnknown);
    }
    if output.queryability != Queryability::DeliverableOnly {
        return Err(Code::NotQueryable);
    }
    Ok(ResolvedQuery {
        operands,
        output: query.output.clone(),
        combined_privacy_class: class.max(output.privacy_class),
        minimum_result_cardinality: privacy.minimum_result_cardinality,
        cap: query.cap,
        selection: privacy.selection,
        evaluated_at,
    })
}

/// Binds the operands of one task, and watches what they read together.
pub(super) struct Resolver<'a> {
    semantics: &'a Semantics,
    evaluated_at: OrderedMillis,
    domains: BTreeSet<&'a str>,
    class: PrivacyClass,
    within_domain: bool,
}

impl<'a> Resolver<'a> {
    /// Time is measured from `evaluated_at`.
    pub(super) fn new(semantics: &'a Semantics, evaluated_at: OrderedMillis) -> Self {
        let (domains, class) = (BTreeSet::new(), PrivacyClass::Public);
        Self { semantics, evaluated_at, domains, class, within_domain: false }
    }

    /// Binds operands. **Errors**: `ADM-0008`, `ADM-0010`, `ADM-0001`.
    pub(super) fn operands(&mut self, operands: &[Operand]) -> Result<Vec<ResolvedOperand>, Code> {
        operands.iter().map(|operand| self.operand(operand)).collect()
    }

    fn operand(&mut self, operand: &Operand) -> Result<ResolvedOperand, Code> {
        let rule = self.semantics.rules.get(&operand.rule).ok_or(Code::AttributeUnknown)?;
        let attribute = self.active(&rule.attribute, matches!(rule.kind, RuleKind::Threshold))?;
        self.within_domain |= matches!(rule.cross_domain_policy, CrossDomainPolicy::Denied);
        Ok(ResolvedOperand {
            rule: operand.rule.clone(),
            attribute: rule.attribute.clone(),
            predicate: bind(rule, attribute, operand, self.evaluated_at)?,
        })
    }

    /// Takes an attribute that is only read in a form that coarsens it. **Errors**: `ADM-0008` for one that is not
    /// active or of another type, `ADM-0010` for one that no task may read.
    pub(super) fn attribute(&mut self, name: &AttributeName, value: ValueType) -> Result<(), Code> {
        let attribute = self.active(name, true)?;
        if attribute.value == value { Ok(()) } else { Err(Code::AttributeUnknown) }
    }

    /// The highest class of what was read. **Errors**: `ADM-0009` across domains.
    pub(super) fn finish(self) -> Result<PrivacyClass, Code> {
        if self.domains.len() > 1 && self.within_domain { Err(Code::CrossDomain) } else { Ok(self.class) }
    }

    fn active(&mut self, name: &AttributeName, derived: bool) -> Result<&'a Attribute, Code> {
        let attribute = self.semantics.attributes.get(name).ok_or(Code::AttributeUnknown)?;
        if attribute.lifecycle != AttributeLifecycle::Active {
            return Err(Code::AttributeUnknown);
        }
        let queryable = match attribute.queryability {
            Queryability::DirectlyQueryable => true,
            Queryability::DerivedOnly => derived,
            Queryability::DeliverableOnly | Queryability::LocalOnly => false,
        };
        if !queryable {
            return Err(Code::NotQueryable);
        }
        self.domains.insert(attribute.domain.as_str());
        self.class = self.class.max(attribute.privacy_class);
        Ok(attribute)
    }
}

fn bind(
    rule: &Rule,
    attribute: &Attribute,
    operand: &Operand,
    evaluated_at: OrderedMillis,
) -> Result<Predicate, Code> {
    match (rule.kind, attribute.value, &operand.argument) {
        (RuleKind::Equality, ValueType::Text, Argument::Text(text)) => {
            Ok(Predicate::TextEquals(normalise(text)))
        }
        (RuleKind::SetMembership, ValueType::Text, Argument::Texts(texts)) => {
            let texts: BTreeSet<_> = texts.iter().map(|text| normalise(text)).collect();
            Ok(Predicate::TextIn(texts.into_iter().collect()))
        }
        (RuleKind::Threshold, ValueType::Time, Argument::Days(days)) => Ok(Predicate::Between {
            since: RecordMillis(evaluated_at.minus(u64::from(*days) * DAY_MS).0),
            until: RecordMillis(evaluated_at.0),
        }),
        (RuleKind::Threshold, ValueType::Cents, Argument::AtLeast(bound)) => Ok(Predicate::AtLeast(*bound)),
        (RuleKind::Equality | RuleKind::SetMembership | RuleKind::Threshold, _, _) => Err(Code::Malformed),
    }
}
