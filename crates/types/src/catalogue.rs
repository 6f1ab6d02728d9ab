//! The catalogue of refusals: one code each, never reused, with what a caller may do about it (R210).
//!
//! The code is the `type` of a problem response, the detail of a gRPC status, and the label in logs and
//! metrics.

use core::fmt;

use serde::{Deserialize, Serialize};

/// gRPC status codes that the catalogue maps to, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Grpc {
    /// 3
    InvalidArgument = 3,
    /// 4
    DeadlineExceeded = 4,
    /// 5
    NotFound = 5,
    /// 6
    AlreadyExists = 6,
    /// 7
    PermissionDenied = 7,
    /// 8
    ResourceExhausted = 8,
    /// 9
    FailedPrecondition = 9,
    /// 13
    Internal = 13,
    /// 14
    Unavailable = 14,
    /// 16
    Unauthenticated = 16,
}

macro_rules! catalogue {
    ($($variant:ident $code:literal $http:literal $grpc:ident $retry:literal $title:literal;)*) => {
        /// A catalogued refusal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {$(
            #[doc = concat!("`", $code, "`: ", $title, ".")]
            $variant,
        )*}

        impl Code {
            /// Every code, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code's text, such as `ADM-0006`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// One line that says what is wrong.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),* }
            }

            /// The HTTP status of the refusal.
            pub const fn http(self) -> u16 {
                match self { $(Self::$variant => $http),* }
            }

            /// The gRPC status of the refusal.
            pub const fn grpc(self) -> Grpc {
                match self { $(Self::$variant => Grpc::$grpc),* }
            }

            /// Whether the same request may succeed later without a change.
            pub const fn retry(self) -> bool {
                match self { $(Self::$variant => $retry),* }
            }
        }
    };
}

