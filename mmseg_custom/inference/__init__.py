"""From a config, a checkpoint and pictures to class maps, and the files that show them."""
