"""Ground floor of the package: random numbers, options, expressions, tables and files."""
