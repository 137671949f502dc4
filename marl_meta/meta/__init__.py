"""The meta-learners: how a team comes to know a variant from its own experience, one file each."""
