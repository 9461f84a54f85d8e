"""Configuration: every mistake is an error that names the key, the place and what is expected."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config.reading import chat_tokens, load_config
from bot.config.sections import Config, EngineKindConfig, ModelConfig
from bot.errors import ConfigError
from bot.shared.secret import Secret

COMMITTED = Path(__file__).parents[3] / "config.toml"


def write(folder: Path, text: str) -> Path:
    path = folder / "bot.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_committed_file_says_the_defaults_and_names_every_key() -> None:
    assert load_config(COMMITTED, {}) == Config()
    text = COMMITTED.read_text(encoding="utf-8")
    for section in fields(Config):
        if section.name == "engines":  # of which there may be none, or many
            assert "\n# [engines." in text
            assert all(f" {key.name}" in text for key in fields(EngineKindConfig))
            continue
        assert f"[{section.name}]" in text
        for key in fields(getattr(Config(), section.name)):
            assert f"\n{key.name} = " in text


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(None, {"HOME": "/"}) == Config()


def test_config_toml_of_the_working_folder_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").write_text('[engine]\nmodel = "other"\n')
    monkeypatch.chdir(tmp_path)
    assert load_config(None, {}).engine.model == "other"


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no configuration file .*absent\.toml.*--config"):
        load_config(tmp_path / "absent.toml", {})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[engnie]\nmodel = "x"', r"\[engnie\] that does not exist\. Did you mean engine\?"),
        (
            '[engine]\nmodl = "x"',
            r"'modl' in \[engine\] that does not exist\. Did you mean model\?",
        ),
        ('[engine]\nmemory = "much"', r'must be "auto" or an amount of memory such as "8GB", not'),
        ("[engine]\nmemory = 8", r'must be "auto" or an amount of memory such as "8GB", not 8'),
        ("[engine]\nmodel = 3", r"\[engine\] model in .*bot\.toml must be a text .*not 3\."),
        ('[engine]\nmodel = " "', "must be a text that is not empty"),
        ("[engine]\nimages_per_request = 11", "must be a whole number from 1 to 10, not 11"),
        ("[engine]\nimages_per_request = true", "must be a whole number from 1 to 10, not True"),
        ("[engine]\nimages_per_request = 4.0", r"must be a whole number from 1 to 10, not 4\.0"),
        ("[engine]\ndefault_guidance = nan", "must be a number from 0 to 20, not nan"),
        ("[engine]\ndefault_guidance = inf", "must be a number from 0 to 20, not inf"),
        ('[engine]\ndtype = "fp8"', 'must be one of "auto", "float32", "bfloat16"'),
        (
            "[engine]\nmodels = [3]",
            'must be a list of at most 25 different models, each as "model"',
        ),
        ("[model]\nsteps = 51", "must be a whole number from 1 to 50, or empty, not 51"),
        ('[model]\ndefault_sampler = "best"', "must be one of euler, .*, or empty, not 'best'"),
        ('[model]\nspacing = "narrow"', "must be one of leading, .*, or empty"),
        ('[model]\nsize = "8x8"', "must be a size such as"),
        ('[engine]\nsizes = ["1024"]', "must be a list of at most 25 different sizes"),
        ('[engine]\nsizes = ["64x64", "64x64"]', "different sizes"),
        ('[engine]\nsizes = "64x64"', "must be a list"),
        ("[discord]\nguild_ids = [0]", r"server ids \(whole numbers\)"),
        ("[discord]\ncontexts = []", 'one or more of "server", "dm", "private", not'),
        ('[discord]\ncontexts = ["guild"]', 'one or more of "server", "dm", "private", not'),
        ('[discord]\ncontexts = "dm"', 'one or more of "server", "dm", "private", not'),
        ('[discord]\ninstalls = ["user", "user"]', 'one or more of "server", "user", not'),
        ('[discord]\nnsfw = "yes"', "nsfw in .* must be true or false, not 'yes'"),
        ('[discord]\napi_url = "localhost:1"', "starts with http:// or https://"),
        ('[discord]\ngateway_url = "http://x"', "starts with ws:// or wss://"),
        ('[discord]\ntoken = "abc"', "a token never stands in a file"),
        ('token = "abc"', r"section \[token\] that does not exist"),
        ("engine = 1", "must be a section, not a value"),
        ("[engine", "is not valid TOML"),
        ('[storage]\nfolder = ""', "must be the path of a folder"),
        ("[storage]\nkeep_days = 1", "must be a whole number from 2"),
        ('[storage]\npictures = "s3://"', "the path of a folder, or s3://BUCKET/PREFIX"),
        ('[storage]\npictures = "s3://no"', "or s3://BUCKET/PREFIX"),
        ('[storage]\npictures = "s3://bucket/a/../b"', "or s3://BUCKET/PREFIX"),
        ('[storage]\npictures = "s3://bucket//a"', "or s3://BUCKET/PREFIX"),
        ('[storage]\npictures = "gs://bucket/a"', "or s3://BUCKET/PREFIX"),
        ("[storage]\npictures = 1", "or s3://BUCKET/PREFIX"),
        ('[limits]\nrole_weights = ["1"]', 'with a weight from 0.1 to 10, such as "123=2"'),
        ('[limits]\nrole_weights = ["1=11"]', "with a weight from 0.1 to 10"),
        ('[limits]\nrole_weights = ["1=nan"]', "with a weight from 0.1 to 10"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load_config(write(tmp_path, text), {})


def test_roles_have_weights(tmp_path: Path) -> None:
    path = write(tmp_path, '[limits]\nrole_weights = ["123=2", "456=0.5"]')
    assert load_config(path, {}).limits.role_weights == ((123, 2.0), (456, 0.5))


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "bot.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load_config(path, {})
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path, {})


def test_the_environment_is_stronger_and_read_by_the_keys_kind(tmp_path: Path) -> None:
    path = write(tmp_path, '[engine]\nmodel = "file"\nimages_per_request = 2')
    config = load_config(
        path,
        {
            "IMAGINE_ENGINE__MODEL": "environment",
            "IMAGINE_ENGINE__SIZES": "1024x1024, 768x512",
            "IMAGINE_ENGINE__DEFAULT_GUIDANCE": "7",
            "IMAGINE_DISCORD__GUILD_IDS": "12,34",
            "IMAGINE_DISCORD__CONTEXTS": "server, dm",
            "IMAGINE_DISCORD__NSFW": "True",
            "IMAGINE_STORAGE__FOLDER": "/var/lib/imagine",
            "IMAGINE_PLAYGROUND__PORT": "0",
        },
    )
    assert config.engine.model == "environment"
    assert config.engine.images_per_request == 2
    assert config.engine.sizes == ((1024, 1024), (768, 512))
    assert config.engine.default_guidance == 7.0
    assert config.discord.guild_ids == (12, 34)
    assert config.discord.contexts == ("server", "dm")
    assert config.discord.nsfw is True
    assert config.storage.folder == Path("/var/lib/imagine")
    assert config.playground.port == 0


def test_a_model_says_how_it_wants_to_be_drawn(tmp_path: Path) -> None:
    text = """
    [engine]
    models = ["~/a.safetensors", "owner/b"]
    loras = "~/loras"
    [model]
    default_sampler = "DPM++ 2M"
    spacing = "Align Your Steps"
    steps = 28
    guidance = 0
    size = "832x1216"
    clip_skip = 3
    trigger_words = ["best quality"]
    """
    config = load_config(write(tmp_path, text), {"IMAGINE_MODEL__LICENCE": "CC0"})
    assert config.engine.all_models == ("~/a.safetensors", "owner/b")
    assert config.engine.model_name == "a"
    assert config.engine.loras == Path.home() / "loras"
    assert config.model == ModelConfig(
        ("dpmpp_2m", None), "ays", 28, 0.0, (832, 1216), None, 3, ("best quality",), "CC0"
    )
    emptied = load_config(write(tmp_path, text), {"IMAGINE_MODEL__STEPS": ""})
    assert emptied.model.steps is None


def test_the_playground_may_have_no_folder(tmp_path: Path) -> None:
    path = write(tmp_path, '[playground]\nfolder = "~/here"')
    assert load_config(path, {}).playground.folder == Path.home() / "here"
    assert load_config(path, {"IMAGINE_PLAYGROUND__FOLDER": " "}).playground.folder is None
    with pytest.raises(ConfigError, match="must be the path of a folder, or empty, not 3"):
        load_config(write(tmp_path, "[playground]\nfolder = 3"), {})


def test_an_empty_variable_empties_a_list(tmp_path: Path) -> None:
    path = write(tmp_path, '[engine]\nsizes = ["64x64"]')
    assert load_config(path, {"IMAGINE_ENGINE__SIZES": ""}).engine.sizes == ()


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("IMAGINE_ENGINE__MODL", "x", "Did you mean IMAGINE_ENGINE__MODEL"),
        ("IMAGINE_MODEL", "x", "there is no such key"),
        ("IMAGINE_DISCORD__TOKEN", "x", "set DISCORD_TOKEN"),
        ("IMAGINE_JOBS__MAX_QUEUED", "many", "whole number from 1 to 1000, not 'many'"),
        ("IMAGINE_JOBS__SHUTDOWN_GRACE_S", "nan", "number from 0 to 600, not nan"),
        ("IMAGINE_DISCORD__GUILD_IDS", "1,x", "server ids"),
    ],
)
def test_a_wrong_variable_is_named(name: str, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        load_config(COMMITTED, {name: text})
    assert name in str(caught.value)


keys = [
    (section.name, key.name)
    for section in fields(Config)
    if section.name != "engines"
    for key in fields(getattr(Config(), section.name))
]


@given(st.sampled_from(keys), st.text(max_size=40).filter(lambda text: "\0" not in text))
def test_any_text_in_any_variable_is_a_value_or_one_sentence(
    key: tuple[str, str], text: str
) -> None:
    name = f"IMAGINE_{key[0]}__{key[1]}".upper()
    default = getattr(getattr(Config(), key[0]), key[1])
    try:
        config = load_config(COMMITTED, {name: text})
    except ConfigError as error:
        sentence = str(error)
    else:
        value = getattr(getattr(config, key[0]), key[1])
        may_be_empty = default is None or name == "IMAGINE_PLAYGROUND__FOLDER"
        if may_be_empty and (default is None or not text.strip()):
            fits = (value is None) == (not text.strip())
        else:
            fits = isinstance(value, type(default))
        sentence = f"{name} must be" if fits else ""
    assert f"{name} must be" in sentence


def test_the_token_comes_from_its_variable_and_does_not_show_itself() -> None:
    secret = chat_tokens({"DISCORD_TOKEN": " abc.def.ghi\n"}).discord
    assert secret is not None
    assert secret.reveal() == "abc.def.ghi"
    assert "abc" not in f"{secret} {secret!r} {[secret]}"
    assert not Secret("")
    with pytest.raises(ConfigError, match="DISCORD_TOKEN"):
        chat_tokens({"DISCORD_TOKEN": ""})


def test_slack_needs_both_of_its_tokens() -> None:
    both = {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-2"}
    tokens = chat_tokens(both)
    assert tokens.discord is None
    assert [one.reveal() for one in tokens.all] == ["xoxb-1", "xapp-2"]
    assert len(chat_tokens({**both, "DISCORD_TOKEN": "x"}).all) == 3
    for there, token in both.items():
        (missing,) = both.keys() - {there}
        with pytest.raises(ConfigError, match=f"There is {there}, and no {missing}"):
            chat_tokens({there: token, "DISCORD_TOKEN": "x"})


def test_slack_may_have_a_signing_secret_in_place_of_its_second_token() -> None:
    bot, signing = {"SLACK_BOT_TOKEN": "xoxb-1"}, {"SLACK_SIGNING_SECRET": "5ec"}
    tokens = chat_tokens(bot | signing)
    assert tokens.slack is not None
    assert tokens.slack.app is None
    assert [one.reveal() for one in tokens.all] == ["xoxb-1", "5ec"]
    assert "5ec" not in repr(tokens)
    assert len(chat_tokens(bot | signing | {"SLACK_APP_TOKEN": "xapp-2"}).all) == 3
    with pytest.raises(ConfigError, match="There is SLACK_SIGNING_SECRET, and no SLACK_BOT_TOKEN"):
        chat_tokens(signing)
    with pytest.raises(ConfigError, match="or SLACK_SIGNING_SECRET where"):
        chat_tokens(bot)


def test_a_secret_stands_in_no_file_and_no_key(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[slack]\nsigning_secret = "5ec"\n')
    with pytest.raises(ConfigError, match=r"set the environment .* SLACK_SIGNING_SECRET") as caught:
        load_config(file, {})
    assert "5ec" not in str(caught.value)
    with pytest.raises(ConfigError, match="or SLACK_SIGNING_SECRET"):
        load_config(None, {"IMAGINE_SLACK__SIGNING_SECRET": "5ec"})


ROTATION = {
    "SLACK_CLIENT_ID": "1.2",
    "SLACK_CLIENT_SECRET": "3",
    "SLACK_REFRESH_TOKEN": "xoxe-1-4",
}


def test_to_rotate_tokens_slack_needs_all_three() -> None:
    both = {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-2"}
    ending = {**both, "SLACK_BOT_TOKEN": "xoxe.xoxb-1"}
    assert chat_tokens(both).slack.rotation is None  # type: ignore[union-attr]
    tokens = chat_tokens({**ending, **ROTATION})
    assert tokens.slack is not None
    assert tokens.slack.rotation is not None
    assert tokens.slack.rotation.refresh_token.reveal() == "xoxe-1-4"
    assert len(tokens.all) == 5
    assert "3" not in repr(tokens)
    with pytest.raises(ConfigError, match="ends within twelve hours, and no SLACK_CLIENT_ID and"):
        chat_tokens(ending)
    for missing in ROTATION:
        rest = {name: token for name, token in ROTATION.items() if name != missing}
        with pytest.raises(ConfigError, match=f"no {missing}: to rotate"):
            chat_tokens({**both, **rest})


def test_a_token_in_a_variable_of_ours_is_sent_to_the_right_one() -> None:
    with pytest.raises(ConfigError, match="unset it and set DISCORD_TOKEN") as caught:
        load_config(None, {"IMAGINE_DISCORD__TOKEN": "secret"})
    assert "GATEWAY" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_far_guess_is_not_made() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, {"IMAGINE_HOME": "x"})
    assert "Did you mean" not in str(caught.value)


def test_a_byte_order_mark_and_capitals_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b'\xef\xbb\xbf[log]\nlevel = "INFO"\n')
    assert load_config(path, {}).log.level == "info"
    assert load_config(path, {"IMAGINE_LOG__LEVEL": "Debug"}).log.level == "debug"


def test_a_section_that_stands_twice(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[log]\n[log]\n")
    with pytest.raises(ConfigError, match="may stand there once"):
        load_config(path, {})


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("auto", None), ("8GB", 8 * 10**9), ("7.5 gb", 7_500_000_000), ("900MB", 900_000_000)],
)
def test_an_amount_of_memory(text: str, size_bytes: int | None) -> None:
    config = load_config(COMMITTED, {"IMAGINE_ENGINE__MEMORY": text})
    assert config.engine.memory == size_bytes


@pytest.mark.parametrize(
    "address",
    [
        "",
        "postgresql://bot@db.example:6543/imagine?sslmode=require",
        "postgres:///imagine",
        "postgresql://bot@h1:5432,h2:5433/imagine",
    ],
)
def test_where_the_ledger_is(address: str) -> None:
    config = load_config(COMMITTED, {"IMAGINE_STORAGE__DATABASE": address})
    assert config.storage.database == address


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://bot:hunter2@db.example/imagine",
        "postgresql://bot@db.example/imagine?password=hunter2",
        "postgresql://bot@db.example?password=hunter2",
        "mysql://bot:hunter2@db.example/imagine",
        "postgresql://hunter2@db.example/",
        "postgresql://bot@db.example/hunter2 x",
    ],
)
def test_an_address_with_a_password_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(ConfigError, match="PGPASSWORD") as raised:
        load_config(COMMITTED, {"IMAGINE_STORAGE__DATABASE": address})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", None),
        ("/mnt/pictures", Path("/mnt/pictures")),
        ("s3://bucket", "s3://bucket"),
        (" s3://my.bucket-1/of/a_bot/ ", "s3://my.bucket-1/of/a_bot"),
    ],
)
def test_pictures_have_a_place(tmp_path: Path, text: str, place: Path | str | None) -> None:
    path = write(tmp_path, f'[storage]\npictures = "{text}"')
    assert load_config(path, {}).storage.pictures == place
    environ = {"IMAGINE_STORAGE__PICTURES": text}
    assert load_config(write(tmp_path, ""), environ).storage.pictures == place


def test_what_opens_a_bucket_is_not_repeated(tmp_path: Path) -> None:
    path = write(tmp_path, '[storage]\npictures = "s3://id:hunter2@bucket"')
    with pytest.raises(ConfigError, match="AWS_SECRET_ACCESS_KEY") as caught:
        load_config(path, {})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[discord]\nshards = 4\nbots = 2\n", "set [storage] database"),
        ("[discord]\nbots = 2\n[storage]\ndatabase = 'postgresql://a@b/c'\n", "must agree"),
        (
            "[discord]\nshards = 1\nbots = 2\n[storage]\ndatabase = 'postgresql://a@b/c'\n",
            "as many as there are bots",
        ),
    ],
)
def test_bots_that_could_not_share_discord_are_refused(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        load_config(write(tmp_path, text), {})


def test_bots_may_share_discord_at_one_database(tmp_path: Path) -> None:
    text = "[discord]\nshards = 4\nbots = 2\n[storage]\ndatabase = 'postgresql://a@b/c'\n"
    assert load_config(write(tmp_path, text), {}).discord.bots == 2
