//! JSON shapes of what is told of tasks of others.

use serde::Serialize;
use symphony_wire::v1;
use utoipa::ToSchema;

use super::{each, read, same};

answers! {
    /// Tasks whose result may be disputed, or is, in the order in which their states end.
    TaskList {
        tasks: Vec<TaskEntry> = each;
        /// Where the next page begins, for `after`; empty when there is none now.
        next: String = hex::encode;
    }

    /// What anybody who may dispute a result is told of a task of others.
    TaskEntry {
        task_id: String = hex::encode;
        /// `query`, `compute` or `train`.
        task_class: String = same;
        /// `verifying`, `awaiting_settlement` or `challenged`.
        state: String = same;
        /// When that state ends by itself: of `awaiting_settlement`, when the result is final.
        until_ms: u64 = same;
        /// When it came to that state.
        since_ms: u64 = same;
    }
}
