"""Figures: correlations with both errors, clusterings, shapes on the sky (matplotlib)."""

from pysoftcorr.plots.anisotropic import plot_multipoles, plot_projected
from pysoftcorr.plots.clusters import plot_centers, plot_membership_histograms, plot_memberships
from pysoftcorr.plots.corner import plot_corner
from pysoftcorr.plots.correlation import plot_correlation, plot_correlation_set
from pysoftcorr.plots.covariance import plot_covariance
from pysoftcorr.plots.crossing import plot_pair_crossing
from pysoftcorr.plots.diffhod import (
    plot_occupation,
    plot_occupation_derivatives,
    plot_power_derivatives,
    plot_power_ratio,
)
from pysoftcorr.plots.emulator import plot_jacobians, plot_prediction
from pysoftcorr.plots.evaluation import (
    plot_accuracy,
    plot_calibration,
    plot_learning_curves,
    plot_uncertainties,
)
from pysoftcorr.plots.files import save_figure
from pysoftcorr.plots.gradient import plot_bin_weights, plot_gradient_arrows, plot_xi_of_G
from pysoftcorr.plots.mocks import plot_box_correlations, plot_box_slice, plot_halo_statistics
from pysoftcorr.plots.posterior import (
    plot_diffhod_posteriors,
    plot_minimization,
    plot_posterior_correlations,
    plot_strengths,
    plot_trace,
)
from pysoftcorr.plots.shapes import plot_shapes, plot_star_shapes
from pysoftcorr.plots.tabulated import plot_tabulated_prediction
from pysoftcorr.plots.tau import plot_contamination, plot_leakage, plot_tau

__all__ = [
    "plot_accuracy",
    "plot_bin_weights",
    "plot_box_correlations",
    "plot_box_slice",
    "plot_calibration",
    "plot_centers",
    "plot_contamination",
    "plot_corner",
    "plot_correlation",
    "plot_correlation_set",
    "plot_covariance",
    "plot_diffhod_posteriors",
    "plot_gradient_arrows",
    "plot_halo_statistics",
    "plot_jacobians",
    "plot_leakage",
    "plot_learning_curves",
    "plot_membership_histograms",
    "plot_memberships",
    "plot_minimization",
    "plot_multipoles",
    "plot_occupation",
    "plot_occupation_derivatives",
    "plot_pair_crossing",
    "plot_posterior_correlations",
    "plot_power_derivatives",
    "plot_power_ratio",
    "plot_prediction",
    "plot_projected",
    "plot_shapes",
    "plot_star_shapes",
    "plot_strengths",
    "plot_tabulated_prediction",
    "plot_tau",
    "plot_trace",
    "plot_uncertainties",
    "plot_xi_of_G",
    "save_figure",
]
