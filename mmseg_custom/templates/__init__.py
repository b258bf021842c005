"""Templates: a few validated hyper-parameters in place of a config."""
