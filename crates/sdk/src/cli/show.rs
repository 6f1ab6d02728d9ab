//! How answers look on a terminal: JSON, or tables and lines; and the progress of a task.

use std::io::IsTerminal as _;

use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use symphony_protocol::artifact::module::Unit;
use symphony_protocol::artifact::statistic::StatisticResult;
use symphony_protocol::artifact::{AudienceResult, Outcome};
use symphony_protocol::lifecycle::TaskState;
use symphony_sdk::shape::{
    CandidateEntry, MasterHealth, Quote, RetentionEntry, Task, UploadReport, VaultEntry,
};
use symphony_sdk::submission::Step;
use symphony_sdk::verify::{Finality, Report};
use symphony_types::amount::{SYM_DECIMALS, SYM_UNIT, Sym};

use super::train;

/// Prints a value: as JSON, or as `human` writes it.
pub(super) fn print<T: Serialize>(json: bool, value: &T, human: impl FnOnce(&T) -> String) {
    let text = if json { serde_json::to_string_pretty(value).unwrap_or_default() } else { human(value) };
    println!("{text}");
}

/// A table of texts.
pub(super) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(head);
    for row in rows {
        table.add_row(row);
    }
    table.to_string()
}

/// An amount in SYM, exactly.
pub(super) fn sym(amount: Sym) -> String {
    let decimals = SYM_DECIMALS as usize;
    format!("{}.{:0decimals$}", amount.0 / SYM_UNIT, amount.0 % SYM_UNIT)
}

/// Privacy loss, exactly.
pub(super) fn epsilon(micro: u64) -> String {
    format!("{}.{:06}", micro / 1_000_000, micro % 1_000_000)
}

/// A fact in words.
pub(super) const fn yes(fact: bool) -> &'static str {
    if fact { "yes" } else { "no" }
}

/// The masters side by side; what an absent one would say is left out.
pub(super) fn masters(masters: &[MasterHealth]) -> String {
    let rows = masters.iter().map(|master| {
        let said = |text: &str| if master.reachable { text.to_owned() } else { String::new() };
        [
            master.node.clone(),
            yes(master.reachable).to_owned(),
            said(&master.height.to_string()),
            said(&master.head),
            said(yes(master.leader)),
            said(&master.guard_class),
            said(&master.guard_admission),
            said(&master.protocol_max.to_string()),
        ]
    });
    table(["master", "reachable", "height", "head", "leader", "guard", "admission", "speaks"], rows)
}

/// How the masters order: the counters of each since its start.
pub(super) fn ordering(masters: &[MasterHealth]) -> String {
    let rows = masters.iter().filter(|master| master.reachable).map(|master| {
        [
            master.node.clone(),
            yes(master.voting).to_owned(),
            master.block_height.to_string(),
            master.round.to_string(),
            master.block_ms.to_string(),
            master.lag.to_string(),
            master.view_changes.to_string(),
            master.nil_votes.to_string(),
            master.missed_votes.to_string(),
            master.guard_refusals.to_string(),
            master.rotations.to_string(),
            master.forged.to_string(),
            master.conflicts.to_string(),
            master.misunderstood.to_string(),
        ]
    });
    let head = [
        "master",
        "votes",
        "block",
        "round",
        "block ms",
        "lag",
        "view changes",
        "nil votes",
        "missed votes",
        "guard refusals",
        "rotations",
        "forged",
        "double votes",
        "misunderstood",
    ];
    table(head, rows)
}

/// The Vault of the caller's own data.
pub(super) fn assigned(vault: &VaultEntry) -> String {
    let rows = [
        ("vault", vault.vault_id.clone()),
        ("operator", vault.operator.clone()),
        ("reachable", yes(vault.reachable).to_owned()),
        ("status", vault.status.clone()),
    ];
    let meanwhile =
        (!vault.elsewhere.is_empty()).then(|| ("register meanwhile at", vault.elsewhere.clone())).into_iter();
    table(["", ""], rows.into_iter().chain(meanwhile).map(|(name, value)| [name.to_owned(), value]))
}

