//! What a query means under the active semantic version (R018, R046-R050): every operand becomes a bound
//! comparison on a canonical attribute, or admission stops.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use symphony_types::catalogue::Code;
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
    let mut operands = Vec::with_capacity(query.operands.len());
    let mut domains = BTreeSet::new();
    let mut class = PrivacyClass::Public;
    for operand in &query.operands {
        let rule = semantics.rules.get(&operand.rule).ok_or(Code::AttributeUnknown)?;
        let attribute = active(semantics, rule)?;
        domains.insert(attribute.domain.as_str());
        class = class.max(attribute.privacy_class);
        operands.push(ResolvedOperand {
            rule: operand.rule.clone(),
            attribute: rule.attribute.clone(),
            predicate: bind(rule, attribute, operand, evaluated_at)?,
        });
    }
    if domains.len() > 1 && query.operands.iter().any(|operand| denied(semantics, operand)) {
        return Err(Code::CrossDomain);
    }
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

fn active<'a>(semantics: &'a Semantics, rule: &Rule) -> Result<&'a Attribute, Code> {
    let attribute = semantics.attributes.get(&rule.attribute).ok_or(Code::AttributeUnknown)?;
    if attribute.lifecycle != AttributeLifecycle::Active {
        return Err(Code::AttributeUnknown);
    }
    let queryable = match attribute.queryability {
        Queryability::DirectlyQueryable => true,
        Queryability::DerivedOnly => matches!(rule.kind, RuleKind::Threshold),
        Queryability::DeliverableOnly | Queryability::LocalOnly => false,
    };
    if queryable { Ok(attribute) } else { Err(Code::NotQueryable) }
}

fn denied(semantics: &Semantics, operand: &Operand) -> bool {
    semantics
        .rules
        .get(&operand.rule)
        .is_some_and(|rule| matches!(rule.cross_domain_policy, CrossDomainPolicy::Denied))
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
