"""Parameter recovery with `DiffHOD`: samplers, targets and the two experiments."""
