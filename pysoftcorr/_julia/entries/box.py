"""Entry point of the pair sums in a box (``julia/entry_box.jl``)."""

_SET = "f64*,f64*,f64*,f64*,i64*,f64*,i64"

ENTRIES = {"box_pair_sums": f"{_SET},{_SET},i64,i64,i64,i64,f64,f64*,i64,f64*"}
