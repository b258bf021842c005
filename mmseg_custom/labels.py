"""What label maps hold besides the indices of classes."""

# Pixels that are no class: losses and metrics leave them out.
IGNORE_INDEX = 255
