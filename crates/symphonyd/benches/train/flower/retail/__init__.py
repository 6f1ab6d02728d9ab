"""The logistic model of the training benchmark as a Flower app: numpy only."""
