"""Returns, losses and base algorithms: functions of tensors that know no game."""
