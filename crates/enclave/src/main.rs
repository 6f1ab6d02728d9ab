//! The measured program: becomes an enclave, then answers its host until the pipe closes (R120, R126).

use std::alloc::System;

use rayon::ThreadPoolBuilder;
use symphony_enclave::{Handler, Modules};
use symphony_tee::session;
use zeroizing_alloc::ZeroAlloc;

/// All memory is wiped as it is freed, also the copies that decoders and growing buffers leave behind: a report
/// that says `purged` means the whole heap (R117, R127).
#[global_allocator]
static HEAP: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> anyhow::Result<()> {
    // Training kernels ask for a pool. An enclave has one thread and may start no other, so that one is the pool.
    ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global()?;
    session::run(Modules::prepare, |context, modules| {
        let handler = Handler::new(context.clone(), modules);
        move |request: &[u8]| handler.answer(request)
    })?;
    Ok(())
}
