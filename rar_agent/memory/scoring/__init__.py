"""From exemplars and texts to a calibrated posterior, chosen on the memory alone."""
