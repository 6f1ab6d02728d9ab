//! Rows of a Vault's people by subject index, in blocks that copies of the state share: whoever changes a few people copies their
//! blocks and a list of pointers, be there a reader of the state before or not (ADR 0057).

use alloc::sync::Arc;
use alloc::vec::Vec;

use symphony_types::subjects::SubjectIndex;

/// Blocks of [`BLOCK_PEOPLE`] people each; one that was never changed costs a pointer.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks<B> {
    blocks: Arc<Vec<Arc<B>>>,
}

impl<B: Clone + Default> Blocks<B> {
    /// The block at a place, if it or one behind it was ever changed.
    pub(super) fn get(&self, place: usize) -> Option<&B> {
        self.blocks.get(place).map(Arc::as_ref)
    }

    /// The block at a place, to be changed.
    pub(super) fn get_mut(&mut self, place: usize) -> &mut B {
        let blocks = Arc::make_mut(&mut self.blocks);
        if place >= blocks.len() {
            blocks.resize(place + 1, Arc::default());
        }
        Arc::make_mut(&mut blocks[place])
    }

    /// All blocks in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &B> {
        self.blocks.iter().map(Arc::as_ref)
    }
}

/// The block of a person and the place in it.
pub(super) const fn place(subject: SubjectIndex) -> (usize, usize) {
    let place = subject.0 as usize;
    (place / BLOCK_PEOPLE, place % BLOCK_PEOPLE)
}

/// Words of a set of subjects to a block.
pub(super) const BLOCK_WORDS: usize = 16;
/// People to a block.
pub(super) const BLOCK_PEOPLE: usize = 64 * BLOCK_WORDS;
