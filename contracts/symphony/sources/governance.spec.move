/// Nothing happens by a proposal that was not accepted (R178, R180).
spec symphony::governance {
    spec Proposal {
        invariant used ==> accepted;
        invariant votes_for + votes_against <= eligible;
    }

    spec Proposals {
        invariant quorum_bps > 0 && quorum_bps <= 10000;
    }
}
