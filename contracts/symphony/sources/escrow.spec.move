/// What holds of every lock, whatever happens (R176): nothing is held of a closed one, and a settled one was split exactly.
spec symphony::escrow {
    spec Lock {
        invariant state == HELD ==> held == amount;
        invariant state != HELD ==> held == 0;
        invariant state == SETTLED ==> charged + refunded == amount;
    }
}
