"""nearedge: takes a trained model to a near-edge site and keeps it right there."""

__version__ = "0.1.0"
