"""The name under which scripts written for version 0.1 join the scores of sites; `fedprime.experiment.site` is the place."""

from fedprime.experiment.site import weighted_scores

__all__ = ["weighted_scores"]
