"""From a data set on disk to a finished store. Dask and the readers of data sets live here."""
