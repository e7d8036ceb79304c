"""Files for containers and clusters: valid by the schemas of their makers, and right about the command line."""

import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from fedprime.cli.deploy import ClientOptions
from fedprime.runtime.flower import site_kit
from fedprime.settings.flags import take_folder
from fedprime.settings.reading import read_settings
from fedprime.settings.recipes import find_recipe

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "chart"
COMPOSE_FILES = (DEPLOY / "compose.yaml", Path(site_kit.__file__).with_name("kit") / "compose.yaml")
VALUES = {
    "server": {"enabled": True, "clients": 3, "flags": ["--training.rounds=2"]},
    "clients": [
        {
            "name": "client-0",
            "keysSecret": "zero",
            "server": "fl.example.org:9092",
            "dataClaim": "food101",
            "options": ["--format=food101"],
        },
        {"name": "client-1", "keysSecret": "one", "server": "fl.example.org:9092"},
    ],
}


def compose(path: Path) -> dict[str, Any]:
    """What a file says, made for client 1 if it is a site's kit."""
    text = path.read_text().replace("$number", "1").replace("$tag", "0.1.0").replace("$$", "$")
    return yaml.safe_load(text.replace("$data_volume", "      - /data:/data:ro"))


def version() -> str:
    return str(yaml.safe_load((ROOT / "deploy/chart/Chart.yaml").read_text())["appVersion"])


def words_of_client(words: list[str]) -> set[str]:
    assert words[:2] == ["deploy", "client"]
    return {word.partition("=")[0].removeprefix("--") for word in words if word.startswith("--")}


def refuse_other_words_than_a_server_s(words: list[str]) -> None:
    recipe, flags = words[2], words[3:]
    assert words[:2] == ["deploy", "server"]
    for flag in ("--keys", "--output", "--host", "--port"):
        take_folder(flags, flag)
    read_settings(find_recipe(recipe), flags)  # what is left are settings


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=["deploy", "kit"])
def test_compose_files_are_valid_by_the_compose_specification(path: Path):
    compose_spec = pytest.importorskip("compose_spec")
    said = compose(path)
    text = re.sub(r"\$\{FEDPRIME_USER:\?\}", "1000:1000", yaml.safe_dump(said))
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)  # as compose does before it checks
    assert set(compose_spec.PyCompose.from_yaml(text).service_names()) == set(said["services"])
    with pytest.raises(ValueError, match="imagee"):  # the check finds something
        compose_spec.PyCompose.from_yaml("services: {client: {imagee: fedprime}}")


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=["deploy", "kit"])
def test_containers_have_no_rights_that_they_do_not_need_and_start_what_there_is(path: Path):
    for name, service in compose(path)["services"].items():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["user"] == "${FEDPRIME_USER:?}"
        assert service["stop_signal"] == "SIGINT"
        assert f"fedprime:{version()}" in service["image"]
        mounts = dict(volume.split(":")[:2][::-1] for volume in service["volumes"])
        assert {"/keys", "/state"} <= mounts.keys()
        words = shlex.split(re.sub(r"\$\{FEDPRIME_\w+(:\?)?\}", "", service["command"]))
        if name == "server":
            refuse_other_words_than_a_server_s(words)
        else:
            assert words_of_client(words) <= ClientOptions.__dataclass_fields__.keys()
    keys = [
        volume for service in compose(path)["services"].values() for volume in service["volumes"] if "keys" in volume
    ]
    assert len(keys) == len(set(keys))
    assert all(volume.endswith("/keys:ro") for volume in keys)


def test_the_chart_s_own_schema_takes_its_values_and_refuses_wrong_ones():
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    jsonschema.validate(values, schema)
    jsonschema.validate({**values, "clients": VALUES["clients"]}, schema)
    for wrong in (
        {"server": {**values["server"], "clients": 0}},
        {"clients": [{"name": "client-0"}]},
        {"clients": [{**VALUES["clients"][0], "name": "Client 0"}]},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**values, **wrong}, schema)


def test_helm_renders_the_chart_to_what_kubernetes_accepts():
    helm, kubernetes = pytest.importorskip("helm_python"), pytest.importorskip("kubernetes_validate")
    assert helm.lint(str(CHART))["errors"] == []
    rendered = helm.Chart.load(str(CHART)).render(VALUES, name="study", namespace="default")
    objects = [found for text in rendered.values() for found in yaml.safe_load_all(text) if found]
    for found in objects:
        kubernetes.validate(found, "1.34", strict=True)
    assert sorted((found["kind"], found["metadata"]["name"]) for found in objects) == [
        ("Job", "study-server"),
        ("PersistentVolumeClaim", "study-server"),
        ("Service", "study-server"),
        ("StatefulSet", "study-client-0"),
        ("StatefulSet", "study-client-1"),
    ]
    for found in objects:
        if found["kind"] in ("Job", "StatefulSet"):
            refuse_careless(found["spec"]["template"]["spec"])
        if found["kind"] == "Job":
            (server,) = found["spec"]["template"]["spec"]["containers"]
            refuse_other_words_than_a_server_s(server["args"])
    with_data, without = (
        found["spec"]["template"]["spec"]["containers"][0]["args"]
        for found in objects
        if found["kind"] == "StatefulSet"
    )
    assert with_data == [*without, "--data=/data", "--format=food101"]
    assert words_of_client(with_data) <= ClientOptions.__dataclass_fields__.keys()
    assert helm.Chart.load(str(CHART)).render(name="study", namespace="default").keys() == rendered.keys()


def refuse_careless(pod: dict[str, Any]) -> None:
    """Fails for a pod with rights that it does not need, or with keys that others can read."""
    (container,) = pod["containers"]
    assert container["image"] == f"fedprime:{version()}"
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    assert {mount["mountPath"] for mount in container["volumeMounts"]} >= {"/keys", "/state", "/tmp"}  # noqa: S108
    (keys,) = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    assert keys["defaultMode"] == 0o440


def test_the_image_is_built_from_files_that_are_there_and_starts_fedprime():
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    assert 'ENTRYPOINT ["fedprime"]' in lines
    assert "USER 10001:10001" in lines
    wanted = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"]
    assert [name for name in wanted if not (ROOT / name).exists()] == []
    assert {"src", "recipes", "pyproject.toml", "README.md", "LICENSE"} <= set(wanted)  # what a wheel is made of