catalogue! {
    Malformed "ADM-0001" 400 InvalidArgument false "the request is malformed";
    Unauthenticated "ADM-0002" 401 Unauthenticated false "the caller's identity is not proven";
    Forbidden "ADM-0003" 403 PermissionDenied false "the caller may not do this";
    NotFound "ADM-0004" 404 NotFound false "there is no such thing, or it is not the caller's";
    IdempotencyConflict "ADM-0005" 409 AlreadyExists false "the request id was used for another request";
    EscrowMissing "ADM-0006" 402 FailedPrecondition false "there is no confirmed escrow lock";
    EscrowTooSmall "ADM-0007" 402 FailedPrecondition false "the escrow lock is below the quote";
    AttributeUnknown "ADM-0008" 422 InvalidArgument false "an attribute or rule is not active";
    CrossDomain "ADM-0009" 422 FailedPrecondition false "a rule does not allow use across domains";
    NotQueryable "ADM-0010" 422 FailedPrecondition false "an attribute cannot be queried at this resolution";
    ScopeUnknown "ADM-0011" 422 InvalidArgument false "the usage scope is not in the policy";
    VaultUnknown "ADM-0012" 422 InvalidArgument false "a vault is not approved";
    QuorumInvalid "ADM-0013" 422 InvalidArgument false "the vault quorum is out of range";
    CapExceeded "ADM-0014" 422 InvalidArgument false "the audience cap is below the policy's minimum of people, or above its maximum";
    QuorumNotPrepared "ADM-0015" 503 Unavailable true "too few vaults are prepared for the task";
    ClassUnknown "ADM-0016" 422 InvalidArgument false "the task class is not parse, query, compute or train";
    BodyTooLarge "ADM-0017" 413 ResourceExhausted false "the request body is too large";
    RateLimited "ADM-0018" 429 ResourceExhausted true "too many requests";
    PlatformRefused "ADM-0019" 422 FailedPrecondition false "the policy does not admit this class of enclave";
    TooManyTasks "ADM-0020" 503 ResourceExhausted true "too many tasks are open";
    UnsupportedMedia "ADM-0021" 415 InvalidArgument false "the media type is not supported";
    EscrowMismatch "ADM-0022" 402 FailedPrecondition false "the escrow lock belongs to another request or account";
    StakeInsufficient "ADM-0023" 403 FailedPrecondition false "the actor's stake is below the policy's minimum";
    MethodNotAllowed "ADM-0024" 405 InvalidArgument false "the method is not allowed here";
    TooManyDocuments "ADM-0025" 413 ResourceExhausted false "there are too many documents in one request";
    SubsidyUsedUp "ADM-0026" 429 ResourceExhausted true "the vault has no subsidised task left in this epoch";
    SettingOutOfRange "ADM-0027" 422 InvalidArgument false "a setting of the task is out of its limits";
    ScopeUnsuited "ADM-0028" 422 FailedPrecondition false "the usage scope is not for this class of task";
    BudgetTooSmall "ADM-0029" 422 FailedPrecondition false "the privacy budget of a person does not allow so many rounds";
    ModuleUnknown "ADM-0030" 422 InvalidArgument false "there is no such approved module";
    QuorumBroken "EXE-0001" 409 FailedPrecondition true "fewer vaults answered than the quorum";
    BelowCardinality "EXE-0002" 200 FailedPrecondition false "the result is below the minimum cardinality and is suppressed";
    AttestationMissing "EXE-0003" 409 FailedPrecondition false "an attestation report is missing";
    AttestationFailed "EXE-0004" 409 FailedPrecondition false "an attestation report does not verify";
    StageTimeout "EXE-0005" 504 DeadlineExceeded true "a stage of the task took too long";
    EnvelopeInvalid "EXE-0006" 409 FailedPrecondition false "the assignment does not carry a valid envelope";
    IllegalTransition "EXE-0007" 409 FailedPrecondition false "the task is not in a state that allows this";
    ResultNotReady "EXE-0008" 409 FailedPrecondition true "the result is not settled yet";
    AggregationFailed "EXE-0009" 409 FailedPrecondition true "the aggregator could not combine the slices";
    BelowThreshold "EXE-0010" 200 FailedPrecondition false "the model is not as good as the task asked and is withheld";
    UpdateInvalid "EXE-0011" 409 FailedPrecondition false "a vault's update is of the wrong shape, out of bounds or not finite";
    ModuleStopped "EXE-0012" 409 FailedPrecondition false "the module does not run within its declaration and the task's limits";
    ResultRejected "SET-0001" 409 FailedPrecondition false "the verifier rejected the result";
    PayoutFailed "SET-0002" 503 Unavailable true "the payout batch was not accepted by the chain";
    InsufficientFunds "SET-0003" 402 FailedPrecondition false "the account's balance is too small";
    TransactionReplayed "SET-0004" 409 AlreadyExists false "the transaction's sequence number was used";
    LockUnknown "SET-0005" 404 NotFound false "there is no such escrow lock";
    ClaimInvalid "SET-0006" 422 InvalidArgument false "the dividend claim does not verify";
    AlreadyClaimed "SET-0007" 409 AlreadyExists false "the dividend was claimed before";
    BatchConflict "SET-0008" 409 AlreadyExists false "the batch id was used for another batch";
    NotChallengeable "SET-0009" 409 FailedPrecondition false "the task cannot be challenged now";
    NothingNew "SET-0010" 409 FailedPrecondition false "the challenge shows nothing new";
    ChallengeLimit "SET-0011" 409 FailedPrecondition false "the task has been challenged too often";
    ChallengeConfirmed "SET-0012" 409 FailedPrecondition false "a challenge of the result was confirmed";
    ReplayDiffers "SET-0013" 409 FailedPrecondition false "computed again, a round has another outcome";
    ReviewTimeout "SET-0014" 409 FailedPrecondition true "the masters came to no finding on a challenge in time";
    BondMissing "SET-0015" 402 FailedPrecondition false "no bond is locked for the challenge";
    BondUnfit "SET-0016" 402 FailedPrecondition false "the bond is of another amount, ends too soon, or belongs to another challenge or account";
    OwnChallenge "SET-0017" 403 PermissionDenied false "nobody challenges what would be held against itself";
    EvidenceMismatch "SET-0018" 409 FailedPrecondition false "what the challenge disputes does not hash to what the task has";
    RecordInvalid "VLT-0001" 422 InvalidArgument false "a record does not fit the governed schema";
    SubjectUnknown "VLT-0002" 404 NotFound false "the vault does not hold this person";
    ReservationUnknown "VLT-0003" 409 FailedPrecondition false "there is no such reservation";
    ReservationExpired "VLT-0004" 409 FailedPrecondition false "the reservation's deadline has passed";
    VaultUnavailable "VLT-0005" 503 Unavailable true "the vault does not answer";
    ConsentInvalid "VLT-0006" 422 InvalidArgument false "the consent statement is not valid";
    SealInvalid "VLT-0007" 400 InvalidArgument false "a sealed message does not open";
    VaultFull "VLT-0008" 507 ResourceExhausted false "the vault's quota is used up";
    DocumentUnknown "VLT-0009" 415 InvalidArgument false "the document is not a JPEG, a PNG or a PDF";
    DocumentEmpty "VLT-0010" 422 InvalidArgument false "the document is empty";
    DocumentQuota "VLT-0011" 507 ResourceExhausted false "the person's quota of documents is used up";
    DocumentErased "VLT-0012" 410 FailedPrecondition false "the document is erased";
    NotAReceipt "VLT-0013" 422 InvalidArgument false "the document is no receipt";
    DocumentUnreadable "VLT-0014" 422 InvalidArgument false "the document cannot be read";
    ReceiptKnown "VLT-0015" 409 AlreadyExists false "the receipt was read before";
    StandbyMissing "VLT-0016" 409 FailedPrecondition false "the vault's node has no standby to take a backup into";
    StandbyUnavailable "VLT-0017" 507 ResourceExhausted true "the vault's standby is full or gone; nothing is taken until there is room";
    VaultMoving "VLT-0018" 409 FailedPrecondition false "what the vault keeps moves to another vault, or has moved there";
    MoveWaits "VLT-0019" 409 FailedPrecondition true "the move waits, or the person is on its way to another vault";
    MoveConflict "VLT-0020" 409 FailedPrecondition true "the step does not fit where the move is";
    SegmentsUnavailable "VLT-0021" 503 Unavailable true "the store of the vault's segments does not answer; what is kept stays kept";
    VaultSuspended "VLT-0022" 409 FailedPrecondition false "the vault is suspended: it keeps what it has, and serves it to nobody but the people that it is of";
    VaultLeaving "VLT-0023" 409 FailedPrecondition false "the vault leaves the network: nothing new is given to it";
    VaultUnstaked "VLT-0024" 409 FailedPrecondition false "the vault's operator has less stake than the policy asks for: nothing new is given to it until it has more";
    PolicyUnknown "GOV-0001" 422 InvalidArgument false "there is no such version of the policy or of meaning";
    EpochOpen "GOV-0002" 409 FailedPrecondition true "the epoch is still open";
    Unavailable "GOV-0003" 503 Unavailable true "the service is not available";
    Internal "GOV-0004" 500 Internal false "an internal fault; the node's log has the details";
    Undecided "GOV-0005" 503 Unavailable true "the masters do not agree yet";
    ProtocolUnknown "GOV-0006" 409 FailedPrecondition false "the network's protocol version is not one that this program speaks";
    DiskFull "GOV-0007" 507 ResourceExhausted true "the node's disk is full; it stops, and goes on once there is room";
    ProposalUnknown "GOV-0008" 404 NotFound false "there is no such proposal";
    ProposalClosed "GOV-0009" 409 FailedPrecondition false "the proposal takes no more votes";
    ProposalConflict "GOV-0010" 409 AlreadyExists false "the member used this number or vote for something else";
    ProposalLimit "GOV-0011" 429 ResourceExhausted true "too many proposals are open";
    ChangeUnfit "GOV-0012" 409 FailedPrecondition false "the change does not fit what governs";
    CodeInactive "GOV-0013" 409 FailedPrecondition false "no enclave code that may serve the task is active";
    GovernanceBehind "GOV-0014" 503 Unavailable true "the order and the node know different states of governance";
    GovernanceForged "GOV-0015" 409 FailedPrecondition false "the governance log does not verify";
    ModuleRefused "GOV-0016" 422 InvalidArgument false "the module is not one that an enclave may load";
    MoveUnfit "GOV-0017" 409 FailedPrecondition false "these vaults cannot take part in a move";
    PolicyUnsound "GOV-0018" 422 InvalidArgument false "the policy is not sound: a share leaves its band, or a rate, length or limit is out of range";
    VersionPending "GOV-0019" 409 FailedPrecondition false "another version waits for its epoch";
    PolicyStrands "GOV-0020" 422 InvalidArgument false "the policy would put money out of reach that is locked or earned";
    MeaningUnsound "GOV-0021" 422 InvalidArgument false "the meaning is not sound: something is named that is not there, domains go round in a circle, or there is too much of something";
    MeaningUnfit "GOV-0022" 409 FailedPrecondition false "the meaning does not follow the last version: an attribute is gone, has another type or takes a step that there is not, or a change is not named as one";
    CandidatesClosed "GOV-0023" 409 FailedPrecondition false "candidates of this epoch are not taken: it is over for too long, or its policy pools none";
    NodesUnstaked "GOV-0024" 503 Unavailable true "the network's own nodes have less stake than the policy asks for: nothing new is admitted until they have more";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Finds a code by its text.
pub fn by_str(text: &str) -> Option<Code> {
    Code::ALL.iter().copied().find(|code| code.as_str() == text)
}
