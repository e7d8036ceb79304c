"""Where scripts of version 0.1 look for the joined scores of sites, whose place is `fedprime.experiment.site`."""

from fedprime.experiment.site import weighted_scores

__all__ = ["weighted_scores"]
