//! JSON shapes of what is told of tasks of others.

use serde::{Deserialize, Serialize};

shapes! {
    /// Tasks whose result may be disputed, or is.
    TaskList {
        tasks: Vec<TaskEntry>,
        /// Where the next page begins; empty when there is none now.
        next: String,
    }

    /// One of them.
    TaskEntry {
        task_id: String,
        task_class: String,
        state: String,
        /// When that state ends by itself.
        until_ms: u64,
        /// When it came to that state.
        since_ms: u64,
    }
}
