"""Names of what a person chooses about missingness; they load nothing."""

from typing import Literal

#: Says that samples lack one modality, each equally often.
ANY = "any"
#: How missing patterns are spread over the clients.
MissingnessKind = Literal["over-all-data", "client-mixes", "absent-sensors"]
#: How it comes that something is missing.
MechanismKind = Literal[MissingnessKind, "by-label", "by-observed", "by-site", "drift"]
