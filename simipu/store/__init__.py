"""The store: one Zarr v3 group of synchronised frames. ``docs/store.md`` specifies the format."""
