"""Evaluation: suites of data set, protocol, memory and ranker; records; metrics; reports."""
