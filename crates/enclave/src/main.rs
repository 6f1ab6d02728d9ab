//! The measured program: becomes an enclave, then answers its host until the pipe closes (R120, R126).

use std::alloc::System;

use rayon::ThreadPoolBuilder;
use symphony_enclave::{Handler, Modules, Workers};
use symphony_tee::asking::Host;
use symphony_tee::session;
use zeroizing_alloc::ZeroAlloc;

/// All memory is wiped as it is freed, also the copies that decoders and growing buffers leave behind: a report
/// that says `purged` means the whole heap (R117, R127).
#[global_allocator]
static HEAP: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> anyhow::Result<()> {
    // Training kernels ask for a pool. An aggregator has one thread, and a training's is the same everywhere, so that one is
    // the pool. The workers of a slice executor are another one.
    ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global()?;
    let threads = Workers::wanted();
    session::run(
        Modules::prepare,
        |role| Workers::start(role, threads),
        |context, modules, workers| {
            let handler = Handler::new(context.clone(), modules, workers);
            move |request: &[u8], host: &mut dyn Host| handler.answer(request, host)
        },
    )?;
    Ok(())
}