pub(super) fn quote(quote: &Quote) -> String {
    let coverage = quote.coverage.iter().map(|vault| {
        let reachable = yes(vault.reachable).to_owned();
        [vault.vault_id.clone(), format!("≥ {}", vault.consented_bucket), reachable]
    });
    let fee = quote.worst_case.iter().flat_map(|fee| {
        let parts = [
            ("base", fee.base),
            ("vaults", fee.vaults),
            ("records", fee.records),
            ("aggregation", fee.aggregation),
            ("fuel", fee.fuel),
            ("epsilon", fee.epsilon),
            ("worst case", fee.total),
        ];
        let (trains, computes) = (quote.rounds_possible > 0, quote.fuel_max > 0);
        let parts = parts.into_iter().filter(move |(name, _)| match *name {
            "aggregation" => trains,
            "fuel" => computes,
            _ => true,
        });
        parts.map(|(name, amount)| [name.to_owned(), sym(amount)])
    });
    let noised = epsilon(quote.noised_micro_epsilon);
    let loss = match quote.rounds_possible {
        0 if quote.fuel_max > 0 => format!("{noised} for the whole result; fuel {} a vault", quote.fuel_max),
        0 if quote.exposure_micro_epsilon == 0 => format!("{noised} for the whole result"),
        0 => format!("{} exposure, {noised} noised count", epsilon(quote.exposure_micro_epsilon)),
        rounds => format!("{noised} for all rounds; a whole budget allows {rounds}"),
    };
    let coverage = table(["vault", "consented", "reachable"], coverage);
    format!("{}\n{coverage}\nepsilon per person: {loss}", table(["fee", "SYM"], fee))
}

pub(super) fn task(task: &Task) -> String {
    let charged = task.charged.as_ref().map_or(Sym::ZERO, |fee| fee.total);
    let facts = [
        ("task", task.task_id.to_string()),
        ("request", task.request_id.clone()),
        ("class", task.task_class.clone()),
        ("state", task.state.clone()),
        ("code", task.code.clone()),
        ("returned", task.returned.to_string()),
        ("locked", sym(task.locked)),
        ("charged", sym(charged)),
        ("refunded", sym(task.refunded)),
        ("training", task.training.as_ref().map(train::line).unwrap_or_default()),
        (
            "environment",
            task.training.as_ref().map(|training| training.environment.clone()).unwrap_or_default(),
        ),
        ("model", task.training.as_ref().map(|training| training.model_digest.clone()).unwrap_or_default()),
        ("subsidy", if task.subsidy == Sym::ZERO { String::new() } else { sym(task.subsidy) }),
        ("platform", task.platform_class.clone()),
        ("settlement root", task.settlement_root.clone()),
        ("anchor", task.anchor.clone()),
        ("payout", task.payout.clone()),
        ("refund", task.refund.clone()),
    ];
    let facts = facts.into_iter().filter(|(_, value)| !value.is_empty());
    let mut text = table(["", ""], facts.map(|(name, value)| [name.to_owned(), value]));
    if let Some(training) = task.training.as_ref().filter(|training| !training.curve.is_empty()) {
        text = format!("{text}\n{}", train::table(&training.curve));
    }
    if !task.slices.is_empty() {
        let rows = task.slices.iter();
        let rows = rows.map(|slice| [slice.vault_id.clone(), slice.state.clone(), slice.code.clone()]);
        text = format!("{text}\n{}", table(["vault", "state", "code"], rows));
    }
    if !task.shares.is_empty() {
        let rows = task.shares.iter().map(|share| {
            let class = share.recipient_class.clone();
            [class, share.vault_id.clone(), share.recipient.clone(), sym(share.amount)]
        });
        text = format!("{text}\n{}", table(["share", "vault", "recipient", "SYM"], rows));
    }
    text
}

pub(super) fn upload(report: &UploadReport) -> String {
    let counts = [report.accepted, report.duplicates, report.refused_total].map(|count| count.to_string());
    let mut text = table(["accepted", "duplicates", "refused"], [counts]);
    if !report.refused.is_empty() {
        let rows = report.refused.iter();
        let rows = rows.map(|line| [line.line.to_string(), line.code.clone(), line.detail.clone()]);
        text = format!("{text}\n{}", table(["line", "code", "detail"], rows));
    }
    if !report.local.is_empty() {
        text = format!(
            "{text}\nkept, and read by no task, for want of a governed attribute: {}",
            report.local.join(", ")
        );
    }
    text
}

pub(super) fn candidates(candidates: &[CandidateEntry]) -> String {
    let rows = candidates.iter().map(|CandidateEntry { name, texts, numbers, times, people }| {
        [name.clone(), texts.to_string(), numbers.to_string(), times.to_string(), people.to_string()]
    });
    table(["column", "texts", "numbers", "times", "people"], rows)
}

