"""Scores on a scan's mesh: the official benchmarks, and answers to questions fused onto the vertices."""
