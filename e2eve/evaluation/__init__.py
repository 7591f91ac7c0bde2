"""Measuring editors: validation sets, metrics, baselines, the evaluator and its report."""
