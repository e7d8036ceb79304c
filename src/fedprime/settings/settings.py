"""All settings of a run, those of its method too, and what does not go together."""

import dataclasses
from typing import Annotated, cast

from pydantic import BeforeValidator, InstanceOf, model_validator
from pydantic.dataclasses import dataclass

from fedprime.data.missingness.kinds import ANY
from fedprime.data.sets.builtin import BuiltinWorld
from fedprime.methods.method import Method
from fedprime.methods.safeguards import reason_against_attack, reason_against_privacy
from fedprime.reproducibility.errors import nearest_name
from fedprime.settings.data_settings import CONFIG
from fedprime.settings.method_settings import read_method
from fedprime.settings.sections import PlainSettings


@dataclass(frozen=True, config=CONFIG)
class Settings(PlainSettings):
    """All settings of a run."""

    method: Annotated[InstanceOf[Method], BeforeValidator(read_method)] = dataclasses.field(
        default_factory=lambda: cast("Method", read_method({}))
    )

    @model_validator(mode="after")
    def _check(self) -> "Settings":
        method = self.method
        if self.runtime.kind == "deployment" and self.privacy.is_on and not self.privacy.secret:
            # Sites know the seed, from which the noise would follow: privacy from each other needs the secret kind.
            object.__setattr__(self, "privacy", dataclasses.replace(self.privacy, secret=True))
        reason = reason_against_privacy(method) if self.privacy.is_on else ""
        if reason:
            raise ValueError(
                f"privacy: {method.name} cannot be made private: {reason}; change that, or set privacy.clip_norm to 0"
            )
        if self.privacy.is_on and self.privacy.delta * self.partition.num_clients >= 1:
            raise ValueError(
                f"privacy.delta is {self.privacy.delta}: with {self.partition.num_clients} clients a bound that may be "
                f"exceeded for one of them promises nothing; choose less than {1 / self.partition.num_clients:g}"
            )
        reason = reason_against_attack(method) if self.attack.kind != "none" else ""
        if reason:
            raise ValueError(
                f"attack.kind is {self.attack.kind!r}: {method.name} has no clients to be hostile: {reason}; set it to "
                '"none"'
            )
        known = BuiltinWorld.modalities
        if self.data.name == "builtin":
            lacking = () if self.missing.lacking == ANY else (self.missing.lacking,)
            for setting, names in (("data.modalities", self.data.modalities), ("missing.lacking", lacking)):
                unknown = [name for name in names if name not in known]
                if unknown:
                    hint = nearest_name(unknown[0], known)
                    raise ValueError(f"{setting}: {unknown[0]!r} is not one of {', '.join(known)}{hint}")
        if self.runtime.kind == "deployment" and self.attack.kind != "none":
            raise ValueError(
                f"attack.kind is {self.attack.kind!r}: an attack is simulated, and no site is asked to be hostile; set "
                'it to "none", or runtime.kind to "simulation"'
            )
        return self
