"""Measuring a trained model: metrics, and a diagnosis in words."""

from reparam.evaluation.diagnosis import Finding, diagnose
from reparam.evaluation.metrics.metric import Measure
from reparam.evaluation.metrics.table import METRICS
from reparam.evaluation.of_run import evaluate_new, evaluate_run, left_out, run_context, without_value
from reparam.evaluation.options import EvaluationOptions

__all__ = [
    "METRICS",
    "EvaluationOptions",
    "Finding",
    "Measure",
    "diagnose",
    "evaluate_new",
    "evaluate_run",
    "left_out",
    "run_context",
    "without_value",
]
