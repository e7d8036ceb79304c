from fedprime.experiment import site as place
from fedprime.site import weighted_scores


def test_a_script_of_the_first_version_finds_the_joined_scores_where_they_were():
    assert weighted_scores is place.weighted_scores
