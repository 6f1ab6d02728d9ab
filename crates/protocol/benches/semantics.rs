//! What a task's names mean, resolved in the largest vocabulary that governance admits: as many attributes, rules and operands as the
//! limits allow, beside looking the same names up and doing nothing else (R018, R046-R050).

use std::hint::black_box;

use symphony_protocol::admission::semantics::resolve;
use symphony_protocol::artifact::selection::Selection;
use symphony_protocol::artifact::{Argument, AudienceQuery, Operand};
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::meaning::Meanings;
use symphony_protocol::governance::semantics::Semantics;
use symphony_types::id::{AttributeName, RuleName};
use symphony_types::limits::{ATTRIBUTES_MAX, OPERANDS_MAX, RULES_MAX};

use crate::pairs::{compare, per_unit, print};
use crate::stage::{START, attribute, governance, operand};

#[path = "../../compute/benches/pairs/mod.rs"]
mod pairs;
#[allow(dead_code, clippy::unwrap_used)]
#[path = "../tests/it/stage.rs"]
mod stage;

fn main() {
    let governance = largest();
    let semantics = governance.semantics_at(START);
    let (attributes, rules) = (semantics.attributes.len(), semantics.rules.len());
    assert_eq!((attributes, rules), (ATTRIBUTES_MAX, RULES_MAX));
    // The output is one of the attributes that a query reads.
    let names: Vec<RuleName> = (0..OPERANDS_MAX - 1).map(|number| rule(number * 60)).collect();
    let operands: Vec<Operand> =
        names.iter().map(|name| operand(name.as_str(), Argument::Text(" Luckin  COFFEE ".into()))).collect();
    let query = AudienceQuery {
        who: Selection::Record(operands),
        output: attribute("identity.contact_handle"),
        cap: 5_000,
        rank_by: None,
        evaluate_at: None,
    };
    resolve(&governance, &query, START).expect("the query is within the limits");
    let resolved =
        || per_unit(TASKS, || (0..TASKS).for_each(|_| drop(black_box(resolve(&governance, &query, START)))));
    let looked_up = || {
        per_unit(TASKS, || {
            (0..TASKS).for_each(|_| {
                for name in &names {
                    black_box(
                        semantics.rules.get(name).and_then(|rule| semantics.attributes.get(&rule.attribute)),
                    );
                }
            });
        })
    };
    let row = compare(("resolved", resolved), ("names looked up", looked_up), PAIRS);
    print(
        &format!("semantics: {} operands among {rules} rules over {attributes} attributes", names.len()),
        "task",
        &[row],
    );
}

/// A vocabulary up to its limits, of copies of one attribute and its rule.
fn largest() -> Governance {
    let mut governance = governance();
    let mut semantics: Semantics = governance.semantics_at(START).clone();
    let brand = semantics.attributes[&attribute("commerce.brand")].clone();
    let equality = semantics.rules[&RuleName::new("commerce.brand_purchase").expect("a name")].clone();
    for number in 0..ATTRIBUTES_MAX - semantics.attributes.len() {
        semantics.attributes.insert(copy(number), brand.clone());
    }
    let copies = ATTRIBUTES_MAX / 2;
    for number in 0..RULES_MAX - semantics.rules.len() {
        let mut next = equality.clone();
        next.attribute = copy(number % copies);
        semantics.rules.insert(rule(number), next);
    }
    assert_eq!(semantics.check(), Ok(()));
    governance.meanings = Meanings::new(semantics);
    governance
}

fn copy(number: usize) -> AttributeName {
    attribute(&format!("commerce.brand_{number}"))
}

fn rule(number: usize) -> RuleName {
    RuleName::new(&format!("commerce.brand_is_{number}")).expect("a name")
}

const TASKS: usize = 2_000;
const PAIRS: usize = 9;
