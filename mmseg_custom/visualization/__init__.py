"""Pictures of class maps and training curves. Every picture is RGB, uint8, (H, W, 3)."""
