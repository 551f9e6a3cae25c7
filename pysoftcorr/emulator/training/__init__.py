"""Training of an emulator: loss, loop, checkpoints and calibration."""
