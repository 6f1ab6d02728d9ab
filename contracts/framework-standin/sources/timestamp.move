/// The time of the block.
module aptos_framework::timestamp {
    #[test_only]
    use std::error;

    #[test_only]
    /// Time does not go back.
    const EINVALID_TIMESTAMP: u64 = 2;

    struct CurrentTimeMicroseconds has key {
        microseconds: u64
    }

    #[view]
    public fun now_microseconds(): u64 acquires CurrentTimeMicroseconds {
        borrow_global<CurrentTimeMicroseconds>(@aptos_framework).microseconds
    }

    #[view]
    public fun now_seconds(): u64 acquires CurrentTimeMicroseconds {
        now_microseconds() / 1000000
    }

    #[test_only]
    public fun set_time_has_started_for_testing(aptos_framework: &signer) {
        if (!exists<CurrentTimeMicroseconds>(@aptos_framework)) {
            move_to(aptos_framework, CurrentTimeMicroseconds { microseconds: 0 });
        }
    }

    #[test_only]
    public fun update_global_time_for_test(timestamp_microsecs: u64) acquires CurrentTimeMicroseconds {
        let time = borrow_global_mut<CurrentTimeMicroseconds>(@aptos_framework);
        assert!(time.microseconds < timestamp_microsecs, error::invalid_argument(EINVALID_TIMESTAMP));
        time.microseconds = timestamp_microsecs;
    }
}
