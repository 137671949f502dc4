"""Learning to adapt: pure functions from parameters and experience to a task's own parameters."""
