//! A replica and its guard: what it had signed before this host restarted, and the keys that come and go
//! (R198, R205).

use std::sync::Arc;

use super::super::committee::{Committee, Rotation, Step};
use super::super::guard::VoteGuard;
use super::super::message::{Message, Vote};
use super::{Effect, Moment, Replica, Staged, stage};
use crate::machine::Machine;

impl<M: Machine> Replica<M> {
    /// Shows again what the guard signed at this height before this host restarted.
    pub(super) fn show_memory(
        &mut self,
        guard: &mut dyn VoteGuard,
        now: Moment,
        effects: &mut Vec<Effect<M>>,
    ) {
        let messages = self.remembered();
        for message in &messages {
            let outputs = match message {
                Message::Vote(vote) => self.core.vote(*vote, guard, now.elapsed),
                Message::Polka(polka) => self.core.polka(polka, guard, now.elapsed),
                _ => continue,
            };
            self.act(outputs, guard, now, effects);
        }
        effects.extend(messages.into_iter().map(Effect::Broadcast));
    }

    /// What the guard signed at this height before this host restarted, with the polkas of what it may be locked on.
    pub(super) fn remembered(&self) -> Vec<Message> {
        let (seat, height) = (self.seat, self.height + 1);
        if self.memory.height != height {
            return Vec::new();
        }
        let here = self.kept.iter().filter(|kept| kept.polka.height == height);
        let polkas = here.map(|kept| Message::Polka(kept.polka.clone()));
        let votes = self.memory.signed.iter().filter(|(_, step, ..)| *step != Step::Propose);
        let votes = votes.map(|(round, step, block, signature)| {
            let (round, step, block, signature) = (*round, *step, *block, *signature);
            Message::Vote(Vote { seat, height, round, step, block, signature })
        });
        polkas.chain(votes).collect()
    }

    /// The committee of the next height.
    pub(super) fn seat_committee(&mut self, committee: &Committee, guard: &mut dyn VoteGuard) {
        if *self.committee != *committee {
            self.rotated += 1;
            self.committee = Arc::new(committee.clone());
            if let Err(refusal) = guard.install(&self.committee) {
                tracing::error!(%refusal, "the guard does not take the new committee");
            }
            let committee = Arc::clone(&self.committee);
            self.rotations.retain(|rotation| committee.admits(rotation));
        }
    }

    /// The block on which the guard locked before this host restarted: it votes for no other without a polka.
    pub(super) fn locked(&self) -> Option<Staged<M>> {
        let here = self.kept.iter().filter(|kept| kept.polka.height == self.height + 1);
        let kept = here.max_by_key(|kept| kept.polka.round)?;
        stage(&self.chain, &self.committee, self.height, &kept.block).ok()
    }

    /// A guard that withheld something may have been restarted with another key.
    pub(super) fn look_at_guard(&mut self, guard: &mut dyn VoteGuard) {
        let refusals = self.core.counts().refusals;
        if refusals == self.refusals {
            return;
        }
        self.refusals = refusals;
        match guard.identity() {
            Ok(identity) => self.identity = identity,
            Err(refusal) => return tracing::warn!(%refusal, "the guard is not there"),
        }
        if let Err(refusal) = guard.install(&self.committee) {
            tracing::error!(%refusal, "the guard does not take the committee");
        }
    }

    /// Says where this replica stands, and asks for its seat if its guard has a new key.
    pub(super) fn say_status(&mut self, effects: &mut Vec<Effect<M>>) {
        if self.core.running() {
            // The first showing may have been lost, and the engine repeats only what it had signed itself.
            effects.extend(self.remembered().into_iter().map(Effect::Broadcast));
        }
        effects.push(Effect::Broadcast(Message::Status { height: self.height }));
        if let (false, Some(boot)) = (self.votes(), &self.identity.boot) {
            let rotation = Rotation { seat: self.seat, boot: boot.clone() };
            effects.push(Effect::Broadcast(Message::Rotate(rotation)));
        }
    }
}
