/// A tree never pays more than it holds (D7), and the four places of the contract's money are what it counts.
spec symphony::reward {
    spec Tree {
        invariant unclaimed <= total;
        invariant leaves > 0;
    }
}
