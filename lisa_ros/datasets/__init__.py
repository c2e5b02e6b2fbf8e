"""The data sets of LISA's training and evaluation, one reader a format: files in, ``Example`` or ``EvaluationItem`` out.

No torch, no tokens: what a model makes of an example is decided in ``lisa_ros.training``.
"""
