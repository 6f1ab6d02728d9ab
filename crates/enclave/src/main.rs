//! The measured program: becomes an enclave, then answers its host until the pipe closes (R120, R126).

use std::alloc::System;

use symphony_enclave::Handler;
use symphony_tee::session;
use zeroizing_alloc::ZeroAlloc;

/// All memory is wiped as it is freed, also the copies that decoders and growing buffers leave behind: a report
/// that says `purged` means the whole heap (R117, R127).
#[global_allocator]
static HEAP: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> anyhow::Result<()> {
    session::run(|context| {
        let handler = Handler::new(context.clone());
        move |request: &[u8]| handler.answer(request)
    })?;
    Ok(())
}
