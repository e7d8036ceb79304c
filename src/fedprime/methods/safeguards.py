"""Which methods can be made robust or private, and why others cannot."""

from fedprime.methods.fedprime import FedPrime
from fedprime.methods.method import Method


def reason_against_attack(method: Method) -> str:
    """Says why clients of a method cannot be hostile to a server; empty if they can."""
    if method.is_centralized:
        return "one holder has all samples, and nothing is sent"
    if not method.travels("head.weight"):
        return "its clients send nothing"
    if method.shares_parameters:
        return "with the quirk shared_parameters clients train one model in turn, and send no updates of their own"
    return ""


def reason_against_robustness(method: Method) -> str:
    """Says why a method cannot have the robust aggregation that it is set to; empty if it can."""
    if method.aggregation == "mean" and method.clip_norm == 0:
        return ""
    reason = reason_against_attack(method)
    if not reason and method.aggregation != "mean" and method.answers_each:
        reason = "the server answers each client by a mix of its own, made from single updates; only clip_norm works"
    return reason


def reason_against_privacy(method: Method) -> str:
    """Says why a method cannot be made private for its clients; empty if it can."""
    reason = reason_against_attack(method)
    if not reason and method.answers_each:
        reason = "the server answers each client by a mix of its own, made from single updates"
    if not reason and isinstance(method, FedPrime) and method.standardised_queries:
        reason = (
            "with standardised_queries clients send means of their samples themselves, which clipping would distort"
        )
    if not reason and (method.aggregation != "mean" or method.clip_norm > 0):
        reason = "aggregation and clip_norm of the method work on single updates; privacy clips and averages by itself"
    return reason
