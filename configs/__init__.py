"""Ready-made settings: `--config NAME` finds them."""
