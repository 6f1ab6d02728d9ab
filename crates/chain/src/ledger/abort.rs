//! Why the ledger refuses a transaction. An abort changes nothing, not even the sender's sequence number.

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;

macro_rules! aborts {
    ($($variant:ident $code:ident $message:literal;)*) => {
        /// A refused transaction.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
        pub enum Abort {$(
            #[doc = concat!($message, ".")]
            #[error($message)]
            $variant,
        )*}

        impl Abort {
            /// Every abort, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The refusal's code in the catalogue.
            pub const fn code(self) -> Code {
                match self { $(Self::$variant => Code::$code),* }
            }
        }
    };
}

aborts! {
    WrongChain Malformed "the transaction is meant for another chain";
    SignatureInvalid Unauthenticated "the transaction is not signed by its sender";
    Expired Malformed "the transaction has expired";
    ExpiryTooFar Malformed "the transaction expires too far in the future";
    SequenceUsed TransactionReplayed "the sequence number was used by another transaction";
    SequenceAhead Malformed "transactions before this sequence number are missing";
    NotAuthorized Forbidden "the sender does not have the role for this call";
    AmountZero Malformed "the amount is zero";
    BalanceTooSmall InsufficientFunds "the sender's balance is too small";
    LockTooShort Malformed "the lock would expire too early";
    RequestLocked IdempotencyConflict "the sender holds another open lock for this request";
    LockUnknown LockUnknown "there is no such lock";
    LockForeign EscrowMismatch "the lock belongs to another account";
    LockClosed EscrowMissing "the lock was settled or taken back before";
    LockRunning Forbidden "the lock has not expired";
    StakeTooSmall StakeInsufficient "the stake would be below the tier's minimum";
    StakeMissing StakeInsufficient "there is not that much stake";
    CooldownRunning Forbidden "the stake has not cooled down";
    SlashRepeated IdempotencyConflict "the penalty was executed before";
    BatchTooLarge BodyTooLarge "the batch has too many entries";
    BatchConflict BatchConflict "the batch id was used for another batch";
    BatchUnbalanced Malformed "the batch does not pay exactly what it charges";
    SettlementUnbalanced Malformed "charge and refund are not the locked amount";
    EntryRepeated Malformed "the batch names a lock, task or vault twice";
    PayeeClassWrong Malformed "a payee has a class that is not paid directly";
    TaskSettled BatchConflict "the task was settled before";
    TreeInvalid Malformed "a dividend tree is empty or has a forbidden number of leaves";
    TreeExists BatchConflict "the vault has a dividend tree for this epoch";
    CarryTooSmall InsufficientFunds "the vault's carry is too small";
    AnchorExists BatchConflict "the task was anchored before";
    TreeUnknown NotFound "there is no such dividend tree";
    ClaimInvalid ClaimInvalid "the leaf is not in the dividend tree";
    AlreadyClaimed AlreadyClaimed "the dividend was claimed before";
    TreeOverdrawn ClaimInvalid "the dividend tree promises more than its total";
    ApprovalsMissing Forbidden "too few treasury signers approved";
    ApprovalInvalid Forbidden "an approval is not a treasury signer's or not for this release";
    ProposalUsed IdempotencyConflict "the proposal was executed before";
    TreasuryTooSmall InsufficientFunds "the treasury's balance is too small";
    SubsidyTooLarge InsufficientFunds "the incentives pool and the treasury do not cover the subsidies";
    ProposalUnknown Forbidden "no accepted proposal of that name is on the chain";
    ProposalMismatch Forbidden "the proposal allows something else";
    ProposalExists IdempotencyConflict "the result of the proposal was recorded before";
    VotesInvalid Malformed "there are more votes than voters, or no voters";
    EpochRunning Forbidden "the epoch is not over";
    ScheduleEnded Forbidden "the schedule of inflation has ended";
    NodesPaid IdempotencyConflict "nodes were paid for the epoch before";
    PoolTooSmall InsufficientFunds "the epoch pool's balance is too small";
}
