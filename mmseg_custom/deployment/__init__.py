"""Files to deploy: export, and proof that a file predicts what the model predicts."""
