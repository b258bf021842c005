"""Published weights, and how files of weights are found and read."""
