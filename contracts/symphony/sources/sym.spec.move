/// Time stays at its end instead of wrapping.
spec symphony::sym {
    spec later(at: u64, millis: u64): u64 {
        aborts_if false;
        ensures at + millis <= MAX_U64 ==> result == at + millis;
        ensures at + millis > MAX_U64 ==> result == MAX_U64;
    }
}
