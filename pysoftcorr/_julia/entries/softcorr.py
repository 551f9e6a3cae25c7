"""Entry points of the differentiable correlation function (``julia/entry_softcorr.jl``)."""

_ESTIMATOR = "i64,f64*,i64,f64*,f64*,i64*,f64*,i64,f64*"

ENTRIES = {
    "softcorr_centers": "i64,f64*,i64,f64,i64,i64,i64,f64*,i64*,f64*",
    "softcorr_value": f"{_ESTIMATOR},f64*,f64*",
    "softcorr_vjp": f"{_ESTIMATOR},i64,f64*,f64*,f64*,i64*,f64*",
    "softcorr_jvp": f"{_ESTIMATOR},f64*,f64*",
    "soft_bin_weights": "i64,f64*,i64,i64,f64*,f64*",
}
