//! Who calls whom in a module: without a circle, and never so deep that one engine's stack would end and the other's not.

use std::collections::{BTreeMap, BTreeSet};

/// Functions, the values that a call of each holds, and the functions that each calls.
#[derive(Default)]
pub(crate) struct Calls {
    functions: BTreeMap<u32, u64>,
    edges: BTreeMap<u32, BTreeSet<u32>>,
}

impl Calls {
    /// A function holds so many values while it runs.
    pub(crate) fn function(&mut self, index: u32, values: u32) {
        self.functions.insert(index, u64::from(values) + CALL_VALUES);
    }

    /// One function calls another.
    pub(crate) fn call(&mut self, from: u32, to: u32) {
        self.edges.entry(from).or_default().insert(to);
    }

    /// Whether no function reaches itself and no chain of calls holds more than so many values.
    pub(crate) fn fit(&self, values_max: u64) -> bool {
        // Functions whose callees are all known get their depth, until none is left; a circle never gets one.
        let mut waits: BTreeMap<u32, usize> = BTreeMap::new();
        let mut callers: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for function in self.functions.keys() {
            let callees = self.edges.get(function);
            waits.insert(*function, callees.map_or(0, BTreeSet::len));
            for callee in callees.into_iter().flatten() {
                callers.entry(*callee).or_default().push(*function);
            }
        }
        let mut ready: Vec<u32> =
            waits.iter().filter(|(_, count)| **count == 0).map(|(index, _)| *index).collect();
        let mut depths = self.functions.clone();
        let mut done = 0;
        while let Some(function) = ready.pop() {
            done += 1;
            let depth = depths.get(&function).copied().unwrap_or(u64::MAX);
            if depth > values_max {
                return false;
            }
            for caller in callers.get(&function).into_iter().flatten() {
                let own = self.functions.get(caller).copied().unwrap_or(0);
                if let Some(known) = depths.get_mut(caller) {
                    *known = (*known).max(own + depth);
                }
                if let Some(count) = waits.get_mut(caller) {
                    *count -= 1;
                    if *count == 0 {
                        ready.push(*caller);
                    }
                }
            }
        }
        done == self.functions.len()
    }
}

/// What a call itself takes.
const CALL_VALUES: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(edges: &[(u32, u32)]) -> Calls {
        let mut calls = Calls::default();
        for index in 0..4 {
            calls.function(index, 10);
        }
        for (from, to) in edges {
            calls.call(*from, *to);
        }
        calls
    }

    #[test]
    fn a_circle_never_fits() {
        assert!(calls(&[]).fit(26));
        assert!(!calls(&[(0, 1), (1, 2), (2, 0)]).fit(1 << 20));
        assert!(!calls(&[(3, 3)]).fit(1 << 20));
    }

    #[test]
    fn the_longest_chain_counts() {
        let chain = calls(&[(0, 1), (0, 3), (1, 2), (2, 3)]);
        assert!(chain.fit(4 * 26));
        assert!(!chain.fit(4 * 26 - 1));
    }
}