pub(super) fn retention(retention: &RetentionEntry) -> String {
    let RetentionEntry { days, kept, ended, ended_ms, since_ms } = retention;
    let long = if *days == 0 { "for good".to_owned() } else { format!("for {days} days") };
    let mut text = format!("what comes in is kept {long}\n{kept} records are kept");
    if *since_ms != 0 {
        text = format!("{text}, the oldest since {since_ms} ms");
    }
    text = format!("{text}\n{ended} records have ended");
    if *ended_ms != 0 {
        text = format!("{text}, the last at {ended_ms} ms");
    }
    text
}

pub(super) fn report(report: &Report) -> String {
    let rows = report.checks.iter().map(|check| {
        let mark = if check.fault.is_none() { "✓" } else { "✗" };
        let says =
            check.fault.as_ref().map_or_else(|| check.proves.to_owned(), |fault| format!("FAILED: {fault}"));
        [mark.to_owned(), check.name.to_owned(), says]
    });
    let mut lines = vec![table(["", "check", "proves"], rows)];
    lines.push(format!("task        {}", report.task));
    lines.push(format!("governance  {}, {} changes", report.governance, report.sequence));
    if !report.pinned {
        lines.push("            not pinned: compare it, then give it with --governance".to_owned());
    }
    if report.software {
        lines.push("enclaves    software: not a trusted execution environment".to_owned());
    }
    for enclave in report.enclaves.iter().filter(|enclave| enclave.hardware.is_some()) {
        let place = enclave.vault.as_deref().unwrap_or("aggregation");
        let (class, tier) = (&enclave.class, enclave.tier);
        let kind = enclave.hardware.unwrap_or_default();
        let mark = if class == kind { String::new() } else { format!("{class}, plays ") };
        lines.push(format!("            {place}: {mark}{kind}, {tier}"));
    }
    if !report.paid && report.finality == Finality::Final {
        lines.push("payout      not part of this bundle".to_owned());
    }
    lines.push(match report.finality {
        _ if !report.passed() => "NOT VERIFIED".to_owned(),
        Finality::Final => "verified".to_owned(),
        Finality::Candidate { final_ms } => {
            format!("holds so far, NOT FINAL: it may be disputed until {final_ms} (milliseconds since 1970)")
        }
        Finality::Unknown => "NOT VERIFIED".to_owned(),
    });
    lines.join("\n")
}

/// The audience as comma-separated values with one column.
pub(super) fn csv(result: &AudienceResult) -> String {
    let rows = result.handles.iter().map(|handle| format!("{}\n", quoted(handle)));
    format!("handle\n{}", rows.collect::<String>())
}

/// The cells of a statistic as comma-separated values.
pub(super) fn cells_csv(result: &StatisticResult) -> String {
    let rows = result.cells.iter().map(|(name, noised)| format!("{},{noised}\n", quoted(name)));
    format!("cell,noised\n{}", rows.collect::<String>())
}

fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// What a statistic says.
pub(super) fn cells(result: &StatisticResult) -> String {
    if result.outcome == Outcome::Suppressed {
        return "suppressed: fewer people than the minimum".to_owned();
    }
    let unit = unit(result.unit);
    let rows = result.cells.iter().map(|(name, noised)| [name.clone(), noised.to_string(), unit.to_owned()]);
    format!(
        "{}\n{} vaults, epsilon {}; noise ± {} in each cell",
        table(["cell", "noised", "unit"], rows),
        result.vaults,
        epsilon(result.epsilon.0),
        result.noise_scale,
    )
}

/// The word for what cells count.
pub(super) const fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "count",
        Unit::Cents => "cents",
    }
}

/// What a result says beside its audience.
pub(super) fn summary(result: &AudienceResult) -> String {
    let eligible = result.eligible_noised.map_or_else(|| "-".to_owned(), |count| count.to_string());
    match result.outcome {
        Outcome::Audience { returned } => {
            let noise = epsilon(result.noise_epsilon.0);
            format!("{returned} people; about {eligible} eligible (noised, epsilon {noise})")
        }
        Outcome::Suppressed => "suppressed: fewer people than the minimum".to_owned(),
        Outcome::Step { .. }
        | Outcome::Model { .. }
        | Outcome::Withheld { .. }
        | Outcome::Computed { .. } => "no audience".to_owned(),
    }
}

