"""Entry points of the runtime itself (``julia/entry.jl``)."""

ENTRIES = {
    "last_error": "u8*,i64",
    "self_test": "i64,i64*",
    "throw_in_loop": "i64",
    "busy": "f64",
}
