"""Recipes: what is accepted, and what a misspelt one says."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from judges.errors import ConfigError
from training.commands import METHODS
from training.methods.dpo import DpoRecipe
from training.runs.config_fields import config_fields
from training.runs.recipe import LoraSettings
from training.runs.recipe_files import load_recipe

RECIPES = sorted((Path(__file__).parents[3] / "training" / "recipes").glob("*.toml"))
MINIMAL = """
model = "embedded"
preferences = "prefs.jsonl"
output = "runs/dpo"
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(MINIMAL)
    return path


def test_minimal_recipe_trains_all_weights_on_soft_labels(recipe_file: Path) -> None:
    recipe = load_recipe(recipe_file, DpoRecipe)
    assert recipe == DpoRecipe(model="embedded", preferences="prefs.jsonl", output="runs/dpo")
    assert (recipe.labels, recipe.lora) == ("soft", None)


def test_overrides_are_toml_values_or_else_text(recipe_file: Path) -> None:
    recipe = load_recipe(
        recipe_file,
        DpoRecipe,
        [
            "trainer.max_steps=3",
            "trainer.learning_rate = 1e-4",
            "lora.r=4",
            'lora.target_modules=["q_proj", "v_proj"]',
            "model=models/my model",
            'output="runs/quoted"',
            "seed=7",
        ],
    )
    assert recipe.trainer == {"max_steps": 3, "learning_rate": 1e-4}
    assert recipe.lora == LoraSettings(r=4, target_modules=("q_proj", "v_proj"))
    assert (recipe.model, recipe.output, recipe.seed) == ("models/my model", Path("runs/quoted"), 7)


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        pytest.param("lables = 'soft'", "unknown key lables (did you mean 'labels'?)", id="ours"),
        pytest.param("[lora]\nrank = 4", "unknown key lora.rank; use r, alpha", id="lora"),
        pytest.param(
            "[trainer]\nlearning_rte = 1e-4",
            "unknown key trainer.learning_rte (did you mean 'learning_rate'?)",
            id="trainer",
        ),
        pytest.param("[trainer]\noutput_dir = 'x'", "the run folder is `output`", id="output_dir"),
        pytest.param("[trainer]\nfp16 = true", "trains in bfloat16", id="fp16"),
        pytest.param(
            "[trainer]\nsave_only_model = true", "to the same losses", id="half a checkpoint"
        ),
        pytest.param("[trainer]\nignore_data_skip = true", "come next", id="rows seen again"),
        pytest.param("labels = 'firm'", "labels is 'firm'", id="labels"),
        pytest.param("max_length = 0", "max_length is 0", id="range"),
        pytest.param("trainer = 3", "make it a table", id="trainer as a number"),
        pytest.param("seed = ", "not TOML", id="broken TOML"),
        pytest.param(
            "[trainer]\nloss_type = 'ipo'", "charter's sigmoid loss is", id="TRL's own loss"
        ),
        pytest.param("loss = 'trl'", "hard labels only", id="TRL's loss on soft labels"),
        pytest.param("loss = 'robust'", "needs label_smoothing", id="robust without noise"),
        pytest.param("report_to = 'wandbb'", "did you mean 'wandb'", id="nowhere to report"),
        pytest.param("[lora]\ndropout = 0.1", "TRL turns dropout off", id="dropout without effect"),
    ],
)
def test_faults_name_file_key_and_remedy(recipe_file: Path, addition: str, message: str) -> None:
    recipe_file.write_text(MINIMAL + addition)
    with pytest.raises(ConfigError) as caught:
        load_recipe(recipe_file, DpoRecipe)
    assert str(caught.value).startswith(f"{recipe_file}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        pytest.param("max_steps", "write KEY=VALUE", id="no value"),
        pytest.param("=3", "write KEY=VALUE", id="no key"),
        pytest.param("model.name=x", "`model` is a value, not a table", id="a value as a table"),
        pytest.param("trainer.max_step=3", "did you mean 'max_steps'", id="misspelt"),
    ],
)
def test_faulty_overrides_are_refused(recipe_file: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(recipe_file, DpoRecipe, [override])


def test_missing_key_and_missing_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such recipe"):
        load_recipe(tmp_path / "absent.toml", DpoRecipe)
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(ConfigError, match="no `model`"):
        load_recipe(tmp_path / "empty.toml", DpoRecipe)


def test_hard_labels_allow_every_loss_of_trl(recipe_file: Path) -> None:
    recipe = load_recipe(
        recipe_file, DpoRecipe, ["loss=trl", "labels=hard", 'trainer.loss_type=["ipo"]']
    )
    assert recipe.trainer["loss_type"] == ["ipo"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_shipped_recipes_load(path: Path) -> None:
    header = path.read_text().partition("\nmodel")[0]
    named = re.search(r"charter train (\S+) --config", header)
    assert named, "the header has no command"
    method = next(method for method in METHODS if method.name == named[1])
    kind = getattr(import_module(method.module), method.recipe)
    assert load_recipe(path, kind, ["output=runs/x"]).model
    for word in ("Hardware", "Time", "Expect"):
        assert word in header


@pytest.mark.parametrize("method", ["sft", "reward", "judge"])
def test_dropout_is_allowed_where_no_library_turns_it_off(method: str) -> None:
    path = next(path for path in RECIPES if path.name.startswith(f"{method}-8b"))
    found = next(one for one in METHODS if one.name == method)
    kind = getattr(import_module(found.module), found.recipe)
    dropped = load_recipe(path, kind, ["lora.dropout=0.1"])
    assert dropped.lora.dropout == 0.1


def test_options_are_those_of_the_installed_trl() -> None:
    fields = config_fields("DPOConfig")
    assert {"beta", "precompute_ref_log_probs", "bf16", "max_steps", "warmup_steps"} <= fields


def test_reading_recipes_imports_neither_torch_nor_trl() -> None:
    code = (
        "import sys, training.runs.run, training.runs.manifest, training.methods.dpo;"
        "print([m for m in ('torch', 'trl', 'transformers', 'datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_mix_is_a_list_of_tables_and_its_keys_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "mix.toml"
    table = "[[preferences]]\npath = '{0}.jsonl'\n{1} = 2\n"
    path.write_text(
        "model = 'm'\noutput = 'o'\n" + table.format("a", "weight") + table.format("b", "weight")
    )
    recipe = load_recipe(path, DpoRecipe)
    assert [(str(one.path), one.weight) for one in recipe.preferences] == [
        ("a.jsonl", 2),
        ("b.jsonl", 2),
    ]
    path.write_text("model = 'm'\noutput = 'o'\n" + table.format("a", "wieght"))
    with pytest.raises(
        ConfigError, match=r"preferences.0.wieght \(did you mean 'weight'\?\); use path"
    ):
        load_recipe(path, DpoRecipe)
