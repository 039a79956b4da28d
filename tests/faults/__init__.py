"""`make faults`: campaigns sent while everything around them breaks, and whether each browser showed them once."""