/// The progress of a task, on standard error: a bar on a terminal, else a line a step.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    last: String,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(LIFE.len() as u64);
            let style = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {pos}/{len} {wide_msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, last: String::new() }
    }

    /// A step of a submission.
    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Quoted(quote) => {
                let worst_case = quote.worst_case.map(|fee| sym(fee.total)).unwrap_or_default();
                self.say(&format!("quoted {worst_case} SYM at most"));
            }
            Step::Locked(lock) => self.say(&format!("locked {lock}")),
            Step::Task(task) => self.show(&task),
        }
    }

    pub(super) fn show(&mut self, task: &Task) {
        let computed = task.slices.iter().filter(|slice| slice.state == "computed").count();
        let line = match task.slices.len() {
            0 => task.state.clone(),
            vaults => format!("{} · {computed}/{vaults} slices {}", task.state, task.code),
        };
        let line = match &task.training {
            Some(training) => format!("{} · {}", line.trim(), train::line(training)),
            None => line,
        };
        self.say(line.trim());
        let step = LIFE.iter().position(|state| state.as_str() == task.state);
        if let (Some(bar), Some(step)) = (&self.bar, step) {
            match &task.training {
                // The rounds are what takes long.
                Some(training) => {
                    bar.set_length(u64::from(training.rounds) + 1);
                    bar.set_position(training.done.into());
                }
                None => bar.set_position(step as u64 + 1),
            }
        }
        if let (Some(bar), true) = (&self.bar, task.terminal()) {
            bar.abandon();
        }
    }

    pub(super) fn say(&mut self, line: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(line.to_owned()),
            None if self.last != line => eprintln!("{line}"),
            None => {}
        }
        line.clone_into(&mut self.last);
    }
}

/// The way of a task that ends well.
const LIFE: [TaskState; 6] = [
    TaskState::Accepted,
    TaskState::Resolving,
    TaskState::Dispatched,
    TaskState::Verifying,
    TaskState::AwaitingSettlement,
    TaskState::Completed,
];

#[cfg(test)]
mod tests {
    use symphony_types::digest::Digest;
    use symphony_types::epsilon::Epsilon;
    use symphony_types::id::TaskId;

    use super::*;

    #[test]
    fn amounts_and_epsilon_are_written_exactly() {
        assert_eq!(sym(Sym(1_250_000_001)), "12.50000001");
        assert_eq!(epsilon(100_000), "0.100000");
    }

    #[test]
    fn handles_are_written_as_they_are() {
        let handles = ["a@example.org", "+65 1", "x,\"y\""].map(str::to_owned).to_vec();
        let result = AudienceResult {
            task: TaskId(Digest::ZERO),
            outcome: Outcome::Audience { returned: 3 },
            handles,
            eligible_noised: Some(4),
            noise_epsilon: Epsilon(100_000),
        };
        assert_eq!(csv(&result), "handle\na@example.org\n+65 1\n\"x,\"\"y\"\"\"\n");
        assert_eq!(summary(&result), "3 people; about 4 eligible (noised, epsilon 0.100000)");
    }

    /// R195: `symphony status` shows every master with its guard, and nothing of one that does not answer.
    #[test]
    fn masters_stand_side_by_side() {
        let master = |node: &str, reachable| MasterHealth {
            node: node.to_owned(),
            reachable,
            height: 7,
            state_hash: String::new(),
            head: "equal".to_owned(),
            leader: true,
            guard_class: "software".to_owned(),
            guard_admission: "trusted".to_owned(),
            voting: true,
            block_height: 9,
            round: 0,
            block_ms: 12,
            lag: 0,
            view_changes: 1,
            nil_votes: 2,
            missed_votes: 3,
            guard_refusals: 4,
            rotations: 5,
            forged: 6,
            conflicts: 7,
            protocol_max: 2,
            misunderstood: 8,
        };
        let shown = masters(&[master("master-1", true), master("master-2", false)]);
        let line = |name: &str| {
            let line = shown.lines().find(|line| line.contains(name)).unwrap();
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(line("master-1"), ["master-1", "yes", "7", "equal", "yes", "software", "trusted", "2"]);
        assert_eq!(line("master-2"), ["master-2", "no"]);
        let shown = ordering(&[master("master-1", true), master("master-2", false)]);
        let row: Vec<_> =
            shown.lines().find(|line| line.contains("master-1")).unwrap().split_whitespace().collect();
        assert_eq!(row, ["master-1", "yes", "9", "0", "12", "0", "1", "2", "3", "4", "5", "6", "7", "8"]);
        assert!(!shown.contains("master-2"));
    }
}
