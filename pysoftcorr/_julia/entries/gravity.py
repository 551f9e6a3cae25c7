"""Entry points of the gravity simulation (``julia/entry_gravity.jl``)."""

ENTRIES = {
    "gravity_simulate": (
        "i64,f64*,f64*,f64,f64,f64,f64,f64,i64,f64*,i64,f64*,f64*,f64*,f64*,f64*,f64*,i64*,i64*"
    ),
}
