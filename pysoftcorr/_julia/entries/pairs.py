"""Entry points of ``julia/entry_pairs.jl``."""

_SET = "f64*,f64*,f64*,i64,i64,i64"

ENTRIES = {"pair_sums_of": f"i64,i64,i64,{_SET},{_SET},f64*,i64,f64*"}
