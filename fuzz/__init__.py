"""Hostile input by the thousand: what is refused, what is right, and nothing else."""
