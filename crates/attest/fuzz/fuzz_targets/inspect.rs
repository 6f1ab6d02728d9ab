//! Any file, alone and as its own collateral, ends in an explanation or a fault, without a control character (R125).

#![no_main]

use libfuzzer_sys::fuzz_target;
use symphony_attest::inspect::inspect;
use symphony_types::time::OrderedMillis;

fuzz_target!(|bytes: &[u8]| {
    let at = OrderedMillis(1_750_400_000_000);
    for collateral in [&[][..], &[bytes]] {
        if let Ok(inspection) = inspect(bytes, collateral, at) {
            let text = inspection.to_string();
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "a control character reaches the terminal");
        }
    }
});
