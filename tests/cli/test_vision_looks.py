from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from dr_env import Spec
from dr_env.cli.main import main
from dr_env.vision.glimpse import Glimpser
from tests.vision.made_scene import PRIOR, TARGET, request


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, as it were."""
    folder = tmp_path_factory.mktemp("pictures")
    with Glimpser(request(TARGET, seed=5, width=64, height=48), 0) as hidden:
        for i, image in enumerate(hidden(TARGET, 9).images):
            cv2.imwrite(str(folder / f"{i}.png"), image[:, :, ::-1])
    return folder


def command(tmp_path: Path, target: Path, *more: str) -> list[str]:
    prior = tmp_path / "prior.yaml"
    PRIOR.save(prior)
    return ["vision", "looks", "--task", "tabletop", "--spec", str(prior), "--target", str(target), "--out",
            str(tmp_path / "tuned.yaml"), "--width", "48", "--frames-per-evaluation", "4", "--workers", "0", "--quiet",
            *more]  # fmt: skip


def test_looks_are_tuned_and_the_search_goes_on(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(command(tmp_path, pictures, "--evaluations", "2"))
    assert "after 2 evaluations" in capsys.readouterr().out
    main(command(tmp_path, pictures, "--evaluations", "4"))
    told = capsys.readouterr().out
    assert "MMD to the target on fresh frames: untuned" in told
    assert "after 4 evaluations" in told
    tuned = Spec.load(tmp_path / "tuned.yaml")
    assert tuned.provenance is not None
    assert tuned.provenance["method"] == "look"
    assert tuned.provenance["options"]["select"] == ["light", "distance", "gloss", "scene.areas.around.count"]
    assert tuned.provenance["looks"]["target"]["count"] == 9
    assert tuned.entries["mass"] == PRIOR.entries["mass"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "prior.yaml", "tuned.yaml", "tuned.looks.json", "tuned.png"
    }  # fmt: skip
    # another search does not go on from this one's record
    _fails(capsys, "choose another --out", command(tmp_path, pictures, "--seed", "1"))


def _fails(capsys: pytest.CaptureFixture[str], message: str, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_bad_input_is_one_line(tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = tmp_path / "few"
    few.mkdir()
    (few / "0.png").write_bytes((pictures / "0.png").read_bytes())
    _fails(capsys, "got 1 images, expected at least 8", command(tmp_path, few))
    (few / "0.png").unlink()
    _fails(capsys, "few", command(tmp_path, few))
    _fails(capsys, "got 'bnak', expected bank", command(tmp_path, pictures, "--features", "bnak"))
    _fails(capsys, "no parameter 'lihgt'", command(tmp_path, pictures, "--select", "lihgt"))
    _fails(capsys, "expected a .yaml file", [*command(tmp_path, pictures), "--out", str(tmp_path / "tuned.txt")])
    _fails(capsys, "--evaluations: got 0", command(tmp_path, pictures, "--evaluations", "0"))
    assert not list(tmp_path.glob("tuned*"))
