"""Work shared among workers of dask.distributed."""
