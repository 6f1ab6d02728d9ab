/// Each tier has its numbers (R174).
spec symphony::policy {
    spec Policy {
        invariant len(minimum) == TIERS;
        invariant len(cooldown_ms) == TIERS;
    }
}
