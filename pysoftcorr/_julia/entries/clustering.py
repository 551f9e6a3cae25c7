"""Entry points of ``julia/entry_clustering.jl``."""

ENTRIES = {
    "seed_centers": "f64*,i64,i64,f64*,i64,f64*,f64*",
    "fuzzy_cmeans": "f64*,i64,i64,f64*,i64,f64,f64,i64,i64,f64*,f64*,f64*,i64*",
    "memberships": "f64*,i64,i64,i64,f64,f64*,f64*",
    "assign_greedy": "f64*,i64,i64,i64*",
    "assign_sampled": "f64*,i64,i64,i64,f64*,i64*",
    "assign_gumbel": "f64*,i64,i64,f64*,f64,i64,f64*",
    "label_means": "f64*,i64,f64*,i64,f64*,i64,i64*,i64,i64,i64,f64*,f64*,f64*",
    "share_means": "f64*,i64,f64*,i64,f64*,i64,f64*,i64,f64*,f64*,f64*",
}
