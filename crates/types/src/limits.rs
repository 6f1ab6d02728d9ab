//! Ceilings on everything that an outsider can grow. A value over its limit is refused at the edge.

/// Characters in a name.
pub const NAME_LEN_MAX: usize = 64;
/// Characters in a free text of a record, such as a merchant or a city.
pub const TEXT_LEN_MAX: usize = 256;
/// Attributes of one version of meaning.
pub const ATTRIBUTES_MAX: usize = 256;
/// Derivation rules of one version of meaning.
pub const RULES_MAX: usize = 1_024;
/// Domains of one version of meaning.
pub const DOMAINS_MAX: usize = 64;
/// Domains above a domain.
pub const DOMAIN_DEPTH_MAX: usize = 8;
/// Versions of meaning that a network ever has.
pub const MEANINGS_MAX: usize = 256;
/// Names in one report of a Vault's candidates for attributes.
pub const CANDIDATES_PER_REPORT_MAX: usize = 64;
/// Columns of one record that no governed attribute is for.
pub const LOCAL_COLUMNS_MAX: usize = 32;
/// Vaults that one task may ask.
pub const VAULTS_PER_TASK_MAX: usize = 64;
/// Vaults of a network, those that were left or are suspended among them.
pub const VAULTS_MAX: usize = 1_024;
/// Operands of one composition.
pub const OPERANDS_MAX: usize = 16;
/// Values of one set-membership test.
pub const SET_VALUES_MAX: usize = 256;
/// Tasks a master holds that are not yet terminal.
pub const OPEN_TASKS_MAX: usize = 10_000;
/// Bytes of one ordered command.
pub const COMMAND_BYTES_MAX: usize = 1 << 20;
/// Bytes of one JSON request body at the gateway.
pub const JSON_BODY_BYTES_MAX: usize = 64 << 10;
/// Nesting of one JSON request body.
pub const JSON_DEPTH_MAX: usize = 16;
/// Bytes of one bulk upload.
pub const UPLOAD_BYTES_MAX: usize = 256 << 20;
/// Bytes of one line of a JSON-lines upload.
pub const UPLOAD_LINE_BYTES_MAX: usize = 16 << 10;
/// Bytes of one receipt document.
pub const DOCUMENT_BYTES_MAX: usize = 16 << 20;
/// Receipt documents of one upload request.
pub const DOCUMENTS_PER_UPLOAD_MAX: usize = 32;
/// Receipt documents that one person ever leaves a trace of, erased ones among them.
pub const DOCUMENTS_PER_PERSON_MAX: u32 = 100_000;
/// Bytes of one sealed chunk on its way to a Vault.
pub const CHUNK_BYTES_MAX: usize = 2 << 20;
/// Bytes of one sealed slice bundle or aggregate, and so of one message between nodes.
pub const SEALED_BYTES_MAX: usize = 64 << 20;
/// Bytes of one attestation report.
pub const REPORT_BYTES_MAX: usize = 16 << 10;
/// Subjects of one Vault: indices are `u32`, sets are bitmaps.
pub const SUBJECTS_PER_VAULT_MAX: u32 = 16_000_000;
/// Producers paid by one dividend tree.
pub const PAYEES_PER_TREE_MAX: usize = 16_000_000;
/// Entries of one payout batch.
pub const PAYOUT_ENTRIES_MAX: usize = 10_000;
/// Keys that endorse one document.
pub const ENDORSEMENTS_MAX: usize = 16;
/// Filings against one task: each stops its time for a review.
pub const FILINGS_PER_TASK_MAX: u32 = 4;
/// Characters of the grounds of a filing.
pub const GROUNDS_CHARS_MAX: usize = 1_000;
/// Exhibits of a filing.
pub const EXHIBITS_MAX: usize = 16;
/// Members of the council.
pub const COUNCIL_MAX: usize = 16;
/// Bytes of one signed proposal.
pub const PROPOSAL_BYTES_MAX: usize = 40 << 10;
/// Bytes of one module, which its proposal carries.
pub const MODULE_BYTES_MAX: usize = 32 << 10;
/// Modules that are approved at once, with revoked ones.
pub const MODULES_MAX: usize = 256;
/// Bytes of the rules for trusted hardware, with roots of development in them.
pub const HARDWARE_RULES_BYTES_MAX: usize = 12 << 10;
/// Proposals that are open or accepted at once, whatever a policy says.
pub const PROPOSALS_OPEN_MAX: usize = 64;
/// Closed proposals that are kept beside the log.
pub const PROPOSALS_CLOSED_MAX: usize = 256;
/// Versions of the policy.
pub const POLICIES_MAX: usize = 256;
/// Entries of the governance log.
pub const GOVERNANCE_LOG_MAX: usize = 4_096;
/// Adjustment records that one epoch may have.
pub const ADJUSTMENTS_PER_EPOCH_MAX: usize = 256;
/// Characters of what one side of a drift says.
pub const DRIFT_WORD_CHARS_MAX: usize = 600;
/// Entries of one page of a Vault's budget ledger, or of adjustment records.
pub const LEDGER_PAGE_MAX: usize = 256;
/// Entries of one page of what a Vault shows one person of its budget ledger: about a kibibyte each.
pub const PROVEN_ENTRIES_MAX: usize = 1_000;
