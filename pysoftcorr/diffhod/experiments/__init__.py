"""Parameter recovery with `DiffHOD`: an HOD from P(k), alignment strengths from omega(r)."""
