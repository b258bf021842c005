"""From published annotations to the label maps that the data sets read, one module a source."""
