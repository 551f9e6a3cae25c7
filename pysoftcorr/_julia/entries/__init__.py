"""The C entry points of each feature: one module a feature, each with a table ``ENTRIES``.

``ENTRIES`` maps the name of an entry point to its argument types, written as the Julia side
writes them: ``f64`` and ``i64`` are numbers, ``f64*``, ``i64*`` and ``u8*`` pointers, joined by
commas. Start-up compares them with what the Julia sources define.
"""
