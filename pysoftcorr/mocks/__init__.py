"""Mock universes: halos, galaxies with intrinsic alignments, and their correlations in the box."""

from __future__ import annotations

from pysoftcorr.core.lazy import lazy

# Public name -> module; loaded when first used, so that the import stays light.
_PUBLIC = {
    "AlignmentSums": "expected",
    "BoxCorrelations": "box_result",
    "Campaign": "campaign.file",
    "ExpectedCorrelations": "expected",
    "GalaxyCatalog": "galaxies",
    "HODModel": "hod",
    "HaloCatalog": "halos",
    "HaloTables": "tabulated.tables",
    "Multipoles": "anisotropic_results",
    "ProjectedCorrelations": "anisotropic_results",
    "SoftBoxCorrelations": "soft_box",
    "Subhalos": "subhalos",
    "Universes": "universes.file",
    "alignment_sums": "expected",
    "box_correlations": "box",
    "expected_correlations": "expected",
    "multipoles": "anisotropic",
    "projected_correlations": "anisotropic",
    "projected_shapes": "anisotropic",
    "redshift_space": "velocities",
    "run_campaign": "campaign.run",
    "run_universes": "universes.run",
    "training_design": "design",
    "universe_design": "universes.design",
}

__all__ = sorted(_PUBLIC)

__getattr__, __dir__ = lazy(__name__, _PUBLIC)
