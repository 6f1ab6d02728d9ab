/// The treasury opens for somebody, and never without an approval (R178); no account has two roles (R170).
spec symphony::roles {
    spec Roles {
        invariant threshold > 0 && threshold <= len(signers);
        invariant payout != settlement && payout != governance && settlement != governance;
    }
}
